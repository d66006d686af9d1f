//! Which network owns an address? An HTTP server whose table is replaced under load.
//!
//! ```console
//! $ cargo run --release --example route_server
//! $ curl http://127.0.0.1:8080/lookup/1.1.1.1
//! $ curl http://127.0.0.1:8080/lookup --data '["8.8.8.8", "2606:4700::1111", "10.0.0.1"]'
//! $ curl --request POST 'http://127.0.0.1:8080/reload?wait=reclaimed'
//! ```
//!
//! Without options the server answers from a small built-in table. The npm package
//! `@ip-location-db/asn` has a real table of half a million networks:
//!
//! ```console
//! $ npm pack @ip-location-db/asn@2.3.2026061719 && tar xzf ip-location-db-asn-*.tgz
//! $ cargo run --release --example route_server -- --watch \
//!       --table package/asn-ipv4.csv --table package/asn-ipv6.csv
//! ```
//!
//! The page `http://127.0.0.1:8080/` shows the server live, and has buttons to cause events: see
//! `README.md` beside this file.
//!
//! The parts:
//!
//! - [`routes`]: the table in an `RcuCell`. A reload parses on a blocking thread and swaps. The old
//!   table is freed after a grace period.
//! - [`http`]: the protocol, and three ways to read and wait: `with` for one address, `read_owned`
//!   for many addresses from one version across awaits, `Retired::wait` for `?wait=reclaimed`.
//! - [`live`], [`reports`]: the figures of the domain, taken only while a viewer watches, and its
//!   stall reports.
//! - [`buttons`]: a long-held guard, a flood of callbacks, a force; all within limits.
//! - [`serve`]: the shutdown. Streams, requests and the last reload end, and `drain` completes: no
//!   deferred work is lost.
//! - [`ranges`], [`parse`], [`table`]: the table itself, which does not use RCU.
//!
//! To measure what reloads cost the requests, use wrk (`wrk.lua` asks for random addresses):
//!
//! ```console
//! $ wrk --threads 1 --connections 32 --duration 30s --latency \
//!       --script examples/route_server/wrk.lua http://127.0.0.1:8080
//! $ while curl --silent --request POST http://127.0.0.1:8080/reload
//! > do sleep 0.1; done    # in another terminal
//! ```

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_rcu::Rcu;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::buttons::Buttons;
use crate::console::{complain, say};
use crate::http::{App, ListenScope};
use crate::live::Live;
use crate::reports::Reports;
use crate::routes::{Routes, Source};
use crate::watch::Watch;

mod buttons;
mod console;
mod http;
mod live;
mod lookups;
mod parse;
mod ranges;
mod reports;
mod routes;
mod stamp;
mod table;
#[cfg(test)]
mod temp;
mod watch;

/// The time in which requests have to end after the server was told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// Answers which network owns an address
#[derive(Parser)]
struct Args {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A CSV file of the npm package @ip-location-db/asn; may be given several times [default: a
    /// small built-in table]
    #[arg(long, value_name = "FILE")]
    table: Vec<PathBuf>,
    /// Reload when a table file changes
    #[arg(long, requires = "table")]
    watch: bool,
    /// The time after which a blocked grace period or a long callback is reported, also on the
    /// page: 0.001 to 3600. One second is for a demonstration; the library's default is ten
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = stall_timeout)]
    stall_timeout: Duration,
    /// Allow the buttons hold, flood and force although the server listens on more than the
    /// loopback. All clients can then slow the server down
    #[arg(long)]
    allow_buttons: bool,
}

fn stall_timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds".to_owned())?;
    if (0.001..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it must be from 0.001 to 3600 seconds".into())
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), String> {
    let settings = Settings {
        listen: args.listen,
        stall_timeout: args.stall_timeout,
        allow_buttons: args.allow_buttons,
    };
    let reports = Reports::new();
    let stalls = Arc::clone(&reports);
    let rcu = Rcu::builder()
        .name("routes")
        .stall_timeout(args.stall_timeout)
        .on_stall(move |stall| stalls.stall(stall))
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let source = if args.table.is_empty() { Source::Builtin } else { Source::Files(args.table) };
    // The watch begins before the table is read, so that no change is missed.
    let watch = if args.watch {
        let watch = Watch::new(source.files());
        Some(watch.map_err(|error| format!("cannot watch the table: {error}"))?)
    } else {
        None
    };
    let routes = Routes::load(&rcu, source).map_err(|error| error.to_string())?;
    say(&routes.table().with(|table| {
        let (version, summary) = (table.version(), table.summary());
        format!("table {version} ({}): {summary}", routes.source())
    }));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Tables are made and freed on the blocking threads, one at a time. With several threads
        // the allocator would keep the memory of one table for each thread.
        .max_blocking_threads(1)
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let forces = Arc::clone(&reports);
    let _forces = rcu.on_force(move |force| forces.force(force));
    let live = Live::new(Arc::clone(&routes), reports);
    runtime.block_on(serve(settings, rcu, routes, live, watch))
}

/// The options for serving.
struct Settings {
    listen: SocketAddr,
    stall_timeout: Duration,
    allow_buttons: bool,
}

async fn serve(
    settings: Settings,
    rcu: Rcu,
    routes: Arc<Routes>,
    live: Arc<Live>,
    watch: Option<Watch>,
) -> Result<(), String> {
    let listen = settings.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address =
        listener.local_addr().map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let stop = stop_signal().map_err(|error| format!("cannot wait for signals: {error}"))?;

    let watching = watch.map(|watch| tokio::spawn(watch.run(Arc::clone(&routes))));
    let (tell_server, told) = oneshot::channel::<()>();
    let scope = ListenScope::new(address);
    let app = App {
        routes: Arc::clone(&routes),
        live: Arc::clone(&live),
        buttons: Arc::new(Buttons::new(scope.is_loopback() || settings.allow_buttons)),
        stall_timeout: settings.stall_timeout,
    };
    let server = axum::serve(listener, http::router(app, scope))
        .with_graceful_shutdown(async { _ = told.await });
    let server = tokio::spawn(server.into_future());
    say(&format!("listening on http://{address}"));

    let signal = stop.await;
    say(&format!("{signal}: shutting down"));
    drop(tell_server);
    // The streams of viewers would never end.
    live.close().await;
    drop(live);
    if timeout(LAST_REQUESTS, server).await.is_err() {
        complain(&format!(
            "some requests have not ended within {} s: they are dropped",
            LAST_REQUESTS.as_secs()
        ));
    }
    if let Some(watching) = watching {
        watching.abort();
        let _ = watching.await;
    }
    let no_more_reloads = routes.no_more_reloads().await;
    // The drop of the cell retires the table in use.
    drop(routes);
    rcu.drain().await;
    drop(no_more_reloads);
    let stats = rcu.stats();
    say(&format!(
        "drained: {} of {} callbacks finished, {} grace periods",
        stats.finished, stats.queued, stats.grace_periods
    ));
    Ok(())
}

/// Catches the signals from this call on. The future completes at the first signal, with its name.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // This system has no Ctrl-C to wait for.
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    })
}

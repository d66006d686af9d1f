//! Which network owns an address? An HTTP server whose table is replaced under load.
//!
//! ```console
//! $ cargo run --release --example route_server
//! $ curl http://127.0.0.1:8080/lookup/1.1.1.1
//! $ curl http://127.0.0.1:8080/lookup --data '["8.8.8.8", "2606:4700::1111", "10.0.0.1"]'
//! $ curl --request POST 'http://127.0.0.1:8080/reload?wait=reclaimed'
//! ```
//!
//! Without more, it answers from a small table that is built in. A real one, of half a million networks, is the npm
//! package `@ip-location-db/asn`:
//!
//! ```console
//! $ npm pack @ip-location-db/asn@2.3.2026061719 && tar xzf ip-location-db-asn-*.tgz
//! $ cargo run --release --example route_server -- --table package/asn-ipv4.csv --table package/asn-ipv6.csv --watch
//! ```
//!
//! Its page, `http://127.0.0.1:8080/`, shows what goes on, and has buttons to make something go on: see `README.md` beside
//! this file.
//!
//! What to look at:
//!
//! - [`routes`]: the table in an `RcuCell`. A reload parses on a blocking thread and swaps; the old table is freed
//!   after a grace period.
//! - [`http`]: the protocol, and the three ways to read and to wait: `with` for one address, `read_owned` for many
//!   addresses from one version across awaits, `Retired::wait` for `?wait=reclaimed`.
//! - [`live`], [`reports`]: how the domain is watched: its figures taken only while somebody looks, and stalls told as they
//!   are reported.
//! - [`buttons`]: a guard held for long, a flood of callbacks, a force; within limits.
//! - [`serve`]: shutdown. Streams and requests end, the last reload ends, `drain` completes: nothing that was deferred is
//!   lost.
//! - [`ranges`], [`parse`], [`table`]: the table itself. It knows nothing of RCU.
//!
//! To see what reloads cost the requests, with wrk (`wrk.lua` asks for random addresses):
//!
//! ```console
//! $ wrk --threads 1 --connections 32 --duration 30s --latency --script examples/route_server/wrk.lua http://127.0.0.1:8080
//! $ while curl --silent --request POST http://127.0.0.1:8080/reload; do sleep 0.1; done    # meanwhile, elsewhere
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
use crate::http::{App, Home};
use crate::live::Live;
use crate::report::{complain, say};
use crate::reports::Reports;
use crate::routes::{Routes, Source};
use crate::watch::Watch;

mod buttons;
mod http;
mod live;
mod lookups;
mod parse;
mod ranges;
mod report;
mod reports;
mod routes;
mod stamp;
mod table;
#[cfg(test)]
mod temp;
mod watch;

/// So long requests may take to end after the server was told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// Answers which network owns an address
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A CSV file of the npm package @ip-location-db/asn; may be given several times [default: a small table that is
    /// built in]
    #[arg(long, value_name = "FILE")]
    table: Vec<PathBuf>,
    /// Reload when a table file changes
    #[arg(long, requires = "table")]
    watch: bool,
    /// What holds up a grace period, or runs, for so long is reported, on the page too; 0.001 to 3600. A second is
    /// for a demonstration: the library's own default is ten
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = stall_timeout)]
    stall_timeout: Duration,
    /// Let the page's buttons hold guards, flood and force though the server listens on more than the loopback. Whoever
    /// reaches it can then slow it down
    #[arg(long)]
    allow_buttons: bool,
}

fn stall_timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "it is to be a number of seconds".to_owned())?;
    if (0.001..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it is to be from 0.001 to 3600 seconds".into())
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
    let source = if args.table.is_empty() {
        Source::Builtin
    } else {
        Source::Files(args.table)
    };
    // Watched before it is read: no change is missed.
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
        // Tables are made and freed there, one at a time. On more threads the allocator would keep the memory of one
        // table for each.
        .max_blocking_threads(1)
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let forces = Arc::clone(&reports);
    let _forces = rcu.on_force(move |force| forces.force(force));
    let live = Live::new(Arc::clone(&routes), reports);
    runtime.block_on(serve(settings, rcu, routes, live, watch))
}

/// What of the command line is about serving.
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
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let stop = stop_signal().map_err(|error| format!("cannot wait for signals: {error}"))?;

    let watching = watch.map(|watch| tokio::spawn(watch.run(Arc::clone(&routes))));
    let (tell_server, told) = oneshot::channel::<()>();
    let home = Home::new(address);
    let app = App {
        routes: Arc::clone(&routes),
        live: Arc::clone(&live),
        buttons: Arc::new(Buttons::new(home.is_loopback() || settings.allow_buttons)),
        stall_timeout: settings.stall_timeout,
    };
    let server = axum::serve(listener, http::router(app, home))
        .with_graceful_shutdown(async { _ = told.await });
    let server = tokio::spawn(server.into_future());
    say(&format!("listening on http://{address}"));

    let signal = stop.await;
    say(&format!("{signal}: shutting down"));
    drop(tell_server);
    // Those who watch would watch for ever.
    live.close().await;
    drop(live);
    if timeout(LAST_REQUESTS, server).await.is_err() {
        complain("some requests are still not answered: they are given up");
    }
    if let Some(watching) = watching {
        watching.abort();
        let _ = watching.await;
    }
    let no_more_reloads = routes.no_more_reloads().await;
    // With the cell goes the table in use: it is retired as all others were.
    drop(routes);
    rcu.drain().await;
    drop(no_more_reloads);
    let stats = rcu.stats();
    say(&format!(
        "drained: {} of {} callbacks finished, {} grace periods; bye",
        stats.finished, stats.queued, stats.grace_periods
    ));
    Ok(())
}

/// The signals are caught from this call on; the future completes at the first one, with its name.
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
            // There is no Ctrl-C here to wait for.
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    })
}

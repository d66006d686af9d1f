//! A run: the pool, the proxy, the load, the changes, and the shutdown within its deadline.

use crate::backend::{Backend, BackendCounts};
use crate::load::Load;
use crate::proxy;
use crate::report::{Outcome, Quantiles, times};
use crate::store::Store;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

/// The number of closing backends above which no other backend is added.
const MOST_CLOSING: usize = 64;

/// The settings of a run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) listen: SocketAddr,
    pub(crate) clients: usize,
    pub(crate) conversations: usize,
    pub(crate) backends: u64,
    pub(crate) changes: u32,
    pub(crate) time: Duration,
    pub(crate) deadline: Duration,
    pub(crate) early_close: bool,
}

/// Adds and removes backends, spread evenly over the time. Counts the changes in `done`.
async fn change<S: Store>(
    store: &S,
    counts: &Arc<BackendCounts>,
    plan: &Plan,
    done: &mut u64,
) -> Result<(), String> {
    if plan.changes == 0 {
        return Ok(());
    }
    // After a delay the missed ticks come at once, so no change is left out.
    let mut ticks = interval((plan.time / plan.changes).max(Duration::from_micros(1)));
    for id in (plan.backends..).take(plan.changes.div_ceil(2) as usize) {
        ticks.tick().await;
        counts.at_most(plan.backends as usize + MOST_CLOSING).await;
        store.add(start(id, counts).await?);
        *done += 1;
        if *done < u64::from(plan.changes) {
            ticks.tick().await;
            store.remove_oldest();
            *done += 1;
        }
    }
    Ok(())
}

async fn start(id: u64, counts: &Arc<BackendCounts>) -> Result<Backend, String> {
    let backend = Backend::start(id, counts).await;
    backend.map_err(|error| format!("cannot start a backend: {error}"))
}

/// Completes at Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // This system has no Ctrl-C to wait for.
        std::future::pending::<()>().await;
    }
}

/// Waits for the last requests, removes all backends, and waits until they are closed. Returns
/// whether that ended by the deadline.
pub(crate) async fn leave<S: Store>(
    store: &S,
    mut proxy: JoinHandle<io::Result<()>>,
    deadline: Duration,
) -> bool {
    let all = async {
        // The proxy was told to stop; its result does not matter now.
        let _ = (&mut proxy).await;
        while store.remove_oldest() {}
        store.drain().await;
    };
    let in_time = timeout(deadline, all).await.is_ok();
    proxy.abort();
    in_time
}

/// # Errors
/// Returns an error if the run could not start. What went wrong in the run is in its outcome.
pub(crate) async fn run<S: Store>(plan: &Plan) -> Result<Outcome, String> {
    let counts = Arc::new(BackendCounts::new());
    let store =
        S::new(&counts, plan.early_close).map_err(|why| format!("cannot make the pool: {why}"))?;
    let store = Arc::new(store);
    for id in 0..plan.backends {
        store.add(start(id, &counts).await?);
    }
    let cannot_listen = |error| format!("cannot listen on {}: {error}", plan.listen);
    let listener = TcpListener::bind(plan.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let (tell_proxy, told) = oneshot::channel::<()>();
    let proxy = proxy::serve(listener, Arc::clone(&store), async { _ = told.await });
    let proxy = tokio::spawn(proxy);
    eprintln!("{}: listening on http://{address}", S::NAME);

    let load = Load::new(address);
    let begun = Instant::now();
    let clients: Vec<_> =
        (0..plan.clients).map(|_| tokio::spawn(Arc::clone(&load).ask_for_pages())).collect();
    let conversations: Vec<_> =
        (0..plan.conversations).map(|_| tokio::spawn(Arc::clone(&load).converse())).collect();
    let mut changes = 0;
    let to_its_end = async {
        let changing = async {
            let changed = change(&*store, &counts, plan, &mut changes).await;
            (changed, begun.elapsed())
        };
        let (changed, _) = tokio::join!(changing, sleep(plan.time));
        if plan.clients == 0 && changed.0.is_ok() {
            eprintln!("all changes are made; the proxy serves until Ctrl-C");
            std::future::pending::<()>().await;
        }
        changed
    };
    let (result, interrupted) = tokio::select! {
        result = to_its_end => (result, false),
        () = interrupted() => ((Ok(()), begun.elapsed()), true),
    };
    let (changed, change_time) = result;
    load.over.store(true, Ordering::Relaxed);
    let took = begun.elapsed();
    let mut latency = times();
    for client in clients {
        let one = client.await.map_err(|error| error.to_string())?;
        latency.add(one).map_err(|error| error.to_string())?;
    }
    for conversation in conversations {
        conversation.await.map_err(|error| error.to_string())?;
    }

    // The shutdown: no new request, the last requests, no backend, the last close.
    let leaving = Instant::now();
    drop(tell_proxy);
    let drained = leave(&*store, proxy, plan.deadline).await;
    let shutdown = leaving.elapsed();
    changed?;

    let [to_closing, to_closed] = counts.times();
    Ok(Outcome {
        store: S::NAME,
        closing: S::CLOSING,
        seconds: took.as_secs_f64(),
        interrupted,
        requests: latency.len(),
        requests_per_second: latency.len() as f64 / took.as_secs_f64(),
        latency_us: Quantiles::of(&latency),
        conversations: load.conversations(),
        failed: load.failed(),
        changes,
        changes_wanted: u64::from(plan.changes),
        changes_per_second: changes as f64 / change_time.as_secs_f64(),
        removed_to_closing_us: Quantiles::of(&to_closing),
        removed_to_closed_us: Quantiles::of(&to_closed),
        closed: to_closed.len(),
        closed_in_use: counts.early(),
        closed_by_force: counts.stuck(),
        still_open: counts.open(),
        drained,
        shutdown_ms: shutdown.as_secs_f64() * 1e3,
        deadline_ms: plan.deadline.as_secs_f64() * 1e3,
    })
}

//! One run: a pool, the proxy before it, the load, the changes, and the end of all that within its deadline.

use crate::backend::{Backend, Books};
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

/// So many removed backends may still be closing before another one is added.
const MOST_CLOSING: usize = 64;

/// What a run is to do.
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

/// Backends come and go, spread evenly over the time; `done` counts.
async fn change<S: Store>(
    store: &S,
    books: &Arc<Books>,
    plan: &Plan,
    done: &mut u64,
) -> Result<(), String> {
    if plan.changes == 0 {
        return Ok(());
    }
    // A tick that is missed is made up for.
    let mut ticks = interval((plan.time / plan.changes).max(Duration::from_micros(1)));
    for id in (plan.backends..).take(plan.changes.div_ceil(2) as usize) {
        ticks.tick().await;
        books.at_most(plan.backends as usize + MOST_CLOSING).await;
        store.add(start(id, books).await?);
        *done += 1;
        if *done < u64::from(plan.changes) {
            ticks.tick().await;
            store.remove_oldest();
            *done += 1;
        }
    }
    Ok(())
}

async fn start(id: u64, books: &Arc<Books>) -> Result<Backend, String> {
    let backend = Backend::start(id, books).await;
    backend.map_err(|error| format!("cannot start a backend: {error}"))
}

/// Ready at Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // There is none to wait for.
        std::future::pending::<()>().await;
    }
}

/// Waits for the last requests, removes all backends, and waits until they are closed: whether that was done by the deadline.
pub(crate) async fn leave<S: Store>(
    store: &S,
    mut proxy: JoinHandle<io::Result<()>>,
    deadline: Duration,
) -> bool {
    let all = async {
        // It was told to stop. How it ended makes no difference now.
        let _ = (&mut proxy).await;
        while store.remove_oldest() {}
        store.drain().await;
    };
    let in_time = timeout(deadline, all).await.is_ok();
    proxy.abort();
    in_time
}

/// # Errors
/// Where it could not be made to run. What went wrong in it is in its outcome.
pub(crate) async fn run<S: Store>(plan: &Plan) -> Result<Outcome, String> {
    let books = Arc::new(Books::new());
    let store = S::new(&books, plan.early_close).map_err(|why| format!("no pool: {why}"))?;
    let store = Arc::new(store);
    for id in 0..plan.backends {
        store.add(start(id, &books).await?);
    }
    let cannot_listen = |error| format!("cannot listen on {}: {error}", plan.listen);
    let listener = TcpListener::bind(plan.listen)
        .await
        .map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let (tell_proxy, told) = oneshot::channel::<()>();
    let proxy = proxy::serve(listener, Arc::clone(&store), async { _ = told.await });
    let proxy = tokio::spawn(proxy);
    eprintln!("{}: listening on http://{address}", S::NAME);

    let load = Load::new(address);
    let begun = Instant::now();
    let clients: Vec<_> = (0..plan.clients)
        .map(|_| tokio::spawn(Arc::clone(&load).ask_for_pages()))
        .collect();
    let conversations: Vec<_> = (0..plan.conversations)
        .map(|_| tokio::spawn(Arc::clone(&load).converse()))
        .collect();
    let mut changes = 0;
    let to_its_end = async {
        let changing = async {
            let changed = change(&*store, &books, plan, &mut changes).await;
            (changed, begun.elapsed())
        };
        let (changed, _) = tokio::join!(changing, sleep(plan.time));
        if plan.clients == 0 && changed.0.is_ok() {
            eprintln!("all changes are made; Ctrl-C ends it");
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

    // The end: no new request, the last ones, no backend, the last closing.
    let leaving = Instant::now();
    drop(tell_proxy);
    let drained = leave(&*store, proxy, plan.deadline).await;
    let shutdown = leaving.elapsed();
    changed?;

    let [to_closing, to_closed] = books.times();
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
        closed_in_use: books.early(),
        closed_by_force: books.stuck(),
        still_open: books.open(),
        drained,
        shutdown_ms: shutdown.as_secs_f64() * 1e3,
        deadline_ms: plan.deadline.as_secs_f64() * 1e3,
    })
}

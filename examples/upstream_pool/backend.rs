//! A backend: an HTTP server on a port of its own, its connections, and its close.
//!
//! A close is final: the listener is closed and every connection ends, so a later request fails.
//! The store decides when to close a backend.

use crate::report::times;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::uri::{Authority, InvalidUriParts, PathAndQuery, Scheme};
use axum::http::{HeaderName, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use hdrhistogram::Histogram;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The answer to `GET /page`.
pub(crate) const PAGE: &[u8] = &[b'x'; 1024];
/// The header that names the backend of an answer.
pub(crate) const ANSWERED_BY: HeaderName = HeaderName::from_static("x-backend");
/// The time in which the connections of a closing backend have to end.
const LAST_CONNECTIONS: Duration = Duration::from_secs(10);

/// Counts of all backends of one run.
pub(crate) struct BackendCounts {
    /// The number of backends that listen or are closing.
    open: watch::Sender<usize>,
    /// The number of backends that were closed while a request used them.
    early: AtomicU64,
    /// The number of backends that did not close in time.
    stuck: AtomicU64,
    /// The times from the removal of a backend to the beginning and to the end of its close, in
    /// microseconds.
    times: Mutex<[Histogram<u64>; 2]>,
}

impl BackendCounts {
    pub(crate) fn new() -> Self {
        Self {
            open: watch::Sender::new(0),
            early: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            times: Mutex::new([times(), times()]),
        }
    }

    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until at most this many backends are open.
    pub(crate) async fn at_most(&self, open: usize) {
        // The sender lives as long as `self`.
        let _ = self.open.subscribe().wait_for(|now| *now <= open).await;
    }

    pub(crate) fn early(&self) -> u64 {
        self.early.load(Ordering::Relaxed)
    }

    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn times(&self) -> [Histogram<u64>; 2] {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, which: usize, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times[which].saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

pub(crate) struct Backend {
    id: u64,
    authority: Authority,
    client: Client<HttpConnector, Body>,
    /// The number of requests that are being forwarded to the backend.
    in_use: AtomicUsize,
    removed: OnceLock<Instant>,
    running: Mutex<Option<Running>>,
    counts: Arc<BackendCounts>,
}

struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Backend {
    /// Starts a server on a free port of the loopback.
    pub(crate) async fn start(id: u64, counts: &Arc<BackendCounts>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let authority = Authority::try_from(address.to_string()).map_err(io::Error::other)?;
        let (stop, stopped) = oneshot::channel::<()>();
        // If the system refuses the option, answers are slower but right.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let server = axum::serve(listener, router(id))
            .with_graceful_shutdown(async { _ = stopped.await })
            .into_future();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        counts.open.send_modify(|open| *open += 1);
        Ok(Self {
            id,
            authority,
            client: Client::builder(TokioExecutor::new()).build(connector),
            in_use: AtomicUsize::new(0),
            removed: OnceLock::new(),
            running: Mutex::new(Some(Running { stop, server: tokio::spawn(server) })),
            counts: Arc::clone(counts),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn client(&self) -> &Client<HttpConnector, Body> {
        &self.client
    }

    /// Returns the number of requests that are being forwarded to the backend.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_use(&self) {
        self.in_use.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_use(&self) {
        self.in_use.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the backend's address for `uri`.
    pub(crate) fn target(&self, uri: &Uri) -> Result<Uri, InvalidUriParts> {
        let mut parts = axum::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(root));
        Uri::from_parts(parts)
    }

    /// Notes that the store no longer shows the backend to new requests.
    pub(crate) fn mark_removed(&self) {
        self.removed.get_or_init(Instant::now);
    }

    /// Closes the backend in the returned future. A later call does nothing.
    pub(crate) fn begin_close(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { stop, mut server } = running.take()?;
        if self.in_use() > 0 {
            self.counts.early.fetch_add(1, Ordering::Relaxed);
        }
        let (removed, counts) = (*self.removed.get_or_init(Instant::now), &self.counts);
        counts.record(0, removed.elapsed());
        let counts = Arc::clone(counts);
        Some(async move {
            drop(stop);
            match timeout(LAST_CONNECTIONS, &mut server).await {
                Ok(_) => counts.record(1, removed.elapsed()),
                Err(_) => {
                    server.abort();
                    counts.stuck.fetch_add(1, Ordering::Relaxed);
                }
            }
            counts.open.send_modify(|open| *open -= 1);
        })
    }

    /// Closes the backend, and waits until every removed backend is closed.
    pub(crate) async fn close(&self) {
        if let Some(closing) = self.begin_close() {
            closing.await;
        }
    }
}

/// Serves a page, and an echo that answers piece by piece while the client still sends.
fn router(id: u64) -> Router {
    async fn page(State(id): State<u64>) -> impl IntoResponse {
        ([(ANSWERED_BY, id.to_string())], PAGE)
    }
    async fn echo(State(id): State<u64>, body: Body) -> impl IntoResponse {
        ([(ANSWERED_BY, id.to_string())], body)
    }
    Router::new().route("/page", get(page)).route("/echo", post(echo)).with_state(id)
}

//! Tests of the pool and the proxy, step by step. The figures check whole runs.

use crate::backend::{ANSWERED_BY, Backend, BackendCounts, PAGE};
use crate::proxy;
use crate::report::Outcome;
use crate::run::{Plan, leave, run};
use crate::store::Store;
use crate::store::arc_swap::ArcSwapPool;
use crate::store::rcu::RcuPool;
use crate::store::rw_lock::RwLockPool;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Waits for `what`, for at most a minute.
async fn within<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    timeout(limit, what).await.expect("done within a minute")
}

async fn pool<S: Store>(backends: u64, early_close: bool) -> (Arc<S>, Arc<BackendCounts>) {
    let counts = Arc::new(BackendCounts::new());
    let store = S::new(&counts, early_close).unwrap();
    for id in 0..backends {
        store.add(Backend::start(id, &counts).await.unwrap());
    }
    (Arc::new(store), counts)
}

/// Starts a proxy, which lives as long as the runtime.
async fn proxy<S: Store>(store: &Arc<S>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    tokio::spawn(proxy::serve(listener, Arc::clone(store), never));
    address
}

async fn ask(request: Request<Body>) -> hyper::Response<hyper::body::Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap()
}

fn page(of: SocketAddr) -> Request<Body> {
    Request::get(format!("http://{of}/page")).body(Body::empty()).unwrap()
}

async fn forward<H>(held: H) -> Response
where
    H: Deref<Target = Backend> + Send + 'static,
{
    let anybody = SocketAddr::from(([127, 0, 0, 1], 1));
    proxy::forward_to(held, anybody, page(anybody)).await
}

/// Returns whether the backend's port is open.
async fn listens(backend: &Backend) -> bool {
    let uri = backend.target(&"/".parse().unwrap()).unwrap();
    TcpStream::connect(uri.authority().unwrap().as_str()).await.is_ok()
}

/// A removed backend answers the requests that have chosen it, and is closed after them.
async fn closes_after_the_last_request<S: Store>() {
    within(async {
        let (store, counts) = pool::<S>(1, false).await;
        let first = store.pick().unwrap();
        let second = store.pick().unwrap();
        assert!(store.remove_oldest());
        assert!(store.pick().is_none() && !store.remove_oldest());
        let target = first.target(&"/".parse().unwrap()).unwrap();

        let answer = forward(first).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[ANSWERED_BY], "0");
        // The body of the answer holds the backend too.
        assert!(listens(&second).await);
        drop(second);
        assert_eq!(counts.open(), 1);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, PAGE);

        store.drain().await;
        assert_eq!((counts.open(), counts.early(), counts.stuck()), (0, 0, 0));
        let address = target.authority().unwrap().as_str();
        assert!(TcpStream::connect(address).await.is_err());
    })
    .await;
}

/// With the fault, a removed backend is closed at once, and these requests fail.
async fn fails_those_who_come_too_late<S: Store>() {
    within(async {
        let (store, counts) = pool::<S>(1, true).await;
        let held = store.pick().unwrap();
        assert!(store.remove_oldest());
        counts.at_most(0).await;
        assert!(!listens(&held).await);
        let answer = forward(held).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let why = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(why.starts_with(b"backend 0: "), "{why:?}");
        store.drain().await;
    })
    .await;
}

/// The proxy passes bodies piece by piece: each piece is sent after the one before has come back.
async fn forwards_a_conversation<S: Store>() {
    within(async {
        let (store, _books) = pool::<S>(1, false).await;
        let proxy = proxy(&store).await;
        let (mut say, said) = futures::channel::mpsc::channel::<&'static str>(1);
        let request = Request::post(format!("http://{proxy}/echo"))
            .body(Body::from_stream(said.map(Ok::<_, Infallible>)))
            .unwrap();
        say.send("one").await.unwrap();
        let mut echo = ask(request).await.into_body();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        // The backend is removed in the middle of the conversation.
        assert!(store.remove_oldest());
        say.send("two").await.unwrap();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        drop(say);
        assert!(echo.frame().await.is_none());
        drop(echo);
        store.drain().await;
    })
    .await;
}

/// No request fails while backends come and go.
async fn runs<S: Store>() {
    let plan = Plan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        clients: 8,
        conversations: 2,
        backends: 3,
        changes: 60,
        time: Duration::from_millis(500),
        deadline: Duration::from_secs(60),
        early_close: false,
    };
    let outcome = within(run::<S>(&plan)).await.unwrap();
    assert_eq!(outcome.wrong(), Vec::<String>::new());
    assert_eq!((outcome.changes, outcome.closed), (60, 33));
    assert!(outcome.conversations > 0);

    // The check notices each of these faults.
    let spoil: [fn(&mut Outcome); 6] = [
        |o| o.failed = 1,
        |o| o.changes -= 1,
        |o| o.closed_in_use = 1,
        |o| o.closed_by_force = 1,
        |o| o.drained = false,
        |o| o.still_open = 1,
    ];
    for spoil in spoil {
        let mut spoilt = outcome.clone();
        spoil(&mut spoilt);
        assert_eq!(spoilt.wrong().len(), 1, "{spoilt:?}");
    }
}

/// The shutdown drops a request that does not end by the deadline.
async fn leaves_by_the_deadline<S: Store>() {
    within(async {
        let (store, counts) = pool::<S>(2, false).await;
        let held = store.pick().unwrap();
        let proxy = || tokio::spawn(async { Ok(()) });
        assert!(!leave(&*store, proxy(), Duration::from_millis(20)).await);
        assert!(counts.open() > 0);
        drop(held);
        assert!(leave(&*store, proxy(), Duration::from_secs(60)).await);
        assert_eq!(counts.open(), 0);
    })
    .await;
}

macro_rules! for_every_store {
    ($($test:ident),*) => {$(
        mod $test {
            use super::*;
            #[tokio::test]
            async fn rcu() {
                super::$test::<RcuPool>().await;
            }
            #[tokio::test]
            async fn arc_swap() {
                super::$test::<ArcSwapPool>().await;
            }
            #[tokio::test]
            async fn rw_lock() {
                super::$test::<RwLockPool>().await;
            }
        }
    )*};
}
for_every_store!(
    closes_after_the_last_request,
    fails_those_who_come_too_late,
    forwards_a_conversation,
    leaves_by_the_deadline,
    runs
);

#[tokio::test]
async fn refuses_what_it_cannot_forward() {
    within(async {
        let (store, _books) = pool::<RcuPool>(0, false).await;
        let address = proxy(&store).await;
        let nobody = ask(page(address)).await;
        assert_eq!(nobody.status(), StatusCode::SERVICE_UNAVAILABLE);

        store.add(Backend::start(0, &Arc::new(BackendCounts::new())).await.unwrap());
        for (line, status) in [
            ("CONNECT example.org:443", "400"),
            // The target is the server as a whole, so the backend answers.
            ("OPTIONS *", "404"),
            ("GET /page", "200"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{line}: {answer}");
        }
        let missing = Request::get(format!("http://{address}/missing"));
        let missing = ask(missing.body(Body::empty()).unwrap()).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    })
    .await;
}

//! The proxy. It forwards each request to one backend, and both bodies piece by piece.
//!
//! | answer | condition |
//! |---|---|
//! | the backend's | the backend answered |
//! | 502 | the backend did not answer, or ended the connection before |
//! | 503 | there is no backend |
//! | 504 | the backend did not begin to answer within [`ANSWER`] |
//! | 400 | the target of the request cannot be forwarded |

use crate::backend::Backend;
use crate::headers;
use crate::store::Store;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use hyper::body::{Frame, Incoming, SizeHint};
use std::error::Error;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// The time in which a backend has to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Serves until `stop` is ready, and then until the open requests have ended.
pub(crate) fn serve<S: Store>(
    listener: TcpListener,
    store: Arc<S>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = io::Result<()>> {
    let router = Router::new().fallback(forward::<S>).with_state(store);
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).into_future()
}

/// A backend that a request uses. The backend is not closed before this is dropped.
struct Using<H: Deref<Target = Backend>>(H);

impl<H: Deref<Target = Backend>> Using<H> {
    fn new(held: H) -> Self {
        held.begin_use();
        Self(held)
    }
}

impl<H: Deref<Target = Backend>> Drop for Using<H> {
    fn drop(&mut self) {
        // The count falls before the backend is released.
        self.0.end_use();
    }
}

async fn forward<S: Store>(
    State(store): State<Arc<S>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    match store.pick() {
        Some(held) => forward_to(held, client, request).await,
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "there is no backend"),
    }
}

/// Forwards to the held backend. It is held until the last byte of the answer has been passed on.
pub(crate) async fn forward_to<H>(held: H, client: SocketAddr, mut request: Request) -> Response
where
    H: Deref<Target = Backend> + Send + 'static,
{
    let using = Using::new(held);
    if request.method() == Method::CONNECT {
        return refuse(StatusCode::BAD_REQUEST, "this proxy does not support CONNECT");
    }
    match using.0.target(request.uri()) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
    *request.version_mut() = Version::HTTP_11;
    headers::strip(request.headers_mut());
    headers::mark_forwarded(request.headers_mut(), client.ip());
    match timeout(ANSWER, using.0.client().request(request)).await {
        Ok(Ok(mut response)) => {
            headers::strip(response.headers_mut());
            let using = Some(using);
            response.map(|body| Body::new(Forwarded { body, using }))
        }
        Ok(Err(error)) => {
            let cause = error.source().map_or(String::new(), |why| format!(": {why}"));
            let why = format!("backend {}: {error}{cause}", using.0.id());
            refuse(StatusCode::BAD_GATEWAY, &why)
        }
        Err(_) => {
            let why = format!("backend {} has not answered in time", using.0.id());
            refuse(StatusCode::GATEWAY_TIMEOUT, &why)
        }
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

/// The body of an answer. Its drop releases the backend.
struct Forwarded<H: Deref<Target = Backend>> {
    body: Incoming,
    using: Option<Using<H>>,
}

// No field is pinned.
impl<H: Deref<Target = Backend>> Unpin for Forwarded<H> {}

impl<H: Deref<Target = Backend>> HttpBody for Forwarded<H> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.using = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! The load: clients that ask for pages as fast as they are answered, and clients that hold long
//! conversations.
//!
//! A conversation is one request. The client sends each piece of its body after the piece before
//! has come back. A proxy that waited for the end of a body, on either side, would never answer it.

use crate::backend::{ANSWERED_BY, PAGE};
use crate::report::times;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The number of pieces of a conversation, and the pause before each piece.
const PIECES: u8 = 10;
const PAUSE: Duration = Duration::from_millis(2);
/// The time after which a request has failed.
const LONGEST: Duration = Duration::from_secs(30);
/// The number of failures that are printed.
const TOLD: u64 = 5;

type Failure = Box<dyn Error + Send + Sync>;

/// The state that all clients share.
pub(crate) struct Load {
    pub(crate) proxy: SocketAddr,
    pub(crate) over: AtomicBool,
    failed: AtomicU64,
    conversations: AtomicU64,
}

impl Load {
    pub(crate) fn new(proxy: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            over: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            conversations: AtomicU64::new(0),
        })
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn conversations(&self) -> u64 {
        self.conversations.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn fail(&self, what: &str, why: &Failure) {
        if self.failed.fetch_add(1, Ordering::Relaxed) < TOLD {
            eprintln!("FAILED: {what}: {why}");
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Failure> {
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // An error of the connection fails its requests too.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Asks for pages until `over` is set. Returns the time of each page, in microseconds.
    pub(crate) async fn ask_for_pages(self: Arc<Self>) -> Histogram<u64> {
        let mut took = times();
        let mut connection = None;
        while !self.is_over() {
            let begun = Instant::now();
            match in_time(self.page(&mut connection)).await {
                Ok(()) => took.saturating_record(begun.elapsed().as_micros() as u64),
                Err(error) => {
                    connection = None;
                    self.fail("a page", &error);
                    // The pause prevents a flood of failures if all requests fail.
                    sleep(PAUSE).await;
                }
            }
        }
        took
    }

    async fn page(&self, connection: &mut Option<SendRequest<Body>>) -> Result<(), Failure> {
        let request = Request::get("/page").header("host", self.proxy.to_string());
        let answer = self.send(connection, request.body(Body::empty())?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        match body == PAGE {
            true => Ok(()),
            false => Err(format!("a page of {} bytes", body.len()).into()),
        }
    }

    /// Holds one conversation after another until `over` is set.
    pub(crate) async fn converse(self: Arc<Self>) {
        let mut connection = None;
        while !self.is_over() {
            match in_time(self.conversation(&mut connection)).await {
                Ok(()) => _ = self.conversations.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    connection = None;
                    self.fail("a conversation", &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn conversation(
        &self,
        connection: &mut Option<SendRequest<Body>>,
    ) -> Result<(), Failure> {
        let (mut pieces, body) = mpsc::channel::<Bytes>(1);
        let body = Body::from_stream(body.map(Ok::<_, Infallible>));
        let request = Request::post("/echo").header("host", self.proxy.to_string());
        pieces.send(piece(0)).await?;
        let mut echo = self.send(connection, request.body(body)?).await?.into_body();
        for n in 0..PIECES {
            let expected = piece(n);
            let mut back = Vec::new();
            while back.len() < expected.len() {
                let frame = echo.frame().await.ok_or("the echo ended early")??;
                back.extend(frame.into_data().unwrap_or_default());
            }
            if back != expected {
                return Err("the echo differs from what was sent".into());
            }
            if n + 1 < PIECES {
                sleep(PAUSE).await;
                pieces.send(piece(n + 1)).await?;
            }
        }
        drop(pieces);
        match echo.frame().await {
            None => Ok(()),
            Some(_) => Err("the echo did not end".into()),
        }
    }

    /// Sends a request on the open connection or on a new one. Checks that a backend answered.
    async fn send(
        &self,
        connection: &mut Option<SendRequest<Body>>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failure> {
        let sender = match connection {
            Some(sender) => sender,
            None => connection.insert(self.connect().await?),
        };
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let why = answer.into_body().collect().await?.to_bytes();
            let why = String::from_utf8_lossy(&why).trim().to_owned();
            return Err(format!("{status}: {why}").into());
        }
        if !answer.headers().contains_key(ANSWERED_BY) {
            return Err("the answer is not from a backend".into());
        }
        Ok(answer)
    }
}

fn piece(n: u8) -> Bytes {
    Bytes::from(vec![n; 512])
}

async fn in_time(request: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match timeout(LONGEST, request).await {
        Ok(result) => result,
        Err(_) => Err(format!("the request has not ended within {} s", LONGEST.as_secs()).into()),
    }
}

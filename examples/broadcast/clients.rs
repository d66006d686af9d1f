//! The clients. They check that they get every message between their first and their last, and that
//! rows belong to their version.

use super::Args;
use super::server::{Hub, content};
use axum::serve::Listener;
use futures::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The number of descriptors for other uses.
const SPARE: u64 = 200;
/// The longest recorded time of a message, in microseconds. A longer time counts as this time.
const LONGEST: u64 = 3_600_000_000;
/// The number of connections that are made at a time.
const AT_ONCE: usize = 64;

/// The state that all clients share.
struct Common {
    hub: Arc<Hub>,
    port: u16,
    pipes: mpsc::UnboundedSender<DuplexStream>,
    making: Semaphore,
    delivered: AtomicU64,
    lagged: AtomicU64,
    connected: Semaphore,
    /// Several histograms, so that clients rarely wait for each other.
    latency: [Mutex<Histogram<u64>>; 16],
    violations: Mutex<Vec<String>>,
}

/// All clients.
pub(crate) struct Crowd {
    pub(crate) sockets: u64,
    pub(crate) pipes: u64,
    common: Arc<Common>,
    clients: JoinSet<Option<u64>>,
}

/// The results of all clients.
pub(crate) struct Told {
    pub(crate) delivered: u64,
    pub(crate) lagged: u64,
    pub(crate) latency: [u64; 3],
    pub(crate) violations: Vec<String>,
}

/// A listener for connections inside the process.
struct Pipes(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            // All clients have ended.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Crowd {
    /// Starts the server and connects all clients.
    pub(crate) async fn join(args: &Args, hub: &Arc<Hub>) -> Result<Self, Box<dyn Error>> {
        // A connection has two descriptors: both ends are in this process.
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let sockets = args.connections.min(descriptors.saturating_sub(SPARE) / 2);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (pipes, incoming) = mpsc::unbounded_channel();
        tokio::spawn(axum::serve(listener, hub.router()).into_future());
        tokio::spawn(axum::serve(Pipes(incoming), hub.router()).into_future());

        let log = || Histogram::new_with_bounds(1, LONGEST, 3).map(Mutex::new);
        let mut latency = Vec::new();
        for _ in 0..16 {
            latency.push(log()?);
        }
        let common = Arc::new(Common {
            hub: Arc::clone(hub),
            port,
            pipes,
            making: Semaphore::new(AT_ONCE),
            delivered: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
            connected: Semaphore::new(0),
            latency: latency.try_into().map_err(|_| "sixteen histograms were made")?,
            violations: Mutex::new(Vec::new()),
        });
        let lasting = args.connections - args.connections * args.churn / 100;
        let mut clients = JoinSet::new();
        for id in 0..args.connections {
            let kind = Kind {
                id,
                socket: id * sockets / args.connections != (id + 1) * sockets / args.connections,
                reads: id < args.readers,
                // The client leaves after one to sixteen messages, and another one replaces it.
                stays: (id >= lasting).then_some(1 + id % 16),
            };
            clients.spawn(client(Arc::clone(&common), kind));
        }
        let all = u32::try_from(args.connections)?;
        tokio::select! {
            permits = common.connected.acquire_many(all) => permits?.forget(),
            () = tokio::time::sleep(Duration::from_secs(300)) => {
                return Err("the clients were not connected within five minutes".into());
            }
        }
        Ok(Self { sockets, pipes: args.connections - sockets, common, clients })
    }

    /// Waits until all clients have ended. A client that stayed must have got the message `last`.
    pub(crate) async fn end(mut self, last: u64) -> Told {
        while let Some(client) = self.clients.join_next().await {
            match client {
                Ok(Some(seen)) if seen != last => self
                    .common
                    .violation(format!("a client got {seen} as its last message, not {last}")),
                Ok(_) => {}
                Err(error) => self.common.violation(format!("a client panicked: {error}")),
            }
        }
        let late = self.common.hub.late.load(Ordering::Relaxed);
        if late > 0 {
            self.common.violation(format!("{late} messages were sent to closed connections"));
        }
        let mut latency =
            Histogram::<u64>::new_with_bounds(1, LONGEST, 3).expect("constant, valid bounds");
        for part in &self.common.latency {
            // The histograms have the same bounds.
            let _ = latency.add(&*part.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let violations = std::mem::take(
            &mut *self.common.violations.lock().unwrap_or_else(PoisonError::into_inner),
        );
        Told {
            delivered: self.common.delivered.load(Ordering::Relaxed),
            lagged: self.common.lagged.load(Ordering::Relaxed),
            latency: [
                latency.value_at_quantile(0.5),
                latency.value_at_quantile(0.99),
                latency.max(),
            ],
            violations,
        }
    }
}

impl Common {
    fn violation(&self, what: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        // The first few violations are enough.
        if violations.len() < 20 {
            violations.push(what);
        }
    }
}

#[derive(Clone, Copy)]
struct Kind {
    id: u64,
    socket: bool,
    reads: bool,
    /// The number of messages after which the client leaves.
    stays: Option<u64>,
}

/// The end of a connection.
enum End {
    /// The client left or was told to leave, after some messages, of which this was the last.
    Gone(u64),
    /// The server closed the connection, since the client was too slow.
    Lagged,
}

/// Runs a client. A client that leaves connects again. Returns the last message of a client that
/// stayed.
async fn client(common: Arc<Common>, kind: Kind) -> Option<u64> {
    let mut first = true;
    loop {
        let end = match kind.socket {
            true => {
                let Ok(permit) = common.making.acquire().await else {
                    return None;
                };
                let stream = TcpStream::connect(("127.0.0.1", common.port)).await;
                drop(permit);
                match stream {
                    Ok(stream) => session(&common, kind, stream, &mut first).await,
                    Err(error) => Err(error.into()),
                }
            }
            false => {
                let (ours, theirs) = duplex(2048);
                // An error means that the server has ended, and the other end of the pipe with it.
                let _ = common.pipes.send(theirs);
                session(&common, kind, ours, &mut first).await
            }
        };
        let stopping = common.hub.stopping.load(Ordering::Relaxed);
        match end {
            Ok(End::Gone(last)) if kind.stays.is_none() => return Some(last),
            Ok(End::Gone(_)) => {}
            Ok(End::Lagged) => {
                common.lagged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                common.violation(format!("client {}: {error}", kind.id));
                common.connected.add_permits(usize::from(std::mem::take(&mut first)));
                return None;
            }
        }
        if stopping {
            return None;
        }
    }
}

type Failure = Box<dyn Error + Send + Sync>;

async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    common: &Common,
    kind: Kind,
    stream: S,
    first: &mut bool,
) -> Result<End, Failure> {
    let address = format!("ws://broadcast/?reads={}", kind.reads);
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_message_size(Some(1024));
    let (mut socket, _) = client_async_with_config(address, stream, Some(config)).await?;
    common.connected.add_permits(usize::from(std::mem::take(first)));
    let (mut last, mut count, mut newest) = (0, 0, 0);
    let latency = &common.latency[(kind.id % 16) as usize];
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => match text.split_once(' ') {
                Some(("M", rest)) => {
                    let [n, sent] = numbers(rest)?;
                    if last != 0 && n != last + 1 {
                        return Err(format!("message {n} came after {last}").into());
                    }
                    let now = common.hub.began.elapsed().as_micros() as u64;
                    latency
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .saturating_record(now.saturating_sub(sent));
                    common.delivered.fetch_add(1, Ordering::Relaxed);
                    (last, count) = (n, count + 1);
                    // Half of the leaving clients announce it, and get all messages until then; the
                    // other half just disconnect.
                    match kind.stays {
                        Some(stays) if count == stays && kind.id % 2 == 0 => {
                            socket.send(Message::text("bye")).await?
                        }
                        Some(stays) if count == stays => {
                            // An error means that the server closes the connection at the same
                            // time.
                            let _ = socket.close(None).await;
                            return Ok(End::Gone(last));
                        }
                        _ => {}
                    }
                }
                Some(("R", rest)) => {
                    let [version, row, byte] = numbers(rest)?;
                    if version < newest || byte != u64::from(content(version, row)) {
                        return Err(format!(
                            "row {row} of version {version} is filled with {byte}, after version \
                             {newest}"
                        )
                        .into());
                    }
                    newest = version;
                }
                _ => return Err(format!("an unknown message: {text}").into()),
            },
            Message::Close(frame) => {
                let slow = frame.is_some_and(|frame| frame.code == CloseCode::Policy);
                return Ok(if slow { End::Lagged } else { End::Gone(last) });
            }
            _ => {}
        }
    }
    Err("the connection ended without a last message".into())
}

fn numbers<const N: usize>(text: &str) -> Result<[u64; N], Failure> {
    let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
    let numbers = numbers.map_err(|error| format!("{text}: {error}"))?;
    numbers.try_into().map_err(|_| format!("expected {N} numbers: {text}").into())
}

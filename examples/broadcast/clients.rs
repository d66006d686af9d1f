//! The clients: they check that they get every message between their first and their last, and that rows are of their
//! version.

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

/// Descriptors left to everything else.
const SPARE: u64 = 200;
/// Microseconds that a message takes at the most; what takes longer counts as that.
const LONGEST: u64 = 3_600_000_000;
/// Connections that are being made at a time.
const AT_ONCE: usize = 64;

/// What all clients have in common.
struct Common {
    hub: Arc<Hub>,
    port: u16,
    pipes: mpsc::UnboundedSender<DuplexStream>,
    making: Semaphore,
    delivered: AtomicU64,
    lagged: AtomicU64,
    connected: Semaphore,
    /// A few, so that clients do not wait for each other's.
    latency: [Mutex<Histogram<u64>>; 16],
    violations: Mutex<Vec<String>>,
}

/// Everyone who is connected.
pub(crate) struct Crowd {
    pub(crate) sockets: u64,
    pub(crate) pipes: u64,
    common: Arc<Common>,
    clients: JoinSet<Option<u64>>,
}

/// What they saw.
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
            // No client is left.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Crowd {
    /// Starts the server and has all clients connected.
    pub(crate) async fn join(args: &Args, hub: &Arc<Hub>) -> Result<Self, Box<dyn Error>> {
        // Two descriptors a connection: both ends are here.
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
            latency: latency.try_into().map_err(|_| "sixteen were made")?,
            violations: Mutex::new(Vec::new()),
        });
        let lasting = args.connections - args.connections * args.churn / 100;
        let mut clients = JoinSet::new();
        for id in 0..args.connections {
            let kind = Kind {
                id,
                socket: id * sockets / args.connections != (id + 1) * sockets / args.connections,
                reads: id < args.readers,
                // Between one and sixteen messages, and then another one comes in its place.
                stays: (id >= lasting).then_some(1 + id % 16),
            };
            clients.spawn(client(Arc::clone(&common), kind));
        }
        let all = u32::try_from(args.connections)?;
        tokio::select! {
            permits = common.connected.acquire_many(all) => permits?.forget(),
            () = tokio::time::sleep(Duration::from_secs(300)) => return Err("the clients were not connected within five minutes".into()),
        }
        Ok(Self {
            sockets,
            pipes: args.connections - sockets,
            common,
            clients,
        })
    }

    /// Waits until all have gone. Who came to stay has had `last`.
    pub(crate) async fn end(mut self, last: u64) -> Told {
        while let Some(client) = self.clients.join_next().await {
            match client {
                Ok(Some(seen)) if seen != last => self
                    .common
                    .violation(format!("the last message that came was {seen}, of {last}")),
                Ok(_) => {}
                Err(error) => self.common.violation(format!("a client panicked: {error}")),
            }
        }
        let late = self.common.hub.late.load(Ordering::Relaxed);
        if late > 0 {
            self.common
                .violation(format!("{late} messages were sent to closed connections"));
        }
        let mut latency =
            Histogram::<u64>::new_with_bounds(1, LONGEST, 3).expect("bounds as those of the parts");
        for part in &self.common.latency {
            // They are of one kind.
            let _ = latency.add(&*part.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let violations = std::mem::take(
            &mut *self
                .common
                .violations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
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
        let mut violations = self
            .violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The first few tell enough.
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
    /// Messages after which it goes.
    stays: Option<u64>,
}

/// How a connection came to its end.
enum End {
    /// It was told to go, or it went, after so many messages and this one.
    Gone(u64),
    /// It was too slow, and closed for that.
    Lagged,
}

/// One client; those that come and go connect again. Gives the last message of one that stayed.
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
                // An error: the server is gone, and so is the pipe's other end.
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
                common
                    .connected
                    .add_permits(usize::from(std::mem::take(&mut first)));
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
    common
        .connected
        .add_permits(usize::from(std::mem::take(first)));
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
                    // Half of those who go ask to be shown out, and get what was sent until then; half just go.
                    match kind.stays {
                        Some(stays) if count == stays && kind.id % 2 == 0 => {
                            socket.send(Message::text("bye")).await?
                        }
                        Some(stays) if count == stays => {
                            // An error: the server closes at the same time.
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
                            "row {row} of version {version} is {byte}, after version {newest}"
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
    Err("the connection ended without a goodbye".into())
}

fn numbers<const N: usize>(text: &str) -> Result<[u64; N], Failure> {
    let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
    let numbers = numbers.map_err(|error| format!("{text}: {error}"))?;
    numbers
        .try_into()
        .map_err(|_| format!("not {N} numbers: {text}").into())
}

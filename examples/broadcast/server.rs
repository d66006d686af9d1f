//! The server: the connections, their messages, and the board that some of them read.

use async_rcu::{Rcu, RcuCell, RcuMap, cell::OwnedRcuRef, error::BuildError};
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Instant;
use tokio::sync::mpsc::{self, error::TrySendError};

/// The number of messages that may wait for a slow connection before it is closed.
const OUTBOX: usize = 64;

/// The number of old versions of the board that may wait to be freed before their holders are asked
/// to release them.
const LIMIT: usize = 8;

const ROWS: usize = 256;
const ROW: usize = 1024;

/// The number of living versions of the board.
#[derive(Default)]
pub(crate) struct Boards {
    now: AtomicU64,
    most: AtomicU64,
}

impl Boards {
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

/// A version of the board: each row is filled with a byte that depends on the row and the version.
pub(crate) struct Board {
    version: u64,
    rows: Vec<u8>,
    alive: Arc<Boards>,
}

/// Returns the byte that fills a row of a version.
pub(crate) fn content(version: u64, row: u64) -> u8 {
    ((version * 31 + row) % 251) as u8
}

impl Board {
    pub(crate) fn new(version: u64, alive: &Arc<Boards>) -> Self {
        let now = alive.now.fetch_add(1, Ordering::Relaxed) + 1;
        alive.most.fetch_max(now, Ordering::Relaxed);
        let fill = |at| content(version, (at / ROW) as u64);
        Self { version, rows: (0..ROWS * ROW).map(fill).collect(), alive: Arc::clone(alive) }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.rows.fill(255);
        self.alive.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The queue of messages to a connection.
pub(crate) struct Outbox {
    queue: mpsc::Sender<Message>,
    /// The connection was told to leave, and may get no other message.
    closing: AtomicBool,
    /// The queue was full once.
    slow: AtomicBool,
}

pub(crate) struct Hub {
    rcu: Rcu,
    pub(crate) connections: RcuMap<u64, Outbox>,
    pub(crate) board: RcuCell<Board>,
    pub(crate) boards: Arc<Boards>,
    listens: bool,
    pub(crate) began: Instant,
    pub(crate) stopping: AtomicBool,
    /// A connection that comes now must leave again.
    closed: AtomicBool,
    next: AtomicU64,
    sent: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) left: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) late: AtomicU64,
}

impl Hub {
    pub(crate) fn new(listens: bool) -> Result<Arc<Self>, BuildError> {
        let rcu = Rcu::builder().name("registry").build()?;
        // The domains are separate: a connection that holds a board does not block the close of
        // another connection.
        let boards_rcu = Rcu::builder().name("board").max_pending(LIMIT).build()?;
        let boards = Arc::new(Boards::default());
        Ok(Arc::new(Self {
            connections: RcuMap::new_in(&rcu),
            board: RcuCell::new_in(&boards_rcu, Board::new(0, &boards)),
            rcu,
            boards,
            listens,
            began: Instant::now(),
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            left: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }))
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().route("/", get(upgrade)).with_state(Arc::clone(self))
    }

    /// The number of broadcasts so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends the next message to all connections, under one guard. Returns the connections that
    /// were too slow.
    pub(crate) fn broadcast(&self) -> Vec<u64> {
        let n = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let text: Utf8Bytes = format!("M {n} {}", self.began.elapsed().as_micros()).into();
        let mut slow = Vec::new();
        let guard = self.rcu.read();
        for (id, outbox) in self.connections.iter(&guard) {
            if outbox.closing.load(Ordering::Acquire) {
                // This must not happen: a closed connection left the registry a grace period
                // before.
                self.late.fetch_add(1, Ordering::Relaxed);
            }
            let full = matches!(
                outbox.queue.try_send(Message::Text(text.clone())),
                Err(TrySendError::Full(_))
            );
            // The connection would miss this message.
            if full && !outbox.slow.swap(true, Ordering::Relaxed) {
                slow.push(*id);
            }
        }
        slow
    }

    fn join(&self, queue: mpsc::Sender<Message>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (closing, slow) = (AtomicBool::new(false), AtomicBool::new(false));
        self.connections.insert(id, Outbox { queue, closing, slow });
        self.joined.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `close_all`: either `close_all` meets this connection, or this
        // load sees that all must leave.
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            self.close(id);
        }
        id
    }

    /// Takes a connection out at once, and tells it to leave when no broadcast can be using it any
    /// more.
    pub(crate) fn close(&self, id: u64) {
        let Some(gone) = self.connections.remove(&id) else {
            return;
        };
        self.left.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let outbox = gone.wait().await;
            outbox.closing.store(true, Ordering::Release);
            let code = match outbox.slow.load(Ordering::Relaxed) {
                true => close_code::POLICY,
                false => close_code::NORMAL,
            };
            let reason = Utf8Bytes::from_static("goodbye");
            // An error means that the connection has ended already.
            let _ = outbox.queue.send(Message::Close(Some(CloseFrame { code, reason }))).await;
        });
    }

    pub(crate) fn close_all(&self) {
        self.closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let all: Vec<u64> = self.connections.keys(&self.rcu.read()).copied().collect();
        all.into_iter().for_each(|id| self.close(id));
    }

    /// Waits until all deferred work is done.
    pub(crate) async fn drain(&self) {
        self.rcu.drain().await;
        self.board.rcu().drain().await;
    }
}

#[derive(Deserialize)]
struct Wishes {
    /// Whether the connection reads the board.
    #[serde(default)]
    reads: bool,
}

async fn upgrade(
    State(hub): State<Arc<Hub>>,
    Query(wishes): Query<Wishes>,
    upgrade: WebSocketUpgrade,
) -> Response {
    // The buffers are as small as the messages, since there are tens of thousands of them.
    upgrade.read_buffer_size(1024).write_buffer_size(0).max_message_size(1024).on_upgrade(
        move |socket| async move {
            let (queue, outbox) = mpsc::channel(OUTBOX);
            let id = hub.join(queue);
            serve(&hub, id, outbox, socket, wishes.reads).await;
            hub.close(id);
        },
    )
}

/// A connection that reads the board, with the version that it holds over many sends.
struct Reading {
    board: OwnedRcuRef<Board>,
    next: u64,
}

impl Reading {
    fn row(&mut self) -> Message {
        let row = self.next % ROWS as u64;
        self.next += 1;
        Message::Text(
            format!("R {} {row} {}", self.board.version, self.board.rows[row as usize * ROW])
                .into(),
        )
    }
}

/// Completes when a listening connection is asked to release its version; never for a deaf one.
async fn asked(hub: &Hub, reading: Option<&Reading>) {
    match reading {
        Some(reading) if hub.listens => {
            OwnedRcuRef::guard(&reading.board).release_requested().await
        }
        _ => future::pending().await,
    }
}

fn move_on(hub: &Hub, reading: &mut Option<Reading>) {
    if let Some(reading) = reading {
        OwnedRcuRef::reload(&mut reading.board, &hub.board);
        hub.reloads.fetch_add(1, Ordering::Relaxed);
    }
}

async fn serve(
    hub: &Hub,
    id: u64,
    mut outbox: mpsc::Receiver<Message>,
    mut socket: WebSocket,
    reads: bool,
) {
    let mut reading = reads.then(|| Reading { board: hub.board.read_owned(), next: 0 });
    loop {
        tokio::select! {
            biased;
            () = asked(hub, reading.as_ref()) => move_on(hub, &mut reading),
            message = outbox.recv() => {
                let Some(message) = message else { return };
                let last = matches!(message, Message::Close(_));
                if send(hub, &mut socket, message, &mut reading).await.is_err() || last {
                    return;
                }
                let row = reading.as_mut().map(Reading::row);
                if let Some(row) = row {
                    if send(hub, &mut socket, row, &mut reading).await.is_err() {
                        return;
                    }
                }
            }
            said = socket.recv() => match said {
                // The client announces its leave: the messages until then still come.
                Some(Ok(Message::Text(said))) if said == "bye" => hub.close(id),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Sends a message. If the connection is asked meanwhile to release its version, it does so at
/// once, even while a slow client receives: the message is a copy.
async fn send(
    hub: &Hub,
    socket: &mut WebSocket,
    message: Message,
    reading: &mut Option<Reading>,
) -> Result<(), axum::Error> {
    let mut sending = std::pin::pin!(socket.send(message));
    loop {
        tokio::select! {
            sent = &mut sending => return sent,
            () = asked(hub, reading.as_ref()) => move_on(hub, reading),
        }
    }
}

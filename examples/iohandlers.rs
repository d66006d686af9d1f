//! An event loop over sockets whose handlers come and go during a dispatch, like an emulator's list
//! of I/O handlers.
//!
//! `cargo run --example iohandlers`
//!
//! An [`RcuList`] holds the descriptors, each with its handler. The loop waits for events outside
//! any section, then walks the list in a section, and calls the handlers that are ready. Meanwhile
//! the list changes:
//!
//! - The listener's handler adds connections in the middle of a dispatch, and another thread adds
//!   connections too.
//! - A connection that has ended is removed by its own handler, while the walk is at it, or by the
//!   next handler that is called, or by another thread.
//!
//! No thread waits for another. A callback under the big lock closes a removed descriptor after a
//! grace period, when no walk can be at it any more. So the loop never calls a handler with a
//! closed descriptor. The loop needs no "deleted" mark, and no second pass that frees the marked
//! handlers.
//!
//! The example shows that clients get every byte back, that each descriptor is closed once, and
//! that no handler is called after that. Otherwise it fails.

use async_rcu::{GlobalLock, Rcu, RcuList};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::collections::HashSet;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 8;
/// The number of connections of each client, one after the other, to the two ports in turn.
const CONNECTIONS: usize = 30;
/// The number of messages of each connection; the client waits for each answer.
const MESSAGES: usize = 10;
/// All handlers, with the listener in the list.
const HANDLERS: usize = 1 + CLIENTS * CONNECTIONS;
const WAKE: Token = Token(usize::MAX);
/// The longest time that a client waits for an answer.
const HANG: Duration = Duration::from_secs(30);

/// A descriptor with its handler.
struct Handler {
    id: usize,
    what: What,
    /// The first event may come before the handler is in the list, so a new handler is called in
    /// any case.
    fresh: AtomicBool,
    counts: Arc<Counts>,
}

enum What {
    Listener(TcpListener),
    Connection(TcpStream, Mutex<Talk>),
}

#[derive(Default)]
struct Talk {
    unsent: Vec<u8>,
    ended: bool,
}

/// Counts that are compared at the end.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    calls: AtomicU64,
    removed_by: [AtomicU64; 3],
    violations: AtomicU64,
    /// How often each descriptor was closed.
    closed: Vec<AtomicUsize>,
}

impl Counts {
    fn violation(&self, what: &str, id: usize) {
        eprintln!("handler {id}: {what}");
        self.violations.fetch_add(1, SeqCst);
    }
}

impl Drop for Handler {
    /// Counts the close of the descriptor, which follows.
    fn drop(&mut self) {
        self.counts.closed[self.id].fetch_add(1, SeqCst);
    }
}

/// The state that only the holder of the big lock may touch.
#[derive(Default)]
struct Machine {
    closed: HashSet<usize>,
}

struct EventLoop {
    rcu: Rcu,
    big_lock: GlobalLock<Machine>,
    handlers: RcuList<Handler>,
    registry: Registry,
    waker: Waker,
    next_id: AtomicUsize,
    stop: AtomicBool,
    /// The channel to the thread that removes the handlers of others.
    reaper: mpsc::Sender<usize>,
    /// Handlers that the next handler removes when it is called.
    leaving: Mutex<Vec<usize>>,
    counts: Arc<Counts>,
}

impl EventLoop {
    fn new(poll: &Poll, reaper: mpsc::Sender<usize>) -> Result<Self, Box<dyn Error>> {
        let big_lock = GlobalLock::default();
        let rcu = Rcu::builder().name("io").global_lock(&big_lock).build()?;
        let counts = Counts {
            closed: (0..HANDLERS).map(|_| AtomicUsize::new(0)).collect(),
            ..Counts::default()
        };
        Ok(Self {
            handlers: RcuList::new_in(&rcu),
            rcu,
            big_lock,
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKE)?,
            next_id: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            reaper,
            leaving: Mutex::default(),
            counts: Arc::new(counts),
        })
    }

    /// Adds a handler. Any thread may call this, even in the middle of a dispatch.
    fn add(&self, mut what: What) -> io::Result<usize> {
        let id = self.next_id.fetch_add(1, Relaxed);
        match &mut what {
            What::Listener(socket) => {
                self.registry.register(socket, Token(id), Interest::READABLE)?;
            }
            What::Connection(socket, _) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                self.registry.register(socket, Token(id), both)?;
            }
        }
        self.handlers.push_back(Handler {
            id,
            what,
            fresh: AtomicBool::new(true),
            counts: Arc::clone(&self.counts),
        });
        self.waker.wake()?;
        Ok(id)
    }

    /// Removes a handler. Any thread may call this, even the handler itself in the middle of a
    /// dispatch.
    fn remove(&self, id: usize) {
        let mut writer = self.handlers.write();
        while writer.current().is_some_and(|handler| handler.id != id) {
            writer.move_next();
        }
        let removed = writer.remove();
        drop(writer);
        let counts = Arc::clone(&self.counts);
        let Some(handler) = removed else {
            return counts.violation("is not in the list", id);
        };
        self.big_lock.call(&self.rcu, move |machine| {
            // All walks that could be at the handler are over, so no other thread uses the handler.
            // Its drop closes the descriptor.
            match handler.try_take() {
                Ok(handler) => drop(handler),
                Err(_) => counts.violation("is still in use after a grace period", id),
            }
            if !machine.closed.insert(id) {
                counts.violation("was closed before", id);
            }
        });
    }

    /// Waits for events and dispatches them, until `stop` is set.
    fn run(&self, mut poll: Poll) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let mut ready = HashSet::new();
        while !self.stop.load(SeqCst) {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            ready.extend(events.iter().map(|event| event.token().0));
            let guard = self.rcu.read();
            for handler in self.handlers.iter(&guard) {
                if handler.fresh.swap(false, Relaxed) | ready.contains(&handler.id) {
                    self.call(handler)?;
                }
            }
            drop(guard);
            // The remaining events were for handlers that are removed.
            ready.clear();
            self.remove_leaving();
        }
        Ok(())
    }

    fn call(&self, handler: &Handler) -> io::Result<()> {
        let closed = &self.counts.closed[handler.id];
        if closed.load(SeqCst) != 0 {
            self.counts.violation("was called after its close", handler.id);
        }
        self.counts.calls.fetch_add(1, Relaxed);
        self.remove_leaving();
        match &handler.what {
            What::Listener(listener) => self.accept(listener)?,
            What::Connection(stream, talk) => {
                let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
                if !talk.ended && self.answer(stream, &mut talk.unsent)? {
                    talk.ended = true;
                    drop(talk);
                    self.end(handler.id);
                }
            }
        }
        if closed.load(SeqCst) != 0 {
            self.counts.violation("was closed during a call", handler.id);
        }
        Ok(())
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.add(What::Connection(stream, Mutex::default()))?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
        }
    }

    /// Reads and answers the available bytes. Returns `true` when the client has ended and has
    /// every answer.
    fn answer(&self, mut stream: &TcpStream, unsent: &mut Vec<u8>) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        let mut ended = false;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(len) => unsent.extend(buffer[..len].iter().map(|byte| answer_to(*byte))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while !unsent.is_empty() {
            match stream.write(unsent) {
                Ok(len) => {
                    self.counts.answered.fetch_add(len as u64, Relaxed);
                    unsent.drain(..len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Removes a connection that has ended, in one of three ways.
    fn end(&self, id: usize) {
        let way = id % 3;
        self.counts.removed_by[way].fetch_add(1, Relaxed);
        match way {
            // The walk is at the handler.
            0 => self.remove(id),
            // The walk may be anywhere.
            1 => self.reaper.send(id).expect("the reaper outlives the loop"),
            // The walk is past the handler, or begins again.
            _ => self.leaving().push(id),
        }
    }

    fn leaving(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_leaving(&self) {
        let leaving = std::mem::take(&mut *self.leaving());
        leaving.into_iter().for_each(|id| self.remove(id));
    }
}

fn answer_to(byte: u8) -> u8 {
    byte.wrapping_mul(7).wrapping_add(3)
}

/// Runs a client over its connections, one after the other. Returns the number of bytes that were
/// sent and answered.
fn client(number: usize, ports: [SocketAddr; 2]) -> Result<u64, Box<dyn Error>> {
    let mut total = 0;
    for connection in 0..CONNECTIONS {
        let mut stream = std::net::TcpStream::connect(ports[connection % 2])?;
        stream.set_read_timeout(Some(HANG))?;
        for message in 0..MESSAGES {
            let len = 1 + (number * 7919 + connection * 6089 + message * 4801) % 3000;
            let text: Vec<u8> = (0..len).map(|at| (at * 31 + message) as u8).collect();
            stream.write_all(&text)?;
            let mut answer = vec![0; len];
            stream.read_exact(&mut answer)?;
            if !text.iter().map(|byte| answer_to(*byte)).eq(answer) {
                return Err("a client got a wrong answer".into());
            }
            total += len as u64;
        }
        stream.shutdown(Shutdown::Write)?;
        // The server closes the connection after it has removed the handler and a grace period has
        // elapsed.
        if stream.read(&mut [0])? != 0 {
            return Err("a client got more bytes than it sent".into());
        }
    }
    Ok(total)
}

/// Adds the connections of a second port to the loop.
fn acceptor(event_loop: &EventLoop, listener: &std::net::TcpListener) -> io::Result<()> {
    for _ in 0..CLIENTS * CONNECTIONS / 2 {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        event_loop.add(What::Connection(stream, Mutex::default()))?;
    }
    Ok(())
}

fn run() -> Result<bool, Box<dyn Error>> {
    let poll = Poll::new()?;
    let (reaper, to_remove) = mpsc::channel();
    let event_loop = EventLoop::new(&poll, reaper)?;

    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let other_listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let ports = [listener.local_addr()?, other_listener.local_addr()?];
    let listener = event_loop.add(What::Listener(listener))?;

    let asked = thread::scope(|scope| -> Result<u64, Box<dyn Error>> {
        let event_loop = &event_loop;
        // A thread that fails ends the program: other threads would wait for it.
        let or_exit = |result: Result<(), Box<dyn Error>>| {
            if let Err(error) = result {
                eprintln!("iohandlers: {error}");
                std::process::exit(1);
            }
        };
        let dispatcher = scope.spawn(move || or_exit(event_loop.run(poll).map_err(Into::into)));
        let other_listener = &other_listener;
        scope.spawn(move || or_exit(acceptor(event_loop, other_listener).map_err(Into::into)));
        scope.spawn(move || {
            let ids = to_remove.iter().take_while(|id| *id != WAKE.0);
            ids.for_each(|id| event_loop.remove(id));
        });
        let asked = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let asked = Arc::clone(&asked);
                scope.spawn(move || {
                    let talked = client(number, ports);
                    or_exit(talked.map(|bytes| {
                        asked.fetch_add(bytes, Relaxed);
                    }));
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        event_loop.reaper.send(WAKE.0)?;
        event_loop.remove(listener);
        event_loop.stop.store(true, SeqCst);
        event_loop.waker.wake()?;
        dispatcher.join().map_err(|_| "the loop panicked")?;
        Ok(asked.load(Relaxed))
    })?;

    event_loop.rcu.blocking_drain();
    let counts = &event_loop.counts;
    let (answered, calls) = (counts.answered.load(Relaxed), counts.calls.load(Relaxed));
    let once = counts.closed.iter().filter(|n| n.load(SeqCst) == 1).count();
    let under_lock = event_loop.big_lock.blocking_lock().closed.len();
    let violations = counts.violations.load(SeqCst);
    let [itself, reaper, next] = counts.removed_by.each_ref().map(|n| n.load(Relaxed));
    println!("{asked} bytes were sent and {answered} answered, in {calls} calls of handlers");
    println!(
        "connections removed by their own handler: {itself}, by the next handler: {next}, \
         by another thread: {reaper}"
    );
    println!("descriptors: {HANDLERS} opened, {once} closed once, {under_lock} under the big lock");
    println!("violations, such as a call of a closed handler: {violations}");
    Ok(asked == answered
        && once == HANDLERS
        && under_lock == HANDLERS
        && event_loop.handlers.is_empty()
        && violations == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("iohandlers: failed: the counts above do not match, or there are violations");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("iohandlers: {error}");
            ExitCode::FAILURE
        }
    }
}

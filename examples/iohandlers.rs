//! An event loop over sockets, whose handlers come and go while it dispatches: an emulator's list of I/O handlers.
//!
//! `cargo run --example iohandlers`
//!
//! Descriptors are in an [`RcuList`], each with what to do when it is ready. The loop waits for events outside any section,
//! then walks the list in one, and calls the handlers that are ready. Meanwhile the list is changed:
//!
//! - a listener's handler adds connections, in the middle of a dispatch; another thread adds others of its own;
//! - a connection that has ended is removed by itself, while the walk stands on it; or by the next handler that is
//!   called; or by another thread.
//!
//! Nobody waits for anybody. What was removed is closed by a callback under the big lock, after a grace period: when the walk
//! that may stand on it is over. So no handler is ever called on a closed descriptor, and there is no "deleted" mark to look
//! at, and no second pass to free what is marked.
//!
//! Look at: clients get every byte back, each descriptor is closed once, and nothing is called after that. Else it fails.

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
/// Of each client, one after the other; to the two ports in turn.
const CONNECTIONS: usize = 30;
/// Of each connection, sent and answered one after the other.
const MESSAGES: usize = 10;
/// With the listener that is in the list itself.
const HANDLERS: usize = 1 + CLIENTS * CONNECTIONS;
const WAKE: Token = Token(usize::MAX);
/// No client waits longer than this.
const HANG: Duration = Duration::from_secs(30);

/// A descriptor, and what to do when it is ready.
struct Handler {
    id: usize,
    what: What,
    /// Its first event may have come before it was in the list: it is called once in any case.
    fresh: AtomicBool,
    books: Arc<Books>,
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

/// What was done, to be compared at the end.
#[derive(Default)]
struct Books {
    answered: AtomicU64,
    calls: AtomicU64,
    removed_by: [AtomicU64; 3],
    violations: AtomicU64,
    /// How often each descriptor was closed.
    closed: Vec<AtomicUsize>,
}

impl Books {
    fn violation(&self, what: &str, id: usize) {
        eprintln!("handler {id}: {what}");
        self.violations.fetch_add(1, SeqCst);
    }
}

impl Drop for Handler {
    /// The descriptor is closed with it.
    fn drop(&mut self) {
        self.books.closed[self.id].fetch_add(1, SeqCst);
    }
}

/// What only the holder of the big lock may touch.
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
    /// To the thread that removes others' handlers.
    reaper: mpsc::Sender<usize>,
    /// To be removed by the next handler that is called.
    leaving: Mutex<Vec<usize>>,
    books: Arc<Books>,
}

impl EventLoop {
    fn new(poll: &Poll, reaper: mpsc::Sender<usize>) -> Result<Self, Box<dyn Error>> {
        let big_lock = GlobalLock::default();
        let rcu = Rcu::builder().name("io").global_lock(&big_lock).build()?;
        let books = Books {
            closed: (0..HANDLERS).map(|_| AtomicUsize::new(0)).collect(),
            ..Books::default()
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
            books: Arc::new(books),
        })
    }

    /// From any thread, in the middle of a dispatch or not.
    fn add(&self, mut what: What) -> io::Result<usize> {
        let id = self.next_id.fetch_add(1, Relaxed);
        match &mut what {
            What::Listener(socket) => {
                self.registry
                    .register(socket, Token(id), Interest::READABLE)?;
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
            books: Arc::clone(&self.books),
        });
        self.waker.wake()?;
        Ok(id)
    }

    /// From any thread, in the middle of a dispatch or not, also of the same handler.
    fn remove(&self, id: usize) {
        let mut writer = self.handlers.write();
        while writer.current().is_some_and(|handler| handler.id != id) {
            writer.move_next();
        }
        let removed = writer.remove();
        drop(writer);
        let books = Arc::clone(&self.books);
        let Some(handler) = removed else {
            return books.violation("removed, and not there", id);
        };
        self.big_lock.call(&self.rcu, move |machine| {
            // The walks that could stand on it are over, so it is ours, and the descriptor is closed.
            match handler.try_take() {
                Ok(handler) => drop(handler),
                Err(_) => books.violation("in its callback, and not free", id),
            }
            if !machine.closed.insert(id) {
                books.violation("closed again", id);
            }
        });
    }

    /// Waits for events and dispatches them, until it is told to stop.
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
            // What is left was ready for handlers that are gone.
            ready.clear();
            self.remove_leaving();
        }
        Ok(())
    }

    fn call(&self, handler: &Handler) -> io::Result<()> {
        let closed = &self.books.closed[handler.id];
        if closed.load(SeqCst) != 0 {
            self.books
                .violation("called when it was closed", handler.id);
        }
        self.books.calls.fetch_add(1, Relaxed);
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
            self.books
                .violation("closed while it was called", handler.id);
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

    /// Reads what there is and answers it; `true` when the client has ended and has every answer.
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
                    self.books.answered.fetch_add(len as u64, Relaxed);
                    unsent.drain(..len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// A connection has ended. It is removed in one of three ways.
    fn end(&self, id: usize) {
        let way = id % 3;
        self.books.removed_by[way].fetch_add(1, Relaxed);
        match way {
            // The walk stands on it.
            0 => self.remove(id),
            // The walk may stand anywhere.
            1 => self.reaper.send(id).expect("the reaper outlives the loop"),
            // The walk stands behind it, or on its way back to the front.
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

/// Talks over connections, one after the other; gives how many bytes were sent and answered.
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
                return Err("a wrong answer".into());
            }
            total += len as u64;
        }
        stream.shutdown(Shutdown::Write)?;
        // The other side closes when its handler has been removed and a grace period has gone by.
        if stream.read(&mut [0])? != 0 {
            return Err("more than was asked for".into());
        }
    }
    Ok(total)
}

/// Adds the connections of a port of its own to the loop.
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
        // Whoever fails ends the program: the others would wait for it.
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
    let books = &event_loop.books;
    let (answered, calls) = (books.answered.load(Relaxed), books.calls.load(Relaxed));
    let once = books.closed.iter().filter(|n| n.load(SeqCst) == 1).count();
    let under_lock = event_loop.big_lock.blocking_lock().closed.len();
    let violations = books.violations.load(SeqCst);
    let [itself, reaper, next] = books.removed_by.each_ref().map(|n| n.load(Relaxed));
    println!("{asked} bytes were asked, {answered} answered, in {calls} calls of handlers");
    println!(
        "connections removed by themselves {itself}, by the next handler {next}, by another thread {reaper}"
    );
    println!("descriptors: {HANDLERS} opened, {once} closed once, {under_lock} under the big lock");
    println!("calls of closed handlers, and other violations: {violations}");
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
            eprintln!("iohandlers: the counts do not agree");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("iohandlers: {error}");
            ExitCode::FAILURE
        }
    }
}

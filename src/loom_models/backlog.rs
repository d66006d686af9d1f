//! Room for callbacks: who waits for it hears of it, in order, also where somebody gives up or takes it without waiting.
//!
//! The protocol rests on SeqCst accesses: both ways of giving them fences.

use super::each_way;
use crate::dispatch::backlog::Backlog;
use crate::dispatch::block::block_on;
use loom::thread;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What `Reserve` does at each poll.
fn poll(backlog: &Backlog, place: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
    let taken = match *place {
        None => !backlog.has_waiters() && backlog.try_take().is_ok(),
        Some(place) => backlog.try_take_in_turn(place).is_ok(),
    };
    if !taken {
        let turn = backlog.wait(place, cx.waker());
        if backlog.try_take_in_turn(turn).is_err() {
            return Poll::Pending;
        }
    }
    backlog.leave(place);
    Poll::Ready(())
}

fn reserve(backlog: &Backlog) {
    let mut place = None;
    block_on(poll_fn(|cx| poll(backlog, &mut place, cx)), None);
}

/// Given back while somebody begins to wait.
#[test]
fn loom_models_room_beside_a_waiter() {
    each_way(|| {
        let backlog = Arc::new(Backlog::new(1));
        backlog.take();
        let giver = {
            let backlog = Arc::clone(&backlog);
            thread::spawn(move || backlog.give_back(1))
        };
        reserve(&backlog);
        giver.join().unwrap();
        assert_eq!(backlog.pending(), 1);
        assert!(!backlog.has_waiters());
    });
}

/// Two wait for one place after another, and each gives its own back.
#[test]
fn loom_models_two_wait_for_room() {
    each_way(|| {
        let backlog = Arc::new(Backlog::new(1));
        backlog.take();
        let others = [(); 2].map(|()| {
            let backlog = Arc::clone(&backlog);
            thread::spawn(move || {
                reserve(&backlog);
                backlog.give_back(1);
            })
        });
        backlog.give_back(1);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(backlog.pending(), 0);
        assert!(!backlog.has_waiters());
    });
}

/// The one that is woken gives up: the one behind it is woken.
#[test]
fn loom_models_a_waiter_for_room_that_gives_up() {
    each_way(|| {
        let backlog = Arc::new(Backlog::new(1));
        backlog.take();
        let mut goes = None;
        let first = poll(&backlog, &mut goes, &mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending());
        let stays = {
            let backlog = Arc::clone(&backlog);
            thread::spawn(move || reserve(&backlog))
        };
        let giver = {
            let backlog = Arc::clone(&backlog);
            thread::spawn(move || backlog.give_back(1))
        };
        backlog.leave(&mut goes);
        giver.join().unwrap();
        stays.join().unwrap();
    });
}

/// The limit holds, whoever takes.
#[test]
fn loom_models_the_limit_holds() {
    loom::model(|| {
        let backlog = Arc::new(Backlog::new(1));
        let others = [(); 2].map(|()| {
            let backlog = Arc::clone(&backlog);
            thread::spawn(move || backlog.try_take().is_ok())
        });
        let taken = others.map(|other| other.join().unwrap());
        assert!(taken[0] ^ taken[1]);
        assert_eq!(backlog.pending(), 1);
    });
}

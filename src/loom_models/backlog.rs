//! Room for callbacks: waiters get room in order, also if another waiter gives up, or if a caller
//! that does not wait takes the room. The protocol rests on SeqCst accesses.

use super::*;
use crate::domain::backpressure::Backlog;

/// Makes a backlog with room for one callback.
fn one_room() -> &'static Backlog {
    leak(Backlog::new(1))
}

fn full() -> &'static Backlog {
    let backlog = one_room();
    backlog.take();
    backlog
}

fn reserve(backlog: &Backlog) {
    let mut turn = None;
    let poll =
        |cx: &mut Context<'_>| backlog.poll_take(&mut turn, cx.waker(), |outcome| outcome.is_ok());
    block_on(poll_fn(poll), None);
}

/// A thread gives room back while another one begins to wait.
#[test]
fn loom_models_room_beside_a_waiter() {
    each_way(|| {
        let backlog = full();
        let giver = thread::spawn(|| backlog.give_back(1));
        reserve(backlog);
        giver.join().unwrap();
        assert_eq!(backlog.pending(), 1);
        assert!(!backlog.has_waiters());
    });
}

/// Two threads wait for one room. Each takes it in its turn, and gives it back.
#[test]
fn loom_models_two_wait_for_room() {
    each_way(|| {
        let backlog = full();
        let others = [(); 2].map(|()| {
            thread::spawn(|| {
                reserve(backlog);
                backlog.give_back(1);
            })
        });
        backlog.give_back(1);
        join_all(others);
        assert_eq!(backlog.pending(), 0);
        assert!(!backlog.has_waiters());
    });
}

/// A waiter that may have been woken gives up: the next waiter is woken.
#[test]
fn loom_models_a_waiter_for_room_that_gives_up() {
    each_way(|| {
        let backlog = full();
        let mut goes = None;
        let first = backlog.poll_take(&mut goes, Waker::noop(), |outcome| outcome.is_ok());
        assert!(first.is_pending());
        let stays = thread::spawn(|| reserve(backlog));
        let giver = thread::spawn(|| backlog.give_back(1));
        backlog.leave(&mut goes);
        join_all([giver, stays]);
    });
}

/// Two threads take the last room: one of them gets it.
#[test]
fn loom_models_the_limit_holds() {
    loom::model(|| {
        let backlog = one_room();
        let others = [(); 2].map(|()| thread::spawn(|| backlog.try_take().is_ok()));
        let taken = others.map(|other| other.join().unwrap());
        assert!(taken[0] ^ taken[1]);
        assert_eq!(backlog.pending(), 1);
    });
}

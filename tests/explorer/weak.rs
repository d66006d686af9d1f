//! The out-of-order model: multi-copy atomic, as AArch64's manual allows it, or a little weaker.
//!
//! A thread fetches steps in order, and executes them in any order that these rules allow:
//! - A step follows the steps whose registers it reads (dependencies of data and address, and of
//!   control to a store).
//! - Steps after an Acquire load stay after it. Steps before a Release store stay before it. No
//!   step passes a fence.
//! - Steps on one variable stay in order, but a load may take its value from an earlier store of
//!   the same thread that is still in flight.
//! - A SeqCst load follows earlier SeqCst stores. Acquire loads need not follow Release stores (as
//!   LDAPR).
//! - A read-modify-write is two steps, a load and a store. No other thread writes the variable in
//!   between. Later steps of the same thread may come in between.
//!
//! A load may be executed after a branch whose condition is not known yet: the thread guesses the
//! branch. A state with a wrong guess has no successor. Nor has a state in which a thread can only
//! go on by a write between the halves of another thread's read-modify-write. A processor fails
//! the store half there, and repeats the read-modify-write: other states of the search show that.
//! A thread executes no store after an open guess, and evaluates a check only when all steps
//! before it are done.
//!
//! The process-wide barrier interrupts each other processor at a moment at which the executed
//! steps are a beginning of its program. The interrupt discards all steps that were executed
//! ahead.
//!
//! The model allows less than a real processor in two points. Registers are not renamed, so a step
//! is not executed before the same step of an earlier round of the loop is done. And at most
//! [`MOST_WAITING`](super::machine::MOST_WAITING) steps are in flight.

use super::machine::{Emit, Failed, Model, State, ThreadState};
use super::program::{Compiled, Ins, Program, acquires, releases};
use std::sync::atomic::Ordering;

pub(crate) struct Weak;

/// Stages of a step in flight.
const PENDING: u8 = 0;
/// The first half of a read-modify-write is done, or the barrier has begun.
const HALF: u8 = 1;
const DONE: u8 = 2;
/// The thread guessed the branch: not taken, or taken.
const NOT_TAKEN: u8 = 4;
const TAKEN: u8 = 5;

fn ins(compiled: &Compiled, entry: (u8, u8)) -> &Ins {
    &compiled.steps[usize::from(entry.0)].ins
}

/// Returns the registers that an entry has not read yet.
fn needs(compiled: &Compiled, entry: (u8, u8)) -> u16 {
    let ins = ins(compiled, entry);
    match entry.1 {
        DONE => 0,
        HALF => ins.reads() | ins.writes(),
        _ => ins.reads(),
    }
}

/// Returns the registers that an entry has not written yet.
fn brings(compiled: &Compiled, entry: (u8, u8)) -> u16 {
    match entry.1 {
        PENDING => ins(compiled, entry).writes(),
        _ => 0,
    }
}

fn loads(ins: &Ins) -> bool {
    matches!(ins, Ins::Load { .. } | Ins::LoadAt { .. })
}

fn touches(ins: &Ins) -> bool {
    loads(ins) || matches!(ins, Ins::Store { .. } | Ins::Rmw { .. } | Ins::Wait { .. })
}

/// Returns the order of a read-modify-write, a load, a store or a wait, and Relaxed for others.
fn order(ins: &Ins) -> Ordering {
    match ins {
        Ins::Load { order, .. } | Ins::Store { order, .. } | Ins::Rmw { order, .. } => *order,
        Ins::Wait { .. } => Ordering::Acquire,
        _ => Ordering::Relaxed,
    }
}

/// Where the value of a load may come from.
enum Source {
    Memory,
    /// The store in flight at this place in the queue.
    Own(usize),
}

/// Returns whether the entry at `place` may be executed now: its first half, or its store half if
/// `storing`. If so, returns where a load takes its value from.
fn may(compiled: &Compiled, thread: &ThreadState, place: usize, storing: bool) -> Option<Source> {
    let entry = thread.queue[place];
    let this = ins(compiled, entry);
    let mut source = Source::Memory;
    let whole = matches!(this, Ins::Fence | Ins::Heavy | Ins::Check { .. });
    for (earlier_place, earlier) in thread.queue()[..place].iter().enumerate() {
        if earlier.1 == DONE {
            continue;
        }
        let that = ins(compiled, *earlier);
        if whole || matches!(that, Ins::Fence | Ins::Heavy) && touches(this) {
            return None;
        }
        let wanted = needs(compiled, entry) | this.writes();
        if brings(compiled, *earlier) & wanted != 0
            || needs(compiled, *earlier) & this.writes() != 0
        {
            return None;
        }
        if !touches(this) {
            continue;
        }
        let loaded = earlier.1 == HALF || matches!(that, Ins::Store { .. });
        if touches(that) && !loaded && acquires(order(that)) {
            return None;
        }
        if earlier.1 >= NOT_TAKEN && (storing || !loads(this)) {
            return None;
        }
        if storing && releases(order(this)) && touches(that) {
            return None;
        }
        let writes = matches!(that, Ins::Store { .. } | Ins::Rmw { .. });
        let both_strong = order(this) == Ordering::SeqCst && order(that) == Ordering::SeqCst;
        if !storing && writes && both_strong {
            return None;
        }
        if that.variable().is_some() && that.variable() == this.variable() {
            match that {
                Ins::Store { .. } if matches!(this, Ins::Load { .. }) => {
                    source = Source::Own(earlier_place);
                }
                _ => return None,
            }
        }
    }
    if let Source::Own(store) = source {
        let wanted = needs(compiled, thread.queue[store]);
        let earlier = &thread.queue()[..store];
        if earlier.iter().any(|e| brings(compiled, *e) & wanted != 0) {
            return None;
        }
    }
    Some(source)
}

/// Returns whether another thread is between the halves of a read-modify-write of this variable.
fn is_held(program: &Program, state: &State, by_other_than: usize, variable: u8) -> bool {
    let threads = program.threads.iter().zip(&state.threads).enumerate();
    threads.filter(|(n, _)| *n != by_other_than).any(|(_, (compiled, thread))| {
        thread.queue().iter().any(|entry| {
            let this = ins(compiled, *entry);
            entry.1 == HALF && matches!(this, Ins::Rmw { at, .. } if *at == variable)
        })
    })
}

/// Executes the steps that touch registers alone, removes the steps that are done, and fetches.
/// Returns `Ok(false)` if a guess was wrong.
fn settle(compiled: &Compiled, thread: &mut ThreadState) -> Result<bool, Failed> {
    loop {
        let mut changed = false;
        for place in 0..usize::from(thread.waiting) {
            let entry = thread.queue[place];
            let this = ins(compiled, entry);
            let local = matches!(this, Ins::Set { .. } | Ins::Branch { .. } | Ins::Check { .. });
            if entry.1 == DONE || !local || may(compiled, thread, place, false).is_none() {
                continue;
            }
            match this {
                Ins::Set { to, value } => {
                    thread.registers[usize::from(*to)] = value.eval(&thread.registers);
                }
                Ins::Branch { when, .. } => {
                    if (when.eval(&thread.registers) != 0) != (entry.1 == TAKEN) {
                        return Ok(false);
                    }
                }
                Ins::Check { holds, failure, what } => {
                    if holds.eval(&thread.registers) == 0 {
                        return Err((*failure, what));
                    }
                }
                _ => unreachable!("local"),
            }
            thread.queue[place].1 = DONE;
            changed = true;
        }
        while thread.queue().first().is_some_and(|first| first.1 == DONE) {
            thread.pop();
            changed = true;
        }
        while fetch(compiled, thread) {
            changed = true;
        }
        if !changed {
            break;
        }
    }
    let mut live = compiled.live[usize::from(thread.at)];
    for entry in thread.queue() {
        live |= needs(compiled, *entry);
    }
    thread.keep(live);
    Ok(true)
}

/// Fetches the next step, but not past an undecided branch. Returns whether it did.
fn fetch(compiled: &Compiled, thread: &mut ThreadState) -> bool {
    let Some(step) = compiled.steps.get(usize::from(thread.at)) else {
        return false;
    };
    match &step.ins {
        Ins::Go(to) => {
            thread.at = *to as u8;
            return true;
        }
        Ins::Branch { when, to } => {
            let mut queue = thread.queue().iter();
            if queue.any(|entry| brings(compiled, *entry) & when.reads() != 0) {
                return false;
            }
            thread.at = match when.eval(&thread.registers) {
                0 => thread.at + 1,
                _ => *to as u8,
            };
            return true;
        }
        _ => {}
    }
    let again = thread.queue().iter().any(|entry| entry.0 == thread.at);
    if again || thread.is_full() {
        return false;
    }
    thread.push((thread.at, PENDING));
    thread.at += 1;
    true
}

/// Returns whether the executed steps that touch memory are a beginning of the program.
fn is_in_order(compiled: &Compiled, thread: &ThreadState) -> bool {
    let mut queue = thread.queue().iter();
    queue.all(|entry| !touches(ins(compiled, *entry)) || entry.1 == PENDING)
}

/// Returns whether a load after the current branch could be executed before the branch is decided.
fn is_worth_a_guess(compiled: &Compiled, thread: &ThreadState) -> bool {
    let Some(step) = compiled.steps.get(usize::from(thread.at)) else {
        return false;
    };
    let barred = thread.queue().iter().any(|entry| {
        let this = ins(compiled, *entry);
        let loaded = entry.1 != PENDING || matches!(this, Ins::Store { .. });
        entry.1 != DONE
            && (matches!(this, Ins::Fence | Ins::Heavy) || !loaded && acquires(order(this)))
    });
    matches!(step.ins, Ins::Branch { .. }) && !barred && !thread.is_full()
}

impl Weak {
    fn go(program: &Program, n: usize, mut next: State, emit: Emit, what: &dyn Fn() -> String) {
        let compiled = &program.threads[n];
        let mut settled = settle(compiled, &mut next.threads[n]);
        // Executes the second half at once if no step is left to come between the two.
        if let (Ok(true), [entry @ (_, HALF)]) = (settled, next.threads[n].queue()) {
            if matches!(ins(compiled, *entry), Ins::Rmw { .. }) {
                Self::store_half(program, n, 0, &mut next);
                settled = settle(compiled, &mut next.threads[n]);
            }
        }
        match settled {
            Err(failed) => emit(n, Err(failed), what),
            // The thread guessed wrong.
            Ok(false) => {}
            Ok(true) => {
                next.interrupt(program.threads.len(), |n, thread| {
                    is_in_order(&program.threads[n], thread)
                });
                emit(n, Ok(&next), what);
            }
        }
    }

    fn store_half(program: &Program, n: usize, place: usize, next: &mut State) -> (u8, u8) {
        let thread = &mut next.threads[n];
        let Ins::Rmw { at, new, .. } = ins(&program.threads[n], thread.queue[place]) else {
            unreachable!("half of a read-modify-write")
        };
        let value = new.eval(&thread.registers);
        thread.queue[place].1 = DONE;
        next.memory[usize::from(*at)] = value;
        (*at, value)
    }

    fn execute(program: &Program, state: &State, n: usize, place: usize, emit: Emit) {
        let compiled = &program.threads[n];
        let thread = &state.threads[n];
        let entry = thread.queue[place];
        let name = |variable: u8| program.variables[usize::from(variable)].0;
        let this = ins(compiled, entry);
        let storing = matches!(this, Ins::Store { .. }) || entry.1 == HALF;
        let Some(source) = may(compiled, thread, place, storing) else {
            return;
        };
        let mut next = *state;
        let acting = &mut next.threads[n];
        acting.queue[place].1 = DONE;
        match this {
            Ins::Load { to, from, .. } => {
                let value = match source {
                    Source::Memory => state.memory[usize::from(*from)],
                    Source::Own(store) => match ins(compiled, thread.queue[store]) {
                        Ins::Store { value, .. } => value.eval(&thread.registers),
                        _ => unreachable!("a store in flight"),
                    },
                };
                acting.registers[usize::from(*to)] = value;
                let what = || format!("load {} -> {value}", name(*from));
                Self::go(program, n, next, emit, &what);
            }
            Ins::LoadAt { to, from, at } => {
                let from = from + at.eval(&thread.registers);
                let value = state.memory[usize::from(from)];
                acting.registers[usize::from(*to)] = value;
                let what = || format!("look at {} -> {value}", name(from));
                Self::go(program, n, next, emit, &what);
            }
            Ins::Wait { to, from, until } => {
                let value = state.memory[usize::from(*from)];
                acting.registers[usize::from(*to)] = value;
                if until.eval(&acting.registers) != 0 {
                    let what = || format!("waited for {} = {value}", name(*from));
                    Self::go(program, n, next, emit, &what);
                }
            }
            Ins::Store { to, value, .. } => {
                if !is_held(program, state, n, *to) {
                    let value = value.eval(&thread.registers);
                    next.memory[usize::from(*to)] = value;
                    let what = || format!("store {} = {value}", name(*to));
                    Self::go(program, n, next, emit, &what);
                }
            }
            Ins::Rmw { .. } if entry.1 == HALF => {
                let (at, value) = Self::store_half(program, n, place, &mut next);
                let what = || format!("  rmw {} = {value}", name(at));
                Self::go(program, n, next, emit, &what);
            }
            Ins::Rmw { old, at, await_, when, .. } => {
                let was = state.memory[usize::from(*at)];
                acting.registers[usize::from(*old)] = was;
                if await_.as_ref().is_some_and(|e| e.eval(&acting.registers) == 0) {
                    return;
                }
                if when.as_ref().is_none_or(|e| e.eval(&acting.registers) != 0) {
                    if is_held(program, state, n, *at) {
                        return;
                    }
                    acting.queue[place].1 = HALF;
                }
                let what = || format!("rmw of {}, which is {was}", name(*at));
                Self::go(program, n, next, emit, &what);
            }
            Ins::Fence => Self::go(program, n, next, emit, &|| "fence".to_owned()),
            Ins::Heavy => {
                if entry.1 == PENDING {
                    acting.queue[place].1 = HALF;
                    acting.barring = ((1u8 << program.threads.len()) - 1) & !(1 << n);
                    Self::go(program, n, next, emit, &|| "barrier begins".to_owned());
                } else if thread.barring == 0 {
                    Self::go(program, n, next, emit, &|| "barrier ends".to_owned());
                }
            }
            _ => unreachable!("local"),
        }
    }
}

impl Model for Weak {
    const NAME: &'static str = "out of order";

    fn first(program: &Program) -> State {
        let mut state = State::of(program);
        for (compiled, thread) in program.threads.iter().zip(&mut state.threads) {
            assert!(matches!(settle(compiled, thread), Ok(true)));
        }
        state
    }

    fn next(program: &Program, state: &State, emit: Emit) {
        for (n, compiled) in program.threads.iter().enumerate() {
            let thread = &state.threads[n];
            for place in 0..thread.queue().len() {
                let entry = thread.queue[place];
                let this = ins(compiled, entry);
                let remote = touches(this) || matches!(this, Ins::Fence | Ins::Heavy);
                if entry.1 != DONE && remote {
                    Self::execute(program, state, n, place, emit);
                }
            }
            if is_worth_a_guess(compiled, thread) {
                let Ins::Branch { to, .. } = compiled.steps[usize::from(thread.at)].ins else {
                    unreachable!("a branch")
                };
                for (guess, way) in [(NOT_TAKEN, thread.at + 1), (TAKEN, to as u8)] {
                    let mut next = *state;
                    next.threads[n].push((thread.at, guess));
                    next.threads[n].at = way;
                    let what = || format!("guesses that it goes on at step {way}");
                    Self::go(program, n, next, emit, &what);
                }
            }
        }
    }

    fn is_settled(program: &Program, state: &State) -> bool {
        let mut threads = program.threads.iter().zip(&state.threads);
        threads.all(|(compiled, thread)| {
            thread.queue().iter().all(|entry| {
                entry.1 < NOT_TAKEN
                    && !(entry.1 == HALF && matches!(ins(compiled, *entry), Ins::Rmw { .. }))
            })
        })
    }

    fn stands_at(thread: &ThreadState) -> usize {
        let oldest = thread.queue().first().map_or(thread.at, |entry| entry.0);
        usize::from(oldest)
    }
}

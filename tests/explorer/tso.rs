//! The x86-TSO model. Each processor executes in order. Its stores wait in a buffer, first in first
//! out, and its own loads read from that buffer first. Locked instructions and fences wait until
//! the buffer is empty. The process-wide barrier interrupts each other processor at some moment at
//! which the buffer of that processor is empty. A SeqCst store is an exchange. Acquire and Release
//! add nothing to the order that x86-TSO keeps.

use super::expr::Value;
use super::machine::{Emit, Failed, Model, State, ThreadState};
use super::program::{Ins, Program};
use std::sync::atomic::Ordering;

pub(crate) struct Tso;

fn seen(state: &State, thread: &ThreadState, variable: u8) -> Value {
    let own = thread.queue().iter().rev().find(|(v, _)| *v == variable);
    own.map_or(state.memory[usize::from(variable)], |(_, value)| *value)
}

/// Takes at once all steps that touch registers alone, and lets barriers interrupt processors.
/// Returns `Err` if a check fails.
fn run_on(program: &Program, state: &mut State) -> Result<(), Failed> {
    let threads = program.threads.len();
    state.interrupt(threads, |_, thread| thread.waiting == 0);
    for (n, compiled) in program.threads.iter().enumerate() {
        let thread = &mut state.threads[n];
        while let Some(step) = compiled.steps.get(usize::from(thread.at)) {
            match &step.ins {
                Ins::Set { to, value } => {
                    thread.registers[usize::from(*to)] = value.eval(&thread.registers);
                    thread.at += 1;
                }
                Ins::Branch { when, to } => {
                    thread.at = match when.eval(&thread.registers) {
                        0 => thread.at + 1,
                        _ => *to as u8,
                    };
                }
                Ins::Go(to) => thread.at = *to as u8,
                Ins::Check { holds, failure, what } => {
                    if holds.eval(&thread.registers) == 0 {
                        return Err((*failure, what));
                    }
                    thread.at += 1;
                }
                _ => break,
            }
        }
        thread.keep(compiled.live[usize::from(thread.at)]);
    }
    Ok(())
}

impl Model for Tso {
    const NAME: &'static str = "x86-TSO";

    fn first(program: &Program) -> State {
        let mut state = State::of(program);
        assert!(run_on(program, &mut state).is_ok());
        state
    }

    fn next(program: &Program, state: &State, emit: Emit) {
        let mut go = |n: usize, mut next: State, what: &dyn Fn() -> String| {
            let outcome = run_on(program, &mut next);
            emit(n, outcome.map(|()| &next), what);
        };
        let name = |variable: u8| program.variables[usize::from(variable)].0;
        for (n, compiled) in program.threads.iter().enumerate() {
            let thread = &state.threads[n];
            if thread.waiting != 0 {
                let mut next = *state;
                let (variable, value) = next.threads[n].pop();
                next.memory[usize::from(variable)] = value;
                let what = || format!("  buffer -> {} = {value}", name(variable));
                go(n, next, &what);
            }
            let Some(step) = compiled.steps.get(usize::from(thread.at)) else {
                continue;
            };
            let empty = thread.waiting == 0;
            let mut next = *state;
            let acting = &mut next.threads[n];
            acting.at += 1;
            match &step.ins {
                Ins::Load { to, from, .. } => {
                    let value = seen(state, thread, *from);
                    acting.registers[usize::from(*to)] = value;
                    go(n, next, &|| format!("load {} -> {value}", name(*from)));
                }
                Ins::LoadAt { to, from, at } => {
                    let from = from + at.eval(&thread.registers);
                    let value = seen(state, thread, from);
                    acting.registers[usize::from(*to)] = value;
                    go(n, next, &|| format!("look at {} -> {value}", name(from)));
                }
                Ins::Store { to, value, order } => {
                    let value = value.eval(&thread.registers);
                    if *order == Ordering::SeqCst {
                        if empty {
                            next.memory[usize::from(*to)] = value;
                            go(n, next, &|| format!("xchg {} = {value}", name(*to)));
                        }
                    } else if !thread.is_full() {
                        acting.push((*to, value));
                        go(n, next, &|| format!("store {} = {value}", name(*to)));
                    }
                }
                Ins::Rmw { old, at, await_, when, new, .. } => {
                    if !empty {
                        continue;
                    }
                    let was = state.memory[usize::from(*at)];
                    acting.registers[usize::from(*old)] = was;
                    let registers = acting.registers;
                    if await_.as_ref().is_some_and(|e| e.eval(&registers) == 0) {
                        continue;
                    }
                    let mut is = was;
                    if when.as_ref().is_none_or(|e| e.eval(&registers) != 0) {
                        is = new.eval(&registers);
                    }
                    next.memory[usize::from(*at)] = is;
                    go(n, next, &|| format!("rmw {} {was} -> {is}", name(*at)));
                }
                Ins::Fence => {
                    if empty {
                        go(n, next, &|| "fence".to_owned());
                    }
                }
                Ins::Heavy => {
                    // The top bit says that the barrier has begun.
                    const BEGUN: u8 = 0x80;
                    if thread.barring == 0 && empty {
                        let others = (1u8 << program.threads.len()) - 1;
                        acting.at -= 1;
                        acting.barring = BEGUN | (others & !(1 << n));
                        go(n, next, &|| "barrier begins".to_owned());
                    } else if thread.barring == BEGUN {
                        acting.barring = 0;
                        go(n, next, &|| "barrier ends".to_owned());
                    }
                }
                Ins::Wait { to, from, until } => {
                    let value = seen(state, thread, *from);
                    acting.registers[usize::from(*to)] = value;
                    if until.eval(&acting.registers) != 0 {
                        go(n, next, &|| format!("waited for {} = {value}", name(*from)));
                    }
                }
                Ins::Set { .. } | Ins::Branch { .. } | Ins::Go(_) | Ins::Check { .. } => {
                    unreachable!("done at once")
                }
            }
        }
    }

    fn is_settled(_: &Program, _: &State) -> bool {
        true
    }

    fn stands_at(thread: &ThreadState) -> usize {
        usize::from(thread.at)
    }
}

//! The state of a program that runs, for both memory models.

use super::expr::{MOST_REGISTERS, Value};
use super::program::{Failure, MOST_THREADS, MOST_VARIABLES, Program};

/// The most stores in a buffer, or instructions in flight, of one thread. A thread that has so many
/// takes no further step before the oldest is done.
pub(crate) const MOST_WAITING: usize = 12;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadState {
    /// The next step to execute, or to fetch.
    pub(crate) at: u8,
    /// Processors that this thread's process-wide barrier has not interrupted yet, as bits.
    pub(crate) barring: u8,
    pub(crate) registers: [Value; MOST_REGISTERS],
    pub(crate) waiting: u8,
    /// Under TSO, the store buffer: variable and value. Out of order: step and stage.
    pub(crate) queue: [(u8, u8); MOST_WAITING],
}

impl ThreadState {
    pub(crate) fn queue(&self) -> &[(u8, u8)] {
        &self.queue[..usize::from(self.waiting)]
    }

    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.waiting) == MOST_WAITING
    }

    pub(crate) fn push(&mut self, entry: (u8, u8)) {
        self.queue[usize::from(self.waiting)] = entry;
        self.waiting += 1;
    }

    pub(crate) fn pop(&mut self) -> (u8, u8) {
        let first = self.queue[0];
        self.queue.copy_within(1.., 0);
        self.waiting -= 1;
        first
    }

    /// Zeroes the registers that are not among `live`.
    pub(crate) fn keep(&mut self, live: u16) {
        for (n, register) in self.registers.iter_mut().enumerate() {
            if live >> n & 1 == 0 {
                *register = 0;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) memory: [Value; MOST_VARIABLES],
    pub(crate) threads: [ThreadState; MOST_THREADS],
}

impl State {
    pub(crate) fn of(program: &Program) -> State {
        let mut state = State::default();
        for (n, (_, value)) in program.variables.iter().enumerate() {
            state.memory[n] = *value;
        }
        state
    }

    pub(crate) fn encode(&self, program: &Program, into: &mut Vec<u8>) {
        into.clear();
        into.extend(&self.memory[..program.variables.len()]);
        for (thread, compiled) in self.threads.iter().zip(&program.threads) {
            into.extend([thread.at, thread.barring, thread.waiting]);
            into.extend(&thread.registers[..compiled.registers.len()]);
            into.extend(thread.queue().iter().flat_map(|(a, b)| [*a, *b]));
        }
    }

    pub(crate) fn decode(program: &Program, bytes: &[u8]) -> State {
        let mut state = State::default();
        let mut bytes = bytes.iter().copied();
        let mut next = || bytes.next().expect("a whole state");
        let variables = &mut state.memory[..program.variables.len()];
        variables.iter_mut().for_each(|value| *value = next());
        for (thread, compiled) in state.threads.iter_mut().zip(&program.threads) {
            (thread.at, thread.barring, thread.waiting) = (next(), next(), next());
            let registers = &mut thread.registers[..compiled.registers.len()];
            registers.iter_mut().for_each(|value| *value = next());
            let waiting = usize::from(thread.waiting);
            let queue = &mut thread.queue[..waiting];
            queue.iter_mut().for_each(|entry| *entry = (next(), next()));
        }
        state
    }

    /// Returns whether every thread has come to its end, with nothing in flight.
    pub(crate) fn is_over(&self, program: &Program) -> bool {
        let mut threads = self.threads.iter().zip(&program.threads);
        threads.all(|(state, thread)| {
            usize::from(state.at) == thread.steps.len() && state.waiting == 0
        })
    }

    /// Clears the bits of the processors that a barrier can interrupt now, as `is_through` says.
    /// The interrupt has no effect on the state, so it comes as early as possible.
    pub(crate) fn interrupt(
        &mut self,
        threads: usize,
        is_through: impl Fn(usize, &ThreadState) -> bool,
    ) {
        if self.threads[..threads].iter().all(|t| t.barring == 0) {
            return;
        }
        let mut through = 0;
        for (n, thread) in self.threads[..threads].iter().enumerate() {
            through |= u8::from(is_through(n, thread)) << n;
        }
        for thread in &mut self.threads[..threads] {
            thread.barring &= !through;
        }
    }
}

/// The failure of a check that does not hold.
pub(crate) type Failed = (Failure, &'static str);

/// Takes one step from a state: the thread that took the step, the state after it, and a
/// description.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(usize, Result<&State, Failed>, &dyn Fn() -> String);

pub(crate) trait Model {
    const NAME: &'static str;
    /// Returns the state in which a program begins.
    fn first(program: &Program) -> State;
    fn next(program: &Program, state: &State, emit: Emit);
    /// Returns whether the state rests on no open guess. Only from settled states must a sequence
    /// of steps lead to the end: a wrong guess leads to no further state.
    fn is_settled(program: &Program, state: &State) -> bool;
    /// Returns the oldest step of a thread that is not done.
    fn stands_at(thread: &ThreadState) -> usize;
}

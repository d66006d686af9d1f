//! The search: visits every state that a program can reach, breadth first, so that the trace of a
//! failure has the fewest steps.
//!
//! A program fails if a check does not hold, if the variables are not as promised when all threads
//! have ended, or if the program *hangs*. A program hangs if no sequence of steps leads from some
//! settled state to an end. So the search also finds threads that run in a circle, and not only
//! threads that cannot take a step. The search assumes that a thread that can take a step takes it
//! at some time.

use super::machine::{Model, State};
use super::program::{Failure, Program};
use std::fmt;

/// The search panics at this many states: the program is too large.
const MOST_STATES: usize = 8_000_000;

pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) failure: Option<(Failure, Trace)>,
}

/// How a program fails, and the steps that lead there.
pub(crate) struct Trace {
    what: String,
    steps: Vec<String>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "    {step}")?;
        }
        write!(f, "    => {}", self.what)
    }
}

/// Hashes eight bytes at a time by a multiplication to twice the width, whose halves are folded.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = u128::from(hash ^ u64::from_le_bytes(word)) * 0xa076_1d64_78bd_642f;
        hash = (mixed as u64) ^ (mixed >> 64) as u64;
    }
    hash
}

const NONE: u32 = u32::MAX;

/// All states seen, each once, numbered in the order in which the search found them.
struct States {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// A hash table of the states' numbers, with open addressing.
    table: Vec<u32>,
}

impl States {
    fn new() -> States {
        States { bytes: Vec::new(), ends: Vec::new(), table: vec![NONE; 1 << 10] }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, n: usize) -> &[u8] {
        let begin = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[n]]
    }

    fn place(&self, state: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let mut place = hash(state) as usize & mask;
        while self.table[place] != NONE && self.get(self.table[place] as usize) != state {
            place = (place + 1) & mask;
        }
        place
    }

    /// Returns the state's number, and whether the state is new.
    fn insert(&mut self, state: &[u8]) -> (u32, bool) {
        if self.len() * 2 >= self.table.len() {
            self.table = vec![NONE; self.table.len() * 4];
            for n in 0..self.len() {
                let place = self.place(self.get(n));
                self.table[place] = n as u32;
            }
        }
        let place = self.place(state);
        if self.table[place] != NONE {
            return (self.table[place], false);
        }
        let n = self.len() as u32;
        self.table[place] = n;
        self.bytes.extend(state);
        self.ends.push(self.bytes.len());
        (n, true)
    }
}

/// Visits every state of `program`.
pub(crate) fn explore<M: Model>(program: &Program) -> Found {
    let mut states = States::new();
    let mut parents = vec![NONE];
    // The successors of all states in one list, and where the successors of each state end.
    let mut edges: Vec<u32> = Vec::new();
    let mut edge_ends: Vec<usize> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    let mut buffer = Vec::new();
    M::first(program).encode(program, &mut buffer);
    states.insert(&buffer);

    let mut at = 0;
    while at < states.len() {
        let state = State::decode(program, states.get(at));
        if state.is_over(program) {
            if let Some((failure, what)) = broken(program, &state) {
                let trace = trace::<M>(program, &states, &parents, at, what.to_owned());
                return failed(states.len(), failure, trace);
            }
            ends.push(at as u32);
        }
        let mut failure = None;
        M::next(program, &state, &mut |thread, outcome, what| match outcome {
            Err((kind, why)) => {
                let name = program.threads[thread].name;
                failure.get_or_insert_with(|| (kind, format!("{name}: {}: {why}", what())));
            }
            Ok(next) => {
                next.encode(program, &mut buffer);
                let (n, new) = states.insert(&buffer);
                if new {
                    parents.push(at as u32);
                }
                edges.push(n);
            }
        });
        edge_ends.push(edges.len());
        if let Some((kind, why)) = failure {
            let trace = trace::<M>(program, &states, &parents, at, why);
            return failed(states.len(), kind, trace);
        }
        assert!(states.len() < MOST_STATES, "the program has too many states");
        at += 1;
    }

    let reaches = ways_to(&ends, &edges, &edge_ends);
    let is_lost =
        |n: &usize| !reaches[*n] && M::is_settled(program, &State::decode(program, states.get(*n)));
    let is_stuck = |n: &usize| {
        let begin = n.checked_sub(1).map_or(0, |before| edge_ends[before]);
        begin == edge_ends[*n] && is_lost(n)
    };
    // Prefers a state in which no thread can take a step: its trace is the easiest to read.
    let all = 0..states.len();
    if let Some(n) = all.clone().find(is_stuck).or_else(|| all.clone().find(is_lost)) {
        let state = State::decode(program, states.get(n));
        let stands = stands::<M>(program, &state);
        let trace = trace::<M>(program, &states, &parents, n, stands);
        return failed(states.len(), Failure::Hang, trace);
    }
    assert!(!ends.is_empty(), "no state of the program is an end");
    Found { states: states.len(), failure: None }
}

fn failed(states: usize, failure: Failure, trace: Trace) -> Found {
    Found { states, failure: Some((failure, trace)) }
}

/// Returns the promise that does not hold at the end.
fn broken(program: &Program, state: &State) -> Option<(Failure, &'static str)> {
    let value = |name: &str| {
        let mut names = program.variables.iter();
        let place = names.position(|(other, _)| *other == name);
        state.memory[place.unwrap_or_else(|| panic!("no variable {name}"))]
    };
    program.finally.iter().find_map(|finally| finally(&value))
}

/// Returns for each state whether a sequence of steps leads to one of `ends`.
fn ways_to(ends: &[u32], edges: &[u32], edge_ends: &[usize]) -> Vec<bool> {
    let states = edge_ends.len();
    // The reversed edges, sorted by the states to which the edges lead.
    let mut begins = vec![0; states + 1];
    edges.iter().for_each(|to| begins[*to as usize + 1] += 1);
    for n in 0..states {
        begins[n + 1] += begins[n];
    }
    let mut place = begins.clone();
    let mut back = vec![0; edges.len()];
    let mut edge = 0;
    for (from, end) in edge_ends.iter().enumerate() {
        while edge < *end {
            let to = edges[edge] as usize;
            back[place[to]] = from as u32;
            place[to] += 1;
            edge += 1;
        }
    }
    let mut reaches = vec![false; states];
    let mut todo = ends.to_vec();
    while let Some(n) = todo.pop() {
        let n = n as usize;
        if !std::mem::replace(&mut reaches[n], true) {
            todo.extend(&back[begins[n]..begins[n + 1]]);
        }
    }
    reaches
}

/// Returns the position of each thread that has not ended.
fn stands<M: Model>(program: &Program, state: &State) -> String {
    let mut stands = Vec::new();
    for (thread, at) in program.threads.iter().zip(&state.threads) {
        let at = M::stands_at(at);
        if let Some(step) = thread.steps.get(at) {
            stands.push(format!("{} in {} (step {at})", thread.name, step.of));
        }
    }
    let memory = program.variables.iter().zip(&state.memory);
    let memory: Vec<_> = memory.map(|((name, _), v)| format!("{name} {v}")).collect();
    format!("no way to the end for {}; {}", stands.join(", "), memory.join(", "))
}

/// Returns the steps that lead to state `n`. Takes them again to describe them.
fn trace<M: Model>(
    program: &Program,
    states: &States,
    parents: &[u32],
    mut n: usize,
    what: String,
) -> Trace {
    let mut steps = Vec::new();
    let mut buffer = Vec::new();
    while parents[n] != NONE {
        let parent = parents[n] as usize;
        let before = State::decode(program, states.get(parent));
        let mut told = None;
        M::next(program, &before, &mut |thread, outcome, what| {
            if let Ok(next) = outcome {
                next.encode(program, &mut buffer);
                if told.is_none() && buffer == states.get(n) {
                    let compiled = &program.threads[thread];
                    let (then, now) = (&before.threads[thread], &next.threads[thread]);
                    let mut line = format!("{:<10} {}", compiled.name, what());
                    for (place, register) in compiled.registers.iter().enumerate() {
                        let (was, is) = (then.registers[place], now.registers[place]);
                        if is != was && is != 0 {
                            line += &format!(" ({register} {is})");
                        }
                    }
                    told = Some(line);
                }
            }
        });
        steps.push(told.expect("the step that was taken"));
        n = parent;
    }
    steps.reverse();
    Trace { what, steps }
}

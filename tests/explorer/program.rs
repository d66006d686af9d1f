//! The small language of the programs: threads of loads, stores, read-modify-writes, fences and
//! waits over a few shared variables and registers, all of one byte.
//!
//! A [`Program`] is built for one [`Barrier`] mode and with at most one fault. [`Thread::light`]
//! and [`Thread::heavy`] become the steps that `sys::barrier` executes in that mode.
//! [`Program::bad`] tells the code that builds the program whether to build a fault in. The models
//! zero a register that is not read again, so that states without an effective difference are one
//! state.

use super::expr::{Code, Expr, MOST_REGISTERS, Value, r};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::Ordering;

pub(crate) const MOST_VARIABLES: usize = 24;
pub(crate) const MOST_THREADS: usize = 5;

/// The mode of `sys::barrier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// `light` has no effect on the processor. `heavy` is a process-wide barrier between two
    /// fences.
    Asymmetric,
    /// Both are `fence(SeqCst)`.
    Fence,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    UseAfterFree,
    LostWork,
    /// From some state no sequence of steps leads to the end.
    Hang,
    /// A promise does not hold.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) enum Ins {
    Load {
        to: u8,
        from: u8,
        order: Ordering,
    },
    /// A load through a pointer, of the variable at `from + at`.
    LoadAt {
        to: u8,
        from: u8,
        at: Code,
    },
    Store {
        to: u8,
        value: Code,
        order: Ordering,
    },
    /// `old` gets the previous value. The step waits until `await_` holds of that value, and stores
    /// only if `when` holds. Without a store, the step is a load, which is Acquire if `order` is.
    Rmw {
        old: u8,
        at: u8,
        await_: Option<Code>,
        when: Option<Code>,
        new: Code,
        order: Ordering,
    },
    /// `fence(SeqCst)`.
    Fence,
    /// `fence(SeqCst)`, the barrier on every other processor, `fence(SeqCst)`.
    Heavy,
    /// Loads `from` (Acquire) into `to`, and sleeps until `until` holds.
    Wait {
        to: u8,
        from: u8,
        until: Code,
    },
    Set {
        to: u8,
        value: Code,
    },
    Branch {
        when: Code,
        to: usize,
    },
    Go(usize),
    Check {
        holds: Code,
        failure: Failure,
        what: &'static str,
    },
}

impl Ins {
    /// Returns the registers that the instruction reads, as bits.
    pub(crate) fn reads(&self) -> u16 {
        let of = |code: &Option<Code>| code.as_ref().map_or(0, Code::reads);
        match self {
            Ins::Load { .. } | Ins::Fence | Ins::Heavy | Ins::Go(_) => 0,
            Ins::LoadAt { at, .. } => at.reads(),
            Ins::Store { value, .. } | Ins::Set { value, .. } => value.reads(),
            Ins::Rmw { old, await_, when, new, .. } => {
                (of(await_) | of(when) | new.reads()) & !(1 << old)
            }
            Ins::Wait { to, until, .. } => until.reads() & !(1 << to),
            Ins::Branch { when, .. } => when.reads(),
            Ins::Check { holds, .. } => holds.reads(),
        }
    }

    /// Returns the register that the instruction writes, as a bit.
    pub(crate) fn writes(&self) -> u16 {
        match self {
            Ins::Load { to, .. }
            | Ins::LoadAt { to, .. }
            | Ins::Set { to, .. }
            | Ins::Wait { to, .. } => 1 << to,
            Ins::Rmw { old, .. } => 1 << old,
            _ => 0,
        }
    }

    /// Returns the variable that the instruction uses, if that is known beforehand.
    pub(crate) fn variable(&self) -> Option<u8> {
        match self {
            Ins::Load { from, .. } | Ins::Wait { from, .. } => Some(*from),
            Ins::Store { to, .. } => Some(*to),
            Ins::Rmw { at, .. } => Some(*at),
            _ => None,
        }
    }
}

pub(crate) fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

pub(crate) fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

/// One instruction, and the function of the crate that the instruction is a step of.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) ins: Ins,
    pub(crate) of: &'static str,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) registers: Vec<&'static str>,
    /// The registers that may still be read before each step, and at the end, as bits.
    pub(crate) live: Vec<u16>,
}

/// Checks the variables when all threads have ended.
pub(crate) type Finally = Box<dyn Fn(&dyn Fn(&str) -> Value) -> Option<(Failure, &'static str)>>;

pub(crate) struct Program {
    pub(crate) barrier: Barrier,
    fault: Option<&'static str>,
    asked: Rc<RefCell<BTreeSet<&'static str>>>,
    pub(crate) variables: Vec<(&'static str, Value)>,
    pub(crate) threads: Vec<Compiled>,
    pub(crate) finally: Vec<Finally>,
}

impl Program {
    pub(crate) fn new(barrier: Barrier, fault: Option<&'static str>) -> Program {
        Program {
            barrier,
            fault,
            asked: Rc::default(),
            variables: Vec::new(),
            threads: Vec::new(),
            finally: Vec::new(),
        }
    }

    /// Returns whether to build this fault in.
    pub(crate) fn bad(&self, fault: &'static str) -> bool {
        self.asked.borrow_mut().insert(fault);
        self.fault == Some(fault)
    }

    /// Returns every fault that the program can be built with.
    pub(crate) fn faults(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    pub(crate) fn variable(&mut self, name: &'static str, value: Value) {
        assert!(self.variables.iter().all(|(other, _)| *other != name));
        assert!(self.variables.len() < MOST_VARIABLES);
        self.variables.push((name, value));
    }

    pub(crate) fn variables(&mut self, all: &[(&'static str, Value)]) {
        all.iter().for_each(|(name, v)| self.variable(name, *v));
    }

    pub(crate) fn thread(&mut self, name: &'static str, body: impl FnOnce(&mut Thread)) {
        assert!(self.threads.len() < MOST_THREADS);
        let mut thread = Thread {
            barrier: self.barrier,
            fault: self.fault,
            asked: Rc::clone(&self.asked),
            variables: self.variables.iter().map(|(name, _)| *name).collect(),
            registers: BTreeMap::new(),
            steps: Vec::new(),
            labels: Vec::new(),
            of: "",
        };
        body(&mut thread);
        self.threads.push(thread.compile(name));
    }

    /// Adds a promise: `holds` must hold of the variables when all threads have ended.
    pub(crate) fn finally(
        &mut self,
        failure: Failure,
        what: &'static str,
        holds: impl Fn(&dyn Fn(&str) -> Value) -> bool + 'static,
    ) {
        self.finally.push(Box::new(move |v| (!holds(v)).then_some((failure, what))));
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Label(usize);

pub(crate) struct Thread {
    barrier: Barrier,
    fault: Option<&'static str>,
    asked: Rc<RefCell<BTreeSet<&'static str>>>,
    variables: Vec<&'static str>,
    registers: BTreeMap<&'static str, u8>,
    steps: Vec<Step>,
    labels: Vec<Option<usize>>,
    of: &'static str,
}

impl Thread {
    pub(crate) fn bad(&self, fault: &'static str) -> bool {
        self.asked.borrow_mut().insert(fault);
        self.fault == Some(fault)
    }

    /// Names the function of which the next instructions are steps.
    pub(crate) fn of(&mut self, function: &'static str) {
        self.of = function;
    }

    fn at(&self, variable: &str) -> u8 {
        let place = self.variables.iter().position(|name| *name == variable);
        place.unwrap_or_else(|| panic!("no variable {variable}")) as u8
    }

    fn register(&mut self, name: &'static str) -> u8 {
        let next = self.registers.len();
        assert!(next < MOST_REGISTERS, "too many registers");
        *self.registers.entry(name).or_insert(next as u8)
    }

    fn code(&self, expr: &Expr) -> Code {
        let boxed = |expr: &Expr| Box::new(self.code(expr));
        match expr {
            Expr::Is(value) => Code::Is(*value),
            Expr::Register(name) => {
                let known = self.registers.get(name);
                Code::Register(*known.unwrap_or_else(|| panic!("{name} is read before it is set")))
            }
            Expr::Two(op, a, b) => Code::Two(*op, boxed(a), boxed(b)),
            Expr::If(parts) => Code::If(Box::new([
                self.code(&parts[0]),
                self.code(&parts[1]),
                self.code(&parts[2]),
            ])),
        }
    }

    fn push(&mut self, ins: Ins) {
        let of = self.of;
        self.steps.push(Step { ins, of });
    }

    pub(crate) fn load(&mut self, to: &'static str, from: &str, order: Ordering) {
        let (to, from) = (self.register(to), self.at(from));
        self.push(Ins::Load { to, from, order });
    }

    /// Loads the variable `at` places after `from`.
    pub(crate) fn load_at(&mut self, to: &'static str, from: &str, at: impl Into<Expr>) {
        let at = self.code(&at.into());
        let (to, from) = (self.register(to), self.at(from));
        self.push(Ins::LoadAt { to, from, at });
    }

    pub(crate) fn store(&mut self, to: &str, value: impl Into<Expr>, order: Ordering) {
        let (to, value) = (self.at(to), self.code(&value.into()));
        self.push(Ins::Store { to, value, order });
    }

    /// Adds a read-modify-write. `new` may read `old`.
    pub(crate) fn rmw(
        &mut self,
        old: &'static str,
        at: &str,
        new: impl Into<Expr>,
        order: Ordering,
    ) {
        self.exchange(old, at, None, None, new.into(), order);
    }

    /// Adds a compare-exchange, which stores `new` if the variable is `seen`.
    pub(crate) fn cas(
        &mut self,
        old: &'static str,
        at: &str,
        seen: Value,
        new: Value,
        order: Ordering,
    ) {
        self.exchange(old, at, None, Some(r(old).is(seen)), new.into(), order);
    }

    /// Takes a lock. The lock is a variable that is 0 when free.
    pub(crate) fn lock(&mut self, lock: &str) {
        let free = r("_lock").is(0);
        self.exchange("_lock", lock, Some(free), None, 1.into(), Ordering::Acquire);
    }

    pub(crate) fn unlock(&mut self, lock: &str) {
        self.store(lock, 0, Ordering::Release);
    }

    fn exchange(
        &mut self,
        old: &'static str,
        at: &str,
        await_: Option<Expr>,
        when: Option<Expr>,
        new: Expr,
        order: Ordering,
    ) {
        let (old, at) = (self.register(old), self.at(at));
        let await_ = await_.map(|e| self.code(&e));
        let when = when.map(|e| self.code(&e));
        let new = self.code(&new);
        self.push(Ins::Rmw { old, at, await_, when, new, order });
    }

    pub(crate) fn fence(&mut self) {
        self.push(Ins::Fence);
    }

    /// `sys::barrier::light`. In the asymmetric mode a light fence binds the compiler alone, and
    /// the programs have no compiler.
    pub(crate) fn light(&mut self) {
        if self.barrier == Barrier::Fence {
            self.fence();
        }
    }

    /// `sys::barrier::heavy`.
    pub(crate) fn heavy(&mut self) {
        match self.barrier {
            Barrier::Asymmetric => self.push(Ins::Heavy),
            Barrier::Fence => self.fence(),
        }
    }

    /// Sleeps until `until` holds, which reads `to`.
    pub(crate) fn wait(&mut self, to: &'static str, from: &str, until: Expr) {
        let (to, from) = (self.register(to), self.at(from));
        let until = self.code(&until);
        self.push(Ins::Wait { to, from, until });
    }

    pub(crate) fn set(&mut self, to: &'static str, value: impl Into<Expr>) {
        let value = self.code(&value.into());
        let to = self.register(to);
        self.push(Ins::Set { to, value });
    }

    pub(crate) fn check(&mut self, holds: Expr, failure: Failure, what: &'static str) {
        let holds = self.code(&holds);
        self.push(Ins::Check { holds, failure, what });
    }

    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub(crate) fn bind(&mut self, label: Label) {
        assert!(self.labels[label.0].is_none());
        self.labels[label.0] = Some(self.steps.len());
    }

    pub(crate) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    pub(crate) fn go(&mut self, to: Label) {
        self.push(Ins::Go(to.0));
    }

    pub(crate) fn go_if(&mut self, when: Expr, to: Label) {
        let when = self.code(&when);
        self.push(Ins::Branch { when, to: to.0 });
    }

    fn compile(mut self, name: &'static str) -> Compiled {
        let place = |label: usize| self.labels[label].expect("every label is bound");
        for step in &mut self.steps {
            if let Ins::Branch { to, .. } | Ins::Go(to) = &mut step.ins {
                *to = place(*to);
            }
        }
        let mut live = vec![0; self.steps.len() + 1];
        loop {
            let before = live.clone();
            for (at, step) in self.steps.iter().enumerate().rev() {
                let after = match step.ins {
                    Ins::Go(to) => live[to],
                    Ins::Branch { to, .. } => live[at + 1] | live[to],
                    _ => live[at + 1],
                };
                live[at] = (after & !step.ins.writes()) | step.ins.reads();
            }
            if live == before {
                break;
            }
        }
        let mut registers = vec![""; self.registers.len()];
        for (name, n) in self.registers {
            registers[usize::from(n)] = name;
        }
        Compiled { name, steps: self.steps, registers, live }
    }
}

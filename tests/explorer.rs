//! The protocol is correct, step by step, in every order that a processor allows.
//!
//! loom runs the crate's own code, but has no process-wide barrier and cannot tell a light fence
//! from a heavy one. The explorer has the barrier, but not the crate's own code. It runs the
//! protocol as small programs of loads, stores, read-modify-writes, fences and sleeps
//! (`explorer/programs/`; each step names its function of `src/`). It visits every state that such
//! a program can reach, under
//!
//! - two memory models: x86-TSO with a store buffer for each processor (`explorer/tso.rs`), and one
//!   out of order, multi-copy atomic, like AArch64 (`explorer/weak.rs`). In both, `membarrier` is a
//!   moment at which each other processor is interrupted;
//! - both modes of `sys::barrier`: asymmetric, where a light fence is nothing to the processor, and
//!   fences.
//!
//! A program must reach its end from every state: no use after a free, no lost work, no broken
//! promise, no hang. A hang is a state from which no way leads to the end: a sleep for ever, or a
//! circle. Each program must also fail for each of its faults, in the way, under the models and in
//! the modes that its table says. A fault is a weakened ordering, a missing fence, a check that is
//! not repeated, or two steps in the other order. A fault that passes here, since it breaks only
//! the rules of the language or is harmless, is listed as seen `NOWHERE`.
//!
//! ```sh
//! cargo test --test explorer           # all programs
//! cargo test --test explorer cookie    # one program
//! # The number of states, the times, and a trace of each fault:
//! EXPLORER_VERBOSE=1 cargo test --test explorer cookie -- --exact --nocapture
//! # Optimised, compiled by rustc alone, with the five programs that are slow otherwise:
//! bash ci/check.sh explorer [PROGRAM]
//! ```
//!
//! # Where the simpler form is wrong
//! These sentences of the design may look like details. The table says how a program fails without
//! each.
//!
//! | sentence | program | without it |
//! |---|---|---|
//! | a leaver takes away what is asked first, then wakes | `one_asked` | hang |
//! | a barrier granted at start that fails later is not taken for done | `section` | use after free |
//! | only its owner parks a block, after it has read every word as 0 | `parked` | use after free |
//! | it unparks before the guard is handed out | `parked` | use after free |
//! | scans never write `parked`, not even after a heavy fence and another look | `parked` | use after free |
//! | a leaked guard holds its section for ever, after its thread's end too | `leaked` | use after free |
//! | guards drop in any order, a count decides which is outermost | `nested` | use after free |
//! | `refresh` does nothing where sections are nested | `nested` | use after free |
//! | an owned refresh never passes 0 | `owned_refresh` | use after free |
//! | a refresh then does what a leaver does | `refresh_wakes` | hang |
//! | records and the registry are never freed: a leaver looks at what is asked when its word is 0 | `record_stays` | use after free |
//! | a record belongs to one core for ever | `record_stays` | hang |
//! | a registry is used again only when every record is free | `core` | broken: an old guard gives access |
//! | its numbers run on | `core` | use after free |
//! | an orphan is freed only with all its words 0 | `orphan` | use after free |
//! | .. and with all its callbacks finished | `counts` | broken: never idle again |
//! | a guard of another domain never gives access | `domains` | use after free |
//! | nothing but a guard's owner says that it is quiescent | `nested` | use after free |
//! | the sequence begins at 1 or above | `section` | use after free |
//! | `seq`, `fenced` and `elapsed` begin equal | `section` | use after free |
//! | nobody scans with the sequence as its limit | `two_starters`, `refresh` | use after free |
//! | nor with a number before its fence | `two_starters` | use after free |
//! | nor without a limit where sections are open | `late_section` | use after free |
//! | the limit is read before the words, and before the registry's head | `two_starters`, `registration` | use after free |
//! | a number that its taker does not start comes from a read-modify-write, never from a load | `cookie` | use after free |
//! | before a sleep: reset, then what is asked and the sleep state, then the heavy fence, then everything is read again | `holdout`, `call`, `nap_wait` | hang |
//! | it sleeps only if a holder of the oldest grace period was asked before the fence | `holdout`, `bystander`, `asked_anew` | hang |
//! | requests set the event always, and never look at the sleep state | `nap`, `nap_wait` | hang |
//! | by a swap, and the reset is a swap too | `event`, `nap_wait` | hang |
//! | what is wanted is compared with `fenced`, not with the sequence: nobody waits for another's fence | `wanted` | hang |
//! | requests are taken first, queues collected after | `nap`, `drain` | hang; broken: a drain returns early |
//! | a drain's number is given by the collector | `drain` | broken: a drain returns early |
//! | stopping is a kind of falling asleep: heavy fence, and another look | `stop`, `stop_request`, `shutdown` | lost work |
//! | undo and restart are compare-exchanges | `stop`, `stop_request` | broken: two threads |
//! | an old thread that loses goes | `stop` | broken: two threads |
//! | a watcher's slot gets the pointer re-read under its lock | `slot` | use after free |
//! | .. before the old version is retired, and is closed before the last one is | `slot`, `closed` | use after free |
//! | swap, look, install and read are all four SeqCst | `subscribe` | broken: nobody tells |
//! | a retired value is waited for in its own domain | `domains` | use after free |
//!
//! Other tests cover what is beyond the protocol: no collection copies a value bitwise
//! (`tests/collections.rs`), sections and calls while a thread's locals are destroyed
//! (`tests/thread_locals.rs`), records of ended domains are given up (`tests/reuse.rs`), the abort
//! itself (`tests/refused_barrier.rs`).
//!
//! The models are held to the well-known litmus tests in `explorer/programs/litmus.rs`.
//!
//! The explorer does not cover the language's own rules (data races, release sequences), for which
//! loom and the arguments in the module headers stand; processors that are not multi-copy atomic;
//! time-outs; and more threads and rounds than a program has. The sleep, wake and stop protocol has
//! a second model, with rounds and several callers, in `ci/spin/`.

#[path = "explorer/mod.rs"]
mod explorer;

use explorer::machine::Model;
use explorer::program::{Barrier, Program};
use explorer::programs::*;
use explorer::search::{Found, explore};
use explorer::tso::Tso;
use explorer::weak::Weak;
use std::collections::HashSet;
use std::path::Path;

fn explored<M: Model>(case: &Case, barrier: Barrier, fault: Option<&'static str>) -> Found {
    let mut program = Program::new(barrier, fault);
    (case.build)(&mut program);
    if let Some(fault) = fault {
        assert!(
            program.faults().contains(fault),
            "{}: nothing asks for the fault `{fault}`",
            case.name
        );
    }
    explore::<M>(&program)
}

type Setting = (Seen, &'static str, Barrier, fn(&Case, Barrier, Option<&'static str>) -> Found);

const SETTINGS: [Setting; 4] = [
    (TSO_ASYMMETRIC, Tso::NAME, Barrier::Asymmetric, explored::<Tso>),
    (TSO_FENCE, Tso::NAME, Barrier::Fence, explored::<Tso>),
    (WEAK_ASYMMETRIC, Weak::NAME, Barrier::Asymmetric, explored::<Weak>),
    (WEAK_FENCE, Weak::NAME, Barrier::Fence, explored::<Weak>),
];

fn run(case: &Case) {
    let verbose = std::env::var_os("EXPLORER_VERBOSE").is_some();
    let mut wrong = Vec::new();
    for (bit, model, barrier, explored) in SETTINGS {
        let setting = format!("{}, {model}, {barrier:?}", case.name);
        let began = std::time::Instant::now();
        let Found { states, failure } = explored(case, barrier, None);
        if verbose {
            println!("{setting}: {states} states, {:?}", began.elapsed());
        }
        if let Some((failure, trace)) = failure {
            wrong.push(format!("{setting}: the correct program fails, {failure:?}:\n{trace}"));
        } else if states < case.floor {
            wrong.push(format!("{setting}: only {states} states; is anything searched?"));
        }
        for fault in case.faults {
            let Found { states, failure } = explored(case, barrier, Some(fault.name));
            let found = failure.as_ref().map(|(failure, _)| *failure);
            let expected = (fault.seen & bit != 0).then_some(fault.failure);
            if verbose {
                let trace =
                    failure.as_ref().map_or(String::new(), |(_, trace)| format!("\n{trace}"));
                println!("  `{}`: {found:?} after {states} states{trace}", fault.name);
            }
            if found != expected {
                let trace = failure.map_or(String::new(), |(_, trace)| format!("\n{trace}"));
                wrong.push(format!(
                    "{setting}, fault `{}`: expected {expected:?}, found {found:?}{trace}",
                    fault.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

macro_rules! cases {
    ($($(#[$attribute:meta])* $name:ident: $case:path;)*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                assert_eq!($case.name, stringify!($name));
                run(&$case);
            }
        )*

        const CASES: &[&Case] = &[$(&$case),*];
    };
}

#[test]
fn every_fault_that_can_be_built_in_is_in_a_table() {
    let faults = CASES.iter().flat_map(|case| case.faults);
    let listed: HashSet<_> = faults.map(|fault| fault.name).collect();
    for case in CASES {
        let mut program = Program::new(Barrier::Asymmetric, None);
        (case.build)(&mut program);
        for fault in program.faults() {
            assert!(listed.contains(fault), "{}: `{fault}`", case.name);
        }
    }
}

/// A program stands for the code as it is: whoever renames or removes a function comes by here.
#[test]
fn every_function_that_a_step_names_is_in_the_sources() {
    let mut sources = String::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut named = 0;
    for case in CASES {
        let mut program = Program::new(Barrier::Asymmetric, None);
        (case.build)(&mut program);
        let steps = program.threads.iter().flat_map(|thread| &thread.steps);
        let parts = steps.flat_map(|step| step.of.split(", "));
        for (of, function) in parts.filter_map(|part| part.split_once("::").map(|p| (part, p.1))) {
            let found = [format!("fn {function}("), format!("fn {function}<")];
            assert!(
                found.iter().any(|found| sources.contains(found)),
                "{}: no function `{of}` in src/",
                case.name
            );
            named += 1;
        }
    }
    assert!(named > 500, "only {named} steps name a function");
}

fn read_sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("the sources").path();
        if path.is_dir() {
            read_sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *into += &std::fs::read_to_string(path).expect("the sources");
        }
    }
}

cases! {
    store_buffering: litmus::STORE_BUFFERING;
    light_and_heavy: litmus::LIGHT_AND_HEAVY;
    message: litmus::MESSAGE;
    load_buffering: litmus::LOAD_BUFFERING;
    copies: litmus::COPIES;
    atomic: litmus::ATOMIC;
    passing: litmus::PASSING;
    locks: litmus::LOCKS;
    section: sections::SECTION;
    two_starters: sections::TWO_STARTERS;
    #[cfg_attr(debug_assertions, ignore = "slow unoptimised: bash ci/check.sh explorer")]
    late_section: sections::LATE_SECTION;
    registration: sections::REGISTRATION;
    cookie: sections::COOKIE;
    collection: sections::COLLECTION;
    nested: owned::NESTED;
    leaked: owned::LEAKED;
    refresh: owned::REFRESH;
    owned_refresh: owned::OWNED_REFRESH;
    parked: owned::PARKED;
    orphan: owned::ORPHAN;
    core: owned::CORE;
    counts: owned::COUNTS;
    domains: owned::DOMAINS;
    #[cfg_attr(debug_assertions, ignore = "slow unoptimised: bash ci/check.sh explorer")]
    holdout: sleep::HOLDOUT;
    one_asked: sleep::ONE_ASKED;
    bystander: sleep::BYSTANDER;
    asked_anew: sleep::ASKED_ANEW;
    refresh_wakes: sleep::REFRESH_WAKES;
    record_stays: sleep::RECORD_STAYS;
    call: sleep::CALL;
    #[cfg_attr(debug_assertions, ignore = "slow unoptimised: bash ci/check.sh explorer")]
    wanted: requests::WANTED;
    nap: requests::NAP;
    nap_wait: requests::NAP_WAIT;
    drain: requests::DRAIN;
    event: requests::EVENT;
    stop: stop::STOP;
    stop_request: stop::STOP_REQUEST;
    #[cfg_attr(debug_assertions, ignore = "slow unoptimised: bash ci/check.sh explorer")]
    shutdown: stop::SHUTDOWN;
    end: stop::END;
    subscribe: cells::SUBSCRIBE;
    #[cfg_attr(debug_assertions, ignore = "slow unoptimised: bash ci/check.sh explorer")]
    slot: cells::SLOT;
    closed: cells::CLOSED;
}

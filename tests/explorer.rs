//! A search through every order of the protocol's steps that a processor allows.
//!
//! loom runs the crate's own code, but has no process-wide barrier and cannot tell a light fence
//! from a heavy one. The explorer has the barrier, but not the crate's own code. The explorer runs
//! the protocol as small programs of loads, stores, read-modify-writes, fences and sleeps
//! (`explorer/programs/`; each step names its function of `src/`). The explorer visits every state
//! that such a program can reach, under
//!
//! - two memory models: x86-TSO with a store buffer for each processor (`explorer/tso.rs`), and an
//!   out-of-order, multi-copy atomic model like AArch64 (`explorer/weak.rs`). In both, `membarrier`
//!   interrupts each other processor at some moment;
//! - both modes of `sys::barrier`: asymmetric, in which a light fence has no effect on the
//!   processor, and fences.
//!
//! A program must be able to reach its end from every state, without a use after free, lost work
//! or a broken promise. A hang is a state from which no sequence of steps leads to the end: a
//! thread sleeps for ever, or threads run in a circle. Each program must also fail with each of its
//! faults, in the way, under the models and in the modes that its table says. A fault is a weakened
//! ordering, a missing fence, a check that is not repeated, or two steps in the other order. A
//! fault that does not make its program fail is listed as seen `NOWHERE`: the fault breaks only the
//! rules of the language, or is harmless.
//!
//! ```sh
//! cargo test --test explorer           # all programs
//! cargo test --test explorer cookie    # one program
//! # The number of states, the times, and a trace of each fault:
//! EXPLORER_VERBOSE=1 cargo test --test explorer cookie -- --exact --nocapture
//! # Optimised, compiled by rustc alone, with the five programs that are slow unoptimised:
//! bash ci/check.sh explorer [PROGRAM]
//! ```
//!
//! # Where the simpler form is wrong
//! Each rule in the table may look like a detail. The last column says how the program fails if
//! the protocol breaks the rule.
//!
//! | rule | program | without it |
//! |---|---|---|
//! | the end of a section clears the wake request first, and then wakes the grace-period thread | `one_asked` | hang |
//! | a heavy barrier that the system refuses is not taken for done | `section` | use after free |
//! | a block is marked as skipped only after every word of the block was read as 0 | `parked` | use after free |
//! | the mark is cleared before a guard of the block is handed out | `parked` | use after free |
//! | a scan does not set the mark without the lock, not even with a heavy fence and another look | `parked` | use after free |
//! | the section of a leaked guard stays open for ever, also after the end of its thread | `leaked` | use after free |
//! | guards of a thread drop in any order: a count says which drop ends the section | `nested` | use after free |
//! | `refresh` does nothing if sections are nested | `nested` | use after free |
//! | a refresh of an owned guard never sets the word to 0 | `owned_refresh` | use after free |
//! | a refresh wakes the grace-period thread if requested, as the end of a section does | `refresh_wakes` | hang |
//! | records and registries are never freed: the end of a section reads the wake request after it has set the word to 0 | `record_stays` | use after free |
//! | a record belongs to one registry for ever | `record_stays` | hang |
//! | a registry is used again only when every record is free | `core` | broken: an old guard gives access |
//! | a registry that is used again continues its numbers | `core` | use after free |
//! | an orphaned record is used again only if all its words are 0 | `orphan` | use after free |
//! | an orphaned record is used again only if all its callbacks have finished | `counts` | broken: the record is never idle again |
//! | a guard of another domain never gives access | `domains` | use after free |
//! | only the owner of a guard says that the guard is quiescent | `nested` | use after free |
//! | the sequence begins at 1 or above | `section` | use after free |
//! | `seq`, `fenced` and `elapsed` begin equal | `section` | use after free |
//! | no scan takes the sequence as its limit | `two_starters`, `refresh` | use after free |
//! | no scan takes a number as its limit before the fence of that number | `two_starters` | use after free |
//! | no scan goes without a limit while sections are open | `late_section` | use after free |
//! | the limit is read before the words, and before the registry's head | `two_starters`, `registration` | use after free |
//! | a caller that takes a number and does not start it uses a read-modify-write, never a load | `cookie` | use after free |
//! | before a sleep, the grace-period thread resets the event, sets the wake request and the sleep state, does a heavy fence, and reads everything again | `holdout`, `call`, `nap_wait` | hang |
//! | the grace-period thread sleeps only if it requested the wake from a holder of the oldest grace period before the fence | `holdout`, `bystander`, `asked_anew` | hang |
//! | a request always sets the event, and never reads the sleep state | `nap`, `nap_wait` | hang |
//! | the event is set by a swap, and reset by a swap | `event`, `nap_wait` | hang |
//! | the wanted number is compared with `fenced`, not with the sequence: no waiter depends on the fence of another thread | `wanted` | hang |
//! | a turn takes the requests first, and then collects the queues | `nap`, `drain` | hang; broken: a drain returns early |
//! | the collector gives a drain its number | `drain` | broken: a drain returns early |
//! | before it stops, the grace-period thread does a heavy fence and reads everything again | `stop`, `stop_request`, `shutdown` | lost work |
//! | a stop is undone, and a thread restarted, by a compare-exchange | `stop`, `stop_request` | broken: two threads |
//! | an old thread that loses the compare-exchange ends | `stop` | broken: two threads |
//! | a writer reads the cell's pointer again under the slot's lock, and stores that in the slot | `slot` | use after free |
//! | the slot is renewed before the old version is retired, and closed before the last version is | `slot`, `closed` | use after free |
//! | the writer's swap and look and the watcher's install and read are all SeqCst | `subscribe` | broken: no thread tells the watcher |
//! | a retired value waits for a grace period of its own domain | `domains` | use after free |
//!
//! Other tests cover the rules beyond the protocol: no collection copies a value bitwise
//! (`tests/collections.rs`), sections and calls work while a thread's locals are destroyed
//! (`tests/thread_locals.rs`), records of ended domains are given up (`tests/reuse.rs`), and a
//! refused barrier aborts the process (`tests/refused_barrier.rs`).
//!
//! The well-known litmus tests in `explorer/programs/litmus.rs` check the models.
//!
//! The explorer does not cover the language's own rules (data races, release sequences), processors
//! that are not multi-copy atomic, time-outs, and more threads and rounds than a program has. loom
//! and the arguments in the module headers cover the language's rules. The sleep, wake and stop
//! protocol has a second model, with rounds and several callers, in `ci/spin/`.

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
            "{}: no step of the program asks for the fault `{fault}`",
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
            wrong.push(format!("{setting}: the search saw only {states} states"));
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
            assert!(listed.contains(fault), "{}: `{fault}` is in no table", case.name);
        }
    }
}

/// A program models the code as it is. So this test fails if a named function is renamed or
/// removed.
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

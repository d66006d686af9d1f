//! A report names the sections that block a grace period, and where they were opened.

use super::*;

#[track_caller]
fn assert_made_at(location: Option<&Location<'_>>, line: u32) {
    let found = location.map(|location| (location.file(), location.line()));
    assert_eq!(found, TRACKED.then_some((file!(), line)));
}

#[test]
fn a_section_on_every_executor() {
    within(|| {
        reported_on_every_executor(
            "section",
            |b| b,
            |Driven { rcu, .. }, stalls| {
                let section = Section::on_a_thread(rcu);
                rcu.call(|| ());
                let report = stalls.next(StallKind::Section);
                assert_eq!(report.domain, "section");
                assert!(report.age >= SHORT);
                assert!(report.pending >= 1);
                let holder = only_holder(&report);
                assert!(!holder.owned && !holder.thread_ended);
                assert!(holder.age >= SHORT);
                section.end();
            },
        );
    });
}

#[test]
fn a_section_by_its_thread_and_place() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("place", SHORT);
        let (held, has_held) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let reader = {
            let rcu = rcu.clone();
            thread::Builder::new().name("a reader".into()).spawn(move || {
                let (guard, line) = (rcu.read(), line!());
                held.send(line).unwrap();
                let _ = may_leave.recv();
                drop(guard);
            })
        };
        let reader = reader.unwrap();
        let line = receive(&has_held);
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert_eq!(holder.thread.as_deref(), Some("a reader"));
        assert_eq!(holder.thread_id, reader.thread().id());
        assert_eq!(holder.task, None);
        assert!(!holder.owned && !holder.thread_ended);
        assert_made_at(holder.location, line);
        let text = report.to_string();
        for part in ["\"place\"", "\"a reader\"", "1 read-side section", "1 callback pending"] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        assert!(!TRACKED || text.contains(file!()), "{text}");
        leave.send(()).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn owned_guards_and_references_by_the_place_of_the_user() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("owned", SHORT);
        let cell = RcuCell::new_in(&rcu, 1);
        let check = |line: u32, owned: bool| {
            rcu.call(|| ());
            let report = stalls.next(StallKind::Section);
            let holder = only_holder(&report);
            assert_eq!(holder.owned, owned);
            assert_eq!(holder.thread_id, thread::current().id());
            assert_made_at(holder.location, line);
        };
        let (guard, line) = (rcu.read_owned(), line!());
        check(line, true);
        drop(guard);
        rcu.blocking_drain();
        let (value, line) = (cell.read_owned(), line!());
        check(line, true);
        drop(value);
        rcu.blocking_drain();
        let (value, line) = (cell.read(), line!());
        check(line, false);
        drop(value);
        rcu.blocking_drain();
        let line = line!() + 1;
        cell.with(|_| check(line, false));
        rcu.blocking_drain();
    });
}

#[test]
fn an_owned_guard_by_the_task_that_made_it() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("task", SHORT);
        let runtime = runtime(1);
        let (leave, may_leave) = oneshot::channel::<()>();
        let (held, has_held) = mpsc::channel();
        let maker = rcu.clone();
        let task = runtime.spawn(async move {
            let guard = maker.read_owned();
            held.send(tokio::task::id().to_string()).unwrap();
            let _ = may_leave.await;
            drop(guard);
        });
        let id = receive(&has_held);
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(holder.owned);
        let told = holder.task.map(|task| task.to_string());
        assert_eq!(told, TRACKED.then_some(id));
        leave.send(()).unwrap();
        runtime.block_on(task).unwrap();
        rcu.blocking_drain();
    });
}

#[test]
fn the_guards_that_an_ended_thread_left() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("ended", SHORT);
        // Another thread has one guard, whose section can end.
        let (owned, thread) = {
            let rcu = rcu.clone();
            let maker = thread::spawn(move || rcu.read_owned());
            let id = maker.thread().id();
            (maker.join().unwrap(), id)
        };
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(holder.owned && holder.thread_ended);
        assert_eq!((holder.thread_id, &holder.thread), (thread, &None));
        drop(owned);
        rcu.blocking_drain();

        // The other guard is leaked, so its section never ends. The callback and the domain wait
        // for ever.
        let leaker = rcu.clone();
        let leaker = thread::Builder::new().name("leaker".into()).spawn(move || {
            std::mem::forget(leaker.read());
        });
        leaker.unwrap().join().unwrap();
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(!holder.owned && holder.thread_ended);
        assert_eq!(holder.thread.as_deref(), Some("leaker"));
        assert!(report.to_string().contains("ended thread \"leaker\""));
    });
}

#[test]
fn of_many_sections_the_oldest_are_listed_and_all_are_counted() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("many", SHORT);
        // The thread that registers first opens the oldest section, and opens it first. So in any
        // order of records, other sections come before it.
        let (oldest, line) = (rcu.read_owned(), line!());
        rcu.call(|| ());
        common::first_grace_period_has_started(&rcu);
        let others = {
            let rcu = rcu.clone();
            thread::spawn(move || (0..40).map(|_| rcu.read_owned()).collect::<Vec<_>>())
        };
        let others = others.join().unwrap();
        let more: Vec<_> = (0..40).map(|_| rcu.read_owned()).collect();
        rcu.call(|| ());
        until("the second grace period", || rcu.stats().grace_periods >= 2);
        // None of the younger sections blocks the first grace period.
        assert_eq!(stalls.next(StallKind::Section).holders_total, 1);
        let (told, tell) = mpsc::channel();
        let _notifier = rcu.on_force(move |event| drop(told.send(event.clone())));
        rcu.force();
        let event = receive(&tell);
        assert_eq!((event.holders.len(), event.holders_total), (32, 81));
        assert_made_at(event.holders[0].location, line);
        drop((oldest, others, more));
        rcu.blocking_drain();
    });
}

/// The section blocks a grace period that a blocking caller has started by itself.
#[test]
fn a_section_that_holds_up_a_blocking_caller_only() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("caller", SHORT);
        let section = Section::owned(&rcu);
        let caller = {
            let rcu = rcu.clone();
            thread::spawn(move || rcu.blocking_synchronize())
        };
        let report = stalls.next(StallKind::Section);
        assert!(only_holder(&report).age >= SHORT);
        assert!(rcu.stats().oldest_section.unwrap() >= SHORT);
        section.end();
        caller.join().unwrap();
    });
}

/// The thread looked for stalls only before it slept, and under a flood of work it did not sleep.
#[test]
fn a_section_while_the_thread_always_finds_something_to_do() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("flood", SHORT);
        let section = Section::on_a_thread(&rcu);
        // Each turn brings work for the next turn, whatever the machine's load.
        let heard = Arc::new(AtomicBool::new(false));
        let (turns, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        // Another thread forces, since a hook's own force does not call the hook.
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        let forcer = thread::spawn({
            let rcu = rcu.clone();
            move || {
                while asked.recv().is_ok() {
                    rcu.call(|| ());
                    rcu.force();
                    answer.send(()).unwrap();
                }
            }
        });
        let answered = Mutex::new(answered);
        let flood = rcu.on_force({
            let (heard, turns) = (Arc::clone(&heard), Arc::clone(&turns));
            move |_| {
                turns.fetch_add(1, Ordering::Relaxed);
                let gone_on = begun.elapsed() > HANG_GUARD / 2;
                if !heard.load(Ordering::Relaxed) && !gone_on {
                    ask.send(()).unwrap();
                    receive(&answered.lock().unwrap());
                }
            }
        });
        rcu.call(|| ());
        rcu.force();
        only_holder(&stalls.next(StallKind::Section));
        assert!(begun.elapsed() < HANG_GUARD / 2, "the report came only after the flood");
        if turns.load(Ordering::Relaxed) < 2 {
            // If one turn takes longer than the timeout, the next report is of that turn.
            until("another turn", || turns.load(Ordering::Relaxed) > 1);
            only_holder(&stalls.next(StallKind::Section));
        }
        heard.store(true, Ordering::Relaxed);
        drop(flood);
        section.end();
        rcu.blocking_drain();
        // The thread that may still be in the hook drops the hook, which ends the other thread.
        forcer.join().unwrap();
    });
}

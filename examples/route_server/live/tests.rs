use async_rcu::Rcu;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::routes::Source;

/// The time after which a test fails.
const HANG: Duration = Duration::from_secs(60);

fn live() -> (Arc<Live>, Arc<Routes>, Arc<Reports>) {
    let reports = Reports::new();
    let stalls = Arc::clone(&reports);
    let rcu = Rcu::builder()
        .name("test")
        .stall_timeout(Duration::from_millis(1))
        .on_stall(move |stall| stalls.stall(stall))
        .build()
        .expect("a domain");
    let routes = Routes::load(&rcu, Source::Builtin).expect("a table");
    let live = Live::new(Arc::clone(&routes), Arc::clone(&reports));
    (live, routes, reports)
}

async fn next(viewer: &mut Viewer) -> Option<News> {
    timeout(HANG, viewer.next()).await.expect("news")
}

async fn sample(viewer: &mut Viewer) -> Sample {
    loop {
        match next(viewer).await {
            Some(News::Sample(sample)) => return *sample,
            Some(_) => {}
            None => panic!("the stream has ended"),
        }
    }
}

/// Returns the next report about a section: on a busy machine batches may stall for a millisecond
/// too.
async fn report(viewer: &mut Viewer) -> Arc<Report> {
    loop {
        match next(viewer).await {
            Some(News::Report(report)) if report.kind == "Section" => return report,
            Some(_) => {}
            None => panic!("the stream has ended"),
        }
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            yield_now().await;
        }
    };
    timeout(HANG, wait).await.expect(what);
}

#[tokio::test]
async fn the_first_sample_comes_at_once_and_the_next_has_a_rate() {
    let (live, routes, _) = live();
    routes.lookups().add(7);
    let mut viewer = live.watch(None).expect("a seat");
    let first = sample(&mut viewer).await;
    assert_eq!((first.lookups, first.lookups_per_s), (7, None));
    assert_eq!((first.version, first.old_versions), (1, 0));
    assert!(first.bytes > 10_000, "{}", first.bytes);
    routes.lookups().add(100);
    let second = sample(&mut viewer).await;
    assert_eq!(second.lookups, 107);
    assert!(second.lookups_per_s > Some(0.0), "{second:?}");
}

#[tokio::test]
async fn one_sampler_for_all_and_none_for_nobody() {
    let (live, ..) = live();
    assert!(!live.is_sampling());
    let mut first = live.watch(None).expect("a seat");
    let mut second = live.watch(None).expect("a seat");
    assert!(live.is_sampling());
    sample(&mut first).await;
    sample(&mut second).await;
    assert_eq!(live.tasks().all.len(), 1);
    drop(first);
    // The other viewer still gets figures.
    sample(&mut second).await;
    sample(&mut second).await;
    drop(second);
    until("no sampler", || !live.is_sampling()).await;
    // The sampler begins again.
    let mut third = live.watch(None).expect("a seat");
    sample(&mut third).await;
    sample(&mut third).await;
}

#[tokio::test]
async fn held_guards_old_versions_and_callbacks_are_counted() {
    let (live, routes, _) = live();
    let guard = routes.table().read_owned();
    let reloaded = routes.reload().await.expect("a table");
    drop(reloaded.old);
    routes.table().rcu().call(|| ());
    let mut viewer = live.watch(None).expect("a seat");
    let held = sample(&mut viewer).await;
    assert_eq!((held.version, held.held_guards), (2, 1));
    assert_eq!((held.old_versions, held.pending), (1, 2));
    drop(guard);
    routes.table().rcu().drain().await;
    sample(&mut viewer).await;
    let freed = sample(&mut viewer).await;
    assert_eq!((freed.held_guards, freed.old_versions), (0, 0));
    assert_eq!((freed.pending, freed.finished), (0, 2));
    assert!(freed.grace_period_p99_ms.is_some());
}

#[tokio::test]
async fn a_stall_is_told_and_names_the_guard() {
    let (live, routes, _) = live();
    let mut viewer = live.watch(None).expect("a seat");
    let line = line!() + 1;
    let guard = routes.table().read_owned();
    routes.table().rcu().call(|| ());
    let report = report(&mut viewer).await;
    assert_eq!((report.about, report.kind.as_str()), ("stall", "Section"));
    assert_eq!((report.pending, report.holders_total), (1, 1));
    let held = &report.holders[0];
    assert!(held.owned);
    if cfg!(any(debug_assertions, feature = "locations")) {
        let place = format!("{}:{line}:", file!());
        let location = held.location.as_deref().expect("a place");
        assert!(location.starts_with(&place), "{location}");
    }
    drop(guard);
}

#[tokio::test]
async fn reports_are_there_for_those_who_come_later_and_told_once() {
    let (live, routes, reports) = live();
    let guard = routes.table().read_owned();
    routes.table().rcu().call(|| ());
    let mut early = live.watch(None).expect("a seat");
    let first = report(&mut early).await;
    let second = report(&mut early).await;
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(second.repeated, 1);
    // A viewer that saw the first report gets the second; a viewer of another run gets both.
    let mut late = live.watch(Some(&reports.id(&first))).expect("a seat");
    assert_eq!(report(&mut late).await.number, 2);
    for other in ["0-1", "nonsense", "1-", ""] {
        let mut late = live.watch(Some(other)).expect("a seat");
        assert_eq!(report(&mut late).await.number, 1, "{other:?}");
    }
    drop(guard);
}

#[tokio::test]
async fn closing_ends_streams_and_tasks() {
    let (live, ..) = live();
    let mut viewer = live.watch(None).expect("a seat");
    sample(&mut viewer).await;
    let closing = live.closing();
    assert!(live.spawn(closing));
    timeout(HANG, live.close()).await.expect("closed");
    let ended = async { while viewer.next().await.is_some() {} };
    timeout(HANG, ended).await.expect("an end");
    assert_eq!(live.watch(None).err(), Some(NoSeat::Closed));
    assert!(!live.spawn(async {}));
    assert!(!live.is_sampling());
}

#[tokio::test]
async fn no_more_viewers_than_seats() {
    let (live, ..) = live();
    let mut viewers: Vec<Viewer> =
        (0..MOST_VIEWERS).map(|_| live.watch(None).expect("a seat")).collect();
    assert_eq!(live.watch(None).err(), Some(NoSeat::Full));
    viewers.pop();
    assert!(live.watch(None).is_ok());
}

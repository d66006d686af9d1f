//! A check that an idle process stays idle. It counts how often each thread wakes up, if the system
//! reports this.

use std::collections::BTreeMap;
use std::time::Duration;

/// The name of each thread, by its id, and how often the thread gave up its processor by itself:
/// once for each wake-up.
type WakeUps = BTreeMap<u32, (String, u64)>;

#[cfg(target_os = "linux")]
fn wake_ups() -> Option<WakeUps> {
    let thread = |entry: std::fs::DirEntry| {
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim().to_owned())
        };
        let count = field("voluntary_ctxt_switches:")?.parse().ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((id, (field("Name:")?, count)))
    };
    let own = std::process::id();
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    // A thread that ends meanwhile is left out, and so is this thread, whose id is that of the
    // process.
    let threads = threads.filter_map(|entry| thread(entry.ok()?));
    Some(threads.filter(|(id, _)| *id != own).collect())
}

#[cfg(not(target_os = "linux"))]
fn wake_ups() -> Option<WakeUps> {
    None
}

/// Watches the process for `time`, and prints the wake-ups. Calls `meanwhile` once in between.
/// Returns `false` if a thread woke up whose name begins with `prefix`, or if there are fewer than
/// `least` such threads.
pub(crate) fn watch(prefix: &str, least: usize, time: Duration, meanwhile: impl FnOnce()) -> bool {
    let Some(mut before) = wake_ups() else {
        println!("idle: not measured, since this system has no Linux /proc");
        return true;
    };
    // Waits until two looks in a row are the same, for at most four seconds: threads may be on
    // their way to sleep.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(200));
        let now = wake_ups().unwrap_or_default();
        let same = now == before;
        before = now;
        if same {
            break;
        }
    }
    std::thread::sleep(time / 2);
    meanwhile();
    std::thread::sleep(time / 2);
    let after = wake_ups().unwrap_or_default();

    println!("\nwake-ups in {} s of idleness, by thread:", time.as_secs());
    let (mut of_domains, mut others) = ((0, 0), (0, 0));
    for (id, (name, count)) in &after {
        let woken = count - before.get(id).map_or(0, |(_, before)| *before);
        let sum = match name.starts_with(prefix) {
            true => &mut of_domains,
            false => &mut others,
        };
        *sum = (sum.0 + 1, sum.1 + woken);
        println!("{id:>9}  {name:<16} {woken:>6}");
    }
    println!(
        "threads of the domains: {}, wake-ups: {}; of the runtimes: {}, wake-ups: {}",
        of_domains.0, of_domains.1, others.0, others.1
    );
    let well = of_domains.0 >= least && of_domains.1 == 0;
    if !well {
        eprintln!(
            "WRONG: expected at least {least} threads of domains, and no wake-up of any of them"
        );
    }
    well
}

use async_rcu::Rcu;

use super::*;
use crate::routes::Source;
use crate::temp::TempDir;

fn row(asn: u32) -> String {
    format!("1.0.0.0,1.0.0.255,{asn},a\n")
}

/// A watched table in use.
struct Watched {
    routes: Arc<Routes>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start(file: PathBuf) -> Self {
        let rcu = Rcu::builder().name("test").build().expect("a domain");
        let source = Source::Files(vec![file]);
        let watch = Watch::new(source.files()).expect("a watch");
        let routes = Routes::load(&rcu, source).expect("a table");
        let task = tokio::spawn(watch.run(Arc::clone(&routes)));
        Self { routes, task }
    }

    /// Waits until the network has this number.
    async fn becomes(&self, asn: u32) {
        let address = "1.0.0.1".parse().expect("an address");
        let becomes = async {
            while self.now(address) != Some(asn) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let late = || panic!("the network does not get the number {asn}: {:?}", self.now(address));
        timeout(Duration::from_secs(30), becomes).await.unwrap_or_else(|_| late());
    }

    fn now(&self, address: std::net::IpAddr) -> Option<u32> {
        self.routes.table().with(|table| Some(table.lookup(address)?.asn))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_file_written_in_place_is_noticed() {
    let dir = TempDir::new();
    let watched = Watched::start(dir.write("t.csv", row(1)));
    watched.becomes(1).await;
    dir.write("t.csv", row(22));
    watched.becomes(22).await;
}

#[tokio::test]
async fn a_file_renamed_over_it_is_noticed_each_time() {
    let dir = TempDir::new();
    let watched = Watched::start(dir.write("t.csv", row(1)));
    // All files have the same size.
    for asn in 2..5 {
        dir.replace("t.csv", row(asn));
        watched.becomes(asn).await;
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_the_next_good_one_is_taken() {
    let dir = TempDir::new();
    let watched = Watched::start(dir.write("t.csv", row(1)));
    dir.replace("t.csv", "no table");
    tokio::time::sleep(2 * QUIET).await;
    watched.becomes(1).await;
    std::fs::remove_file(dir.path().join("t.csv")).expect("removed");
    tokio::time::sleep(2 * QUIET).await;
    dir.replace("t.csv", row(3));
    watched.becomes(3).await;
}

#[tokio::test]
async fn other_files_in_the_directory_do_not_matter() {
    let dir = TempDir::new();
    let watched = Watched::start(dir.write("t.csv", row(1)));
    dir.write("other.csv", "no table");
    tokio::time::sleep(4 * QUIET).await;
    assert_eq!(watched.routes.table().with(|table| table.version()), 1);
}

#[cfg(unix)]
#[test]
fn every_directory_on_the_way_is_watched() {
    use std::os::unix::fs::symlink;

    // a/t.csv -> b/link, b/link -> c/dir/t.csv, c/dir -> d
    let temp = TempDir::new();
    let at = |path: &str| temp.path().join(path);
    for directory in ["a", "b", "c", "d"] {
        fs::create_dir(at(directory)).expect("a directory");
    }
    temp.write("d/t.csv", row(1));
    symlink(at("d"), at("c/dir")).expect("a link");
    symlink("../c/dir/t.csv", at("b/link")).expect("a link");
    symlink(at("b/link"), at("a/t.csv")).expect("a link");
    let watched: BTreeSet<PathBuf> = directories(&[at("a/t.csv")])
        .into_iter()
        .map(|directory| fs::canonicalize(directory).expect("a directory"))
        .collect();
    for directory in ["a", "b", "c", "d"] {
        let directory = fs::canonicalize(at(directory)).expect("a directory");
        assert!(watched.contains(&directory), "{directory:?} in {watched:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_into_itself_is_no_endless_way() {
    let temp = TempDir::new();
    let link = temp.path().join("link");
    std::os::unix::fs::symlink("link/link", &link).expect("a link");
    assert!(directories(&[link.join("t.csv")]).contains(temp.path()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_that_is_switched_is_noticed() {
    use std::os::unix::fs::symlink;

    let switch = |target: &Path, link: &Path| {
        let new = link.with_extension("new");
        symlink(target, &new).expect("a link");
        fs::rename(new, link).expect("a link renamed");
    };
    // t.csv -> current/t.csv, and current is a link too, as in release folders and mounted volumes.
    let (links, one, two) = (TempDir::new(), TempDir::new(), TempDir::new());
    let one_file = one.write("t.csv", row(1));
    two.write("t.csv", row(2));
    let current = links.path().join("current");
    let file = links.path().join("t.csv");
    switch(one.path(), &current);
    switch(&current.join("t.csv"), &file);

    let watched = Watched::start(file.clone());
    switch(two.path(), &current);
    watched.becomes(2).await;
    // The watch follows the new target.
    two.replace("t.csv", row(3));
    watched.becomes(3).await;
    // Now the link of the file itself changes.
    switch(&one_file, &file);
    watched.becomes(1).await;
    one.replace("t.csv", row(4));
    watched.becomes(4).await;
}

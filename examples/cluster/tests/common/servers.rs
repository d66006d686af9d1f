//! Servers of a test, each on a free port with a folder of its own. They end with the test.

use super::HANG_GUARD;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A store's server.
pub(crate) trait Server: Sized {
    /// Starts the server. If it is not installed, returns `None`, or panics if the run requires it.
    fn start() -> Option<Self>;
    /// Returns the server's URL at this host.
    fn url(&self, host: &str) -> String;
    /// Kills the server, and starts it again on the same data.
    fn restart(&mut self);
}

/// Returns the path of a program, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    places.push("/usr/sbin".into());
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    // A link may lead to the folder where the program finds its other parts.
    let found = places.into_iter().map(|place| place.join(program)).find(|path| path.exists())?;
    found.canonicalize().ok()
}

/// Prints that a test is skipped. Panics if the run requires the missing part (ci/cluster.sh
/// --stores).
pub(crate) fn skipped(why: &str) {
    assert!(
        std::env::var_os("CLUSTER_REQUIRE_STORES").is_none(),
        "this run requires what is missing: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn wait_for(what: &str, child: &mut Child, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        if let Some(status) = child.try_wait().expect("a child") {
            panic!("{what} has ended: {status}");
        }
        assert!(start.elapsed() < HANG_GUARD, "{what} has not started");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One etcd server.
pub(crate) struct EtcdServer {
    program: PathBuf,
    port: u16,
    dir: TempDir,
    child: Child,
}

impl EtcdServer {
    fn spawn(program: &Path, port: u16, dir: &Path) -> Child {
        let peer = free_port();
        let mut child = Command::new(program)
            .args(["--name", "one", "--log-level", "error", "--logger", "zap"])
            .arg("--data-dir")
            .arg(dir)
            .arg(format!("--listen-client-urls=http://0.0.0.0:{port}"))
            .arg(format!("--advertise-client-urls=http://127.0.0.1:{port}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-cluster=one=http://127.0.0.1:{peer}"))
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH.replace("aarch64", "arm64"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("etcd starts");
        // The server takes requests when it has joined its cluster of one.
        wait_for("etcd", &mut child, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok() && super::get_ok(port, "/health")
        });
        child
    }
}

impl Server for EtcdServer {
    fn start() -> Option<Self> {
        let Some(program) = find("etcd") else {
            skipped("etcd is not installed (Debian: apt-get install etcd-server)");
            return None;
        };
        let (port, dir) = (free_port(), tempfile::tempdir().expect("a folder"));
        let child = Self::spawn(&program, port, dir.path());
        Some(Self { program, port, dir, child })
    }

    fn url(&self, host: &str) -> String {
        format!("etcd://{host}:{}", self.port)
    }

    fn restart(&mut self) {
        self.child.kill().expect("the process runs");
        self.child.wait().expect("the process ends");
        self.child = Self::spawn(&self.program, self.port, self.dir.path());
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Postgres server. It refuses to run as root, so root runs it as the user that its package
/// makes.
pub(crate) struct PostgresServer {
    program: PathBuf,
    port: u16,
    dir: TempDir,
    child: Child,
}

/// Returns a command that runs `program` as a user that is not root.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    // setpriv does not stay in between, as su does: the child is the server, and can be killed.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

impl PostgresServer {
    fn data(dir: &Path) -> PathBuf {
        dir.join("data")
    }

    fn spawn(program: &Path, port: u16, dir: &Path) -> Child {
        let mut child = unprivileged(program)
            .arg("-D")
            .arg(Self::data(dir))
            .args(["-h", "0.0.0.0", "-p", &port.to_string()])
            .args(["-c", "unix_socket_directories=", "-c", "log_min_messages=fatal"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        // The program comes from the server's own folder: the program of this name in PATH may be a
        // script that chooses another program by its name.
        let ready = program.with_file_name("pg_isready");
        wait_for("postgres", &mut child, || {
            let asked = Command::new(&ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status();
            asked.is_ok_and(|status| status.success())
        });
        child
    }
}

impl Server for PostgresServer {
    fn start() -> Option<Self> {
        let Some(program) = find("postgres") else {
            skipped("Postgres is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().expect("a folder");
        if rustix::process::geteuid().is_root() {
            super::run("chown", &["postgres", &dir.path().display().to_string()]);
        }
        let made = unprivileged(&program.with_file_name("initdb"))
            .arg("-D")
            .arg(Self::data(dir.path()))
            .args(["-U", "cluster", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8"])
            .current_dir(dir.path())
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // The network of the tests, 10.x, which a pair of virtual interfaces joins to this machine.
        let rules = Self::data(dir.path()).join("pg_hba.conf");
        let mut text = std::fs::read_to_string(&rules).expect("initdb made it");
        text.push_str("host all all 10.0.0.0/8 trust\n");
        std::fs::write(&rules, text).expect("its rules");
        let port = free_port();
        let child = Self::spawn(&program, port, dir.path());
        Some(Self { program, port, dir, child })
    }

    fn url(&self, host: &str) -> String {
        format!("postgres://cluster@{host}:{}/postgres", self.port)
    }

    fn restart(&mut self) {
        // The postmaster's children end when they see that it has ended. The new postmaster waits
        // for them by its lock.
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT)
            .expect("the process runs");
        self.child.wait().expect("the process ends");
        self.child = Self::spawn(&self.program, self.port, self.dir.path());
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // SIGQUIT ends the server at once, and its children too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

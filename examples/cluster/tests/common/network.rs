//! Partitions: a network namespace that a pair of virtual interfaces joins to this machine's
//! network.

use super::servers::{find, skipped};
use super::{HANG_GUARD, run};
use std::process::Command;

/// A network for a node, with a cable that can be pulled.
pub(crate) struct Namespace {
    name: String,
    /// This machine's address in that network.
    pub(crate) host: String,
    cable: String,
}

impl Namespace {
    /// Makes a network. Returns `None` if this machine cannot.
    pub(crate) fn new(number: u8) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        if !root || find("ip").is_none() {
            skipped("network namespaces need root and `ip` (Debian: apt-get install iproute2)");
            return None;
        }
        let id = std::process::id() % 10_000;
        let (name, cable) = (format!("cl{id}n{number}"), format!("cl{id}h{number}"));
        let made = Command::new("ip").args(["netns", "add", &name]).output().expect("ip starts");
        if !made.status.success() {
            skipped(&format!(
                "cannot make a network namespace: {}",
                String::from_utf8_lossy(&made.stderr)
            ));
            return None;
        }
        let net = format!("10.{}.{}", 200 + number, id % 250);
        let namespace = Self { name: name.clone(), host: format!("{net}.1"), cable: cable.clone() };
        let inner = format!("cl{id}i{number}");
        run("ip", &["link", "add", &cable, "type", "veth", "peer", "name", &inner, "netns", &name]);
        run("ip", &["addr", "add", &format!("{net}.1/24"), "dev", &cable]);
        run("ip", &["link", "set", &cable, "up"]);
        run("ip", &["-n", &name, "addr", "add", &format!("{net}.2/24"), "dev", &inner]);
        run("ip", &["-n", &name, "link", "set", &inner, "up"]);
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
        Some(namespace)
    }

    /// Returns a command that runs a program in the network.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Pulls the cable (`down`) or plugs it in (`up`).
    pub(crate) fn cable(&self, state: &str) {
        run("ip", &["link", "set", &self.cable, state]);
    }

    /// Returns the answer of a node in the network, which a process outside cannot reach.
    pub(crate) fn get(&self, address: &str, path: &str) -> String {
        let (host, port) = address.split_once(':').expect("HOST:PORT");
        let script = format!(
            r"exec 3<>/dev/tcp/{host}/{port}; printf 'GET {path} HTTP/1.0\r\n\r\n' >&3; cat <&3"
        );
        let done = self
            .command("timeout")
            .args([&HANG_GUARD.as_secs().to_string(), "bash", "-c", &script])
            .output();
        String::from_utf8_lossy(&done.expect("bash starts").stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable ends with the namespace.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

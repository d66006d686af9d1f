//! The README's quickstart: every request reads a configuration, which a writer replaces now and
//! then.
//!
//! `cargo run --example quickstart`

use async_rcu::{Rcu, RcuCell};
use std::sync::Arc;

struct Config {
    greeting: String,
}

#[tokio::main]
async fn main() {
    let config = Arc::new(RcuCell::new(Config { greeting: "hello".into() }));

    // Readers: no lock, no reference count, no shared write.
    let requests: Vec<_> = (0..4)
        .map(|n| {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                let seen = config.read_owned(); // one version, kept across .await
                tokio::task::yield_now().await;
                println!("request {n}: {}", seen.greeting);
            })
        })
        .collect();

    // A writer: new requests see the new version at once. The writer gets the old version back when
    // no request sees it any more.
    let old = config.swap(Config { greeting: "good day".into() });
    println!("now: {}", config.with(|c| c.greeting.clone()));
    let old = old.wait().await;
    println!("no request uses {:?} any more", old.greeting);

    // Deferred work: the callback runs after all sections that exist now.
    Rcu::global().call(|| println!("no request uses the old configuration's files"));
    Rcu::global().drain().await;
    for request in requests {
        request.await.expect("a request does not panic");
    }
}

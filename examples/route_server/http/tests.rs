use std::fs;
use std::path::PathBuf;

use async_rcu::Rcu;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::reports::Reports;
use crate::routes::Source;
use crate::temp::TempDir;

fn serve(source: Source) -> (Router, Rcu) {
    let rcu = Rcu::builder().name("test").build().expect("a domain");
    let routes = Routes::load(&rcu, source).expect("a table");
    (route(&routes), rcu)
}

fn route(routes: &Arc<Routes>) -> Router {
    let app = App {
        routes: Arc::clone(routes),
        live: Live::new(Arc::clone(routes), Reports::new()),
        buttons: Arc::new(Buttons::new(true)),
        stall_timeout: Duration::from_secs(1),
    };
    router(app, ListenScope::new(([127, 0, 0, 1], 0).into()))
}

fn builtin() -> Router {
    serve(Source::Builtin).0
}

fn files<const N: usize>(files: [PathBuf; N]) -> Router {
    serve(Source::Files(files.into())).0
}

async fn ask(
    router: &Router,
    method: Method,
    uri: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(body.into()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body");
    let body = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    (status, body)
}

async fn get(router: &Router, uri: &str) -> (StatusCode, Value) {
    ask(router, Method::GET, uri, Body::empty()).await
}

async fn post(router: &Router, uri: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    ask(router, Method::POST, uri, body).await
}

fn addresses(addresses: &[&str]) -> String {
    json!(addresses).to_string()
}

#[tokio::test]
async fn an_address_that_a_network_holds() {
    let router = builtin();
    let (status, body) = get(&router, "/lookup/1.1.1.1").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({
            "version": 1, "ip": "1.1.1.1", "start": "1.1.1.0", "end": "1.1.1.255",
            "asn": 13335, "organisation": "Cloudflare, Inc.",
        })
    );
    let (status, body) = get(&router, "/lookup/2606:4700::1111").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["start"], "2606:4700::");
    assert_eq!(body["end"], "2606:4700:1:ffff:ffff:ffff:ffff:ffff");
}

#[tokio::test]
async fn an_ipv4_address_in_ipv6_clothes() {
    let (status, body) = get(&builtin(), "/lookup/::ffff:1.1.1.1").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["ip"], "1.1.1.1");
    assert_eq!(body["asn"], 13335);
}

#[tokio::test]
async fn an_address_that_no_network_holds() {
    let (status, body) = get(&builtin(), "/lookup/10.0.0.1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let why = "no network of table version 1 holds 10.0.0.1";
    assert_eq!(body, json!({ "error": why }));
}

#[tokio::test]
async fn what_is_no_address() {
    let router = builtin();
    for bad in ["1.1.1", "1.1.1.256", "hello", "fe80::1%25eth0", "1.1.1.0%2F24"] {
        let (status, body) = get(&router, &format!("/lookup/{bad}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        let error = body["error"].as_str().expect("a message");
        assert!(error.ends_with("is not an IPv4 or IPv6 address"), "{error}");
    }
    let (status, body) = get(&router, "/lookup/%ff").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"].is_string());
}

#[tokio::test]
async fn what_is_not_there() {
    let router = builtin();
    let (status, body) = get(&router, "/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].is_string());
    let (status, body) = get(&router, "/reload").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(body["error"].is_string());
}

#[tokio::test]
async fn many_addresses() {
    let router = builtin();
    let asked = addresses(&["8.8.8.8", "10.0.0.1", "2606:4700::1111"]);
    let (status, body) = post(&router, "/lookup", asked).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["version"], 1);
    assert_eq!(
        body["answers"][0],
        json!({
            "ip": "8.8.8.8", "start": "8.8.8.0", "end": "8.8.8.255",
            "asn": 15169, "organisation": "Google LLC",
        })
    );
    let error = "no network holds this address";
    assert_eq!(body["answers"][1], json!({ "ip": "10.0.0.1", "error": error }));
    assert_eq!(body["answers"][2]["asn"], 13335);
    assert_eq!(body["answers"].as_array().map(Vec::len), Some(3));

    let (status, body) = post(&router, "/lookup", "[]").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({ "version": 1, "answers": [] }));
}

#[tokio::test]
async fn many_addresses_with_a_bad_one() {
    let asked = addresses(&["8.8.8.8", "8.8.8", "nor this"]);
    let (status, body) = post(&builtin(), "/lookup", asked).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let why = "\"8.8.8\" is not an IPv4 or IPv6 address";
    assert_eq!(body, json!({ "error": why }));
}

#[tokio::test]
async fn a_body_that_is_no_array_of_addresses() {
    let router = builtin();
    for bad in ["", "{}", "[1]", "[\"1.1.1.1\"", "\"1.1.1.1\"", "[null]"] {
        let (status, body) = post(&router, "/lookup", bad).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(body["error"].is_string());
    }
}

#[tokio::test]
async fn more_than_one_may_ask() {
    let router = builtin();
    let most = vec!["1.1.1.1"; MOST_ADDRESSES];
    let (status, body) = post(&router, "/lookup", addresses(&most)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["answers"].as_array().map(Vec::len), Some(MOST_ADDRESSES));

    let (status, body) = post(&router, "/lookup", addresses(&vec!["::"; MOST_ADDRESSES + 1])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body["error"], "the body has 10001 addresses; the limit is 10000");

    let (status, body) = post(&router, "/lookup", vec![b' '; MOST_BYTES + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(body["error"].is_string());
}

#[tokio::test]
async fn version_and_stats() {
    let (router, rcu) = serve(Source::Builtin);
    assert_eq!(get(&router, "/version").await.1, json!({ "version": 1 }));
    post(&router, "/reload", Body::empty()).await;
    assert_eq!(get(&router, "/version").await.1, json!({ "version": 2 }));
    rcu.drain().await;
    let (status, body) = get(&router, "/stats").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["table"]["version"], 2);
    assert_eq!(body["table"]["source"], "built in");
    assert_eq!(body["table"]["overlapping_pairs"], 1);
    assert_eq!(body["rcu"]["queued"], body["rcu"]["finished"]);
    assert_eq!(body["rcu"]["panicked"], 0);
}

#[tokio::test]
async fn a_reload_takes_what_the_files_now_hold() {
    let dir = TempDir::new();
    let router = files([
        dir.write("4.csv", "1.0.0.0,1.0.0.255,1,old\n"),
        dir.write("6.csv", "2001:db8::,2001:db8::ff,1,old\n"),
    ]);
    assert_eq!(get(&router, "/lookup/1.0.0.9").await.1["organisation"], "old");

    dir.replace("4.csv", "1.0.0.0,1.0.0.255,2,new\n1.0.0.7,1.0.0.9,3,newer\n");
    let (status, body) = post(&router, "/reload", Body::empty()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["version"], 2);
    assert_eq!(body["replaced"], 1);
    assert_eq!(body["reclaimed"], false);
    assert_eq!(body.get("freeing_ms"), None);
    assert_eq!(body["table"]["rows"], 3);
    assert_eq!(body["table"]["overlapping_pairs"], 1);
    let (_, body) = get(&router, "/lookup/1.0.0.9").await;
    assert_eq!(body["organisation"], "newer");
    assert_eq!(body["version"], 2);
    assert_eq!(get(&router, "/lookup/2001:db8::1").await.1["organisation"], "old");
}

#[tokio::test]
async fn a_reload_that_waits_for_the_old_table() {
    let router = builtin();
    let (status, body) = post(&router, "/reload?wait=reclaimed", Body::empty()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["version"], 2);
    assert_eq!(body["reclaimed"], true);
    assert!(body["freeing_ms"].is_number());
}

#[tokio::test]
async fn a_waiting_reload_answers_only_when_nobody_can_see_the_old_table() {
    let rcu = Rcu::builder().name("test").build().expect("a domain");
    let routes = Routes::load(&rcu, Source::Builtin).expect("a table");
    let router = route(&routes);
    let reader = routes.table().read_owned();
    let reload = {
        let router = router.clone();
        async move { post(&router, "/reload?wait=reclaimed", Body::empty()).await }
    };
    let mut reload = tokio::spawn(reload);
    // The new table comes into use...
    while get(&router, "/version").await.1["version"] != 2 {
        yield_now().await;
    }
    // ... and there is no answer while a reader has the old table.
    let a_while = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(a_while, &mut reload).await.is_err());
    assert_eq!(reader.version(), 1);
    drop(reader);
    let (status, body) = reload.await.expect("an answer");
    assert_eq!((status, &body["reclaimed"]), (StatusCode::OK, &json!(true)));
}

#[tokio::test]
async fn a_refused_reload_leaves_the_table_in_use() {
    let dir = TempDir::new();
    let path = dir.write("t.csv", "1.0.0.0,1.0.0.255,1,good\n");
    let name = path.display().to_string();
    let router = files([path.clone()]);

    dir.replace("t.csv", "1.0.0.0,1.0.0.255,2,bad\n1.0.1.0,1.0.0.0,2,bad\n");
    for uri in ["/reload", "/reload?wait=reclaimed"] {
        let (status, body) = post(&router, uri, Body::empty()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let why = "the range is reversed: 1.0.1.0 is above 1.0.0.0";
        assert_eq!(body, json!({ "error": format!("{name}, line 2: {why}") }));
    }
    fs::remove_file(&path).expect("removed");
    let (status, body) = post(&router, "/reload", Body::empty()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let error = body["error"].as_str().expect("a message");
    assert!(error.starts_with(&format!("{name}: cannot open: ")), "{error}");

    let (_, body) = get(&router, "/lookup/1.0.0.1").await;
    assert_eq!((&body["version"], &body["organisation"]), (&json!(1), &json!("good")));
}

#[tokio::test]
async fn a_reload_that_asks_for_something_else() {
    let router = builtin();
    for uri in ["/reload?wait=forever", "/reload?wait", "/reload?now=1"] {
        let (status, body) = post(&router, uri, Body::empty()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(body["error"].is_string());
    }
    let body = json!({ "tables": ["/etc/passwd"] }).to_string();
    let (status, body) = post(&router, "/reload", body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"].is_string());
    assert_eq!(get(&router, "/version").await.1, json!({ "version": 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reloads_all_succeed_one_after_the_other() {
    let router = builtin();
    let reloads: Vec<_> = (0..20)
        .map(|index| {
            let router = router.clone();
            let uri = ["/reload", "/reload?wait=reclaimed"][index % 2];
            tokio::spawn(async move { post(&router, uri, Body::empty()).await })
        })
        .collect();
    let mut versions = Vec::new();
    for reload in reloads {
        let (status, body) = reload.await.expect("an answer");
        assert_eq!(status, StatusCode::OK);
        let version = body["version"].as_u64().expect("a version");
        assert_eq!(body["replaced"], version - 1);
        versions.push(version);
    }
    versions.sort_unstable();
    assert!(versions.into_iter().eq(2..22));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_addresses_are_answered_from_one_version_under_reloads() {
    // Version n answers n modulo 2 for every address.
    let dir = TempDir::new();
    let table = |version: u64| -> String {
        let asn = version % 2;
        (0..=255).map(|block| format!("10.0.{block}.0,10.0.{block}.255,{asn},a\n")).collect()
    };
    let router = files([dir.write("t.csv", table(1))]);
    // These are enough addresses for several yields.
    let asked: Vec<String> = (0..2000).map(|n| format!("10.0.{}.{}", n % 256, n / 256)).collect();
    let asked = json!(asked).to_string();

    let asking: Vec<_> = (0..2)
        .map(|_| {
            let (router, asked) = (router.clone(), asked.clone());
            tokio::spawn(async move {
                for _ in 0..40 {
                    let (status, body) = post(&router, "/lookup", asked.clone()).await;
                    assert_eq!(status, StatusCode::OK);
                    let expected = body["version"].as_u64().expect("a version") % 2;
                    let answers = body["answers"].as_array().expect("answers");
                    assert_eq!(answers.len(), 2000);
                    assert!(answers.iter().all(|answer| answer["asn"] == expected));
                }
            })
        })
        .collect();
    let mut version = 1;
    while !asking.iter().all(|task| task.is_finished()) {
        version += 1;
        dir.replace("t.csv", table(version));
        let (status, body) = post(&router, "/reload", Body::empty()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["version"], version);
    }
    for task in asking {
        task.await.expect("one version in each answer");
    }
}

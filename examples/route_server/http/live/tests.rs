use std::time::Duration;

use async_rcu::Rcu;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::super::{ListenScope, page, router};
use super::*;
use crate::buttons::Buttons;
use crate::reports::Reports;
use crate::routes::Source;

/// The time after which a test fails.
const HANG: Duration = Duration::from_secs(60);

struct Server {
    router: Router,
    app: App,
    rcu: Rcu,
}

fn server(allowed: bool) -> Server {
    let rcu = Rcu::builder().name("test").build().expect("a domain");
    let routes = Routes::load(&rcu, Source::Builtin).expect("a table");
    let app = App {
        live: Live::new(Arc::clone(&routes), Reports::new()),
        routes,
        buttons: Arc::new(Buttons::new(allowed)),
        stall_timeout: Duration::from_secs(1),
    };
    let scope = ListenScope::new(([127, 0, 0, 1], 0).into());
    Server { router: router(app.clone(), scope), app, rcu }
}

impl Server {
    async fn ask(&self, method: Method, uri: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = self.router.clone().oneshot(request);
        answer.await.expect("an answer")
    }

    async fn post(&self, uri: &str) -> (StatusCode, Value) {
        let answer = self.ask(Method::POST, uri, &[]).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body");
        let body = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        (status, body)
    }

    async fn refused(&self, uri: &str, status: StatusCode, words: &str) {
        let (answered, body) = self.post(uri).await;
        assert_eq!(answered, status, "{uri}: {body}");
        let error = body["error"].as_str().expect("a message");
        assert!(error.contains(words), "{uri}: {error}");
    }

    fn held(&self) -> usize {
        self.rcu.stats().owned_guards
    }

    async fn until_none_is_held(&self) {
        let wait = async {
            while self.held() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, wait).await.expect("the guards are released");
    }
}

/// Reads the names and data of a stream's events until the event of this name.
async fn events_until(answer: Response, last: &str) -> Vec<(String, Value)> {
    let mut body = answer.into_body();
    let mut text = String::new();
    let read = async {
        while !text.contains(&format!("event: {last}\n")) || !text.ends_with("\n\n") {
            let frame = body.frame().await.expect("no end").expect("a frame");
            let data = frame.into_data().expect("data");
            text.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    };
    timeout(HANG, read).await.expect("the event");
    let field = |event: &str, name: &str| {
        let lines = event.lines();
        lines.filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect::<String>()
    };
    let event = |event: &str| {
        let data = serde_json::from_str(&field(event, "data")).expect("JSON");
        (field(event, "event"), data)
    };
    text.trim_end().split("\n\n").map(event).collect()
}

#[tokio::test]
async fn the_page_and_all_that_it_names() {
    let server = server(true);
    for (path, kind, content) in page::FILES {
        let answer = server.ask(Method::GET, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], *kind, "{path}");
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str();
        let policy = policy.expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let body = answer.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), content.as_bytes(), "{path}");
        // The server has every file that the page names.
        for named in content.split('"').filter(|name| name.starts_with("/live/")) {
            let served = page::FILES.iter().any(|(path, ..)| *path == named);
            assert!(served, "{path} names {named}");
        }
    }
}

#[tokio::test]
async fn the_stream_begins_with_how_things_are() {
    let server = server(true);
    let answer = server.ask(Method::GET, "/events", &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let events = events_until(answer, "sample").await;
    assert_eq!(events.len(), 2);
    let (name, hello) = &events[0];
    assert_eq!(name, "hello");
    assert_eq!(hello["stall_timeout_ms"], 1000.0);
    assert_eq!(hello["hold_seconds"], json!([0.1, 60.0]));
    let sample = &events[1].1;
    for (field, value) in [("version", 1), ("pending", 0), ("held_guards", 0), ("old_versions", 0)]
    {
        assert_eq!(sample[field], value, "{field}");
    }
    assert_eq!(sample["grace_period_p50_ms"], Value::Null);
}

#[tokio::test]
async fn lookups_are_counted_one_and_many() {
    let server = server(true);
    server.ask(Method::GET, "/lookup/1.1.1.1", &[]).await;
    server.ask(Method::GET, "/lookup/no", &[]).await;
    let many = Request::post("/lookup").body(Body::from(r#"["1.1.1.1", "::", "8.8.8.8"]"#));
    let many = server.router.clone().oneshot(many.expect("a request"));
    assert_eq!(many.await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(server.app.routes.lookups().sum(), 4);
}

#[tokio::test]
async fn the_stream_ends_with_the_server() {
    let server = server(true);
    let answer = server.ask(Method::GET, "/events", &[]).await;
    let whole = tokio::spawn(answer.into_body().collect());
    timeout(HANG, server.app.live.close()).await.expect("closed");
    let whole = timeout(HANG, whole).await.expect("an end");
    let whole = whole.expect("joined").expect("a body").to_bytes();
    assert!(whole.starts_with(b"event: hello\n"));
    let late = server.ask(Method::GET, "/events", &[]).await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    let shutting_down = "shutting down";
    let late = StatusCode::SERVICE_UNAVAILABLE;
    server.refused("/hold?seconds=1", late, shutting_down).await;
    assert_eq!(server.held(), 0);
}

#[tokio::test]
async fn a_guard_is_held_for_its_time() {
    let server = server(true);
    let (status, body) = server.post("/hold?seconds=0.1").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(body, json!({ "version": 1, "seconds": 0.1, "polite": false }));
    server.until_none_is_held().await;
    timeout(HANG, server.rcu.drain()).await.expect("drained");
}

#[tokio::test]
async fn a_polite_holder_goes_when_asked_and_another_stays() {
    let server = server(true);
    server.post("/hold?seconds=60&polite=true").await;
    server.post("/hold?seconds=60").await;
    assert_eq!(server.held(), 2);
    let (status, body) = server.post("/force").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(body["pending"], 2);
    let one_has_gone = async {
        while server.held() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANG, one_has_gone).await.expect("one holder ends");
    // The other holder blocks its own callback, and the close ends it.
    assert!(server.rcu.stats().oldest_section.is_some());
    timeout(HANG, server.app.live.close()).await.expect("closed");
    assert_eq!(server.held(), 0);
    timeout(HANG, server.rcu.drain()).await.expect("drained");
}

#[tokio::test]
async fn no_more_guards_than_may_be_held() {
    let server = server(true);
    for _ in 0..MOST_HOLDS {
        assert_eq!(server.post("/hold?seconds=60").await.0, StatusCode::ACCEPTED);
    }
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    server.refused("/hold?seconds=1", too_many, "the limit of held guards (8) is reached").await;
    server.app.live.close().await;
}

#[tokio::test]
async fn a_flood_runs_and_gives_its_room_back() {
    let server = server(true);
    let (status, body) = server.post("/flood?callbacks=2500").await;
    assert_eq!((status, &body["callbacks"]), (StatusCode::ACCEPTED, &json!(2500)));
    timeout(HANG, server.rcu.drain()).await.expect("drained");
    assert_eq!(server.rcu.stats().finished, 2500);
    assert_eq!(server.app.buttons.room(), MOST_CALLBACKS as usize);
}

#[tokio::test]
async fn no_more_callbacks_than_may_wait() {
    let server = server(true);
    let guard = server.app.routes.table().read_owned();
    server.post("/flood?callbacks=1000").await;
    let all = format!("/flood?callbacks={MOST_CALLBACKS}");
    let room = (MOST_CALLBACKS - 1000).to_string();
    server.refused(&all, StatusCode::TOO_MANY_REQUESTS, &room).await;
    drop(guard);
}

#[tokio::test]
async fn what_is_out_of_bounds() {
    let server = server(true);
    let bad = StatusCode::BAD_REQUEST;
    for (uri, words) in [
        ("/hold", "seconds"),
        ("/hold?seconds=", "seconds"),
        ("/hold?seconds=soon", "seconds"),
        ("/hold?seconds=0", "0.1 to 60 seconds, not 0"),
        ("/hold?seconds=-1", "not -1"),
        ("/hold?seconds=NaN", "not NaN"),
        ("/hold?seconds=inf", "not inf"),
        ("/hold?seconds=60.1", "not 60.1"),
        ("/hold?seconds=1&polite=maybe", "polite"),
        ("/hold?seconds=1&for=ever", "for"),
        ("/flood", "callbacks"),
        ("/flood?callbacks=0", "1 to 1000000 callbacks, not 0"),
        ("/flood?callbacks=-1", "callbacks"),
        ("/flood?callbacks=1000001", "not 1000001"),
        ("/flood?callbacks=99999999999", "callbacks"),
    ] {
        server.refused(uri, bad, words).await;
    }
    assert_eq!((server.held(), server.rcu.stats().queued), (0, 0));
}

#[tokio::test]
async fn the_buttons_of_a_server_that_others_reach() {
    let server = server(false);
    for uri in ["/hold?seconds=1", "/flood?callbacks=1", "/force"] {
        let why = "--allow-buttons";
        server.refused(uri, StatusCode::FORBIDDEN, why).await;
    }
    assert_eq!((server.held(), server.rcu.stats().queued), (0, 0));
    assert_eq!(server.post("/reload").await.0, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_may_do_nothing() {
    let server = server(true);
    let elsewhere: [&[(&str, &str)]; 4] = [
        &[("host", "127.0.0.1:8080"), ("origin", "http://evil.example")],
        &[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
        &[("host", "127.0.0.1:8080"), ("origin", "null")],
        &[("host", "evil.example"), ("sec-fetch-site", "same-origin")],
    ];
    for headers in elsewhere {
        for uri in ["/hold?seconds=1", "/flood?callbacks=1", "/force", "/reload", "/lookup"] {
            let answer = server.ask(Method::POST, uri, headers).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{uri} {headers:?}");
        }
        let answer = server.ask(Method::GET, "/events", headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        // Any page may send a request that only reads: the browser does not show it the answer.
        let answer = server.ask(Method::GET, "/version", headers).await;
        assert_eq!(answer.status(), StatusCode::OK, "{headers:?}");
    }
    assert_eq!((server.held(), server.rcu.stats().queued), (0, 0));
    let own = [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")];
    let answer = server.ask(Method::POST, "/force", &own).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}

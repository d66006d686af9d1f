//! A node's HTTP server.
//!
//! `GET /get/KEY`: the value, or 404 if there is none. `GET /table`: the file of the version. `GET
//! /hold/MILLISECONDS`: a slow request. `GET /status`: JSON. Answers carry the header `revision`.
//! Without a lease every answer is 503.

use crate::node::{Answer, Node, Refusal};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::io;
use std::time::Duration;
use tokio::net::TcpListener;

/// The longest time for which a request may hold a version.
const LONGEST_HOLD: u64 = 60_000;

/// Serves for ever.
pub async fn serve(listener: TcpListener, node: Node) -> io::Result<()> {
    let router = Router::new()
        .route("/get/{key}", get(get_key))
        .route("/table", get(get_table))
        .route("/hold/{ms}", get(hold))
        .route("/status", get(async |State(node): State<Node>| Json(node.status())))
        .with_state(node);
    axum::serve(listener, router).await
}

const REVISION: HeaderName = HeaderName::from_static("revision");

fn reply<T>(answer: Result<Answer<T>, Refusal>, body: impl FnOnce(T) -> Response) -> Response {
    match answer {
        Ok(Answer { revision, value }) => {
            ([(REVISION, revision.to_string())], body(value)).into_response()
        }
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

async fn get_key(State(node): State<Node>, Path(key): Path<String>) -> Response {
    reply(node.get(&key).await, |value| match value {
        Some(value) => format!("{value}\n").into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such key\n").into_response(),
    })
}

async fn get_table(State(node): State<Node>) -> Response {
    reply(node.file().await, |file| match file {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "the table has no change yet\n").into_response(),
    })
}

async fn hold(State(node): State<Node>, Path(ms): Path<u64>) -> Response {
    if ms > LONGEST_HOLD {
        let why = format!("a request can hold a version for at most {LONGEST_HOLD} milliseconds\n");
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    reply(node.hold(Duration::from_millis(ms)).await, |()| "held\n".into_response())
}

//! The HTTP protocol. All answers but that of `/` are JSON. A refusal is `{"error": "..."}`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /lookup/{ip}` | 200 `{"version","ip","start","end","asn","organisation"}`, or 404, or 400 |
//! | `POST /lookup`, body `["ip",...]` | 200 `{"version","answers":[...]}`, or 400, or 413 |
//! | `POST /reload` | 200 `{"version","table":{...},"replaced","reclaimed":false}`, or 422 |
//! | `POST /reload?wait=reclaimed` | 200 with `"reclaimed":true,"freeing_ms"`, or 422 |
//! | `GET /version` | 200 `{"version"}` |
//! | `GET /stats` | 200 `{"table":{...},"rcu":{...}}` |
//! | `GET /`, `GET /live/{file}` | a page that shows all this live, and its files |
//! | `GET /events` | 200 and a stream of server-sent events, or 503 |
//! | `POST /hold?seconds=S` | 202 `{"version","seconds","polite"}`, or 400, 403, 429 |
//! | `POST /flood?callbacks=N` | 202 `{"callbacks","pending"}`, or 400, 403, 429 |
//! | `POST /force` | 202 `{"pending","held_guards"}`, or 403 |
//!
//! `GET /lookup/{ip}`: 404 if no network holds the address, 400 if it is not an address.
//!
//! `POST /lookup`: the answers have the order of the addresses, and all come from the named
//! version. Each answer is `{"ip","start","end","asn","organisation"}`, or `{"ip","error"}` if no
//! network holds the address. 400 if the body is no such array; the error names the first bad
//! address. 413 above [`MOST_ADDRESSES`] or [`MOST_BYTES`].
//!
//! `POST /reload` reads the server's table again, and answers when the new table is in use. With
//! `wait=reclaimed` it answers after the old table has been freed, which took `freeing_ms`. 422 if
//! the new table is invalid: the old table stays in use, and the error names the file and the line.
//!
//! `GET /events` is for the page. The stream begins with a `hello`, which describes the server.
//! Then follow a `sample` with the current figures, at once and then twice a second, and a `report`
//! for each stall and for each force that met guards. The stream repeats the last earlier reports;
//! with `Last-Event-ID` or `?after=ID` only those after that report. 503 if
//! [`MOST_VIEWERS`](crate::live::MOST_VIEWERS) viewers watch already.
//!
//! `POST /hold` holds the version in use for some seconds, and queues a callback that waits for the
//! holder. With `polite=true` the holder ends early when it is asked to. `POST /flood` queues
//! callbacks. `POST /force` forces grace periods. 400 if a number is out of bounds, 429 if a limit
//! is reached (see [`buttons`](crate::buttons)), 403 for all three if other machines can reach the
//! server, unless it was started with `--allow-buttons`.
//!
//! Requests other than `GET`, and `GET /events`, are refused with 403 if a page of another origin
//! makes them (see [`origin`]).
//!
//! The server looks an IPv4-mapped address (`::ffff:1.1.1.1`) up as the IPv4 address. Clients are
//! not authenticated: do not let strangers reach `/reload`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rcu::Stats;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRef, Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::task::{spawn_blocking, yield_now};

use crate::buttons::Buttons;
use crate::live::Live;
use crate::parse::quoted;
use crate::routes::{ReloadError, Routes};
use crate::table::{Network, Summary, milliseconds};

mod live;
mod origin;
mod page;

pub(crate) use origin::ListenScope;

/// The largest number of addresses in one `POST /lookup`.
pub(crate) const MOST_ADDRESSES: usize = 10_000;
/// The largest size of a request's body, in bytes.
pub(crate) const MOST_BYTES: usize = 512 * 1024;
/// The number of addresses after which a `POST /lookup` yields to other requests.
const ADDRESSES_AT_ONCE: usize = 256;

/// The state that all requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) routes: Arc<Routes>,
    pub(crate) live: Arc<Live>,
    pub(crate) buttons: Arc<Buttons>,
    /// The stall timeout of the domain, which the page shows.
    pub(crate) stall_timeout: Duration,
}

impl FromRef<App> for Arc<Routes> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.routes)
    }
}

pub(crate) fn router(app: App, scope: ListenScope) -> Router {
    let from_here = from_fn_with_state(scope, origin::guard_all);
    let from_here_unless_read = from_fn_with_state(scope, origin::guard);
    Router::new()
        .route("/events", get(live::events).layer(from_here))
        .route("/hold", post(live::hold))
        .route("/flood", post(live::flood))
        .route("/force", post(live::force))
        .merge(page::router())
        .route("/lookup/{ip}", get(lookup))
        .route("/lookup", post(lookup_many))
        .route("/reload", post(reload))
        .route("/version", get(version))
        .route("/stats", get(stats))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path: see /"))
        .method_not_allowed_fallback(async || {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method: see /",
            )
        })
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(from_here_unless_read)
        .with_state(app)
}

/// A refused request.
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        (self.status, Json(Body { error: self.why })).into_response()
    }
}

impl From<ReloadError> for Refusal {
    fn from(error: ReloadError) -> Self {
        let status = match &error {
            ReloadError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

#[derive(Serialize)]
struct Found<'a> {
    ip: IpAddr,
    #[serde(flatten)]
    network: Network<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Found(Found<'a>),
    NotFound { ip: IpAddr, error: &'static str },
}

async fn lookup(
    State(routes): State<Arc<Routes>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body<'a> {
        version: u64,
        #[serde(flatten)]
        found: Found<'a>,
    }

    let Path(ip) = path.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let ip = address(&ip)?;
    routes.lookups().add(1);
    // This is the whole read: it borrows from the table, does not await, and writes the answer
    // before it ends.
    routes.table().with(|table| {
        let version = table.version();
        let network = table.lookup(ip).ok_or_else(|| {
            let why = format!("no network of table version {version} holds {ip}");
            Refusal::new(StatusCode::NOT_FOUND, why)
        })?;
        let found = Found { ip, network };
        Ok(Json(Body { version, found }).into_response())
    })
}

async fn lookup_many(
    State(routes): State<Arc<Routes>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body<'a> {
        version: u64,
        answers: Vec<Answer<'a>>,
    }

    let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let asked: Vec<String> = serde_json::from_slice(&body).map_err(|error| {
        let why = format!("the body must be a JSON array of addresses: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, why)
    })?;
    if asked.len() > MOST_ADDRESSES {
        let why = format!("the body has {} addresses; the limit is {MOST_ADDRESSES}", asked.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    let addresses: Vec<IpAddr> = asked.iter().map(|ip| address(ip)).collect::<Result<_, _>>()?;

    routes.lookups().add(addresses.len() as u64);
    // All addresses are answered from one version, which is held across the awaits below, whatever
    // is swapped in meanwhile. If the client goes away, this future is dropped, and the version
    // with it.
    let table = routes.table().read_owned();
    let mut answers = Vec::with_capacity(addresses.len());
    for (index, some) in addresses.chunks(ADDRESSES_AT_ONCE).enumerate() {
        if index > 0 {
            yield_now().await;
        }
        answers.extend(some.iter().map(|&ip| match table.lookup(ip) {
            Some(network) => Answer::Found(Found { ip, network }),
            None => Answer::NotFound { ip, error: "no network holds this address" },
        }));
    }
    let version = table.version();
    Ok(Json(Body { version, answers }).into_response())
}

fn address(text: &str) -> Result<IpAddr, Refusal> {
    let address: IpAddr = text.parse().map_err(|_| {
        let why = format!("{} is not an IPv4 or IPv6 address", quoted(text));
        Refusal::new(StatusCode::BAD_REQUEST, why)
    })?;
    Ok(address.to_canonical())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadQuery {
    wait: Option<Wait>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wait {
    Reclaimed,
}

async fn reload(
    State(routes): State<Arc<Routes>>,
    query: Result<Query<ReloadQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body {
        version: u64,
        table: Summary,
        /// The version that was in use before.
        replaced: u64,
        reclaimed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        freeing_ms: Option<f64>,
    }

    let Query(query) = query.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    if !body.is_empty() {
        // Only the command line names files: a request that could name files could read any file of
        // this machine.
        let why = "a reload takes no body: it reads the table that the server was started with";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    }

    let reloaded = routes.reload().await?;
    let replaced = reloaded.old.version();
    let freeing_ms = match query.wait {
        None => {
            // The grace-period thread frees the half million entries after a grace period.
            drop(reloaded.old);
            None
        }
        Some(Wait::Reclaimed) => {
            // After a grace period no reader has the old table. Freeing the table takes too long
            // for this thread.
            let old = reloaded.old.wait().await;
            let freed = spawn_blocking(move || {
                let began = Instant::now();
                drop(old);
                began.elapsed()
            });
            Some(milliseconds(freed.await.map_err(ReloadError::Failed)?))
        }
    };
    let body = Body {
        version: reloaded.version,
        table: reloaded.summary,
        replaced,
        reclaimed: freeing_ms.is_some(),
        freeing_ms,
    };
    Ok(Json(body).into_response())
}

async fn version(State(routes): State<Arc<Routes>>) -> Response {
    #[derive(Serialize)]
    struct Body {
        version: u64,
    }

    let version = routes.table().with(|table| table.version());
    Json(Body { version }).into_response()
}

async fn stats(State(routes): State<Arc<Routes>>) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        table: TableStats<'a>,
        rcu: RcuStats,
    }
    #[derive(Serialize)]
    struct TableStats<'a> {
        version: u64,
        source: String,
        #[serde(flatten)]
        summary: &'a Summary,
    }

    let rcu = RcuStats::from(routes.table().rcu().stats());
    routes.table().with(|table| {
        let table = TableStats {
            version: table.version(),
            source: routes.source().to_string(),
            summary: table.summary(),
        };
        Json(Body { table, rcu }).into_response()
    })
}

/// The library's [`Stats`], with the same names.
#[derive(Serialize)]
struct RcuStats {
    grace_periods: u64,
    forced: u64,
    queued: u64,
    finished: u64,
    panicked: u64,
    cancelled: u64,
    batches: u64,
    threads: usize,
    owned_guards: usize,
    oldest_section_ms: Option<f64>,
    longest_callback_ms: f64,
    grace_period_p50_ms: f64,
    grace_period_p99_ms: f64,
    stalls: u64,
    barrier: String,
}

impl From<Stats> for RcuStats {
    fn from(stats: Stats) -> Self {
        Self {
            grace_periods: stats.grace_periods,
            forced: stats.forced,
            queued: stats.queued,
            finished: stats.finished,
            panicked: stats.panicked,
            cancelled: stats.cancelled,
            batches: stats.batches,
            threads: stats.threads,
            owned_guards: stats.owned_guards,
            oldest_section_ms: stats.oldest_section.map(milliseconds),
            longest_callback_ms: milliseconds(stats.longest_callback),
            grace_period_p50_ms: milliseconds(stats.grace_period_latency.p50),
            grace_period_p99_ms: milliseconds(stats.grace_period_latency.p99),
            stalls: stats.stalls,
            barrier: format!("{:?}", stats.barrier),
        }
    }
}

#[cfg(test)]
mod tests;

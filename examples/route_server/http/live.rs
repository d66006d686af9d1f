//! The requests of the page: the stream of figures, and the buttons.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::{App, Refusal};
use crate::buttons::{Denied, HOLD_SECONDS, MOST_CALLBACKS, MOST_HOLDS};
use crate::live::{INTERVAL, Live, MOST_VIEWERS, News, NoSeat};
use crate::routes::Routes;
use crate::table::milliseconds;

/// The time that a browser waits before it connects again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// The id of the last report that the viewer has seen. A browser that connects again sends it
    /// in a header.
    after: Option<String>,
}

pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    /// The server's settings that the page needs.
    #[derive(Serialize)]
    struct Hello<'a> {
        source: String,
        barrier: String,
        interval_ms: f64,
        stall_timeout_ms: f64,
        buttons: bool,
        hold_seconds: [f64; 2],
        holds: usize,
        callbacks: u32,
        /// Whether guards record the line that made them.
        places: bool,
        version: &'a str,
    }

    let Query(query) = query.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok()).or(query.after.as_deref());
    let viewer = app.live.watch(seen).map_err(|error| {
        let why = match error {
            NoSeat::Full => format!("the limit of viewers ({MOST_VIEWERS}) is reached"),
            NoSeat::Closed => Denied::Closing.to_string(),
        };
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let hello = Hello {
        source: app.routes.source().to_string(),
        barrier: format!("{:?}", app.routes.table().rcu().stats().barrier),
        interval_ms: milliseconds(INTERVAL),
        stall_timeout_ms: milliseconds(app.stall_timeout),
        buttons: app.buttons.allowed(),
        hold_seconds: [*HOLD_SECONDS.start(), *HOLD_SECONDS.end()],
        holds: MOST_HOLDS,
        callbacks: MOST_CALLBACKS,
        places: cfg!(debug_assertions) || cfg!(feature = "locations"),
        version: env!("CARGO_PKG_VERSION"),
    };
    let hello = event("hello", &hello).retry(RETRY);
    let live = Arc::clone(&app.live);
    // If the client goes away, this stream is dropped, and the viewer with it.
    let news = stream::unfold((viewer, live), |(mut viewer, live)| async {
        let news = viewer.next().await?;
        let event = told(&live, &news);
        Some((event, (viewer, live)))
    });
    let events = stream::iter([hello]).chain(news).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).into_response();
    let sniffing = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, sniffing);
    Ok(response)
}

fn told(live: &Live, news: &News) -> Event {
    #[derive(Serialize)]
    struct Missed {
        reports: u64,
    }
    match news {
        News::Sample(sample) => event("sample", sample),
        News::Report(report) => event("report", &**report).id(live.reports().id(report)),
        News::Missed(reports) => event("missed", &Missed { reports: *reports }),
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    // The messages are plain structures, which serialize without an error; an error would be sent
    // to the viewer.
    event
        .json_data(data)
        .unwrap_or_else(|error| Event::default().event("error").data(error.to_string()))
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::NotHere => StatusCode::FORBIDDEN,
            Denied::Seconds(_) | Denied::Callbacks(_) => StatusCode::BAD_REQUEST,
            Denied::TooManyHolds | Denied::TooManyCallbacks(..) => StatusCode::TOO_MANY_REQUESTS,
            Denied::Closing => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, denied.to_string())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldQuery {
    seconds: f64,
    #[serde(default)]
    polite: bool,
}

pub(super) async fn hold(
    State(app): State<App>,
    query: Result<Query<HoldQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body {
        version: u64,
        seconds: f64,
        polite: bool,
    }

    let Query(HoldQuery { seconds, polite }) = query.map_err(unreadable)?;
    let version = app.buttons.hold(&app.routes, &app.live, seconds, polite)?;
    let body = Body { version, seconds, polite };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FloodQuery {
    callbacks: u32,
}

pub(super) async fn flood(
    State(app): State<App>,
    query: Result<Query<FloodQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body {
        callbacks: u32,
        pending: u64,
    }

    let Query(FloodQuery { callbacks }) = query.map_err(unreadable)?;
    app.buttons.flood(&app.routes, callbacks).await?;
    let pending = pending(&app.routes);
    Ok((StatusCode::ACCEPTED, Json(Body { callbacks, pending })).into_response())
}

pub(super) async fn force(State(app): State<App>) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Body {
        pending: u64,
        held_guards: usize,
    }

    app.buttons.force(&app.routes)?;
    let body = Body {
        pending: pending(&app.routes),
        held_guards: app.routes.table().rcu().stats().owned_guards,
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn pending(routes: &Routes) -> u64 {
    let stats = routes.table().rcu().stats();
    stats.queued.saturating_sub(stats.finished)
}

fn unreadable(error: QueryRejection) -> Refusal {
    Refusal::new(error.status(), error.body_text())
}

#[cfg(test)]
mod tests;

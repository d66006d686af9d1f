//! The check of a request's origin: pages of other origins must not change the server's state.
//!
//! Every page that is open in a browser can reach a server on the same machine's loopback. The page
//! cannot read the answer, but the browser sends the request. A browser names the origin of a
//! request in headers; other programs need not send these headers:
//!
//! 1. A `Sec-Fetch-Site` header has to be `same-origin`, or `none` for the user's own requests.
//! 2. Without that header, an `Origin` header has to name the host of the request.
//! 3. If the server listens on the loopback, the host has to be a loopback name too. Otherwise a
//!    page could give its own name the loopback's address, and so have the same origin.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Refusal;

/// Whether the server listens on the loopback only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenScope {
    loopback: bool,
}

impl ListenScope {
    pub(crate) fn new(listening: SocketAddr) -> Self {
        let loopback = listening.ip().to_canonical().is_loopback();
        Self { loopback }
    }

    pub(crate) fn is_loopback(self) -> bool {
        self.loopback
    }
}

/// Checks requests other than `GET`.
pub(super) async fn guard(
    State(scope): State<ListenScope>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match check(scope, request.headers()) {
        Err(why) if !reads => Refusal::new(StatusCode::FORBIDDEN, why).into_response(),
        _ => next.run(request).await,
    }
}

/// Checks all requests.
pub(super) async fn guard_all(
    State(scope): State<ListenScope>,
    request: Request,
    next: Next,
) -> Response {
    match check(scope, request.headers()) {
        Err(why) => Refusal::new(StatusCode::FORBIDDEN, why).into_response(),
        Ok(()) => next.run(request).await,
    }
}

fn check(scope: ListenScope, headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    if let Some(host) = host {
        if scope.loopback && !is_loopback(host) {
            return Err(format!(
                "the server listens on the loopback, but the request names the host {host:?}"
            ));
        }
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err("a page of another origin made this request".into()),
        };
    }
    match (text(header::ORIGIN), host) {
        (None, _) => Ok(()),
        (Some(origin), Some(host)) if authority(origin) == Some(host) => Ok(()),
        (Some(origin), _) => Err(format!("a page of {origin:?} made this request")),
    }
}

/// Returns the host and port of an origin. This server has no TLS, but a proxy before it may have.
fn authority(origin: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme))
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.unwrap_or(host).parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ListenScope = ListenScope { loopback: true };
    const ANYWHERE: ListenScope = ListenScope { loopback: false };

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let name = header::HeaderName::from_static(name);
            (name, value.parse().expect("a header"))
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn what_is_no_browser_and_the_page_itself_may() {
        for may in [
            &[][..],
            &[("host", "127.0.0.1:8080")],
            &[("host", "localhost:8080"), ("sec-fetch-site", "same-origin")],
            &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")],
            &[("host", "127.0.0.1"), ("sec-fetch-site", "none")],
            &[("host", "LOCALHOST:1")],
        ] {
            assert_eq!(check(HERE, &headers(may)), Ok(()), "{may:?}");
        }
    }

    #[test]
    fn other_origins_may_not() {
        for refused in [
            &[("host", "127.0.0.1:8080"), ("origin", "http://evil.example")][..],
            &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9090")],
            &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:80801")],
            &[("host", "127.0.0.1:8080"), ("origin", "null")],
            &[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
            &[("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-site")],
            &[("origin", "http://127.0.0.1:8080")],
        ] {
            assert!(check(HERE, &headers(refused)).is_err(), "{refused:?}");
            assert!(check(ANYWHERE, &headers(refused)).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_may_not() {
        for host in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "a b"] {
            let rebound = headers(&[("host", host), ("sec-fetch-site", "same-origin")]);
            assert!(check(HERE, &rebound).is_err(), "{host}");
        }
        let proxied = headers(&[("host", "routes.example"), ("origin", "https://routes.example")]);
        assert_eq!(check(ANYWHERE, &proxied), Ok(()));
    }
}

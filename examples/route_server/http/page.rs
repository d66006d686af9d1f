//! The page and its files. They are in the program, so it can be started from anywhere.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// Allows only files of this server, no inline code, and no frame of another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal: $kind:expr, $file:literal;)*) => {
        /// The path, type and content of each file.
        pub(super) const FILES: &[(&str, &str, &str)] =
            &[$(($path, $kind, include_str!(concat!("../live/", $file)))),*];
    };
}

files! {
    "/": HTML, "page.html";
    "/live/page.css": CSS, "page.css";
    "/live/page.js": JS, "page.js";
    "/live/figures.js": JS, "figures.js";
    "/live/charts.js": JS, "charts.js";
    "/live/actions.js": JS, "actions.js";
    "/live/reports.js": JS, "reports.js";
    "/live/icon.svg": SVG, "icon.svg";
    "/live/uPlot.js": JS, "vendor/uPlot.iife.min.js";
    "/live/uPlot.css": CSS, "vendor/uPlot.min.css";
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, content)| {
        router.route(path, get(async move || file(kind, content)))
    })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another build of the server may have other files of the same names.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), content)
}

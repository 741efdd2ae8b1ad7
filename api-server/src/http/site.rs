//! The exported front end: a folder in, files with strict headers out.
//!
//! The folder is read once, at start: it is small, so files come from memory, a path can lead nowhere else, and the
//! Content-Security-Policy of each page names the hashes of exactly the scripts that were in it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novacrm_service::problem::Problem;
use sha2::{Digest, Sha256};

/// Paths that are not pages: an unknown one is a problem, not the page that says so.
const API: &str = "/api/";
/// Names below this path hold a hash of their contents.
const IMMUTABLE: &str = "/_next/static/";

/// An exported front end.
#[derive(Clone, Debug)]
pub struct Site(Arc<HashMap<String, File>>);

#[derive(Debug)]
struct File {
    body: Bytes,
    kind: &'static str,
    etag: HeaderValue,
    policy: HeaderValue,
}

impl Site {
    /// Reads the folder.
    ///
    /// # Errors
    /// When it cannot be read, or holds no `index.html`.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut files = HashMap::new();
        read_folder(dir, "", &mut files)?;
        if !files.contains_key("/index.html") {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} holds no index.html", dir.display()),
            ));
        }
        Ok(Self(Arc::new(files)))
    }

    /// Answers any path that is not the API's.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path();
        if path.starts_with(API) {
            return Problem::not_found().into_response();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Méthode non permise",
                "Method not allowed",
            )
            .header(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
            .into_response();
        }
        let index = path.ends_with('/').then(|| format!("{path}index.html"));
        if let Some(file) = self.0.get(index.as_deref().unwrap_or(path)) {
            return file.answer(request, StatusCode::OK, path.starts_with(IMMUTABLE));
        }
        // A page without its trailing slash.
        if index.is_none() && self.0.contains_key(&format!("{path}/index.html")) {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            if let Ok(location) = HeaderValue::try_from(format!("{path}/{query}")) {
                return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
            }
        }
        match self.0.get("/404.html") {
            Some(file) => file.answer(request, StatusCode::NOT_FOUND, false),
            None => Problem::not_found().into_response(),
        }
    }
}

impl File {
    fn new(name: &str, body: Vec<u8>) -> Self {
        let hash = STANDARD.encode(Sha256::digest(&body));
        let policy = format!(
            "default-src 'self'; script-src 'self'{}; style-src 'self'; img-src 'self' data:; object-src 'none'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            if name.ends_with(".html") {
                script_hashes(&String::from_utf8_lossy(&body))
            } else {
                String::new()
            }
        );
        let value = |text: &str| {
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
        };
        Self {
            kind: media_type(name),
            etag: value(&format!("\"{hash}\"")),
            policy: value(&policy),
            body: body.into(),
        }
    }

    fn answer(&self, request: &Request, status: StatusCode, immutable: bool) -> Response {
        let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|tags| {
            let (tags, own) = (tags.as_bytes(), self.etag.as_bytes());
            tags.windows(own.len()).any(|tag| tag == own)
        });
        let (status, body) = match (known && status == StatusCode::OK, request.method() == Method::HEAD) {
            (true, _) => (StatusCode::NOT_MODIFIED, Body::empty()),
            (false, true) => (status, Body::empty()),
            (false, false) => (status, Body::from(self.body.clone())),
        };
        let cache = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        response
    }
}

fn read_folder(dir: &Path, prefix: &str, files: &mut HashMap<String, File>) -> io::Result<()> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}/{name}");
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &path, files)?;
        } else {
            let body = std::fs::read(entry.path())?;
            files.insert(path, File::new(&name, body));
        }
    }
    Ok(())
}

/// The hashes of the scripts within a page, as sources of a Content-Security-Policy (CSP 3, section 2.3.1).
fn script_hashes(page: &str) -> String {
    let mut hashes = String::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, after)) = after.split_once('>') else { break };
        let Some((script, after)) = after.split_once("</script>") else { break };
        if !attributes.contains(" src=") && !script.is_empty() {
            hashes.push_str(&format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script))));
        }
        rest = after;
    }
    hashes
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_scripts_within_the_page_and_no_others() {
        let page = "<script src=\"/a.js\"></script><p><script>let a = 1</script><script async>b()</script>";
        let hash = |script: &str| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script)));
        assert_eq!(script_hashes(page), hash("let a = 1") + &hash("b()"));
    }
}

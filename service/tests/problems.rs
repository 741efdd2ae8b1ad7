//! Whatever goes wrong with a request, the answer is a problem and holds nothing of the request.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use novacrm_service::problem::{Json, Pipeline, Problem, Query, not_found};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tower::ServiceExt;

const CANARY: &str = "canary-5d41402abc4b2a76";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[expect(dead_code, reason = "only its parsing matters")]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[expect(dead_code, reason = "only its parsing matters")]
    amount: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[expect(dead_code, reason = "only its parsing matters")]
    limit: Option<u32>,
}

async fn order(Json(_): Json<Order>) -> Result<&'static str, Problem> {
    Ok("ok")
}

async fn page(Query(_): Query<Page>) -> &'static str {
    "ok"
}

async fn broken() -> &'static str {
    panic!("{CANARY}")
}

fn app() -> Router {
    let router = Router::new()
        .route("/orders", post(order).get(page))
        .route("/broken", get(broken))
        .fallback(not_found);
    Pipeline::new(&mut Registry::default()).wrap(router, 1024)
}

async fn send(request: Request<Body>) -> (StatusCode, serde_json::Value) {
    let response: Response = app().oneshot(request).await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(!String::from_utf8_lossy(&body).contains(CANARY), "the answer holds a value of the request");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
    (status, body)
}

fn post_json(body: impl Into<Body>) -> Request<Body> {
    Request::post("/orders").header("content-type", "application/json").body(body.into()).unwrap()
}

#[tokio::test]
async fn wrong_values_are_named_by_field_and_never_quoted() {
    let cases = [
        (
            format!(r#"{{"lines":[{{"amount":1}},{{"amount":"{CANARY}"}}]}}"#),
            "/lines/1/amount",
            "invalid_type",
        ),
        (format!(r#"{{"lines":"{CANARY}"}}"#), "/lines", "invalid_type"),
        (format!(r#"{{"lines":[],"{CANARY}":1}}"#), "", "unknown_field"),
        ("{}".to_owned(), "", "missing_field"),
        (r#"{"lines":[{"amount":-1}]}"#.to_owned(), "/lines/0/amount", "invalid_type"),
    ];
    for (body, pointer, code) in cases {
        let (status, problem) = send(post_json(body.clone())).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(problem["code"], "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
        assert_eq!(problem["errors"][0]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused_with_the_place() {
    for body in [format!("{{\"{CANARY}").into_bytes(), vec![b'"', 0xff, b'"'], Vec::new(), b"[] []".to_vec()]
    {
        let (status, problem) = send(post_json(body)).await;
        assert!(matches!(status.as_u16(), 400 | 422), "{problem}");
    }
    let (status, problem) = send(post_json("{\"lines\":[]} trailing")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::BAD_REQUEST, Some("malformed_json")));
}

#[tokio::test]
async fn too_large_a_body_another_media_type_method_route_and_a_panic_are_problems_too() {
    let (status, _) = send(post_json(vec![b' '; 2000])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = send(Request::post("/orders").body(Body::from("{}")).unwrap()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, _) = send(Request::delete("/orders").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = send(Request::get(format!("/{CANARY}")).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = send(Request::get("/broken").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn query_parameters_are_checked() {
    for (query, code) in
        [(format!("limit={CANARY}"), "invalid_value"), (format!("{CANARY}=1"), "unknown_field")]
    {
        let (status, problem) =
            send(Request::get(format!("/orders?{query}")).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(problem["errors"][0]["code"], code, "{problem}");
    }
}

#[tokio::test]
async fn problems_speak_french_unless_english_is_preferred() {
    for (languages, title) in [
        ("", "Introuvable"),
        ("en-GB,fr;q=0.8", "Not found"),
        ("en;q=0.5,fr", "Introuvable"),
        ("de", "Introuvable"),
    ] {
        let request =
            Request::get("/nowhere").header("accept-language", languages).body(Body::empty()).unwrap();
        assert_eq!(send(request).await.1["title"], title, "{languages}");
    }
}

#[tokio::test]
async fn the_callers_trace_goes_on() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/nowhere")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(request).await.1["trace_id"], trace);
}

//! The documentation: complete, and as committed. The layers: nobody reaches past the next one.

use std::path::{Path, PathBuf};

use novacrm_api_domain::permission::{Resource, Verb};
use novacrm_api_server::http::documentation;
use sqlx::PgPool;

use crate::harness::{Api, call};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn every_operation_has_a_summary_a_permission_and_its_problems() {
    let document = serde_json::to_value(documentation::document()).unwrap();
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            count += 1;
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}: summary");
            assert!(operation["operationId"].is_string(), "{name}: operationId");
            let permission =
                operation["x-permission"].as_str().unwrap_or_else(|| panic!("{name}: x-permission"));
            let known = ["public", "session"].contains(&permission)
                || permission.split_once('.').is_some_and(|(resource, verb)| {
                    Resource::of(resource).is_some() && Verb::of(verb).is_some()
                });
            assert!(known, "{name}: {permission}");
            for status in ["400", "401", "403", "404", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{name}: {status}");
            }
        }
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = root().join("../docs/api/openapi.json");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let generated = documentation::text().unwrap();
    assert!(committed == generated, "run `novacrm-api-server openapi > docs/api/openapi.json`");
}

fn sources(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

#[test]
fn layers_import_only_what_is_below_them() {
    let layers: [(&str, &[&str]); 4] = [
        ("src/http", &["crate::db", "crate::integrations", "crate::server", "sqlx", "reqwest"]),
        (
            "src/services",
            &["crate::http", "crate::db", "crate::integrations", "axum", "sqlx", "reqwest", "utoipa"],
        ),
        ("src/db", &["crate::http", "crate::integrations", "axum", "reqwest", "utoipa"]),
        ("domain/src", &["axum", "sqlx", "reqwest", "utoipa", "tokio", "novacrm_"]),
    ];
    for (layer, forbidden) in layers {
        let mut found = Vec::new();
        sources(&root().join(layer), &mut found);
        assert!(!found.is_empty(), "{layer}");
        for (path, text) in found {
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            for (number, line) in code.enumerate() {
                let reached = forbidden.iter().find(|name| {
                    let starts = |found: &str| line.contains(&format!("{found}{name}"));
                    (starts("use ") || line.contains(&format!("{name}::")))
                        && !line.contains(&format!("_{name}"))
                        && !line.contains("#[sqlx")
                });
                assert!(reached.is_none(), "{}:{}: {reached:?}", path.display(), number + 1);
            }
        }
    }
}

#[sqlx::test]
async fn the_document_and_its_pages_are_served_under_a_policy(pool: PgPool) {
    let api = Api::new(pool).await;
    let document = call("GET", "/openapi.json").send(&api).await.ok(200);
    assert_eq!(document.json()["openapi"], "3.1.0");
    let page = call("GET", "/docs/").send(&api).await.ok(200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("<script>"), "no script within the page, so the policy needs no hash");
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    let plain = call("GET", "/openapi.json").send(&api).await;
    assert!(plain.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(plain.header("x-content-type-options"), "nosniff");
}

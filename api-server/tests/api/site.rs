//! The front end: pages with a strict policy, and nothing outside its folder.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novacrm_api_server::http::site::Site;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::harness::{Api, call};

#[sqlx::test]
async fn pages_are_served_under_a_policy_that_names_their_scripts(pool: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("index.html", "<html><script>start()</script></html>");
    write("contacts/index.html", "<html>contacts</html>");
    write("404.html", "<html>perdu</html>");
    write("_next/static/chunk.js", "1");
    let api = Api::with_site(pool, Some(Site::read(dir.path()).unwrap())).await;
    let get = |path: &str| call("GET", "").at(path);

    let home = get("/").send(&api).await.ok(200);
    let hash = STANDARD.encode(Sha256::digest("start()"));
    let policy = home.header("content-security-policy");
    assert!(policy.contains(&format!("script-src 'self' 'sha256-{hash}';")), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
    get("/").header("if-none-match", home.header("etag")).send(&api).await.ok(304);
    let contacts = get("/contacts/").send(&api).await.ok(200);
    assert!(!contacts.header("content-security-policy").contains("sha256"));
    let moved = get("/contacts?id=1").send(&api).await.ok(308);
    assert_eq!(moved.header("location"), "/contacts/?id=1");
    assert!(
        get("/_next/static/chunk.js").send(&api).await.ok(200).header("cache-control").contains("immutable")
    );
    assert_eq!(get("/ailleurs").send(&api).await.ok(404).text, "<html>perdu</html>");
    for path in ["/../Cargo.toml", "/..%2f..%2fetc/passwd", "//etc/passwd"] {
        get(path).send(&api).await.ok(404);
    }
    // A page without its slash is the only redirect, and it stays on this host.
    for path in ["//contacts", "//evil.example/contacts", "/./contacts", "/%2e//contacts", "/a/..//contacts"]
    {
        let answer = get(path).send(&api).await.ok(404);
        assert!(!answer.headers.contains_key("location"), "{path}");
    }
    assert_eq!(get("/api/ailleurs").send(&api).await.problem(404), "not_found");
    assert_eq!(call("POST", "").at("/").send(&api).await.problem(405), "method_not_allowed");
}

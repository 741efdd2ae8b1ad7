//! A new CRM: its first account and its demonstration data, each made once. A database that restarts.

use novacrm_api_domain::user::{Locale, Role};
use novacrm_api_server::services::setup;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Api, PASSWORD, call};

#[sqlx::test]
async fn the_first_account_and_the_demonstration_are_made_once(pool: PgPool) {
    let api = Api::new(pool).await;
    let now = api.services.clock.now();
    assert!(!setup::demo(&api.database, now).await.unwrap(), "nobody could own the records");
    for made in [true, false] {
        let email = "direction@exemple.fr";
        let first = setup::first_account(&api.database, now, email, "Direction", PASSWORD, Locale::Fr).await;
        assert_eq!(first.unwrap(), made);
        assert_eq!(setup::demo(&api.database, now).await.unwrap(), made);
    }
    let login = json!({"email": "direction@exemple.fr", "password": PASSWORD});
    let session = call("POST", "/auth/login").json(&login).send(&api).await.ok(200).json();
    let bearer = format!("Bearer {}", session["access_token"].as_str().unwrap());
    for (path, count) in [("/organisations", 12), ("/contacts", 40), ("/interactions", 100)] {
        let list = call("GET", &format!("{path}?count=exact&limit=1")).header("authorization", &bearer);
        assert_eq!(list.send(&api).await.ok(200).json()["count"], count, "{path}");
    }
}

#[sqlx::test]
async fn reads_and_writes_go_on_after_all_connections_were_cut(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let path = format!("/contacts/{}", api.contact(&sales, "Martin").await.id());
    let reads: Vec<_> =
        (0..8).map(|_| tokio::spawn(call("GET", &path).by(&sales).send_to(api.router.clone()))).collect();
    for read in reads {
        read.await.unwrap().ok(200);
    }
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(cut).execute(&pool).await.unwrap();
    call("GET", &path).by(&sales).send(&api).await.ok(200);
    call("GET", "/contacts?q=martin").by(&sales).send(&api).await.ok(200);
    sqlx::query(cut).execute(&pool).await.unwrap();
    api.contact(&sales, "Durand").await;
}

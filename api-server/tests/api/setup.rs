//! A new CRM: its first account and its demonstration data, each made once. A database that restarts.

use novacrm_api_domain::user::{Locale, Role};
use novacrm_api_server::services::setup;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Api, PASSWORD, call};

fn first(password: &str, password_must_change: bool) -> setup::FirstAccount<'_> {
    setup::FirstAccount {
        email: "direction@exemple.fr",
        display_name: "Direction",
        password,
        locale: Locale::Fr,
        password_must_change,
        tenant_name: "ateliers-brume",
    }
}

#[sqlx::test]
async fn the_first_password_is_refused_when_it_is_common_and_must_be_changed(pool: PgPool) {
    let api = Api::new(pool).await;
    let now = api.services.clock.now();
    for (password, code) in [
        ("password1234", "common_password"),
        ("ateliers-brume", "common_password"),
        ("direction2026", "common_password"),
        ("court", "too_short"),
    ] {
        let refused = setup::first_account(&api.database, now, &first(password, true)).await.unwrap_err();
        assert!(refused.to_string().contains(code), "{password}: {refused}");
    }
    assert!(setup::first_account(&api.database, now, &first(PASSWORD, true)).await.unwrap());
    let login = json!({"email": "direction@exemple.fr", "password": PASSWORD});
    let session = call("POST", "/auth/login").json(&login).send(&api).await.ok(200).json();
    assert_eq!(session["password_change_required"], true);
    let bearer = format!("Bearer {}", session["access_token"].as_str().unwrap());
    let refused = call("GET", "/contacts").header("authorization", &bearer).send(&api).await;
    assert_eq!(refused.problem(403), "password_change_required");
}

#[sqlx::test]
async fn the_first_account_and_the_demonstration_are_made_once(pool: PgPool) {
    let api = Api::new(pool).await;
    let now = api.services.clock.now();
    assert!(!setup::demo(&api.database, now).await.unwrap(), "nobody could own the records");
    for made in [true, false] {
        let first = setup::first_account(&api.database, now, &first(PASSWORD, false)).await;
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

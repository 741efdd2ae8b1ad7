//! Lists: cursors, filters, sorts, and pages while others write.

use std::collections::HashSet;

use novacrm_api_domain::user::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Login, call};

async fn walk(api: &Api, by: &Login, query: &str, meanwhile: Option<&str>) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = call("GET", &format!("{query}&limit=7{after}")).by(by).send(api).await.ok(200).json();
        found.extend(page["data"].as_array().unwrap().iter().cloned());
        if let Some(name) = meanwhile {
            api.contact(by, name).await;
        }
        match page["page"]["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

#[sqlx::test]
async fn pages_show_every_record_once_in_order_while_others_are_added(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    let names = ["Éluard", "eluard", "Zola", "Œuvrard", "Camus", "Çelik"];
    let mut stable = HashSet::new();
    for number in 0..30 {
        stable.insert(api.contact(&sales, names[number % names.len()]).await.id());
    }
    for sort in ["last_name", "-last_name", "created_at", "-created_at", "updated_at", "-updated_at"] {
        let found = walk(&api, &sales, &format!("/contacts?sort={sort}"), None).await;
        let ids: Vec<String> = found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.iter().cloned().collect::<HashSet<_>>(), stable, "{sort}");
        assert_eq!(ids.len(), stable.len(), "{sort}");
    }
    let found = walk(&api, &sales, "/contacts?sort=last_name", None).await;
    let order: Vec<&str> = found.iter().map(|one| one["last_name"].as_str().unwrap()).collect();
    assert!(order.iter().rposition(|name| *name == "Camus") < order.iter().position(|name| *name == "Zola"));
    let found = walk(&api, &sales, "/contacts?sort=-created_at", Some("Ajout")).await;
    let ids: Vec<&str> = found.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let seen: Vec<&&str> = ids.iter().filter(|id| stable.contains(**id)).collect();
    assert_eq!(seen.len(), stable.len(), "each stable record once");
    let exact = call("GET", "/contacts?q=ELUARD&count=exact").by(&sales).send(&api).await.ok(200).json();
    assert_eq!(exact["count"], 10, "searches ignore accents and case");
    let none = call("GET", "/contacts?q=%25").by(&sales).send(&api).await.ok(200).json();
    assert_eq!(none["data"], json!([]), "wildcards are letters");
}

#[sqlx::test]
async fn a_cursor_holds_for_its_own_list_sort_and_filters_only(pool: PgPool) {
    let api = Api::new(pool).await;
    let sales = api.login(Role::Sales).await;
    for name in ["A", "B", "C"] {
        api.contact(&sales, name).await;
    }
    let page = call("GET", "/contacts?limit=1&sort=last_name").by(&sales).send(&api).await.ok(200).json();
    let cursor = page["page"]["next"].as_str().unwrap().to_owned();
    call("GET", &format!("/contacts?sort=last_name&after={cursor}")).by(&sales).send(&api).await.ok(200);
    let mut bent = cursor.clone().into_bytes();
    bent[30] = if bent[30] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    for query in [
        format!("/contacts?after={cursor}"),
        format!("/contacts?sort=-last_name&after={cursor}"),
        format!("/contacts?sort=last_name&q=a&after={cursor}"),
        format!("/contacts?sort=last_name&after={bent}"),
        "/contacts?sort=last_name&after=%00".to_owned(),
        format!("/organisations?sort=name&after={cursor}"),
    ] {
        assert_eq!(call("GET", &query).by(&sales).send(&api).await.problem(400), "cursor_invalid", "{query}");
    }
}

#[sqlx::test]
async fn filters_narrow_and_combine(pool: PgPool) {
    let api = Api::new(pool).await;
    let (sales, other) = (api.login(Role::Sales).await, api.login(Role::Sales).await);
    let contact = api.contact(&sales, "Martin").await.id();
    api.contact(&other, "Martin").await;
    let count = async |query: &str| {
        call("GET", query).by(&sales).send(&api).await.ok(200).json()["data"].as_array().unwrap().len()
    };
    assert_eq!(count("/contacts?q=martin").await, 2);
    assert_eq!(count(&format!("/contacts?q=martin&owner_id={}", sales.user)).await, 1);
    for (day, kind) in [("2026-01-01", "call"), ("2026-02-01", "email"), ("2026-03-01", "call")] {
        let body = json!({"contact_id": contact, "kind": kind, "direction": "inbound",
                          "occurred_at": format!("{day}T12:00:00+01:00"), "subject": "Échange"});
        let made = call("POST", "/interactions").by(&sales).json(&body).send(&api).await.ok(201);
        assert_eq!(made.json()["occurred_at"], format!("{day}T11:00:00Z"));
    }
    assert_eq!(count("/interactions?kind=call").await, 2);
    assert_eq!(count("/interactions?kind=call&occurred_after=2026-02-01T00:00:00Z").await, 1);
    assert_eq!(count("/interactions?occurred_before=2026-02-01T00:00:00Z&q=echange").await, 1);
    assert_eq!(count(&format!("/interactions?contact_id={contact}")).await, 3);
}

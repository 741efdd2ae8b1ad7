//! Each role, each operation, on a record of one's own and on somebody else's: as the matrix says.

use novacrm_api_domain::permission::{Permission, Resource, Scope, Verb, scope};
use novacrm_api_domain::user::Role;
use novacrm_api_server::http::documentation::document;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Api, Call, Login, call};

fn permission(text: &str) -> Permission {
    let (resource, verb) = text.split_once('.').unwrap();
    Permission { resource: Resource::of(resource).unwrap(), verb: Verb::of(verb).unwrap() }
}

/// Operations with their permission, from the document.
fn operations() -> Vec<(String, String, Permission)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needed = operation["x-permission"].as_str().unwrap();
            if !["public", "session"].contains(&needed) {
                found.push((
                    method.to_uppercase(),
                    path.trim_start_matches("/api/v1").to_owned(),
                    permission(needed),
                ));
            }
        }
    }
    found
}

/// A record of a kind that belongs to the owner, and the version it has.
async fn seed(api: &Api, resource: Resource, owner: &Login) -> String {
    let direction = api.login(Role::Direction).await;
    let suffix = Uuid::now_v7().simple().to_string();
    let (path, body) = match resource {
        Resource::Organisation => ("/organisations", json!({"name": "Exemple", "owner_id": owner.user})),
        Resource::Contact => {
            ("/contacts", json!({"first_name": "A", "last_name": "B", "owner_id": owner.user}))
        }
        Resource::Interaction => {
            let contact = api.contact(&direction, "Martin").await.id();
            (
                "/interactions",
                json!({"contact_id": contact, "kind": "note", "direction": "internal",
                "occurred_at": "2026-01-01T00:00:00Z", "subject": "S", "owner_id": owner.user}),
            )
        }
        Resource::Assessment => {
            let made = call("POST", "/assessments").by(owner).header("idempotency-key", &suffix);
            return made.json(&json!({"prompt": "Bonjour"})).send(api).await.ok(201).id();
        }
        Resource::User => return owner.user.to_string(),
        Resource::Policy => return String::new(),
    };
    call("POST", path).by(&direction).json(&body).send(api).await.ok(201).id()
}

async fn request(api: &Api, method: &str, path: &str, id: &str, by: &Login, other: &Login) -> Call {
    let request = call(method, &path.replace("{id}", id)).by(by);
    let body = match (method, path) {
        ("GET", _) => return request,
        ("DELETE", _) => return request.header("if-match", "\"1\""),
        ("POST", path) if path.ends_with("/restore") || path.ends_with("/erasure") => return request,
        ("PATCH", "/organisations/{id}") => json!({"name": "Autre"}),
        ("PATCH", "/contacts/{id}") => json!({"job_title": "Autre"}),
        ("PATCH", "/interactions/{id}") => json!({"subject": "Autre"}),
        ("PATCH", "/users/{id}") => json!({"display_name": "Autre"}),
        ("POST", "/organisations") => json!({"name": "Exemple", "owner_id": other.user}),
        ("POST", "/contacts") => json!({"first_name": "A", "last_name": "B", "owner_id": other.user}),
        ("POST", "/interactions") => {
            let direction = api.login(Role::Direction).await;
            let contact = api.contact(&direction, "Martin").await.id();
            json!({"contact_id": contact, "kind": "note", "direction": "internal", "subject": "S",
                   "occurred_at": "2026-01-01T00:00:00Z", "owner_id": other.user})
        }
        ("POST", "/assessments") => json!({"prompt": "Bonjour"}),
        ("POST", "/users") => json!({"email": format!("n{}@exemple.fr", Uuid::now_v7().simple()),
            "display_name": "N", "role": "sales", "password": crate::harness::PASSWORD}),
        (method, path) => panic!("the test does not know {method} {path}: teach it"),
    };
    request.header("if-match", "\"1\"").header("idempotency-key", &Uuid::now_v7().to_string()).json(&body)
}

#[sqlx::test]
async fn every_operation_follows_the_matrix_for_every_role_and_scope(pool: PgPool) {
    let api = Api::new(pool).await;
    let mut wrong = Vec::new();
    for role in Role::ALL {
        let (me, other) = (api.login(*role).await, api.login(*role).await);
        for (method, path, needed) in operations() {
            for own in [true, false] {
                let owner = if own { &me } else { &other };
                let item = path.contains("{id}");
                let id = if item { seed(&api, needed.resource, owner).await } else { String::new() };
                let named = if own { &me } else { &other };
                let answer = request(&api, &method, &path, &id, &me, named).await.send(&api).await;
                let status = answer.status.as_u16();
                let fits = match scope(*role, needed) {
                    None => status == 403,
                    Some(Scope::All) => (200..300).contains(&status),
                    Some(Scope::Own) if own => (200..300).contains(&status),
                    // Somebody else's: hidden when it may not be read, refused when it may not be changed.
                    Some(Scope::Own) if item => [403, 404].contains(&status),
                    Some(Scope::Own) if method == "GET" => status == 200,
                    Some(Scope::Own) if needed.resource == Resource::Assessment => status == 201,
                    Some(Scope::Own) => status == 422,
                };
                if !fits {
                    wrong.push(format!("{role:?} {method} {path} own={own}: {status} {}", answer.text));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[sqlx::test]
async fn what_is_not_visible_is_not_listed_and_not_on_the_timeline(pool: PgPool) {
    let api = Api::new(pool).await;
    let (sales, other, ops) =
        (api.login(Role::Sales).await, api.login(Role::Sales).await, api.login(Role::Ops).await);
    let contact = api.contact(&sales, "Martin").await.id();
    for (number, who) in [&sales, &other].into_iter().enumerate() {
        call("POST", "/assessments")
            .by(who)
            .header("idempotency-key", &number.to_string())
            .json(&json!({"prompt": "Bonjour", "contact_id": contact}))
            .send(&api)
            .await
            .ok(201);
    }
    let entries = async |by: &Login| {
        let path = format!("/contacts/{contact}/timeline");
        call("GET", &path).by(by).send(&api).await.ok(200).json()["data"].as_array().unwrap().len()
    };
    assert_eq!((entries(&sales).await, entries(&other).await, entries(&ops).await), (1, 1, 2));
    let nobody: Value = call("GET", "/users").by(&sales).send(&api).await.json();
    assert_eq!(nobody["code"], "forbidden");
}

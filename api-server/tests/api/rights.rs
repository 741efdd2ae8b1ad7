//! Who may do what, as a table of its own (not the domain's matrix), tried through HTTP for every role, every operation
//! of the served document, on a record of one's own and on somebody else's, and for every field of a change.
//!
//! The document decides what is tried: an operation or a field that the tables below do not know fails the test. After
//! each request that was allowed the caller tries every verb on the record, and must hold none that they did not hold
//! before: so no sequence of allowed requests reaches what is not allowed.

use std::collections::{BTreeMap, BTreeSet};

use novacrm_api_domain::interaction::Interaction;
use novacrm_api_domain::permission::Visibility;
use novacrm_api_domain::user::Role;
use novacrm_api_server::services::interactions::InteractionFilter;
use novacrm_api_server::services::list::{ListQuery, Listed as _, Page, Sight};
use novacrm_api_server::services::ports::{Assessments, Life, Records};
use novacrm_service::serve;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Api, Login};

/// How far a role's right reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Never,
    Own,
    All,
}
use Reach::{All, Never, Own};

/// In the order of the columns below.
const ROLES: [Role; 4] = [Role::Sales, Role::Ops, Role::Compliance, Role::Direction];

/// What each role may do with each operation. Those that need no role stand in [`WITHOUT_ROLE`].
const OPERATIONS: &[(&str, [Reach; 4])] = &[
    //                                     sales  ops    compl. direction
    ("GET /users", [Never, Never, All, All]),
    ("POST /users", [Never, Never, Never, All]),
    ("GET /users/{id}", [Never, Never, All, All]),
    ("PATCH /users/{id}", [Never, Never, Never, All]),
    ("GET /organisations", [All, All, All, All]),
    ("POST /organisations", [All, All, Never, All]),
    ("GET /organisations/{id}", [All, All, All, All]),
    ("PATCH /organisations/{id}", [All, All, Never, All]),
    ("DELETE /organisations/{id}", [Own, All, Never, All]),
    ("POST /organisations/{id}/restore", [Own, All, Never, All]),
    ("POST /organisations/{id}/erasure", [Never, Never, All, All]),
    ("GET /contacts", [All, All, All, All]),
    ("POST /contacts", [All, All, Never, All]),
    ("GET /contacts/{id}", [All, All, All, All]),
    ("PATCH /contacts/{id}", [All, All, Never, All]),
    ("DELETE /contacts/{id}", [Own, All, Never, All]),
    ("POST /contacts/{id}/restore", [Own, All, Never, All]),
    ("POST /contacts/{id}/erasure", [Never, Never, All, All]),
    ("GET /contacts/{id}/timeline", [All, All, All, All]),
    ("GET /interactions", [All, All, All, All]),
    ("POST /interactions", [Own, All, Never, All]),
    ("GET /interactions/{id}", [All, All, All, All]),
    ("PATCH /interactions/{id}", [Own, All, Never, All]),
    ("DELETE /interactions/{id}", [Own, Never, Never, Never]),
    ("POST /interactions/{id}/restore", [Own, Never, Never, Never]),
    ("POST /interactions/{id}/erasure", [Never, Never, All, All]),
    ("POST /assessments", [Own, Own, Own, Own]),
    ("GET /assessments/{id}", [Own, All, All, All]),
    ("GET /policies", [All, All, All, All]),
];

/// Operations that ask for no right of a role, and what the document says of them.
const WITHOUT_ROLE: &[(&str, &str)] = &[
    ("POST /auth/login", "public"),
    ("POST /auth/refresh", "public"),
    ("POST /auth/logout", "session"),
    ("POST /auth/password", "session"),
    ("GET /auth/session", "session"),
];

/// Whose records each role may give to another owner.
const ASSIGN: &[(&str, [Reach; 4])] = &[
    ("organisations", [Own, All, Never, All]),
    ("contacts", [Own, All, Never, All]),
    ("interactions", [Never, All, Never, All]),
];

/// A good value for each field of a change; the owner stands apart.
fn sample(kind: &str, field: &str, api: &Stage) -> Option<Value> {
    let unique = Uuid::now_v7().simple().to_string();
    Some(match (kind, field) {
        ("organisations", "name") => json!("Autre SARL"),
        ("organisations", "domain") => json!(format!("d{unique}.example")),
        ("organisations", "siren") => json!(siren()),
        ("organisations", "vat_number") => json!("DE123456789"),
        ("contacts", "first_name" | "last_name") => json!("Autre"),
        ("contacts", "email") => json!(format!("{unique}@exemple.fr")),
        ("contacts", "phone") => json!("01 99 00 12 34"),
        ("contacts", "job_title") => json!("Autre"),
        ("contacts" | "users", "locale") => json!("en"),
        ("contacts", "organisation_id") => json!(api.organisation),
        ("contacts", "do_not_contact") => json!(true),
        ("interactions", "kind") => json!("call"),
        ("interactions", "direction") => json!("inbound"),
        ("interactions", "occurred_at") => json!("2026-01-02T00:00:00Z"),
        ("interactions", "subject" | "body") => json!("Autre"),
        ("users", "email") => json!(format!("{unique}@exemple.fr")),
        ("users", "display_name") => json!("Autre"),
        ("users", "role") => json!("compliance"),
        ("users", "active") => json!(false),
        ("users", "password") => json!("une autre phrase de passe"),
        _ => return None,
    })
}

/// Nine digits that pass the check of a SIREN (ISO/IEC 7812-1).
fn siren() -> String {
    loop {
        let number = Uuid::new_v4().as_u128() % 1_000_000_000;
        let text = format!("{number:09}");
        if novacrm_api_domain::text::Siren::parse(&text).is_ok() {
            return text;
        }
    }
}

/// The API behind a socket, and what the cells share.
struct Stage {
    api: Api,
    client: Client,
    base: String,
    direction: Login,
    organisation: String,
    shutdown: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A record to try something on.
#[derive(Clone, Debug)]
struct Target {
    kind: &'static str,
    id: String,
    /// Whom the owner is asked to become in the probes.
    me: Uuid,
    third: Uuid,
}

struct Got {
    status: u16,
    body: Value,
}

impl Stage {
    async fn new(pool: PgPool) -> Self {
        let api = Api::new(pool).await;
        let shutdown = CancellationToken::new();
        let listener = serve::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}/api/v1", listener.local_addr().unwrap());
        tokio::spawn(serve::plain(listener, api.router.clone(), shutdown.clone()));
        let direction = api.login(Role::Direction).await;
        let organisation = String::new();
        let mut stage = Self { api, client: Client::new(), base, direction, organisation, shutdown };
        let made = stage.make("/organisations", &json!({"name": "Commune"})).await;
        stage.organisation = made;
        stage
    }

    async fn send(
        &self,
        by: &Login,
        method: &str,
        path: &str,
        tag: Option<&str>,
        body: Option<&Value>,
    ) -> Got {
        let method: Method = method.parse().unwrap();
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        request = request.bearer_auth(&by.token);
        if let Some(tag) = tag {
            request = request.header("if-match", format!("\"{tag}\""));
        }
        if method == Method::POST {
            request = request.header("idempotency-key", Uuid::now_v7().to_string());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        Got { status, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    /// Makes a record as an administrator.
    async fn make(&self, path: &str, body: &Value) -> String {
        let got = self.send(&self.direction, "POST", path, None, Some(body)).await;
        assert_eq!(got.status, 201, "{}", got.body);
        got.body["id"].as_str().unwrap().to_owned()
    }

    async fn contact(&self, owner: Uuid) -> String {
        self.make("/contacts", &json!({"first_name": "A", "last_name": "B", "owner_id": owner})).await
    }

    /// A new record of a kind that belongs to the owner, with the contact that it belongs to, if to any.
    async fn seed(&self, kind: &str, owner: &Login) -> (String, Option<String>) {
        match kind {
            "organisations" => {
                let body = json!({"name": "Exemple", "owner_id": owner.user});
                (self.make("/organisations", &body).await, None)
            }
            "contacts" => {
                let id = self.contact(owner.user).await;
                (id.clone(), Some(id))
            }
            "interactions" => {
                // The contact is somebody else's, so that its owner decides nothing.
                let contact = self.contact(self.direction.user).await;
                (self.make("/interactions", &note(&contact, owner.user)).await, Some(contact))
            }
            "assessments" => {
                let contact = self.contact(self.direction.user).await;
                let body = json!({"prompt": "Bonjour", "contact_id": contact});
                let got = self.send(owner, "POST", "/assessments", None, Some(&body)).await;
                assert_eq!(got.status, 201, "{}", got.body);
                (got.body["id"].as_str().unwrap().to_owned(), Some(contact))
            }
            "users" => (owner.user.to_string(), None),
            other => panic!("no records of {other}"),
        }
    }

    /// The version of a record, as an administrator sees it.
    async fn version(&self, target: &Target) -> String {
        let path = format!("/{}/{}", target.kind, target.id);
        let got = self.send(&self.direction, "GET", &path, None, None).await;
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        got.body["version"].to_string()
    }

    async fn delete(&self, kind: &str, id: &str, by: &Login) {
        let target = Target { kind: known(kind), id: id.to_owned(), me: by.user, third: by.user };
        let tag = self.version(&target).await;
        let got = self.send(by, "DELETE", &format!("/{kind}/{id}"), Some(&tag), None).await;
        assert_eq!(got.status, 204, "{}", got.body);
    }

    /// The verbs that the caller holds on a record, tried by requests that name a version the record never has: who is
    /// told so (412) would have been allowed.
    async fn verbs(&self, by: &Login, target: &Target) -> BTreeSet<&'static str> {
        let path = format!("/{}/{}", target.kind, target.id);
        let mut held = BTreeSet::new();
        if self.send(by, "GET", &path, None, None).await.status == 200 {
            held.insert("read");
        }
        let (harmless, me, third) =
            (json!({}), json!({"owner_id": target.me}), json!({"owner_id": target.third}));
        let mut probes = Vec::new();
        if target.kind != "assessments" {
            probes.push(("update", "PATCH", Some(&harmless)));
        }
        if !matches!(target.kind, "assessments" | "users") {
            probes.push(("delete", "DELETE", None));
            probes.push(("take over", "PATCH", Some(&me)));
            probes.push(("hand over", "PATCH", Some(&third)));
        }
        for (verb, method, body) in probes {
            let got = self.send(by, method, &path, Some("0"), body).await;
            match got.status {
                412 => {
                    held.insert(verb);
                }
                401 | 403 | 404 => {}
                other => panic!("{verb} {path}: {other} {}", got.body),
            }
        }
        held
    }
}

fn note(contact: &str, owner: Uuid) -> Value {
    json!({"contact_id": contact, "kind": "note", "direction": "internal", "subject": "S",
           "occurred_at": "2026-01-01T00:00:00Z", "owner_id": owner})
}

fn known(kind: &str) -> &'static str {
    ["organisations", "contacts", "interactions", "assessments", "users", "policies", "auth"]
        .into_iter()
        .find(|one| *one == kind)
        .unwrap_or_else(|| panic!("no records of {kind}"))
}

/// `GET /contacts/{id}` → its part of the document.
async fn operations(stage: &Stage) -> BTreeMap<String, Value> {
    let document: Value =
        stage.client.get(format!("{}/openapi.json", stage.base)).send().await.unwrap().json().await.unwrap();
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.strip_prefix("/api/v1").unwrap();
            let mut operation = operation.clone();
            // The fields of the body, if it has any.
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            if let Some(name) = schema.and_then(|text| text.rsplit('/').next()) {
                let fields = document["components"]["schemas"][name]["properties"].clone();
                assert!(fields.is_object(), "{method} {path}: a body without fields");
                operation["fields"] = fields;
            }
            found.insert(format!("{} {path}", method.to_uppercase()), operation);
        }
    }
    found
}

fn kind_of(operation: &str) -> &'static str {
    known(operation.split('/').nth(1).unwrap())
}

fn reach(table: &[(&str, [Reach; 4])], row: &str, role: usize) -> Option<Reach> {
    table.iter().find(|(name, _)| *name == row).map(|(_, cells)| cells[role])
}

#[sqlx::test]
async fn every_operation_of_the_document_has_an_expectation_and_every_expectation_an_operation(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let served = operations(&stage).await;
    let expected: BTreeSet<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
    let open: BTreeMap<&str, &str> = WITHOUT_ROLE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, operation) in &served {
        let permission = operation["x-permission"].as_str().unwrap();
        let known = match open.get(name.as_str()) {
            Some(said) => permission == *said,
            None => expected.contains(name.as_str()) && permission.contains('.'),
        };
        if !known {
            wrong.push(format!("{name} ({permission}): say here who may use it"));
        }
        let kind = kind_of(name);
        if name.starts_with("PATCH") {
            for field in operation["fields"].as_object().unwrap().keys() {
                if field != "owner_id" && sample(kind, field, &stage).is_none() {
                    wrong.push(format!("{name}: say here what changing {field} means"));
                }
            }
        }
    }
    let unserved = expected.iter().chain(open.keys()).filter(|name| !served.contains_key(**name));
    wrong.extend(unserved.map(|name| format!("{name} is expected and not served")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each role × each operation on one record × own or another's × the contact lives or is deleted.
#[sqlx::test]
async fn every_operation_on_a_record_reaches_as_far_as_the_table_says(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut wrong = Vec::new();
    for (column, role) in ROLES.into_iter().enumerate() {
        let (me, other) = (stage.api.login(role).await, stage.api.login(role).await);
        for name in operations(&stage).await.keys().filter(|name| name.contains("{id}")) {
            let (method, path) = name.split_once(' ').unwrap();
            let kind = kind_of(name);
            let Some(reach) = reach(OPERATIONS, name, column) else { continue };
            for (own, contact_lives) in [(true, true), (false, true), (true, false), (false, false)] {
                let belongs = matches!(kind, "interactions" | "assessments");
                if !contact_lives && !belongs {
                    continue;
                }
                // A user is changed for good, so each cell has one of its own.
                let mine = if kind == "users" { stage.api.login(role).await } else { me.clone() };
                let theirs = if kind == "users" { stage.api.login(role).await } else { other.clone() };
                let owner = if own { &mine } else { &theirs };
                let (id, contact) = stage.seed(kind, owner).await;
                let target = Target { kind, id, me: mine.user, third: stage.direction.user };
                let before = stage.verbs(&mine, &target).await;
                if path.ends_with("/restore") {
                    let remover = if kind == "interactions" { owner } else { &stage.direction };
                    // Whom the table does not let delete an interaction cannot have deleted one to be restored.
                    if reach != Never {
                        stage.delete(kind, &target.id, remover).await;
                    }
                }
                if !contact_lives {
                    stage.delete("contacts", contact.as_ref().unwrap(), &stage.direction).await;
                }
                let body = match (method, path.ends_with("/restore") || path.ends_with("/erasure")) {
                    ("PATCH", _) => Some(json!({})),
                    _ => None,
                };
                let tag = if matches!(method, "PATCH" | "DELETE") { Some("1") } else { None };
                let path = path.replace("{id}", &target.id);
                let got = stage.send(&mine, method, &path, tag, body.as_ref()).await;
                let allowed = reach == All || (reach == Own && own);
                let fits = match (allowed, contact_lives) {
                    (true, true) => (200..300).contains(&got.status),
                    // What belongs to a deleted contact is not there for anybody.
                    (true, false) => got.status == 404,
                    (false, _) => [403, 404].contains(&got.status),
                };
                let cell = format!("{role:?} {name} own={own} contact_lives={contact_lives}");
                if !fits {
                    wrong.push(format!("{cell}: {} {}", got.status, got.body));
                }
                let after = stage.verbs(&mine, &target).await;
                let gained: Vec<_> = after.difference(&before).collect();
                if !gained.is_empty() {
                    wrong.push(format!("{cell}: gained {gained:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each role × each field of each change × own or another's. After what was allowed no verb may have been gained.
#[sqlx::test]
async fn no_allowed_change_of_any_field_gains_the_caller_a_verb_on_the_record(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let served = operations(&stage).await;
    let mut wrong = Vec::new();
    let mut cells = 0;
    for (column, role) in ROLES.into_iter().enumerate() {
        let (me, other, third) =
            (stage.api.login(role).await, stage.api.login(role).await, stage.api.login(Role::Sales).await);
        for (name, operation) in served.iter().filter(|(name, _)| name.starts_with("PATCH")) {
            let kind = kind_of(name);
            let Some(update) = reach(OPERATIONS, name, column) else { continue };
            let assign = reach(ASSIGN, kind, column).unwrap_or(Never);
            for field in operation["fields"].as_object().unwrap().keys() {
                for own in [true, false] {
                    let mine = if kind == "users" { stage.api.login(role).await } else { me.clone() };
                    let theirs = if kind == "users" { stage.api.login(role).await } else { other.clone() };
                    let owner = if own { &mine } else { &theirs };
                    let covers = |reach: Reach| reach == All || (reach == Own && own);
                    let values: Vec<(Value, bool)> = if field == "owner_id" {
                        // Every way to move it: to me, to a colleague, to somebody of another role, and to nobody new.
                        [mine.user, theirs.user, third.user]
                            .map(|to| (json!(to), covers(update) && (to == owner.user || covers(assign))))
                            .to_vec()
                    } else {
                        sample(kind, field, &stage).map(|value| (value, covers(update))).into_iter().collect()
                    };
                    for (value, allowed) in values {
                        cells += 1;
                        let (id, _) = stage.seed(kind, owner).await;
                        let target = Target { kind, id, me: mine.user, third: third.user };
                        let before = stage.verbs(&mine, &target).await;
                        let path = format!("/{kind}/{}", target.id);
                        let patch = json!({ field.as_str(): value });
                        let got = stage.send(&mine, "PATCH", &path, Some("1"), Some(&patch)).await;
                        // One's own password is changed by `POST /auth/password`, which asks for the current one.
                        let own_password = (kind, field.as_str(), own) == ("users", "password", true);
                        let fits = match (allowed, own_password) {
                            (true, true) => got.status == 422,
                            (true, false) => got.status == 200,
                            (false, _) => [403, 404].contains(&got.status),
                        };
                        let cell =
                            format!("{role:?} {name} {field} own={own} to_me={}", value == json!(mine.user));
                        if !fits {
                            wrong.push(format!("{cell}: {} {}", got.status, got.body));
                        }
                        let after = stage.verbs(&mine, &target).await;
                        let gained: Vec<_> = after.difference(&before).collect();
                        if !gained.is_empty() {
                            wrong.push(format!("{cell}: gained {gained:?}"));
                        }
                    }
                }
            }
        }
    }
    assert!(cells > 200, "only {cells} cells were tried");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each role × each operation that makes a record × for oneself or for somebody else; and what lists show.
#[sqlx::test]
async fn what_is_made_for_another_is_the_others_and_lists_show_what_may_be_read(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let served = operations(&stage).await;
    let mut wrong = Vec::new();
    for (column, role) in ROLES.into_iter().enumerate() {
        let (me, other) = (stage.api.login(role).await, stage.api.login(role).await);
        for (name, operation) in &served {
            let (method, path) = name.split_once(' ').unwrap();
            let Some(reach) = reach(OPERATIONS, name, column) else { continue };
            if path.contains("{id}") {
                continue;
            }
            let kind = kind_of(name);
            if method == "GET" {
                let got = stage.send(&me, "GET", path, None, None).await;
                let expected = if reach == Never { 403 } else { 200 };
                if got.status != expected {
                    wrong.push(format!("{role:?} {name}: {} {}", got.status, got.body));
                }
                continue;
            }
            let owners =
                if operation["fields"].get("owner_id").is_some() { vec![&me, &other] } else { vec![&me] };
            for owner in owners {
                let own = owner.user == me.user;
                let unique = Uuid::now_v7().simple();
                let body = match kind {
                    "organisations" => json!({"name": "Exemple", "owner_id": owner.user}),
                    "contacts" => json!({"first_name": "A", "last_name": "B", "owner_id": owner.user}),
                    "interactions" => note(&stage.contact(stage.direction.user).await, owner.user),
                    "assessments" => json!({"prompt": "Bonjour"}),
                    "users" => {
                        json!({"email": format!("n{unique}@exemple.fr"), "display_name": "N", "role": "sales",
                                      "password": crate::harness::PASSWORD})
                    }
                    other => panic!("say here how {other} is made"),
                };
                let got = stage.send(&me, "POST", path, None, Some(&body)).await;
                let cell = format!("{role:?} {name} own={own}");
                let fits = match reach {
                    Never => got.status == 403,
                    Own if !own => got.status == 422,
                    Own | All => got.status == 201,
                };
                if !fits {
                    wrong.push(format!("{cell}: {} {}", got.status, got.body));
                    continue;
                }
                if got.status != 201 || matches!(kind, "assessments" | "users") {
                    continue;
                }
                // Having made it gives nobody a right: it is as if its owner had made it.
                let id = got.body["id"].as_str().unwrap().to_owned();
                let target = Target { kind, id, me: me.user, third: stage.direction.user };
                let (twin, _) = stage.seed(kind, owner).await;
                let twin = Target { id: twin, ..target.clone() };
                let (made, seeded) = (stage.verbs(&me, &target).await, stage.verbs(&me, &twin).await);
                if made != seeded || got.body["owner_id"] != json!(owner.user) {
                    wrong.push(format!("{cell}: holds {made:?} instead of {seeded:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[sqlx::test]
async fn nothing_of_a_deleted_contact_is_shown_until_it_is_restored(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let sales = stage.api.login(Role::Sales).await;
    let contact = stage.contact(sales.user).await;
    let interaction = stage.make("/interactions", &note(&contact, sales.user)).await;
    let body = json!({"prompt": "Bonjour", "contact_id": contact});
    let asked = stage.send(&sales, "POST", "/assessments", None, Some(&body)).await;
    let assessment = asked.body["id"].as_str().unwrap().to_owned();
    let shown = async |by: &Login| {
        let status = async |path: String| stage.send(by, "GET", &path, None, None).await.status;
        let listed = async |query: &str| {
            let got = stage.send(by, "GET", &format!("/interactions?count=exact{query}"), None, None).await;
            assert_eq!(StatusCode::OK, got.status);
            (got.body["data"].as_array().unwrap().len(), got.body["count"].as_i64().unwrap())
        };
        (
            status(format!("/interactions/{interaction}")).await,
            status(format!("/assessments/{assessment}")).await,
            status(format!("/contacts/{contact}/timeline")).await,
            listed("").await,
            listed(&format!("&contact_id={contact}")).await,
            listed("&q=S&sort=created_at").await,
        )
    };
    let all = (200, 200, 200, (1, 1), (1, 1), (1, 1));
    let none = (404, 404, 404, (0, 0), (0, 0), (0, 0));
    assert_eq!(shown(&sales).await, all);
    stage.delete("contacts", &contact, &sales).await;
    for by in [&sales, &stage.direction] {
        assert_eq!(shown(by).await, none);
    }
    // Nor can it be changed, deleted or brought back by itself.
    let path = format!("/interactions/{interaction}");
    let patch = json!({"subject": "Autre"});
    assert_eq!(stage.send(&sales, "PATCH", &path, Some("1"), Some(&patch)).await.status, 404);
    assert_eq!(stage.send(&sales, "DELETE", &path, Some("1"), None).await.status, 404);
    assert_eq!(stage.send(&sales, "POST", &format!("{path}/restore"), None, None).await.status, 404);
    assert_eq!(
        stage.send(&sales, "POST", &format!("/contacts/{contact}/restore"), None, None).await.status,
        200
    );
    assert_eq!(shown(&sales).await, all);
}

/// No role reads only some contacts today; the day one does, what belongs to the others is hidden from it.
#[sqlx::test]
async fn what_belongs_to_a_contact_that_may_not_be_read_is_not_seen(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let sales = stage.api.login(Role::Sales).await;
    let contact = stage.contact(stage.direction.user).await;
    let interaction: Uuid = stage.make("/interactions", &note(&contact, sales.user)).await.parse().unwrap();
    let body = json!({"prompt": "Bonjour", "contact_id": contact});
    let asked = stage.send(&sales, "POST", "/assessments", None, Some(&body)).await;
    let assessment: Uuid = asked.body["id"].as_str().unwrap().parse().unwrap();
    let database = &stage.api.database;
    for (contacts, seen) in [(Visibility::Owner(stage.direction.user), 1), (Visibility::Owner(sales.user), 0)]
    {
        let visible = Sight { records: Visibility::Owner(sales.user), contacts };
        let found: Option<Interaction> =
            Records::find(database, interaction, visible, Life::Live).await.unwrap();
        assert_eq!(usize::from(found.is_some()), seen);
        let found = Assessments::find(database, assessment, visible).await.unwrap();
        assert_eq!(usize::from(found.is_some()), seen);
        let filter = InteractionFilter::default();
        let sort = Interaction::DEFAULT_SORT;
        let query = ListQuery { filter: &filter, visible, sort, after: None, limit: 10, count: true };
        let page: Page<Interaction> = Records::list(database, &query).await.unwrap();
        assert_eq!((page.records.len(), page.count), (seen, i64::try_from(seen).ok()));
    }
}

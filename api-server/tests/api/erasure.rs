//! Erasure: what is erased is in no table, at once or after its time, by several replicas, with the engine away, and
//! while others write.

use std::process::Command;

use novacrm_api_domain::user::Role;
use novacrm_api_server::services::erasure::{self, Rules};
use novacrm_api_server::services::ports::{Erased, Erasure as _};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use time::Duration;
use uuid::Uuid;

use crate::harness::{Answer, Api, Login, Mood, call};

const RULES: Rules = Rules { deleted: Duration::days(30), assessments: Duration::days(365) };

async fn run(api: &Api) -> Erased {
    erasure::run(&api.database, api.services.clock.now(), RULES).await.unwrap()
}

/// Every row of every table, each column as text; bytes are hexadecimal digits in it.
async fn dump(pool: &PgPool, but: &[&str]) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() >= 9, "{tables:?}");
    let mut text = String::new();
    for table in tables.iter().filter(|table| !but.contains(&table.as_str())) {
        let query = format!("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(pool).await.unwrap();
        text.push_str(&rows.to_lowercase());
    }
    text
}

/// Whether a value stands in a dump: as it is, or as the bytes of its text.
fn holds(dump: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    dump.contains(&value) || dump.contains(&hex::encode(&value))
}

async fn count(pool: &PgPool, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {from}"))).fetch_one(pool).await.unwrap()
}

async fn delete(api: &Api, by: &Login, path: &str, version: u32) {
    call("DELETE", path).by(by).header("if-match", &format!("\"{version}\"")).send(api).await.ok(204);
}

async fn erase(api: &Api, by: &Login, path: &str) -> Answer {
    call("POST", &format!("{path}/erasure")).by(by).send(api).await
}

async fn post(api: &Api, by: &Login, path: &str, key: &str, body: &Value) -> Answer {
    call("POST", path).by(by).header("idempotency-key", key).json(body).send(api).await
}

fn note(contact: &str, text: &str) -> Value {
    json!({"contact_id": contact, "kind": "note", "direction": "internal", "subject": text, "body": text,
           "occurred_at": "2026-01-01T00:00:00Z"})
}

/// A contact with everything that can hang on it, full of a word, in requests that may be repeated.
async fn fill(api: &Api, by: &Login, word: &str) -> (String, Value) {
    let organisation =
        post(api, by, "/organisations", &format!("{word}-o"), &json!({"name": "Commune"})).await.ok(201);
    let body = json!({"first_name": word, "last_name": word, "email": format!("{word}@exemple.fr"), "job_title": word,
                      "organisation_id": organisation.id()});
    let contact = post(api, by, "/contacts", word, &body).await.ok(201).id();
    for number in 0..3 {
        let made =
            post(api, by, "/interactions", &format!("{word}-{number}"), &note(&contact, word)).await.ok(201);
        if number == 0 {
            delete(api, by, &format!("/interactions/{}", made.id()), 1).await;
            let restore = call("POST", &format!("/interactions/{}/restore", made.id())).by(by);
            restore.header("idempotency-key", word).send(api).await.ok(200);
        } else if number == 1 {
            delete(api, by, &format!("/interactions/{}", made.id()), 1).await;
        }
    }
    let asked = json!({"prompt": format!("Écris à {word}"), "contact_id": contact});
    post(api, by, "/assessments", word, &asked).await.ok(201);
    (contact, body)
}

#[sqlx::test]
async fn an_erased_contact_stands_in_no_table_and_another_stays_whole(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, compliance) = (api.login(Role::Sales).await, api.login(Role::Compliance).await);
    let words = [(); 2].map(|()| format!("canari{}", Uuid::new_v4().simple()));
    let (gone, body) = fill(&api, &sales, &words[0]).await;
    let (stays, _) = fill(&api, &sales, &words[1]).await;
    let before = dump(&pool, &[]).await;
    assert!(
        words.iter().chain([&gone, &stays]).all(|value| holds(&before, value)),
        "the search finds what is there"
    );
    assert_eq!(count(&pool, "idempotency").await, 14);

    let path = format!("/contacts/{gone}");
    assert_eq!(erase(&api, &sales, &path).await.problem(403), "forbidden");
    let erased = erase(&api, &compliance, &path).await.ok(204);
    assert_eq!((erased.text.as_str(), erased.header("content-type")), ("", ""));
    let after = dump(&pool, &["subject_erasures"]).await;
    assert!(!holds(&after, &words[0]), "the person's data is still there");
    assert!(!holds(&after, &gone), "something still names the contact");
    assert!(holds(&after, &words[1]) && holds(&after, &stays), "somebody else's data is gone");
    // Sealed replies cannot be searched, so they are counted: of the first contact's seven, that of its organisation
    // stays.
    assert_eq!(count(&pool, "idempotency").await, 8);
    assert_eq!((count(&pool, "interactions").await, count(&pool, "contacts").await), (3, 1));
    // The verdict stays, and names nobody.
    assert_eq!(
        (count(&pool, "assessments").await, count(&pool, "assessments WHERE contact_id IS NULL").await),
        (2, 1)
    );

    for path in [path.clone(), format!("{path}/timeline")] {
        assert_eq!(call("GET", &path).by(&compliance).send(&api).await.problem(404), "not_found");
    }
    assert_eq!(
        call("POST", &format!("{path}/restore")).by(&sales).send(&api).await.problem(404),
        "not_found"
    );
    assert_eq!(erase(&api, &compliance, &path).await.problem(404), "not_found");
    let again = post(&api, &sales, "/contacts", &words[0], &body).await.ok(201);
    assert_eq!(again.header("idempotency-replayed"), "", "the reply of before is not given again");
    assert_ne!(again.id(), gone);

    // The engine is told at once, in steps; and once more when nothing that began before can still be recorded.
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 1);
    assert_eq!(count(&pool, "subject_erasures").await, 1);
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 0);
    api.clock.forward(erasure::SETTLED);
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 1);
    assert_eq!(count(&pool, "subject_erasures").await, 0);
    let told = api.engine.state.erasures.lock().unwrap().clone();
    assert!(told.iter().all(|request| request.subjects == [gone.clone()]));
    let steps: Vec<_> = told.iter().map(|request| request.after).collect();
    assert_eq!(steps, [None, Some(1000), None, Some(1000)]);
    assert!(!holds(&dump(&pool, &[]).await, &gone), "something still names the contact");
}

#[sqlx::test]
async fn a_repeated_erasure_is_answered_alike_and_is_the_only_trace_of_itself(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, direction) = (api.login(Role::Sales).await, api.login(Role::Direction).await);
    let contact = api.contact(&sales, "Martin").await.id();
    let erase = || {
        call("POST", &format!("/contacts/{contact}/erasure"))
            .by(&direction)
            .header("idempotency-key", "une fois")
    };
    assert_eq!(erase().send(&api).await.ok(204).header("idempotency-replayed"), "");
    assert_eq!(erase().send(&api).await.ok(204).header("idempotency-replayed"), "true");
    assert!(!holds(&dump(&pool, &["subject_erasures"]).await, &contact));
}

#[sqlx::test]
async fn an_erased_organisation_is_named_by_none_of_its_contacts(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, direction) = (api.login(Role::Sales).await, api.login(Role::Direction).await);
    let word = format!("canari{}", Uuid::new_v4().simple());
    let body = json!({"name": word, "domain": format!("{word}.example")});
    let organisation = post(&api, &sales, "/organisations", "o", &body).await.ok(201).id();
    let contact = json!({"first_name": "A", "last_name": "B", "organisation_id": organisation});
    let contact = post(&api, &sales, "/contacts", "c", &contact).await.ok(201).id();
    erase(&api, &direction, &format!("/organisations/{organisation}")).await.ok(204);
    let after = dump(&pool, &[]).await;
    assert!(!holds(&after, &word) && !holds(&after, &organisation));
    assert_eq!(count(&pool, "idempotency").await, 0, "both replies showed its name");
    let read = call("GET", &format!("/contacts/{contact}")).by(&sales).send(&api).await.ok(200);
    assert_eq!((&read.json()["organisation_id"], read.header("etag")), (&Value::Null, "\"2\""));
}

#[sqlx::test]
async fn an_engine_that_is_away_delays_its_own_part_and_nothing_else(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, direction) = (api.login(Role::Sales).await, api.login(Role::Direction).await);
    let contact = api.contact(&sales, "Martin").await.id();
    api.engine.state.set(Mood::Unready);
    erase(&api, &direction, &format!("/contacts/{contact}")).await.ok(204);
    assert_eq!(count(&pool, "contacts").await, 0);
    erasure::forget(&api.services).await.unwrap_err();
    assert_eq!(api.database.subjects_waiting().await.unwrap(), 1);
    api.engine.state.set(Mood::Answers);
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 0, "another replica may be at it");
    api.clock.forward(Duration::minutes(3));
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 1);
    api.clock.forward(Duration::minutes(3));
    assert_eq!(erasure::forget(&api.services).await.unwrap(), 1);
    assert_eq!(api.database.subjects_waiting().await.unwrap(), 0);
}

#[sqlx::test]
async fn what_was_deleted_can_be_restored_for_its_time_and_is_erased_after_it(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let ids: Vec<String> = {
        let mut ids = Vec::new();
        for name in ["Rendu", "Effacé", "Vivant"] {
            ids.push(api.contact(&sales, name).await.id());
        }
        ids
    };
    let organisation = call("POST", "/organisations").by(&sales).json(&json!({"name": "Exemple"}));
    let organisation = organisation.send(&api).await.ok(201).id();
    let mut notes = Vec::new();
    for id in &ids {
        let made = call("POST", "/interactions").by(&sales).json(&note(id, "Point")).send(&api).await.ok(201);
        notes.push(made.id());
    }
    let second =
        call("POST", "/interactions").by(&sales).json(&note(&ids[2], "Autre")).send(&api).await.ok(201);
    delete(&api, &sales, &format!("/contacts/{}", ids[0]), 1).await;
    delete(&api, &sales, &format!("/contacts/{}", ids[1]), 1).await;
    delete(&api, &sales, &format!("/organisations/{organisation}"), 1).await;
    delete(&api, &sales, &format!("/interactions/{}", notes[2]), 1).await;
    // The job runs on; sessions end meanwhile, so each step has one of its own.
    api.clock.forward(Duration::days(29));
    assert_eq!(run(&api).await, Erased::default());
    let sales = api.session(sales.user, Role::Sales, sales.email).await;
    call("POST", &format!("/contacts/{}/restore", ids[0])).by(&sales).send(&api).await.ok(200);
    api.clock.forward(Duration::days(2));
    let expected = Erased { contacts: 1, organisations: 1, interactions: 2, assessments: 0 };
    assert_eq!(run(&api).await, expected);
    assert_eq!(run(&api).await, Erased::default());
    let sales = api.session(sales.user, Role::Sales, sales.email).await;
    let status = async |path: String| call("GET", &path).by(&sales).send(&api).await.status.as_u16();
    assert_eq!(status(format!("/contacts/{}", ids[0])).await, 200);
    assert_eq!(status(format!("/contacts/{}", ids[2])).await, 200);
    assert_eq!(status(format!("/interactions/{}", notes[0])).await, 200);
    assert_eq!(status(format!("/interactions/{}", second.id())).await, 200);
    assert_eq!((count(&pool, "contacts").await, count(&pool, "interactions").await), (2, 2));
    assert_eq!(count(&pool, "organisations").await, 0);
}

#[sqlx::test]
async fn verdicts_are_removed_after_their_time(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    post(&api, &sales, "/assessments", "a", &json!({"prompt": "Bonjour"})).await.ok(201);
    api.clock.forward(Duration::days(200));
    let sales = api.session(sales.user, Role::Sales, sales.email).await;
    let newer = post(&api, &sales, "/assessments", "b", &json!({"prompt": "Bonsoir"})).await.ok(201).id();
    assert_eq!(run(&api).await, Erased::default());
    api.clock.forward(Duration::days(166));
    assert_eq!(run(&api).await, Erased { assessments: 1, ..Erased::default() });
    let left: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM assessments").fetch_all(&pool).await.unwrap();
    assert_eq!(left, [newer.parse::<Uuid>().unwrap()]);
}

#[sqlx::test]
async fn replicas_erase_each_record_once_and_wait_for_nobodys_lock(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let first = api.contact(&sales, "Premier").await.id();
    let copies = "INSERT INTO contacts (id, first_name, last_name, search, sort, locale, do_not_contact, owner_id,
            version, created_at, created_by, updated_at, updated_by)
        SELECT gen_random_uuid(), first_name, last_name, search, sort, locale, do_not_contact, owner_id, version,
            created_at, created_by, updated_at, updated_by FROM contacts, generate_series(1, 400)";
    sqlx::query(copies).execute(&pool).await.unwrap();
    sqlx::query("UPDATE contacts SET deleted_at = updated_at").execute(&pool).await.unwrap();
    api.clock.forward(Duration::days(31));
    let mut held = pool.begin().await.unwrap();
    let id: Uuid = first.parse().unwrap();
    sqlx::query("SELECT FROM contacts WHERE id = $1 FOR UPDATE").bind(id).execute(&mut *held).await.unwrap();
    let (one, two, three, four) = tokio::join!(run(&api), run(&api), run(&api), run(&api));
    let erased = [one, two, three, four].map(|erased| erased.contacts).iter().sum::<u64>();
    assert_eq!((erased, count(&pool, "contacts").await), (400, 1));
    held.rollback().await.unwrap();
    assert_eq!(run(&api).await.contacts, 1);
    assert_eq!(count(&pool, "subject_erasures").await, 401);
}

#[sqlx::test]
async fn what_is_added_while_a_contact_is_erased_does_not_outlive_it(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, direction) = (api.login(Role::Sales).await, api.login(Role::Direction).await);
    for round in 0..5 {
        let contact = api.contact(&sales, "Martin").await.id();
        let path = format!("/contacts/{contact}");
        let key = |number: usize| format!("{round}-{number}");
        let mut requests = Vec::new();
        for number in 0..8 {
            let add = call("POST", "/interactions").by(&sales).header("idempotency-key", &key(number));
            requests.push(add.json(&note(&contact, "Point")));
            let ask = call("POST", "/assessments").by(&sales).header("idempotency-key", &key(number));
            requests.push(ask.json(&json!({"prompt": "Bonjour", "contact_id": contact})));
            let change = call("PATCH", &path).by(&sales).header("if-match", "\"1\"");
            requests.push(change.json(&json!({"job_title": format!("{number}")})));
            let restore = call("POST", &format!("{path}/restore")).by(&sales);
            requests.push(restore.header("idempotency-key", &key(number)));
            if number == 4 {
                requests.push(call("POST", &format!("{path}/erasure")).by(&direction));
            }
        }
        let running: Vec<_> =
            requests.into_iter().map(|request| tokio::spawn(request.send_to(api.router.clone()))).collect();
        for answer in running {
            let status = answer.await.unwrap().status.as_u16();
            // 429: one user has only so many assessments at a time.
            assert!([200, 201, 204, 404, 409, 412, 422, 429].contains(&status), "{status}");
        }
        assert_eq!(call("GET", &path).by(&sales).send(&api).await.problem(404), "not_found");
        assert!(!holds(&dump(&pool, &["subject_erasures"]).await, &contact), "round {round}");
    }
    assert_eq!((count(&pool, "contacts").await, count(&pool, "interactions").await), (0, 0));
    let shown = "idempotency WHERE reply IS NOT NULL AND subjects <> '{}'";
    let stray: Vec<Vec<Uuid>> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT subjects FROM {shown}")))
        .fetch_all(&pool)
        .await
        .unwrap();
    assert!(stray.is_empty(), "{stray:?}");
}

#[sqlx::test]
async fn replies_of_an_earlier_release_are_removed_with_the_first_erasure(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let (sales, direction) = (api.login(Role::Sales).await, api.login(Role::Direction).await);
    let body = json!({"first_name": "Zoé", "last_name": "Martin"});
    let contact = post(&api, &sales, "/contacts", "a", &body).await.ok(201).id();
    post(&api, &sales, "/contacts", "b", &body).await.ok(201);
    sqlx::query("UPDATE idempotency SET subjects = NULL").execute(&pool).await.unwrap();
    erase(&api, &direction, &format!("/contacts/{contact}")).await.ok(204);
    assert_eq!(count(&pool, "idempotency").await, 0);
}

#[sqlx::test]
async fn the_command_erases_what_is_due_and_says_what_it_did(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let sales = api.login(Role::Sales).await;
    let contact = api.contact(&sales, "Martin").await.id();
    delete(&api, &sales, &format!("/contacts/{contact}"), 1).await;
    let purge = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novacrm-api-server"));
        command.arg("purge").args(arguments).env_remove("NOVACRM_ERASURE_AFTER_DAYS");
        command.env("NOVACRM_DATABASE_URL", pool.connect_options().to_url_lossy().as_str());
        command.output().unwrap()
    };
    let output = purge(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(count(&pool, "contacts").await, 1, "thirty days have not passed");
    let output = purge(&["--erasure-after-days", "0"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Erased: 1 contacts, 0 organisations, 0 interactions."), "{said}");
    assert!(said.contains("The engine has yet to forget 1 people."), "{said}");
    assert_eq!(count(&pool, "contacts").await, 0);
    assert!(!purge(&["--assessment-retention-days", "0"]).status.success());
}

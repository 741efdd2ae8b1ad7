//! What the README tells a newcomer to do, done: start, log in, write a prompt, change a policy, break one, verify
//! the audit log, damage it, stop, start again.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use novacrm_tests::system::{Api, Options, PATIENCE, System, french_prompt, programs, repository};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[path = "common/scenario.rs"]
mod scenario;

use scenario::{rules, tighten};

fn options() -> Options {
    Options { programs: programs(), unprivileged: true, front_end: true, scratch: None }
}

/// Asks again until the answer is the wanted one.
async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn policy_status<'a>(status: &'a Value, name: &str) -> &'a Value {
    let objects = status.as_array().or_else(|| status["items"].as_array()).unwrap();
    objects.iter().find(|object| object["metadata"]["name"] == name).map(|object| &object["status"]).unwrap()
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    status["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == kind))
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_newcomer_gets_what_the_readme_promises() {
    let mut system = System::start(options()).await.unwrap();
    let api = system.log_in().await.unwrap();

    // The password that `up` printed may stay.
    let password = system.secret("acme-admin", "password").unwrap();
    let (status, session) = api
        .post("/auth/login", &json!({ "email": "admin@acme.example", "password": password }))
        .await
        .unwrap();
    assert_eq!((status, &session["password_change_required"]), (StatusCode::OK, &json!(false)));

    // Contacts are there, and one can be opened.
    let (status, contacts) = api.get("/contacts?limit=5").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{contacts}");
    let contact = contacts["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&format!("/contacts/{contact}")).await.unwrap().0, StatusCode::OK);

    // A prompt in French with a NIR, an IBAN and a GitHub token: verdict, rules, reasons, and what may leave.
    let prompt = french_prompt();
    let body = json!({ "prompt": prompt, "contact_id": contact, "use_case": "sales-drafting" });
    let (status, verdict) = api.post("/assessments", &body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{verdict}");
    let types: Vec<_> =
        verdict["findings"].as_array().unwrap().iter().map(|finding| &finding["type"]).collect();
    for wanted in ["NIR_FR", "IBAN", "SECRET_GITHUB_TOKEN"] {
        assert!(types.iter().any(|kind| *kind == wanted), "{wanted} not among {types:?}");
    }
    let output = verdict["output"].as_str().expect("a text that may leave");
    for secret in ["2 85 05 78 006 084", "3000 6000 0112", "ghp_a1B2"] {
        assert!(prompt.contains(secret) && !output.contains(secret), "{output}");
    }
    assert!(!rules(&verdict).is_empty());
    assert!(verdict["explanation"]["fr"].as_str().unwrap().len() > 40);
    assert!(verdict["explanation"]["en"].as_str().unwrap().len() > 40);

    // It stands on the customer's timeline, without the text.
    let (_, timeline) = api.get(&format!("/contacts/{contact}/timeline")).await.unwrap();
    assert_eq!(timeline["data"][0]["kind"], "assessment", "{timeline}");
    assert!(!timeline.to_string().contains("relance"), "the prompt was kept");

    a_saved_policy_decides_the_next_prompt(&system, &api).await;
    a_broken_policy_changes_nothing_and_is_explained(&system, &api).await;
    the_audit_log_verifies_and_names_what_was_changed(&system).await;

    // Ctrl-C ends everything; the next start still has the data.
    system.stop().await.unwrap();
    for program in ["novacrm-engine", "novacrm-api-server", "postgres"] {
        assert_eq!(system.processes(program), Vec::<i32>::new(), "{program} is still there");
    }
    system.up().await.unwrap();
    let api = system.log_in().await.unwrap();
    let (status, _) = api.get(&format!("/contacts/{contact}")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

async fn a_saved_policy_decides_the_next_prompt(system: &System, api: &Api) {
    let file = system.manifests().join("policies/acme-customer-data.yaml");
    let before = std::fs::read_to_string(&file).unwrap();
    let (_, verdict) = api.assess("IBAN FR76 3000 6000 0112 3456 7890 189").await.unwrap();
    assert_eq!(verdict["action"], "mask", "{verdict}");
    let sequence = verdict["bundle"]["sequence"].as_u64().unwrap();

    let after = tighten(&serde_yaml::from_str(&before).unwrap());
    replace(&file, &serde_yaml::to_string(&after).unwrap());
    let verdict = until("the new version decides", || async {
        let (_, verdict) = api.assess("IBAN FR76 3000 6000 0112 3456 7890 189").await.unwrap();
        (verdict["bundle"]["sequence"].as_u64()? > sequence).then_some(verdict)
    })
    .await;
    assert_eq!(verdict["action"], "redact", "{verdict}");
    assert!(verdict["output"].as_str().unwrap().contains("[IBAN]"), "{verdict}");
    until("the status says that the new version is enforced", || async {
        let status = system.status().unwrap();
        let policy = policy_status(&status, "acme-customer-data");
        (condition(policy, "Ready")["status"] == "True" && policy["active"]["version"] == "99.0.0")
            .then_some(())
    })
    .await;
}

/// As an editor saves: a new file in the place of the old one.
fn replace(file: &Path, content: &str) {
    let beside = file.with_extension("yaml.new~");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

async fn a_broken_policy_changes_nothing_and_is_explained(system: &System, api: &Api) {
    let file = system.manifests().join("policies/acme-customer-data.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    replace(
        &file,
        &good.replace("version: 99.0.0", "version: 99.0.1").replace("type: redact", "type: redacted"),
    );
    let problem = until("the status explains the broken policy", || async {
        let status = system.status().unwrap();
        let policy = policy_status(&status, "acme-customer-data");
        policy["problems"]
            .as_array()
            .filter(|problems| !problems.is_empty())
            .map(|problems| problems[0].clone())
    })
    .await;
    assert!(problem["path"].as_str().unwrap().contains("action.type"), "{problem}");
    assert!(problem["file"].as_str().unwrap().ends_with("acme-customer-data.yaml"), "{problem}");
    assert!(problem["line"].as_u64().unwrap() > 1, "{problem}");
    assert!(!problem["hint"].as_str().unwrap().is_empty(), "{problem}");
    until("the terminal explains the broken policy", || async {
        system.said().contains("action.type").then_some(())
    })
    .await;

    let (_, verdict) = api.assess("IBAN FR76 3000 6000 0112 3456 7890 189").await.unwrap();
    assert_eq!(verdict["action"], "redact", "the last good version must go on: {verdict}");
    let policies = verdict["bundle"]["policies"].to_string();
    assert!(policies.contains("99.0.0") && !policies.contains("99.0.1"), "{policies}");

    replace(&file, &good);
    until("the status is well again", || async {
        let status = system.status().unwrap();
        let policy = policy_status(&status, "acme-customer-data");
        (condition(policy, "Ready")["status"] == "True").then_some(())
    })
    .await;
}

async fn the_audit_log_verifies_and_names_what_was_changed(system: &System) {
    // Records get their place in the log shortly after they are written.
    until("the audit log verifies", || async {
        system.audit(&["verify"]).unwrap().status.success().then_some(())
    })
    .await;

    let export = system.scratch().join("export");
    let target = export.to_str().unwrap();
    let output = system.audit(&["export", "--to", target]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = system.data().join("secrets/acme/novacrm-engine-keys/audit-public.key");
    let verify = |folder: &str| {
        system
            .audit(&["verify", "--from", folder, "--public-key", key.to_str().unwrap(), "--output", "json"])
            .unwrap()
    };
    let output = verify(target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // One byte of the export.
    let entries = find_entries(&export);
    let mut bytes = std::fs::read(&entries).unwrap();
    let place = String::from_utf8_lossy(&bytes).find("\"surface\"").unwrap() + 2;
    bytes[place] ^= 1;
    std::fs::write(&entries, &bytes).unwrap();
    let output = verify(target);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("sequence"), "the record is not named: {said}");

    // One row in the database, changed by somebody with the rights of the migrator.
    let migrator = system.secret("novacrm-database", "audit-migration-url").unwrap();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&migrator).await.unwrap();
    let changed = sqlx::query(
        "UPDATE audit_record SET body = convert_to(replace(convert_from(body, 'UTF8'), '\"surface\"', '\"surfacf\"'), 'UTF8') \
         WHERE n = (SELECT min(n) FROM audit_record)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let output = system.audit(&["verify", "--output", "json"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sequence"), "the record is not named: {said}");
}

fn find_entries(export: &Path) -> std::path::PathBuf {
    let mut open = vec![export.join("tile/entries")];
    while let Some(path) = open.pop() {
        if path.is_file() {
            return path;
        }
        open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
    }
    panic!("no entries in the export");
}

#[tokio::test]
async fn the_front_end_works_in_a_real_browser() {
    let system = System::start(options()).await.unwrap();
    let password = system.secret("acme-admin", "password").unwrap();
    let status = Command::new("npm")
        .args(["run", "--silent", "test:browser"])
        .current_dir(repository().join("frontend"))
        .env("NOVACRM_BASE_URL", system.url(""))
        .env("NOVACRM_ADMIN_EMAIL", "admin@acme.example")
        .env("NOVACRM_ADMIN_PASSWORD", password)
        .status()
        .unwrap();
    assert!(status.success(), "the browser tests failed; their report stands above");
}

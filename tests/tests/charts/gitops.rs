//! Objects in, the judgement of Argo CD and of Flux out.

use mlua::{Lua, LuaSerdeExt};
use novacrm_tests::system::{programs, repository};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::helm::documents;

#[derive(Deserialize)]
struct Case {
    name: String,
    object: Value,
    argocd: Value,
    flux: Option<String>,
}

fn cases() -> Vec<Case> {
    serde_yaml::from_str(&read("health-cases.yaml")).unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join("examples/gitops").join(path)).unwrap()
}

#[test]
fn argo_cd_judges_each_case_as_expected() {
    let script = read("argocd/health.lua");
    for case in cases() {
        // Lua 5.1, which Argo CD's interpreter speaks.
        let lua = Lua::new();
        lua.globals().set("obj", lua.to_value(&case.object).unwrap()).unwrap();
        let health: mlua::Value = lua.load(&script).eval().unwrap();
        assert_eq!(lua.from_value::<Value>(health).unwrap(), case.argocd, "{}", case.name);
    }
}

#[test]
fn flux_judges_each_case_as_expected() {
    let kustomization = &documents(&read("flux/tenants.yaml"))[0];
    let checks = kustomization["spec"]["healthCheckExprs"].as_array().unwrap();
    let kinds: Vec<_> = checks.iter().map(|check| &check["kind"]).collect();
    assert_eq!(kinds, ["CompliancePolicy", "CrmTenant"]);
    for check in checks {
        for case in cases() {
            let Some(expected) = &case.flux else { continue };
            // Exactly one holds, or none while Flux has to wait: so the order in which it asks does not matter.
            let holds: Vec<_> = ["inProgress", "failed", "current"]
                .into_iter()
                .filter(|name| holds(&check[name], &case.object))
                .collect();
            let wanted: Vec<&str> = if expected == "waiting" { Vec::new() } else { vec![expected] };
            assert_eq!(holds, wanted, "{}: {}", check["kind"], case.name);
        }
    }
}

fn holds(expression: &Value, object: &Value) -> bool {
    let mut context = cel::Context::default();
    // Flux gives every top-level field of the object; its objects have a status at the latest by the definition's default.
    for field in ["apiVersion", "kind", "metadata", "spec", "status"] {
        context.add_variable(field, object.get(field).cloned().unwrap_or_else(|| json!({}))).unwrap();
    }
    let program = cel::Program::compile(expression.as_str().unwrap()).unwrap();
    match program.execute(&context).unwrap() {
        cel::Value::Bool(holds) => holds,
        other => panic!("{expression} is {other:?}"),
    }
}

/// What the examples name is what the charts are called.
#[test]
fn the_examples_lead_to_the_charts_in_order() {
    let applications = documents(&read("argocd/applications.yaml"));
    let wave = |application: &Value| {
        application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
            .as_str()
            .unwrap()
            .parse::<i32>()
            .unwrap()
    };
    let waves: Vec<_> = applications.iter().map(wave).collect();
    assert_eq!(waves, [-5, 0, 5]);
    let mut charts: Vec<_> = applications
        .iter()
        .filter_map(|application| application["spec"]["source"]["path"].as_str())
        .collect();
    charts.truncate(2);
    let releases = documents(&read("flux/releases.yaml"));
    let flux = releases.iter().map(|release| release["spec"]["chart"]["spec"]["chart"].as_str().unwrap());
    assert_eq!(charts, flux.collect::<Vec<_>>());
    for chart in charts {
        assert!(repository().join(chart).join("Chart.yaml").exists(), "{chart}");
    }
    assert_eq!(releases[1]["spec"]["dependsOn"], json!([{ "name": releases[0]["metadata"]["name"] }]));
}

/// What the example tells a CI to run, run: on a change that tightens a policy.
#[test]
fn the_pull_request_workflow_sums_up_a_change() {
    let workflow: Value = serde_yaml::from_str(&read("pull-request.yaml")).unwrap();
    let steps = workflow["jobs"]["review"]["steps"].as_array().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("repository");
    let policies = work.join("policies");
    std::fs::create_dir_all(&policies).unwrap();
    let example = repository().join("examples/quickstart/policies/acme-customer-data.yaml");
    let policy = std::fs::read_to_string(example).unwrap();
    let run = |command: &str, variables: &[(&str, &str)]| {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(&work)
            .env("PATH", path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let file = policies.join("acme.yaml");
    std::fs::write(&file, &policy).unwrap();
    let identity = "-c user.name=Platform -c user.email=platform@example.org";
    run(&format!("git init -q && git add . && git {identity} commit -qm Begin"), &[]);
    let base = run("git rev-parse HEAD", &[]).trim().to_owned();
    let changed = policy
        .replace("version: 1.0.0", "version: 1.1.0")
        .replace("pii.phone, minScore: 0.5", "pii.phone, minScore: 0.4");
    std::fs::write(&file, changed).unwrap();
    run(&format!("git {identity} commit -qam Change"), &[]);
    for name in ["Lint", "Test", "Compare"] {
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        run(step["run"].as_str().unwrap(), &[("BASE", &base)]);
    }
    let summary = std::fs::read_to_string(work.join("summary.md")).unwrap();
    for wanted in
        ["acme/acme-customer-data 1.0.0 → 1.1.0", "| plus strict | `spec.detectors[pii.phone].minScore`"]
    {
        assert!(summary.contains(wanted), "{wanted}: {summary}");
    }
}

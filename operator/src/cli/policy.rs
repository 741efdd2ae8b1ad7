//! `policy history` and `policy rollback`: what the cluster remembers of a policy in, a table or a manifest for git out.

use comfy_table::presets::NOTHING;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::ResourceExt;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};
use novacrm_crds::conditions::{BREAK_GLASS_ANNOTATION, REASON_BREAK_GLASS};
use novacrm_crds::{CompliancePolicy, DEFAULT_POLICY_NAMESPACE};
use novacrm_service::error::chain;

use super::{Args, DONE, FAILED, Failure, IN_THE_WAY, Output, REFUSED, Subcommand, print};
use crate::cluster::history::{self, Revision};
use crate::compliance_policy::rollback;

/// Field manager of a rollback that was applied past git.
const MANAGER: &str = "novacrm-operator/break-glass";

const HISTORY_EXAMPLES: &str = "Examples:
  novacrm-operator policy history organisation-baseline
  novacrm-operator policy history acme-customer-data -n acme -o json";

const ROLLBACK_EXAMPLES: &str = "Examples:
  # The normal way: a new version with the former content, for a pull request
  novacrm-operator policy rollback organisation-baseline --to 1.2.0 > policies/organisation-baseline.yaml
  # Break glass: apply it at once; git must follow
  novacrm-operator policy rollback organisation-baseline --to 1.2.0 --apply --reason 'incident 4711'";

/// Commands about policies of a cluster.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Show the accepted revisions of a policy, newest first
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Print a former revision as a new version, for git
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
}

#[derive(Debug, Args)]
struct PolicyArgs {
    /// Name of the policy
    name: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAME", default_value = DEFAULT_POLICY_NAMESPACE)]
    namespace: String,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Version to go back to, as `policy history` shows it
    #[arg(long, value_name = "VERSION")]
    to: String,
    /// Break glass: apply it to the cluster now; recorded by an Event and a condition
    #[arg(long, requires = "reason")]
    apply: bool,
    /// Why; becomes part of the changelog
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs one of the commands against the cluster of the current context.
pub(super) fn run(command: PolicyCommand) -> Result<u8, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(FAILED, chain(error));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    novacrm_service::tls::install_provider();
    runtime.block_on(async {
        let client = Client::try_default().await.map_err(|error| {
            Failure::new(IN_THE_WAY, format!("there is no cluster to ask: {}", chain(&error)))
        })?;
        match command {
            PolicyCommand::History(args) => history(client, &args).await,
            PolicyCommand::Rollback(args) => roll_back(client, &args).await,
        }
    })
}

/// The policy and its revisions, newest first.
async fn look(client: &Client, args: &PolicyArgs) -> Result<(CompliancePolicy, Vec<Revision>), Failure> {
    let failed = |error: kube::Error| Failure::new(FAILED, chain(&error));
    let policies: Api<CompliancePolicy> = Api::namespaced(client.clone(), &args.namespace);
    let policy = policies.get_opt(&args.name).await.map_err(failed)?.ok_or_else(|| {
        Failure::new(IN_THE_WAY, format!("there is no CompliancePolicy {}/{}", args.namespace, args.name))
    })?;
    let revisions: Api<ControllerRevision> = Api::namespaced(client.clone(), &args.namespace);
    let selection = ListParams::default().labels(history::SELECTOR);
    let found = revisions.list(&selection).await.map_err(failed)?;
    let uid = policy.uid().unwrap_or_default();
    let mut known: Vec<Revision> = found
        .iter()
        .filter(|revision| history::belongs_to(revision, &uid))
        .filter_map(Revision::read)
        .collect();
    known.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    Ok((policy, known))
}

async fn history(client: Client, args: &HistoryArgs) -> Result<u8, Failure> {
    let (policy, known) = look(&client, &args.policy).await?;
    let active = policy.status.and_then(|status| status.active).map(|active| active.version);
    if args.output == Output::Json {
        let list: Vec<serde_json::Value> = known
            .iter()
            .map(|revision| {
                serde_json::json!({
                    "revision": revision.number,
                    "version": revision.spec.version,
                    "accepted_at": revision.accepted_at,
                    "changelog": revision.spec.changelog,
                    "in_force": Some(&revision.spec.version) == active.as_ref(),
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&list).map_err(|error| Failure::new(FAILED, error))?;
        return print(&(text + "\n"));
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(NOTHING);
    table.set_header(["REVISION", "VERSION", "IN FORCE", "ACCEPTED", "CHANGELOG"]);
    for revision in &known {
        let in_force = if Some(&revision.spec.version) == active.as_ref() { "yes" } else { "" };
        table.add_row([
            revision.number.to_string(),
            revision.spec.version.clone(),
            in_force.to_owned(),
            revision.accepted_at.clone().unwrap_or_default(),
            revision.spec.changelog.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    print(&format!("{table}\n"))
}

async fn roll_back(client: Client, args: &RollbackArgs) -> Result<u8, Failure> {
    let (policy, known) = look(&client, &args.policy).await?;
    let former = known.iter().find(|revision| revision.spec.version == args.to).ok_or_else(|| {
        let versions: Vec<&str> = known.iter().map(|revision| revision.spec.version.as_str()).collect();
        Failure::new(
            IN_THE_WAY,
            format!("the cluster does not remember version {}; it has {}", args.to, versions.join(", ")),
        )
    })?;
    let made = rollback::as_new_version(&policy, &former.spec, args.reason.as_deref())
        .map_err(|problem| Failure::new(REFUSED, crate::in_words(&problem)))?;
    let manifest = serde_json::json!({
        "apiVersion": format!("{}/{}", novacrm_crds::GROUP, novacrm_crds::VERSION),
        "kind": "CompliancePolicy",
        "metadata": {
            "name": args.policy.name,
            "namespace": args.policy.namespace,
        },
        "spec": made,
    });
    if args.apply {
        break_glass(&client, args, &policy, &manifest, &made.version).await?;
    }
    let text = serde_yaml::to_string(&manifest).map_err(|error| Failure::new(FAILED, error))?;
    print(&text)?;
    Ok(DONE)
}

/// Applies a rollback past git, and says so where people look.
async fn break_glass(
    client: &Client,
    args: &RollbackArgs,
    policy: &CompliancePolicy,
    manifest: &serde_json::Value,
    version: &str,
) -> Result<(), Failure> {
    let failed = |error: kube::Error| Failure::new(FAILED, chain(&error));
    let api: Api<CompliancePolicy> = Api::namespaced(client.clone(), &args.policy.namespace);
    let mut manifest = manifest.clone();
    if let Some(metadata) = manifest.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), serde_json::json!({ BREAK_GLASS_ANNOTATION: version }));
    }
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&args.policy.name, &params, &Patch::Apply(&manifest)).await.map_err(failed)?;
    let reporter = Reporter { controller: "novacrm.io/break-glass".to_owned(), instance: None };
    let note = format!(
        "Version {version} with the content of {} was applied past git: {}",
        args.to,
        args.reason.as_deref().unwrap_or_default()
    );
    let event = Event {
        type_: EventType::Warning,
        reason: REASON_BREAK_GLASS.to_owned(),
        note: Some(note),
        action: "Rollback".to_owned(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter).publish(&event, &policy.object_ref(&())).await.map_err(|error| {
        Failure::new(FAILED, format!("it is applied, and no Event could be written: {error}"))
    })
}

//! What changed in the cluster in, which objects must be looked at out.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, PoisonError};

use kube::core::ResourceExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engines::PolicyKey;
use super::{Cluster, policy};
use crate::crm_tenant::build::referenced_secrets;
use crate::crm_tenant::names;

/// Something that changed; the key is namespace and name, the flag whether it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A `CompliancePolicy`.
    Policy((String, String), bool),
    /// A `CrmTenant`.
    Tenant((String, String), bool),
    /// A Namespace; the first part of the key is empty.
    Namespace((String, String), bool),
    /// A database server that the platform team named, in the operator's namespace.
    Server((String, String), bool),
    /// A Secret, whoever made it.
    Secret((String, String), bool),
    /// Something that the operator made for a tenant.
    Owned((String, String), bool),
}

/// Passes work on until `stop`.
pub async fn run(
    cluster: Arc<Cluster>,
    mut changed: mpsc::UnboundedReceiver<Change>,
    stop: CancellationToken,
) {
    let mut tenants = BTreeSet::new();
    // It goes on where it was whatever else happens: begun anew, it would forget that it was called.
    let mut told = pin!(cluster.engines.changes());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(change) = changed.recv() => cluster.on_change(change, &mut tenants),
            changes = &mut told => {
                told.set(cluster.engines.changes());
                changes.policies.iter().for_each(|policy| cluster.queue_policy(policy));
                for namespace in &changes.namespaces {
                    cluster.queue_tenant(namespace);
                    cluster.queue_policies_of(namespace);
                }
            }
        }
    }
}

impl Cluster {
    /// `tenants` are those that were met before.
    fn on_change(&self, change: Change, tenants: &mut BTreeSet<(String, String)>) {
        match change {
            Change::Policy(key, false) => self.queue_policy(&key),
            Change::Policy(key, true) => {
                let judged = self.judged.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                if let Some(judged) = judged {
                    self.queue_rules_under(&key, &judged.active);
                }
            }
            Change::Tenant(key, gone) => {
                let namespace = key.0.clone();
                // To policies it matters that a tenant is there, not what it says.
                let matters = if gone {
                    tenants.remove(&key);
                    self.forget_tenant(&namespace);
                    true
                } else {
                    tenants.insert(key)
                };
                self.queue_rules(&namespace);
                self.queue_tenant(&namespace);
                if matters {
                    self.queue_policies_of(&namespace);
                }
            }
            Change::Namespace((_, namespace), _) => {
                if !self.tenants_in(&namespace).is_empty() {
                    self.queue_rules(&namespace);
                    self.queue_policies_of(&namespace);
                }
            }
            Change::Server((_, server), gone) => {
                if gone {
                    self.known_servers.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
                }
                for tenant in self.tenants.all() {
                    let Ok(object) = &tenant.0 else { continue };
                    let managed = object.spec.database.managed.as_ref();
                    if managed.is_some_and(|managed| managed.server_ref.name == server) {
                        self.queue_tenant(&super::watch::key_of(object).0);
                    }
                }
            }
            Change::Secret((namespace, name), _) => {
                if self.is_read(&namespace, &name) {
                    self.queue_tenant(&namespace);
                }
            }
            Change::Owned((namespace, name), _) => {
                if name == names::BUNDLE || name == names::BUNDLE_PREVIOUS {
                    self.queue_rules(&namespace);
                } else {
                    self.queue_tenant(&namespace);
                }
            }
        }
    }

    /// Has the rules looked at of every tenant that a revision applies to.
    pub(super) fn queue_rules_under(&self, key: &PolicyKey, active: &policy::Active) {
        for namespace in self.tenant_namespaces() {
            if self.applies(key, active, &namespace) {
                self.queue_rules(&namespace);
            }
        }
    }

    /// Has every policy looked at that may speak of the tenant in a namespace.
    fn queue_policies_of(&self, namespace: &str) {
        for policy in self.policies.all() {
            let key = super::watch::key_of(policy.as_ref());
            if key.0 == namespace || key.0 == self.config.policy_namespace {
                self.queue_policy(&key);
            }
        }
    }

    /// Whether a tenant of a namespace reads a Secret of it.
    fn is_read(&self, namespace: &str, name: &str) -> bool {
        let mut tenants =
            self.tenants.all().filter(|tenant| tenant.namespace().as_deref() == Some(namespace));
        tenants.any(|tenant| {
            names::SECRETS.contains(&name)
                || tenant.0.as_ref().is_ok_and(|tenant| referenced_secrets(&tenant.spec).contains(&name))
        })
    }

    fn forget_tenant(&self, namespace: &str) {
        if self.tenants_in(namespace).is_empty() {
            self.bundles.write().unwrap_or_else(PoisonError::into_inner).remove(namespace);
            self.provisioned.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        }
    }
}

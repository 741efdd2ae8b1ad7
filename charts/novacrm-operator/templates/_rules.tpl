{{/* What policies need, in the namespaces they are in. */}}
{{- define "novacrm-operator.policyRules" -}}
- apiGroups: [novacrm.io]
  resources: [compliancepolicies, crmtenants]
  verbs: [list, watch]
- apiGroups: [novacrm.io]
  resources: [compliancepolicies/status]
  verbs: [patch]
# The history of a policy, which it owns. Clusters that check owners ask for the right to its finalizers.
- apiGroups: [novacrm.io]
  resources: [compliancepolicies/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [list, watch, create, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What tenants need, in their namespaces, beside what policies need there. */}}
{{- define "novacrm-operator.tenantRules" -}}
{{ include "novacrm-operator.policyRules" . }}
- apiGroups: [novacrm.io]
  resources: [crmtenants/status]
  verbs: [patch]
# The finalizer of a tenant whose data is to be deleted with it, which stands in its metadata.
- apiGroups: [novacrm.io]
  resources: [crmtenants]
  verbs: [patch]
- apiGroups: [novacrm.io]
  resources: [crmtenants/finalizers]
  verbs: [update]
# The volume of a last dump: made, and nothing else.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create]
# Keys and certificates: made once, renewed, and never deleted, since they outlive the tenant. Where its data is to be
# deleted with it, they are given to it as their owner.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update]
# The rules of a tenant. Its engines are granted what is held here: to get, list and watch two of them by name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, delete]
# Which engines are Ready, and where they answer.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Whether the Deployment of a tenant's engines made a pod: of ReplicaSets, the owners are read.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
# What else a tenant is made of: applied by the server (which takes create and patch), and deleted when the spec no
# longer asks for it.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
# No `escalate` and no `bind`: the API server lets the operator grant only what it holds itself.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [list, watch, create, patch, delete]
{{- if .Values.integrations.gatewayApi }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [list, create, patch, delete]
{{- end }}
{{- if .Values.integrations.cloudNativePg }}
# A tenant's PostgreSQL outlives it, unless it is given to it as its owner.
- apiGroups: [postgresql.cnpg.io]
  resources: [clusters]
  verbs: [list, create, patch]
{{- end }}
{{- if .Values.integrations.prometheusOperator }}
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [list, create, patch, delete]
{{- end }}
{{- end }}

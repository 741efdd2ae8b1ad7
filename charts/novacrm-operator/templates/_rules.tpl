{{/* What policies need, in the namespaces they are in. */}}
{{- define "novacrm-operator.policyRules" -}}
- apiGroups: [novacrm.io]
  resources: [compliancepolicies]
  verbs: [get, list, watch]
- apiGroups: [novacrm.io]
  resources: [compliancepolicies/status]
  verbs: [patch]
# The history of a policy, owned by it. Clusters that check it ask for the owner's finalizers.
- apiGroups: [novacrm.io]
  resources: [compliancepolicies/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What tenants need, in their namespaces, beside what policies need there. */}}
{{- define "novacrm-operator.tenantRules" -}}
{{ include "novacrm-operator.policyRules" . }}
# To set and remove the finalizer.
- apiGroups: [novacrm.io]
  resources: [crmtenants]
  verbs: [get, list, watch, patch]
- apiGroups: [novacrm.io]
  resources: [crmtenants/status]
  verbs: [patch]
- apiGroups: [novacrm.io]
  resources: [crmtenants/finalizers]
  verbs: [update]
# What a tenant is made of. It is server-side applied (create, patch) and pruned (delete).
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Roles for engines, which read their bundles. No `escalate` and no `bind`: the API server lets the operator grant only
# what it holds itself.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
# Which engines are Ready, and where they answer.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- if .Values.integrations.gatewayApi }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.integrations.cloudNativePg }}
- apiGroups: [postgresql.cnpg.io]
  resources: [clusters, databases]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.integrations.prometheusOperator }}
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- end }}

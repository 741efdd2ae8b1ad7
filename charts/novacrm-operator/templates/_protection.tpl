{{/* The names that the operator gives to its objects, as lists of CEL. */}}
{{- define "novacrm-operator.protectedAccounts" -}}
['novacrm-engine', 'novacrm-api']
{{- end }}

{{- define "novacrm-operator.protectedSecrets" -}}
['novacrm-ca', 'novacrm-engine-tls', 'novacrm-api-tls', 'novacrm-operator-tls', 'novacrm-engine-keys', 'novacrm-api-keys', 'novacrm-database', 'novacrm-database-administrator']
{{- end }}

{{- define "novacrm-operator.protectedNames" -}}
['novacrm-policy-bundle', 'novacrm-policy-bundle-previous', 'novacrm-default-deny', 'novacrm-engine', 'novacrm-api', 'novacrm-engine-migrate', 'novacrm-api-migrate', 'novacrm-dump', 'novacrm-ca', 'novacrm-engine-tls', 'novacrm-api-tls', 'novacrm-operator-tls', 'novacrm-engine-keys', 'novacrm-api-keys', 'novacrm-database-administrator']
{{- end }}

{{/* The label `app.kubernetes.io/name` of the pods that Services and NetworkPolicies of a tenant select. */}}
{{- define "novacrm-operator.protectedPods" -}}
['novacrm-engine', 'novacrm-api', 'novacrm-engine-migrate', 'novacrm-api-migrate', 'novacrm-dump']
{{- end }}

{{/* A policy and its binding: root, suffix of the name, resource rules, variables, validations. */}}
{{- define "novacrm-operator.protection" -}}
{{- $name := printf "%s-%s" (include "novacrm-operator.fullname" .root) .suffix -}}
{{- $account := printf "system:serviceaccount:%s:%s" .root.Release.Namespace (include "novacrm-operator.serviceAccount" .root) -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "novacrm-operator.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    matchPolicy: Equivalent
    resourceRules:
      {{- .rules | nindent 6 }}
  matchConditions:
    # The operator, and those parts of Kubernetes that make and remove what an object of the operator stands for.
    - name: is-not-exempt
      expression: >-
        !(request.userInfo.username in {{ prepend .root.Values.protection.exemptUsers $account | toJson }})
        && !(has(request.userInfo.groups) && request.userInfo.groups.exists(group, group in {{ .root.Values.protection.exemptGroups | toJson }}))
  variables:
    # Whoever administers the cluster; asked only of those who touch what is protected.
    - name: mayBypass
      expression: >-
        authorizer.group('novacrm.io').resource('crmtenants').namespace(request.namespace).check('bypass-protection').allowed()
    {{- .variables | nindent 4 }}
  validations:
    {{- .validations | nindent 4 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "novacrm-operator.labels" .root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
  {{- with .root.Values.watchNamespaces }}
  # Another operator may run the tenants of other namespaces.
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- uniq . | sortAlpha | toYaml | nindent 12 }}
  {{- end }}
{{- end }}

{{/* What a pod, or what makes pods, must not hold: where its specification is, and where its labels are. */}}
{{- define "novacrm-operator.podVariables" -}}
- name: labels
  expression: {{ .labels | quote }}
- name: pod
  expression: {{ .pod | quote }}
- name: containers
  expression: >-
    variables.pod.?containers.orValue([]) + variables.pod.?initContainers.orValue([]) + variables.pod.?ephemeralContainers.orValue([])
- name: secrets
  expression: {{ include "novacrm-operator.protectedSecrets" . | quote }}
- name: usesSecret
  expression: >-
    variables.pod.?volumes.orValue([]).exists(volume,
      volume.?secret.?secretName.orValue('') in variables.secrets
      || volume.?projected.?sources.orValue([]).exists(source, source.?secret.?name.orValue('') in variables.secrets)
      || volume.?csi.?nodePublishSecretRef.?name.orValue('') in variables.secrets
      || volume.?flexVolume.?secretRef.?name.orValue('') in variables.secrets)
    || variables.containers.exists(container,
      container.?env.orValue([]).exists(one, one.?valueFrom.?secretKeyRef.?name.orValue('') in variables.secrets)
      || container.?envFrom.orValue([]).exists(one, one.?secretRef.?name.orValue('') in variables.secrets))
- name: usesAccount
  expression: >-
    variables.pod.?serviceAccountName.orValue('') in {{ include "novacrm-operator.protectedAccounts" . }}
{{- end }}

{{- define "novacrm-operator.podValidations" -}}
- expression: "!variables.hasLabels || variables.mayBypass"
  reason: Forbidden
  message: >-
    Pods with the label app.kubernetes.io/name of a NovaCRM engine or API are made and changed by the NovaCRM operator alone:
    Services and NetworkPolicies of the tenant select them. Change the CrmTenant, or use another label.
- expression: "!variables.usesSecret || variables.mayBypass"
  reason: Forbidden
  message: >-
    The Secrets that the NovaCRM operator made for the tenant are for its own pods; no other pod may mount or read them.
- expression: "!variables.usesAccount || variables.mayBypass"
  reason: Forbidden
  message: >-
    The service accounts novacrm-engine and novacrm-api are for the pods of the NovaCRM operator; use another account.
{{- end }}

{{- define "novacrm-operator.objectRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [configmaps, secrets, services, serviceaccounts, persistentvolumeclaims, endpoints]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [deployments, deployments/scale, replicasets, replicasets/scale, controllerrevisions]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [jobs]
  scope: Namespaced
- apiGroups: [autoscaling]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [horizontalpodautoscalers]
  scope: Namespaced
- apiGroups: [networking.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [ingresses, networkpolicies]
  scope: Namespaced
- apiGroups: [policy]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [poddisruptionbudgets]
  scope: Namespaced
- apiGroups: [rbac.authorization.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [roles, rolebindings]
  scope: Namespaced
- apiGroups: [discovery.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [endpointslices]
  scope: Namespaced
- apiGroups: [gateway.networking.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [httproutes]
  scope: Namespaced
- apiGroups: [postgresql.cnpg.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [clusters]
  scope: Namespaced
- apiGroups: [monitoring.coreos.com]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [servicemonitors]
  scope: Namespaced
{{- end }}

{{- define "novacrm-operator.objectVariables" -}}
- name: kind
  expression: request.resource.resource
- name: both
  expression: "(object == null ? [] : [object]) + (oldObject == null ? [] : [oldObject])"
- name: name
  expression: "variables.both[0].metadata.?name.orValue('')"
- name: isMarked
  expression: >-
    variables.both.exists(one, one.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'novacrm-operator'
      || (variables.kind == 'controllerrevisions' && one.metadata.?labels[?'novacrm.io/history-of'].orValue('') != ''))
- name: isNamed
  expression: >-
    variables.name in {{ include "novacrm-operator.protectedNames" . }}
    || (variables.name == 'novacrm-database' && variables.kind in ['secrets', 'clusters'])
    || (variables.kind == 'jobs' && variables.name.matches('^novacrm-(engine-migrate|api-migrate|dump)-'))
    || (variables.kind == 'replicasets' && variables.name.matches('^novacrm-(engine|api)-[a-z0-9]+$'))
# Others that lead to the operator's objects: an autoscaler of its pods, addresses of its Services, a token of its accounts.
- name: leadsTo
  expression: >-
    (variables.kind == 'horizontalpodautoscalers' && object != null
      && object.spec.scaleTargetRef.name in {{ include "novacrm-operator.protectedAccounts" . }})
    || (variables.kind == 'endpointslices' && variables.both.exists(one,
      one.metadata.?labels[?'kubernetes.io/service-name'].orValue('') in {{ include "novacrm-operator.protectedAccounts" . }}))
    || (variables.kind == 'secrets' && object != null && object.?type.orValue('') == 'kubernetes.io/service-account-token'
      && object.metadata.?annotations[?'kubernetes.io/service-account.name'].orValue('') in {{ include "novacrm-operator.protectedAccounts" . }})
{{- end }}

{{- define "novacrm-operator.objectValidations" -}}
- expression: "!(variables.isMarked || variables.isNamed || variables.leadsTo) || variables.mayBypass"
  reason: Forbidden
  messageExpression: >-
    variables.kind + ' ' + variables.name + ' belongs to the NovaCRM operator, or leads to what belongs to it: change the CrmTenant or a CompliancePolicy in its place'
  message: This belongs to the NovaCRM operator; change the CrmTenant or a CompliancePolicy in its place.
{{- end }}

{{- define "novacrm-operator.connectionRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CONNECT]
  resources: [pods/exec, pods/attach, pods/portforward, pods/proxy, services/proxy]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE]
  resources: [serviceaccounts/token]
  scope: Namespaced
{{- end }}

{{- define "novacrm-operator.connectionVariables" -}}
# With a scheme and a port, a proxied name reads `https:name:port`.
- name: isOurs
  expression: >-
    request.resource.resource == 'serviceaccounts'
      ? request.name in {{ include "novacrm-operator.protectedAccounts" . }}
      : request.name.matches('(^|:)novacrm-(engine|api|dump)(-|:|$)')
{{- end }}

{{- define "novacrm-operator.connectionValidations" -}}
- expression: "!variables.isOurs || variables.mayBypass"
  reason: Forbidden
  messageExpression: >-
    request.resource.resource + ' ' + request.name + ' belongs to the NovaCRM operator: nobody connects to it or acts as it'
  message: This belongs to the NovaCRM operator; nobody connects to it or acts as it.
{{- end }}

{{- define "novacrm-operator.podRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [pods, pods/ephemeralcontainers, pods/resize]
  scope: Namespaced
{{- end }}

{{- define "novacrm-operator.ownPodVariables" -}}
{{ include "novacrm-operator.podVariables" (dict "labels" "object.metadata.?labels.orValue({})" "pod" "object.spec") }}
# An own pod must not get the labels, and a pod of the operator's must not lose them.
- name: hasLabels
  expression: >-
    variables.labels[?'app.kubernetes.io/name'].orValue('') in {{ include "novacrm-operator.protectedPods" . }}
    || (oldObject != null
      && oldObject.metadata.?labels[?'app.kubernetes.io/name'].orValue('') in {{ include "novacrm-operator.protectedPods" . }})
{{- end }}

{{- define "novacrm-operator.workloadRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [replicationcontrollers]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [jobs]
  scope: Namespaced
{{- end }}

{{- define "novacrm-operator.cronJobRules" -}}
- apiGroups: [batch]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [cronjobs]
  scope: Namespaced
{{- end }}

{{- define "novacrm-operator.templateVariables" -}}
{{ include "novacrm-operator.podVariables" . }}
- name: hasLabels
  expression: >-
    variables.labels[?'app.kubernetes.io/name'].orValue('') in {{ include "novacrm-operator.protectedPods" . }}
{{- end }}

{{/* Name of all objects, short enough for the longest suffix. */}}
{{- define "novacrm-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "novacrm-operator" .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-novacrm-operator" (.Release.Name | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- define "novacrm-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "novacrm-operator.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: name the account to use, or let serviceAccount.create be true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* The name is fixed: the network policies of tenants know the operator's pods by it. */}}
{{- define "novacrm-operator.selector" -}}
app.kubernetes.io/name: novacrm-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "novacrm-operator.labels" -}}
{{- $labels := include "novacrm-operator.selector" . | fromYaml | merge (dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/part-of" "novacrm"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_"))
) -}}
{{- merge $labels .Values.commonLabels | toYaml -}}
{{- end }}

{{/* Registry and folder of all images, without the last slash; empty when none is given. */}}
{{- define "novacrm-operator.registry" -}}
{{- .Values.imageRegistry | default (.Values.global | default dict).imageRegistry | default "" -}}
{{- end }}

{{- define "novacrm-operator.image" -}}
{{- $registry := include "novacrm-operator.registry" . -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* As a document of its own, since a template gives text only. */}}
{{- define "novacrm-operator.pullSecrets" -}}
{{- dict "imagePullSecrets" (concat .Values.imagePullSecrets ((.Values.global | default dict).imagePullSecrets | default list) | uniq) | toYaml -}}
{{- end }}

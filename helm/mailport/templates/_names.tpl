{{/* What tells one release from another: its name, and the chart's where that is not in it. */}}
{{- define "mailport.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := .Release.Name | replace "." "-" -}}
{{- /* a Service's name has no dots, begins with a letter and has 63 characters, `-operator` among them */ -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if regexMatch "^[0-9]" $name -}}
{{- $name = printf "%s-%s" $chart $name -}}
{{- else if not (contains $chart $name) -}}
{{- $name = printf "%s-%s" $name $chart -}}
{{- end -}}
{{- $name | trunc 54 | trimSuffix "-" -}}
{{- end -}}

{{- define "mailport.operator" -}}
{{- include "mailport.fullname" . }}-operator
{{- end -}}

{{/* A name in the whole cluster: a dict of root and name. With the namespace, of which another release may have that name. */}}
{{- define "mailport.clusterWide" -}}
{{- .name }}.{{ .root.Release.Namespace }}
{{- end -}}

{{- define "mailport.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mailport.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mailport.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "mailport.labels" -}}
{{- $ours := include "mailport.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $ours (default dict .Values.commonLabels)) -}}
{{- end -}}

{{/*
An object's metadata: a dict of root and name; namespace where it has one; labels and annotations where there are
further ones.
*/}}
{{- define "mailport.metadata" -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- toYaml (merge (include "mailport.labels" .root | fromYaml) (.labels | default dict)) | nindent 2 }}
{{- with merge dict (.annotations | default dict) (default dict .root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's reference, of registry, repository, tag and digest. */}}
{{- define "mailport.reference" -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}

{{- define "mailport.image" -}}
{{- $image := .Values.image -}}
{{- if and (kindIs "invalid" $image.registry) (not (contains "/" $image.repository)) -}}
{{- $there := include "mailport.reference" (dict "repository" $image.repository "tag" (default .Chart.AppVersion $image.tag) "digest" $image.digest) -}}
{{- fail (printf "image.registry must be set, as no image of Mailport is published: --set image.registry=registry.example.org where nodes pull it from (make image builds it), or --set image.registry= where every node has %s already" $there) -}}
{{- end -}}
{{- include "mailport.reference" (merge (dict "tag" (default .Chart.AppVersion $image.tag)) $image) -}}
{{- end -}}

{{/* The listener's image: the operator's own, unless anything is said of it. A digest belongs to one repository and tag. */}}
{{- define "mailport.listenerImage" -}}
{{- $own := .Values.listener.image -}}
{{- if or $own.registry $own.repository $own.tag $own.digest -}}
{{- $tag := coalesce $own.tag .Values.image.tag .Chart.AppVersion -}}
{{- $registry := default .Values.image.registry $own.registry -}}
{{- $repository := default .Values.image.repository $own.repository -}}
{{- include "mailport.reference" (dict "registry" $registry "repository" $repository "tag" $tag "digest" $own.digest) -}}
{{- else -}}
{{- include "mailport.image" . -}}
{{- end -}}
{{- end -}}

{{/* Where `helm test` makes its InboundSmtp: here, if the operator looks here. */}}
{{- define "mailport.testNamespace" -}}
{{- if or (not .Values.watchNamespaces) (has .Release.Namespace (default list .Values.watchNamespaces)) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- first .Values.watchNamespaces -}}
{{- end -}}
{{- end -}}

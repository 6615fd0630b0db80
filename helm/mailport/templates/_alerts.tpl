{{/*
files/alerts.yaml with what differs by release. As text: it is a rule file that Prometheus reads as it is, `{{ $labels }}`
in it is Prometheus' own, and it has comments. What follows on a number of days tells one alert from the other.

An operator that is gone is one that is not scraped: its own namespace and Service are named, as others may be there. Where
the release has no ServiceMonitor, who knows what is scraped.
*/}}
{{- define "mailport.alerts" -}}
{{- $days := .Values.metrics.prometheusRule.certificateDays -}}
{{- $absent := "\n      or\n      absent(mailport_operator_leader)" -}}
{{- $ours := "" -}}
{{- if .Values.metrics.serviceMonitor.enabled -}}
{{- $labels := printf "namespace=%q, job=%q" .Release.Namespace (include "mailport.operator" .) -}}
{{- $ours = printf "\n      or\n      max by (namespace) (absent(mailport_operator_leader{%s}))" $labels -}}
{{- end -}}
{{- .Files.Get "files/alerts.yaml" | trimSuffix "\n" |
  replace $absent $ours |
  replace "< 14 * 86400\n    for" (printf "< %v * 86400\n    for" $days.warning) |
  replace "< 2 * 86400\n    labels" (printf "< %v * 86400\n    labels" $days.critical) -}}
{{- end -}}

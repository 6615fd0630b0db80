{{/* What `defaults` says, without what is empty, as JSON: the file that the operator and `mailport render` read. */}}
{{- define "mailport.defaults" -}}
{{- $said := dict -}}
{{- range $name, $value := .Values.defaults -}}
{{- if has $name (list "pod" "service") -}}
{{- $inner := dict -}}
{{- range $field, $each := $value }}{{ if $each }}{{ $_ := set $inner $field $each }}{{ end }}{{ end -}}
{{- $value = $inner -}}
{{- end -}}
{{- if $value }}{{ $_ := set $said $name $value }}{{ end -}}
{{- end -}}
{{- toJson $said -}}
{{- end -}}

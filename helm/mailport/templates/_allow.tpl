{{/* What the operator itself takes for a kind of pattern that `allow` does not name: permitted.py's DEFAULT_PATTERNS. */}}
{{- define "mailport.defaultPatterns" -}}
claims: ["*"]
loadBalancerClasses: ["*"]
serviceAnnotations:
- cloud.google.com/*
- io.cilium/*
- kube-vip.io/*
- lbipam.cilium.io/*
- load-balancer.hetzner.cloud/*
- loadbalancer.openstack.org/*
- metallb.io/*
- metallb.universe.tf/*
- networking.gke.io/*
- oci-network-load-balancer.oraclecloud.com/*
- oci.oraclecloud.com/*
- service.beta.kubernetes.io/*
- service.kubernetes.io/*
{{- end -}}

{{/* The patterns of a kind, as a JSON list: a dict of root and kind. */}}
{{- define "mailport.patterns" -}}
{{- $kind := .kind -}}
{{- $said := false -}}
{{- $patterns := list -}}
{{- range default list .root.Values.allow -}}
{{- if hasPrefix (print $kind "=") . -}}
{{- $said = true -}}
{{- with trimPrefix (print $kind "=") . }}{{ $patterns = append $patterns . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if not $said }}{{ $patterns = get (include "mailport.defaultPatterns" . | fromYaml) $kind | default list }}{{ end -}}
{{- toJson $patterns -}}
{{- end -}}

{{/* A CEL expression that says whether a text fits one of some patterns: a dict of value, the text's, and patterns. */}}
{{- define "mailport.celFits" -}}
{{- $regexes := list -}}
{{- range .patterns }}{{ $regexes = append $regexes (regexQuoteMeta . | replace "\\*" ".*") }}{{ end -}}
{{- if has ".*" $regexes -}}true
{{- else if $regexes -}}{{ .value }}.matches(r'^({{ join "|" $regexes }})$')
{{- else -}}false
{{- end -}}
{{- end -}}

{{/* The same of what `allow` says of a kind, and of texts that `defaults` has: a dict of root, kind, value and texts. */}}
{{- define "mailport.celAllows" -}}
{{- if has .kind (default list .root.Values.allow) -}}true
{{- else -}}
{{- $patterns := include "mailport.patterns" . | fromJsonArray -}}
{{- include "mailport.celFits" (dict "value" .value "patterns" (concat $patterns (default list .texts) | uniq)) -}}
{{- end -}}
{{- end -}}

{{/* A CEL expression that says whether t is one of the tolerations that `defaults` has. */}}
{{- define "mailport.celDefaultToleration" -}}
{{- $each := list -}}
{{- range $toleration := .tolerations -}}
{{- $fields := list -}}
{{- range $field, $default := dict "key" "" "operator" "Equal" "value" "" "effect" "" -}}
{{- $said := get $toleration $field | default $default | toString | toJson -}}
{{- $fields = append $fields (printf "t.?%s.orValue('%s') == %s" $field $default $said) -}}
{{- end -}}
{{- $each = append $each (join " && " $fields) -}}
{{- end -}}
{{- join " || " $each | default "false" -}}
{{- end -}}

{{- define "mailport.celList" -}}
{{- $quoted := list }}{{ range . }}{{ $quoted = append $quoted (squote .) }}{{ end }}[{{ join ", " $quoted }}]
{{- end -}}

{{/*
denyDestinations as the option of operator and listener has them. The operator refuses to start with bits behind an IPv4
prefix, as in 10.0.0.1/8; with the schema's help this fails before the policies ask for them.
*/}}
{{- define "mailport.deniedDestinations" -}}
{{- range .Values.denyDestinations -}}
{{- if and (contains "/" .) (not (contains ":" .)) -}}
{{- $parts := splitList "/" . -}}
{{- $number := 0 -}}
{{- range splitList "." (first $parts) -}}{{- $number = add (mul $number 256) (atoi .) -}}{{- end -}}
{{- $size := 1 -}}
{{- range until (sub 32 (atoi (last $parts)) | int) -}}{{- $size = mul $size 2 -}}{{- end -}}
{{- if mod $number $size -}}
{{- $network := sub $number (mod $number $size) -}}
{{- $octets := list (div $network 16777216) (mod (div $network 65536) 256) (mod (div $network 256) 256) (mod $network 256) -}}
{{- fail (printf "denyDestinations: %s has bits set behind its prefix: write %s/%s" . (join "." $octets) (last $parts)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "," .Values.denyDestinations -}}
{{- end -}}

{{/*
One ValidatingAdmissionPolicy with its binding, for what the operator's ServiceAccount does to one kind; nobody else is
concerned. A dict of root, group, resource, operations, variables and validations (both YAML text). A policy a kind, so
that the API server can check each expression against that kind's own fields.
*/}}
{{- define "mailport.admissionPolicy" -}}
{{- $name := printf "%s-%s" (include "mailport.operator" .root) .resource -}}
{{- $name = include "mailport.clusterWide" (dict "root" .root "name" $name) -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- include "mailport.metadata" (dict "root" .root "name" $name) | nindent 2 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [{{ .group | quote }}]
      apiVersions: ["*"]
      operations: [{{ join ", " .operations }}]
      resources: [{{ .resource }}]
      # written out, as the API server has it: else kubectl apply finds a difference each time
      scope: "*"
  matchConditions:
  - name: it-is-the-operator
    expression: >-
      request.userInfo.username ==
      'system:serviceaccount:{{ .root.Release.Namespace }}:{{ include "mailport.serviceAccount" .root }}'
  variables:
  {{- .variables | trim | nindent 2 }}
  validations:
  {{- .validations | trim | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "mailport.metadata" (dict "root" .root "name" $name) | nindent 2 }}
spec:
  policyName: {{ $name | quote }}
  validationActions: [Deny]
{{ end -}}

{{/*
The policy for a child of an InboundSmtp: a dict of root, group, resource; name, a CEL expression that says whether
object.metadata.name is a child's; and further variables and validations.

`wasOurs` is what the operator itself goes by (programming.is_ours): an object that an InboundSmtp controls; or that
nobody controls and the operator applied, as its InboundSmtp was deleted without it.
*/}}
{{- define "mailport.admissionPolicyOfChild" -}}
{{- $variables := `
- name: deletes
  expression: request.operation == 'DELETE'
- name: wasOurs
  expression: >-
    oldObject.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false)) ?
    oldObject.metadata.ownerReferences.exists(o, o.?controller.orValue(false) &&
      o.kind == 'InboundSmtp' && o.apiVersion.startsWith('mailport.dev/')) :
    oldObject.metadata.?managedFields.orValue([]).exists(m, m.manager == 'mailport-operator' && m.operation == 'Apply')
- name: gateway
  expression: object.metadata.?labels['mailport.dev/inboundsmtp'].orValue('')
- name: isOurs
  expression: >-
    variables.gateway != '' &&
    object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false) &&
      o.kind == 'InboundSmtp' && o.apiVersion.startsWith('mailport.dev/') && o.name == variables.gateway)
` -}}
{{- $validations := printf `
- expression: request.operation == 'CREATE' || variables.wasOurs
  message: this object belongs to no InboundSmtp
- expression: variables.deletes || variables.isOurs
  message: an InboundSmtp must be its controller, and the label mailport.dev/inboundsmtp must name it
- expression: >-
    variables.deletes || %s ||
    (request.?dryRun.orValue(false) && object.metadata.name.endsWith('-dry-run'))
  message: this is no name of an InboundSmtp's child
` .name -}}
{{- include "mailport.admissionPolicy" (dict "root" .root "group" .group "resource" .resource
  "operations" (list "CREATE" "UPDATE" "DELETE")
  "variables" (print $variables (.variables | default "" | trim))
  "validations" (print $validations (.validations | default "" | trim))) -}}
{{- end -}}

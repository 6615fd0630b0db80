{{/*
What the operator may do in a namespace that it watches: all that it does, and no more. tests/ compare this with what
the API server's audit log shows. No verb on Secrets. A Service is never deleted: its address would be lost. Nor is a
Deployment: a gateway always has its own.
Children are created by server-side apply, which needs both create and patch.
*/}}
{{- define "mailport.rules" -}}
- apiGroups: [mailport.dev]
  resources: [inboundsmtps]
  verbs: [list, watch]
- apiGroups: [mailport.dev]
  resources: [inboundsmtps/status]
  verbs: [patch]
# its children
- apiGroups: [""]
  resources: [serviceaccounts, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# what its children turn into, and what mail is kept on
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list] # to list: why a pod does not start
{{- end -}}

{{/* What it needs besides in order to watch all namespaces. */}}
{{- define "mailport.clusterRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end -}}

{{/* Its Lease, in its own namespace. By name where RBAC can: what is yet to be created has none. */}}
{{- define "mailport.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [mailport-operator]
  verbs: [get, update]
{{- end -}}

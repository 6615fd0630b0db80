"""PURE. Names in Kubernetes: of objects, of keys in the `data` of a Secret or ConfigMap, of annotations."""

from __future__ import annotations

import re

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"  # of the DNS (RFC 1123)
OBJECT_NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")  # a DNS subdomain
DATA_KEY = re.compile(r"(?!\.\.)(?!\.\Z)[-._A-Za-z0-9]{1,253}")  # never `..data`, which is the kubelet's, in a volume
# On pods, whatever is allowed: by those of Kubernetes pods were once confined, and the others are the operator's own
RESERVED_ANNOTATION = re.compile(
    r"(container\.apparmor\.security\.beta\.kubernetes\.io"
    r"|(container\.)?seccomp\.security\.alpha\.kubernetes\.io"
    r"|([^/]*\.)?mailport\.dev)/.*"
)

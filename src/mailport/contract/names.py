"""PURE. What the API server takes as the name of an object, and as a key in the `data` of a Secret or ConfigMap."""

from __future__ import annotations

import re

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"  # of the DNS (RFC 1123)
OBJECT_NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")  # a DNS subdomain
DATA_KEY = re.compile(r"(?!\.\.)(?!\.\Z)[-._A-Za-z0-9]{1,253}")  # never `..data`, which is the kubelet's, in a volume

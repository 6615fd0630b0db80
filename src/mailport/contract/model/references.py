"""PURE. References to Secrets and ConfigMaps."""

from __future__ import annotations

from enum import StrEnum

from mailport.contract.formats import (
    DataKey,
    ObjectName,
)
from mailport.contract.model.base import Model


class SecretRef(Model):
    """A Secret in the gateway's own namespace."""

    name: ObjectName
    """Name of the Secret."""


class SecretKeyRef(SecretRef):
    """One key of a Secret."""

    key: DataKey
    """Key within the Secret."""


class CaKind(StrEnum):
    """What holds a CA bundle."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind of object


class CaRef(Model):
    """A PEM bundle of CA certificates."""

    kind: CaKind = CaKind.CONFIG_MAP
    """`ConfigMap` or `Secret`. A CA's certificate is public, so a ConfigMap is the usual place."""

    name: ObjectName
    """Name of that object."""

    key: DataKey = "ca.crt"
    """Key within it. cert-manager and trust-manager write `ca.crt`."""

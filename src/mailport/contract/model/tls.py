"""PURE. spec.tls: the certificates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mailport.contract.model.base import Model
from mailport.contract.model.references import SecretRef


class TlsVersion(StrEnum):
    """The TLS versions that are served."""

    V1_2 = "TLSv1.2"
    V1_3 = "TLSv1.3"


class Tls(Model):
    """The certificates of all listeners."""

    certificate_refs: Annotated[tuple[SecretRef, ...], Field(min_length=1, max_length=16)]
    """`kubernetes.io/tls` Secrets: `tls.crt` with its chain, `tls.key`. The first is the default, the others are chosen
    by SNI from the names in them."""

    min_version: TlsVersion = TlsVersion.V1_2
    """Oldest version accepted. With 1.3 alone, many mail servers would fall back to clear text."""

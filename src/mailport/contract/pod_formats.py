"""PURE. The kinds of text that pod_additions.py's fields hold, each with its bound and the words of its fault."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from mailport.contract.formats import DnsLabel, Matching
from mailport.contract.names import LABEL

_DECIDES_WHAT_RUNS = re.compile(  # or whom it trusts, or who it is
    r"(MAILPORT_|PYTHON|LD_|SSL_|OPENSSL_|AWS_).*|.*_PROXY|PATH|POD_IP|GCONV_PATH|LOCPATH", re.IGNORECASE
)


def _decides_nothing(name: str) -> str:
    if _DECIDES_WHAT_RUNS.fullmatch(name):
        raise ValueError("this variable is not for authors: it decides what runs, whom it trusts, or who it is")
    return name


EnvVarName = Annotated[
    str,
    Field(max_length=253),
    Matching(r"[A-Za-z_][A-Za-z0-9_]*", "must be a variable's name: A-Z, a-z, 0-9 and _, not beginning with a digit"),
    AfterValidator(_decides_nothing),
]
FieldPath = Annotated[
    str,
    Field(max_length=512),
    Matching(r"[A-Za-z.]+(\['[-./_A-Za-z0-9]+'\])?", "must be a field of the pod, such as metadata.name"),
]


def _not_a_volume_of_ours(name: str) -> str:
    if name in {"config", "mail", "scratch"}:
        raise ValueError(f'"{name}" is a volume that the listener has')
    return name


VolumeName = Annotated[DnsLabel, AfterValidator(_not_a_volume_of_ours)]

# The listener's own folders, and those that programs, libraries and their settings are loaded from. An OpenSSL reads
# /etc/ssl/openssl.cnf, and loads what that names; a Debian's Python has its sitecustomize in /etc/python3.*.
_OF_THE_LISTENER = re.compile(
    r"/((bin|boot|dev|lib[^/]*|proc|sbin|sys|tmp|usr|opt/mailport|var/lib/mailport|etc/(mailport|python[^/]*|ld\.so[^/]*))"
    r"(/.*)?|etc(/ssl)?|opt|var(/lib)?)"
)


def _outside(path: str) -> str:
    if any(part in {".", ".."} for part in path.split("/")):
        raise ValueError("must not have . or .. in it")
    if _OF_THE_LISTENER.fullmatch(path):
        raise ValueError("this path is the listener's own, or holds it, or is where programs are loaded from")
    return path


MountPath = Annotated[
    str,
    Field(max_length=255),
    Matching(r"(/[-._A-Za-z0-9]+)+", "must be an absolute path of A-Z, a-z, 0-9, -, _ and ., without / at the end"),
    AfterValidator(_outside),
]
TokenAudience = Annotated[
    str, Field(max_length=512), Matching(r"[!-~]+", "must be an audience, without spaces and in ASCII")
]
TokenPath = Annotated[str, Field(max_length=253), Matching(r"[A-Za-z0-9_][-._A-Za-z0-9]*", "must be a file's name")]


def _is_ip_address(value: str) -> str:
    address = None
    with suppress(ValueError):
        address = ip_address(value)
    if address is None or "%" in value or (address.version == 6 and address.ipv4_mapped is not None):
        raise ValueError("must be an IPv4 or IPv6 address")
    return value


IpAddress = Annotated[str, Field(max_length=45), AfterValidator(_is_ip_address)]
SearchDomain = Annotated[
    str,
    Field(max_length=253),
    Matching(rf"{LABEL}(\.{LABEL})*\.?", "must be a domain in lower case, such as example.org"),
]
DnsOptionName = Annotated[
    str, Field(max_length=64), Matching(r"[a-z0-9][-a-z0-9]*", "must be an option of resolv.conf, such as ndots")
]

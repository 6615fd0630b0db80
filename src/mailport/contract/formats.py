"""PURE. The kinds of text and number that fields of model/ hold, each with its bound and the words of its fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, JsonValue
from pydantic_core import CoreSchema, core_schema

from mailport.address import ip_ranges as cidr
from mailport.address.host import MAX_NAME, parse_host
from mailport.address.mail_address import MAX_MAILBOX, Address
from mailport.address.pattern import parse_pattern
from mailport.contract import quantity
from mailport.contract.names import DATA_KEY, LABEL, RESERVED_ANNOTATION


@dataclass(frozen=True, slots=True)
class Between:
    """A number's bounds, both of them allowed."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        return value


@dataclass(frozen=True, slots=True)
class Matching:
    """A text's form, and how to say that it has another."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise ValueError(self.message)
        return value


class _NotNull:
    """Let a field be None in Python, where it was left out, but not null in a document.

    `discard:` with nothing behind it is null, and a mistake to be told of. (The API server drops nulls before it looks:
    it takes such a document, and stores one that says nothing there.)
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (annotation,) = (argument for argument in get_args(source) if argument is not NoneType)
        schema = handler.generate_schema(annotation)
        return core_schema.json_or_python_schema(schema, core_schema.nullable_schema(schema))


T = TypeVar("T")
Maybe = Annotated[T | None, _NotNull()]  # a field that may be left out


# --- numbers


def _bytes(value: object) -> int:
    if isinstance(value, str):
        return quantity.parse(value)
    if type(value) is not int:
        raise ValueError(quantity.EXPECTED)
    return value


whole_bytes = BeforeValidator(_bytes)

Port = Annotated[int, Between(1, 65535)]
Replicas = Annotated[int, Between(0, 1000)]
Count = Annotated[int, Between(0, 1_000_000)]
Seconds = Annotated[int, Between(0, 86_400)]
DeliverySeconds = Annotated[int, Between(1, 240)]
PosixId = Annotated[int, Between(1, (1 << 31) - 1)]  # 0 is root, which the pods never are by choice
Bytes = Annotated[int, whole_bytes, Between(0, quantity.TI)]
VolumeSize = Annotated[int, whole_bytes, Between(1, quantity.TI)]


def _at_least_the_standard(value: int) -> int:
    if 0 < value < 100:
        raise ValueError("must be 0 (no limit) or at least 100 (RFC 5321 §4.5.3.1.8)")
    return value


MaxRecipients = Annotated[int, Between(0, 1_000_000), AfterValidator(_at_least_the_standard)]


def _number_or_percentage(value: object) -> object:
    if (type(value) is int and value == 0) or value == "0%":
        raise ValueError("must not be 0: no node with a pod of this gateway could ever be drained")
    if isinstance(value, str) and not re.fullmatch(r"(100|[1-9][0-9]?)%", value, re.ASCII):
        raise ValueError('must be an integer, or a percentage such as "25%"')
    if type(value) is int and not 1 <= value <= 1000:
        raise ValueError("must be between 1 and 1000")
    if type(value) not in {int, str}:
        raise ValueError('must be an integer, or a percentage such as "25%"')
    return value


PodCount = Annotated[int | str, BeforeValidator(_number_or_percentage)]

# --- names of DNS and of Kubernetes

HOST_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"

GatewayName = Annotated[
    str,
    Field(max_length=50),
    Matching(r"[a-z]([-a-z0-9]*[a-z0-9])?", "must be a DNS label that starts with a letter: a-z, 0-9 and -"),
]
DnsLabel = Annotated[
    str,
    Field(max_length=63),
    Matching(LABEL, "must be a DNS label: a-z, 0-9 and -, beginning and ending with a letter or digit"),
]
ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matching(rf"{LABEL}(\.{LABEL})*", "must be the name of a Kubernetes object: a-z, 0-9, - and ."),
]
DataKey = Annotated[
    str,
    Field(max_length=253),
    Matching(
        DATA_KEY.pattern,
        "must be a key of a Secret or ConfigMap: A-Z, a-z, 0-9, -, _ and ., not . alone and not .. at its beginning",
    ),
]


def _not_reserved(value: str) -> str:
    if value == "admin":
        raise ValueError('"admin" is the name of the admin port')
    return value


ListenerName = Annotated[
    str,
    Field(max_length=15),
    Matching(  # a Service's port name, IANA's service name (RFC 6335 §5.1)
        r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        "must be a-z, 0-9 and -, with a letter in it, no -- and no - at either end",
    ),
    AfterValidator(_not_reserved),
]


def _not_default(value: str) -> str:
    if value == "default":
        raise ValueError('"default" is the folder of mailboxes without a claim')
    return value


ClaimName = Annotated[ObjectName, AfterValidator(_not_default)]

QualifiedName = Annotated[
    str,
    Field(max_length=317),
    Matching(
        rf"({LABEL}(\.{LABEL})*/)?[A-Za-z0-9]([-._A-Za-z0-9]{{0,61}}[A-Za-z0-9])?",
        "must be a qualified name, such as app or example.org/app",
    ),
]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    Matching(r"([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?", "must be a label's value: A-Z, a-z, 0-9, -, _ and ."),
]
Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=64)]
_OURS = ("mailport.dev", "app.kubernetes.io")  # selectors rest on these


def _not_ours(key: str) -> str:
    domain, slash, _ = key.partition("/")
    if slash and any(domain == ours or domain.endswith(f".{ours}") for ours in _OURS):
        raise ValueError(f"labels of {' and '.join(_OURS)} are the operator's own")
    return key


PodLabels = Annotated[dict[Annotated[QualifiedName, AfterValidator(_not_ours)], LabelValue], Field(max_length=64)]
_AnnotationValue = Annotated[str, Field(max_length=16_384)]
Annotations = Annotated[dict[QualifiedName, _AnnotationValue], Field(max_length=64)]


def _not_reserved_annotation(key: str) -> str:
    if RESERVED_ANNOTATION.fullmatch(key):
        raise ValueError("this annotation is reserved, and on no pod")
    return key


PodAnnotations = Annotated[
    dict[Annotated[QualifiedName, AfterValidator(_not_reserved_annotation)], _AnnotationValue], Field(max_length=64)
]
JsonObject = dict[str, JsonValue]  # one of Kubernetes' own types: not looked into here

DomainName = Annotated[
    str,
    Field(max_length=253),
    Matching(
        rf"({HOST_LABEL}\.)+(?![0-9]+$){HOST_LABEL}",
        "must be a fully qualified domain name, such as mx.example.org (A-labels where it is international)",
    ),
]
ImageReference = Annotated[str, Field(max_length=512), Matching(r"[!-~]+", "must be an image reference without spaces")]

# --- addresses, of hosts and of people


def _cidr(value: str) -> str:
    if "/" not in value:
        raise ValueError("must be a CIDR, such as 10.0.0.0/8 or 192.0.2.7/32")
    return _readable_by(cidr.parse_network)(value)


def _readable_by(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Check a text by the parser that will read it; its ValueError says what is wrong."""

    def check(value: str) -> str:
        parse(value)
        return value

    return check


HostNameOrAddress = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_readable_by(parse_host))]

_LONGEST_CIDR = len("[2001:db8:aaaa:bbbb:cccc:dddd:192.168.100.200]/128")

Cidr = Annotated[str, Field(max_length=_LONGEST_CIDR), AfterValidator(_cidr)]
AddressOrCidr = Annotated[str, Field(max_length=_LONGEST_CIDR), AfterValidator(_readable_by(cidr.parse_network))]
AccessEntry = Annotated[str, Field(max_length=_LONGEST_CIDR), AfterValidator(_readable_by(cidr.parse))]
Mailbox = Annotated[str, Field(max_length=MAX_MAILBOX), AfterValidator(_readable_by(Address.parse))]
RecipientPattern = Annotated[str, Field(max_length=MAX_MAILBOX), AfterValidator(_readable_by(parse_pattern))]

# --- what a destination is told

SubaddressDelimiter = Annotated[
    str,
    Matching(r"[-!#$%&'*+/=?^_`{|}~.]?", 'must be one character that a local part may hold, such as "+", or empty'),
]
FolderName = Annotated[
    str,
    Matching(r"[A-Za-z0-9_-]{0,64}", "must be a folder's name of A-Z, a-z, 0-9, _ and -, or empty for the inbox"),
]
FileMode = Annotated[
    str, Matching(r"0?[67][0-7]{2}", 'must be an octal mode such as "0660" that lets its owner read and write')
]
DirectoryMode = Annotated[
    str, Matching(r"[0-3]?7[0-7]{2}", 'must be an octal mode such as "0770" that lets its owner in')
]
# What is left of a reply line's 512 octets (RFC 5321 §4.5.3.1.5) beside "550 5.1.1 " and CRLF.
ReplyText = Annotated[
    str,
    Field(min_length=1, max_length=512 - len("550 5.1.1 \r\n")),
    Matching(r"[ -~]*", "must be one line of printable ASCII"),
]


# RFC 3986 appendix B, and not urlsplit: what that refuses differs between versions of Python
_URL = re.compile(r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?#]*)[^#]*(?:#(?P<fragment>.*))?")
_AUTHORITY = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^\[\]:]*))(?::(?P<port>[0-9]*))?")


def _url(*schemes: str) -> AfterValidator:
    """Check a URL by its scheme; a password in it would land in every log and status."""
    expected = f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"

    def check(value: str) -> str:
        if not re.fullmatch(r"[!-~]+", value, re.ASCII):
            raise ValueError("must be a URL without spaces and in ASCII")
        parts = _URL.fullmatch(value)
        if parts is None or parts["scheme"].lower() not in schemes:
            raise ValueError(expected)
        if "@" in parts["authority"]:
            raise ValueError("must not carry a user and password; use credentialsSecretRef")
        _check_authority(parts["authority"])
        if parts["fragment"]:
            raise ValueError("must not have a #fragment, which is never sent")
        return value

    return AfterValidator(check)


def _check_authority(text: str) -> None:
    """Check host and port of a URL: a name or an address, that of IPv6 in brackets (RFC 3986 §3.2.2)."""
    authority = _AUTHORITY.fullmatch(text)
    if authority is None or not 1 <= int(authority["port"] or 1) <= 65535:
        raise ValueError("must be a URL whose host and port can be understood")
    bracketed, plain = authority["bracketed"], authority["plain"]
    if not (bracketed or plain):
        raise ValueError("must be a URL with a host in it")
    try:
        is_ipv6 = isinstance(parse_host(bracketed or plain), IPv6Address)
    except ValueError:
        raise ValueError("must be a URL whose host is a name or an address") from None
    if is_ipv6 is not bool(bracketed):
        raise ValueError("must be a URL with an IPv6 address, and nothing else, in brackets")


HttpUrl = Annotated[str, Field(max_length=2048), _url("http", "https")]
NatsUrl = Annotated[str, Field(max_length=2048), _url("nats", "tls")]

BucketName = Annotated[
    str,
    Matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "must be a bucket's name: 3 to 63 of a-z, 0-9, . and -"),
]
KeyPrefix = Annotated[str, Field(max_length=512), Matching(r"[^\x00-\x1f\x7f]*", "must not hold control characters")]
Region = Annotated[str, Field(max_length=64), Matching(r"[A-Za-z0-9-]+", "must be a region, such as eu-west-1")]
KmsKeyId = Annotated[str, Field(max_length=2048), Matching(r"[!-~]+", "must be a key's id or ARN without spaces")]

StreamName = Annotated[
    str,
    Field(max_length=255),
    Matching(r"[^\x00-\x20\x7f.*>/\\]+", "must be a stream's name, without spaces . * > / and \\"),
]
ObjectStoreName = Annotated[
    str, Field(max_length=255), Matching(r"[-_A-Za-z0-9]+", "must be an object store's name: A-Z, a-z, 0-9, - and _")
]
_SUBJECT_PART = r"(?:[^\x00-\x20\x7f.*>{}$]|\{domain\}|\{local\})+"
Subject = Annotated[
    str,
    Field(max_length=255),
    Matching(
        rf"{_SUBJECT_PART}(?:\.{_SUBJECT_PART})*",
        "must be a subject: tokens joined by dots, without spaces * > and $, and of {…} only {domain} and {local}",
    ),
]

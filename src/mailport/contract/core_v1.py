"""PURE. Secret and ConfigMap of Kubernetes' core/v1, as far as they matter here; no repr and no fault has a value."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field

from mailport.contract.faults import Fault, Invalid
from mailport.contract.formats import DataKey, ObjectName
from mailport.contract.model import Model
from mailport.contract.names import DATA_KEY


def _is_base64(text: str) -> str:
    try:
        _from_base64(text)
    except ValueError:
        raise ValueError("must be base64; plain text goes into a Secret's stringData, a ConfigMap's data") from None
    return text


def _from_base64(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


_Plain = dict[DataKey, str]
_Base64 = dict[DataKey, Annotated[str, AfterValidator(_is_base64)]]


class _Metadata(Model):
    """The name; the rest means nothing here."""

    model_config = ConfigDict(extra="ignore")

    name: ObjectName


class _Object(Model):
    """What both have. Kubernetes takes null for what may be left out."""

    api_version: Literal["v1"]
    metadata: _Metadata
    immutable: bool | None = None


class Secret(_Object):
    """A Secret."""

    kind: Literal["Secret"]
    type: str | None = None
    data: _Base64 | None = Field(default=None, repr=False)
    string_data: _Plain | None = Field(default=None, repr=False)

    @classmethod
    def parse_json(cls, document: bytes | str) -> Self:
        """Read a Secret; raises Invalid, which quotes nothing of it: a key may be a value, indented wrongly."""
        try:
            return super().parse_json(document)
        except Invalid as invalid:
            raise Invalid(map(_without_content, invalid.faults)) from None

    def content(self) -> dict[str, bytes]:
        """Return the value of each key. stringData wins, as in Kubernetes."""
        return _decoded(self.data) | _encoded(self.string_data)


_FIELDS = tuple(field.alias or name for name, field in Secret.model_fields.items())
_VALUE = re.compile(r"(data|stringData)\[(.*)\]", re.DOTALL)


def _without_content(fault: Fault) -> Fault:
    """Return the fault without a name that no Secret has."""
    field = re.split(r"[.\[]", fault.path, maxsplit=1)[0]
    if field not in _FIELDS:
        return Fault("", f"has a field that is none of {', '.join(_FIELDS)}")
    value = _VALUE.fullmatch(fault.path)
    if value and not DATA_KEY.fullmatch(value[2]):
        return Fault(value[1], fault.message)
    return fault


class ConfigMap(_Object):
    """A ConfigMap."""

    kind: Literal["ConfigMap"]
    data: _Plain | None = Field(default=None, repr=False)
    binary_data: _Base64 | None = Field(default=None, repr=False)

    def content(self) -> dict[str, bytes]:
        """Return the value of each key."""
        return _decoded(self.binary_data) | _encoded(self.data)


def _decoded(values: _Base64 | None) -> dict[str, bytes]:
    return {key: _from_base64(value) for key, value in (values or {}).items()}


def _encoded(values: _Plain | None) -> dict[str, bytes]:
    return {key: value.encode() for key, value in (values or {}).items()}

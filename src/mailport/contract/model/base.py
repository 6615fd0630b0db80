"""PURE. What every part of the document is built on."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from mailport.contract import shape
from mailport.contract.faults import Invalid


class Model(BaseModel):
    """Frozen, strict, nothing unknown; camelCase in documents, snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,  # for construction in Python; `parse_json` takes aliases only
    )

    @classmethod
    def parse_json(cls, document: bytes | str) -> Self:
        """Read a document, strictly; raises Invalid with every fault of its shape. rules.py is left to the caller."""
        try:
            return cls.model_validate_json(document, by_alias=True, by_name=False)
        except ValidationError as error:
            raise Invalid(shape.faults(error)) from None

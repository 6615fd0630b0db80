"""PURE. An InboundSmtp as the API server has it becomes a gateway, or the reason why it is not one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

from mailport import rules
from mailport.faults import Fault, Invalid
from mailport.model import InboundSmtp
from mailport.operator.accepted import Refusal
from mailport.operator.metadata import Manifest

MAX_MESSAGE = 2048
"""Characters of a message, for a person with kubectl; the CRD has room for 32,768, and a document for more faults."""

_BETWEEN = "; "
_UNKNOWN_FIELD = "unknown field"  # shape.py's words
_METADATA = ("name", "namespace", "generation")  # the rest is Kubernetes' own, and may be long


class Refused(Exception):  # noqa: N818 - as Invalid: what happened, said in one word
    """The document is not valid for this operator; `refusal` has the reason and all faults of it."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.reason}: {refusal.fault}")


def read(body: Manifest) -> InboundSmtp:
    """Read the object as it comes from the API server. Raises Refused.

    What the CRD has checked is checked again: it may be of another version than this operator.
    """
    document = {field: value for field, value in body.items() if field != "status"}
    document["metadata"] = {field: body["metadata"][field] for field in _METADATA if field in body["metadata"]}
    try:
        gateway = InboundSmtp.parse_json(json.dumps(document))
    except Invalid as invalid:
        # Of a later version: more to the point than what else may seem wrong
        unknown = [fault for fault in invalid.faults if fault.message == _UNKNOWN_FIELD]
        reason = "UnsupportedField" if unknown else "Invalid"
        raise Refused(Refusal(reason, _joined(unknown or invalid.faults))) from None
    if faults := rules.check(gateway.spec):
        raise Refused(Refusal("Invalid", _joined(faults)))
    return gateway


def _joined(faults: Iterable[Fault]) -> Fault:
    """Make one fault of many, each with its path, as far as there is room."""
    one, *more = faults
    if not more:
        return replace(one, message=one.message[:MAX_MESSAGE])
    texts = [str(fault) for fault in (one, *more)]
    ends = accumulate(len(text) + len(_BETWEEN) for text in texts)
    fitting = sum(end <= MAX_MESSAGE for end in ends)
    rest = [f"and {len(texts) - fitting} more"] if fitting < len(texts) else []
    return Fault("", _BETWEEN.join([*texts[:fitting], *rest]))

"""PURE. An InboundSmtp as the API server has it becomes a gateway, or the reasons why it is not one."""

from __future__ import annotations

import json

from mailport.contract import rules
from mailport.contract.faults import Invalid
from mailport.contract.model import InboundSmtp
from mailport.operator.admit.refusal import Refusal
from mailport.operator.metadata import Manifest

_UNKNOWN_FIELD = "unknown field"  # shape.py's words
_METADATA = ("name", "namespace", "generation")  # the rest is Kubernetes' own, and may be long


class Refused(Exception):  # noqa: N818 - as Invalid: what happened, said in one word
    """The document is not valid for this operator; `refusals` has every fault of it, with one reason."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        super().__init__("\n".join(f"{refusal.reason}: {refusal.fault}" for refusal in refusals))


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
        raise Refused(tuple(Refusal(reason, fault) for fault in unknown or invalid.faults)) from None
    if faults := rules.check(gateway.spec):
        raise Refused(tuple(Refusal("Invalid", fault) for fault in faults))
    return gateway

"""PURE. What a request says of a message in its header fields: all that is not in the message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mailport.address.mail_address import Address
from mailport.deliver import envelope_values
from mailport.message.envelope import Envelope

Field = tuple[str, str]

EVENT = "dev.mailport.message.received"  # CloudEvents' type

_LINE = 4000  # octets of a field's value; receivers take some 8,000 of one


def raw(envelope: Envelope, recipients: Sequence[Address], disposition: str) -> Iterator[Field]:
    """Return the envelope, for a receiver that gets the message as it is. Values are percent-encoded UTF-8."""
    yield "Content-Type", envelope_values.CONTENT_TYPE
    for name, value in envelope_values.values(envelope, recipients, disposition).items():
        if len(value) <= _LINE:
            yield name, value
        else:
            yield from ((name, line) for line in _lines(value.split(", ")))


def cloud_event(envelope: Envelope, event_id: str) -> Iterator[Field]:
    """Return the attributes of a CloudEvent 1.0.2 in binary content mode; its data is the message."""
    yield "ce-specversion", "1.0"
    yield "ce-id", event_id
    yield "ce-source", envelope_values.encoded(f"//{envelope.hostname}/{envelope.listener}")
    yield "ce-type", EVENT
    yield "ce-time", envelope.time.isoformat()


def _lines(values: Iterable[str]) -> Iterator[str]:
    """Write a list (RFC 9110 §5.6.1) in as many lines as it takes."""
    line = ""
    for value in values:
        if line and len(line) + len(value) + 2 > _LINE:
            yield line
            line = ""
        line += f", {value}" if line else value
    yield line

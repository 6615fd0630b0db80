"""PURE. What JetStream's answers mean for the client: replies.md, "Webhook, S3, NATS"."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mailport.deliver.destination import MISCONFIGURED, Receipt, Refused, Unavailable
from mailport.outward.printable import printable

_TOO_LARGE = 10054  # JSStreamMessageExceedsMaximumErr
# What only a person mends (nats-server's errors.json); any other error is one of now: full, no quorum, no leader
_OF_SET_UP = frozenset(
    (
        10039,  # JSNotEnabledForAccountErr
        10059,  # JSStreamNotFoundErr
        10060,  # JSStreamNotMatchErr: the subject is another stream's
        10076,  # JSNotEnabledErr
        10109,  # JSStreamSealedErr
    )
)


class Unknown(Unavailable):
    """Whether the stream has the message, nobody can tell: another answer came than the stream's, or none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream has acknowledged a message."""

    stream: str
    sequence: int
    duplicate: bool  # it had it before

    @property
    def receipt(self) -> Receipt:
        """What stands in the log."""
        return Receipt(f"{self.stream} {self.sequence}{' (had it)' if self.duplicate else ''}")


def acknowledgement(octets: bytes, stream: str) -> Stored:
    """Read the answer to a message. Raises Refused, Unavailable; Unknown where it is none of this stream's."""
    answer = parsed(octets)
    sequence = answer.get("seq")
    if answer.get("stream") != stream or not isinstance(sequence, int):
        raise Unknown(f"acknowledged by another stream: {_words(str(answer))}", reason=MISCONFIGURED)
    return Stored(stream, sequence, bool(answer.get("duplicate")))


def parsed(octets: bytes) -> dict[str, object]:
    """Read an answer of the JetStream API. Raises Refused or Unavailable where it is an error."""
    try:
        answer = json.loads(octets)
        error = answer.get("error")
        if error is None:
            return dict(answer)
        code, words = int(error.get("err_code") or 0), _words(str(error.get("description", "")))
    except (ValueError, AttributeError, TypeError) as caught:
        raise Unknown("an answer that cannot be read") from caught
    if code == _TOO_LARGE:
        raise too_large(words)
    if code in _OF_SET_UP:
        raise Unavailable(f"{words} ({code})", reason=MISCONFIGURED)
    raise Unavailable(f"{words} ({code})")


def too_large(detail: str) -> Refused:
    """Return what a message comes to that neither the server nor the stream takes."""
    return Refused("message is larger than the limit", code=552, enhanced="5.3.4", detail=detail)


def _words(text: str) -> str:
    return printable(text)[:300]

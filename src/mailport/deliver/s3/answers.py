"""PURE. What an object store's answer means for the client: replies.md, "Webhook, S3, NATS"."""

from __future__ import annotations

import re
from typing import NamedTuple

from mailport.deliver.destination import MISCONFIGURED, Unavailable
from mailport.outward.printable import printable

_STATUS = re.compile(r"status code: ([0-9]{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{0,300})")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*([A-Za-z]+)")
_CAUSE = re.compile(r'message: "([^"]{1,200})"|(TimedOut|dns error)')
_NOT_TRUSTED = "the certificate is not accepted"
_DEBUG = "\n\nDebug source:"  # of obstore's: what follows may hold what was sent

# What only a person mends, beside 401, 403, 404 and redirects (those tell of another region)
_OF_SET_UP = frozenset(
    (
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidBucketName",
        "InvalidToken",
        "KMS.DisabledException",
        "KMS.NotFoundException",
        "NoSuchBucket",
        "PermanentRedirect",
    )
)


class Answer(NamedTuple):
    """What a store said, or why it said nothing."""

    status: int  # of HTTP; 0: there was no answer
    code: str  # S3's word for the error; empty where there is none
    text: str  # for the log: nothing that was sent stands in it


def read(error: str) -> Answer:
    """Read the text of an error of obstore's."""
    said, _, debug = error.partition(_DEBUG)
    status, code, message = _STATUS.search(said), _CODE.search(said), _MESSAGE.search(said)
    if status is not None:
        words = [f"HTTP {status[1]}", *(found[1] for found in (code, message) if found is not None)]
    elif "AWS credential provider" in said or "Unauthenticated" in debug:
        words = [said]
    else:
        words = [said.rpartition(" - ")[2]]
        if certificate := _CERTIFICATE.search(debug):
            words.append(f"{_NOT_TRUSTED}: {certificate[1]}")
        elif cause := _CAUSE.search(debug):
            words.append(cause[1] or cause[2])
    text = printable(": ".join(words)).strip()[:500]
    return Answer(int(status[1]) if status else 0, code[1] if code else "", text)


def of_http(status: int, text: str) -> Answer:
    """Return what an answer to a request of ours says; `text` is of its body."""
    code, message = _CODE.search(text), _MESSAGE.search(text)
    words = [f"HTTP {status}", *(found[1] for found in (code, message) if found is not None)]
    return Answer(status, code[1] if code else "", ": ".join(words))


def is_of_set_up(answer: Answer, error: type[Exception] | None = None) -> bool:
    """Whether waiting does not mend it."""
    if answer.status in (401, 403, 404) or 300 <= answer.status <= 399 or answer.code in _OF_SET_UP:
        return True
    of = error.__name__ if error is not None else ""
    return of in ("UnauthenticatedError", "PermissionDeniedError") or _NOT_TRUSTED in answer.text


def unavailable(answer: Answer, error: type[Exception] | None = None) -> Unavailable:
    """Return what a failed request comes to. Whatever it is, the message is not there, and the sender keeps it."""
    if is_of_set_up(answer, error):
        return Unavailable(answer.text, reason=MISCONFIGURED)
    return Unavailable(answer.text)

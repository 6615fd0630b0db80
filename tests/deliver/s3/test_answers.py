"""What a store's answers mean."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from mailport.deliver.s3.answers import Answer, read, unavailable
from tests.tables import table

_BODY = '<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
_DENIED = f"""The operation lacked the necessary privileges: Error performing PUT http://s/mail/k in 3ms - \
Server returned non-2xx status code: 403 Forbidden: {_BODY.format("AccessDenied", "Access Denied")}

Debug source:
PermissionDenied {{ "x-amz-security-token: s3cr3t" }}"""
_BUSY = f"Generic S3 error: … after 2 retries - Server returned error response: Server returned non-2xx status code: \
503 Service Unavailable: {_BODY.format('SlowDown', 'Please reduce your request rate.')}"
_REGION = "Generic S3 error: … - Server returned non-2xx status code: 301 Moved Permanently: "
_SKEW = f"… status code: 400 Bad Request: {_BODY.format('AuthorizationHeaderMalformed', 'the region is wrong')}"
_REFUSED = """Generic S3 error: Error performing PUT http://127.0.0.1:1/mail/k in 2ms, after 1 retries - HTTP error: \
error sending request

Debug source:
Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"""
_CERTIFICATE = """Generic S3 error: Error performing PUT https://s/mail/k in 2ms - HTTP error: error sending request

Debug source:
Custom { kind: Other, error: InvalidCertificate(
    UnknownIssuer,
) }"""
_STS = (
    "The operation lacked valid authentication credentials for path WebIdentity: no such token file\n\nDebug source:\n"
)


@pytest.mark.parametrize(
    "error, text, answer, reason",
    table(
        {
            "access denied": (
                PermissionDeniedError,
                _DENIED,
                Answer(403, "AccessDenied", "HTTP 403: AccessDenied: Access Denied"),
                "destination_misconfigured",
            ),
            "slow down": (
                GenericError,
                _BUSY,
                Answer(503, "SlowDown", "HTTP 503: SlowDown: Please reduce your request rate."),
                "destination_unavailable",
            ),
            "the bucket is in another region": (
                GenericError,
                _REGION,
                Answer(301, "", "HTTP 301"),
                "destination_misconfigured",
            ),
            "signed for another region": (
                GenericError,
                _SKEW,
                Answer(
                    400,
                    "AuthorizationHeaderMalformed",
                    "HTTP 400: AuthorizationHeaderMalformed: the region is wrong",
                ),
                "destination_misconfigured",
            ),
            "nobody listens": (
                GenericError,
                _REFUSED,
                Answer(0, "", "HTTP error: error sending request: Connection refused"),
                "destination_unavailable",
            ),
            "a certificate of an unknown CA": (
                GenericError,
                _CERTIFICATE,
                Answer(0, "", "HTTP error: error sending request: the certificate is not accepted: UnknownIssuer"),
                "destination_misconfigured",
            ),
            "no keys for the token": (
                UnauthenticatedError,
                _STS,
                Answer(
                    0,
                    "",
                    "The operation lacked valid authentication credentials for path WebIdentity: no such token file",
                ),
                "destination_misconfigured",
            ),
        }
    ),
)
def test_an_error_is_read(error: type[Exception], text: str, answer: Answer, reason: str):
    """By its code and message, and nothing else of what was sent or came back."""
    found = unavailable(read(text), error)

    assert read(text) == answer
    assert (found.reply.code, found.reply.reason, str(found)) == (451, reason, answer.text)
    assert "s3cr3t" not in str(found)

"""PURE. The replies a client can see, by the name of what happened.

The text is public and generic (RFC 5321 §4.2); the exact reason goes to the log line and to the metric's label.
The table is the contract's: docs/replies.md. A destination's own refusals are made in deliver/, the one that names
recipients in outcome.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)  # not frozen: each message has one made, and that would take three times as long
class Reply:
    """One SMTP reply.

    `enhanced` is the enhanced status code (RFC 3463), empty for 354 and for the 250 to HELO. `reason` is the metric's
    label and the log's `reason`; empty where nothing is refused. After a reply with `close` the connection is closed;
    one that is `silent` is not sent, and stands for a connection that is closed without a word.
    """

    code: int
    enhanced: str
    text: str
    reason: str = ""
    close: bool = False
    silent: bool = False
    line: bytes = field(init=False, repr=False, compare=False)  # as it goes out, CRLF and all; made once

    def __post_init__(self) -> None:
        if "\r" in self.text or "\n" in self.text:
            raise ValueError("a reply is one line")
        enhanced = f"{self.enhanced} " if self.enhanced else ""
        self.line = f"{self.code} {enhanced}{self.text}\r\n".encode("ascii", "replace")

    @property
    def permanent(self) -> bool:
        """Whether the client is not to try again: 5yz (RFC 5321 §4.2.1)."""
        return self.code >= 500

    @property
    def positive(self) -> bool:
        """Whether the command did what it was asked to."""
        return self.code < 400


# Connection: in place of the greeting, or at any time.
ACCESS_DENIED = Reply(554, "5.7.1", "access denied", "access", close=True)
ACCESS_REVOKED = Reply(421, "4.7.1", "access denied", "access", close=True)
TOO_MANY_CONNECTIONS = Reply(421, "4.3.2", "too many connections, try again later", "max_connections", close=True)
TOO_MANY_FROM_CLIENT = Reply(
    421, "4.7.0", "too many connections from your address, try again later", "max_connections_per_client", close=True
)
DRAINING = Reply(421, "4.3.2", "service is shutting down, try again later", "draining", close=True)
TIMED_OUT = Reply(421, "4.4.2", "timeout, closing connection", "timeout", close=True)
TOO_SLOW = Reply(421, "4.4.2", "message data comes too slowly, closing connection", "too_slow", close=True)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors, closing connection", "max_errors", close=True)
NOT_SMTP = Reply(500, "5.5.2", "this is not SMTP", "not_smtp", close=True, silent=True)
SECOND_PROXY_HEADER = Reply(500, "5.5.2", "a second PROXY header", "proxy_protocol", close=True, silent=True)
PROXY_LOCAL = Reply(451, "4.7.1", "the proxy has not named the client, no mail can be taken", "proxy_local")

# Commands (RFC 5321 §4.2.2, §4.3.2).
OK = Reply(250, "2.0.0", "Ok")
BYE = Reply(221, "2.0.0", "Bye", close=True)
HELP = Reply(214, "2.0.0", "see RFC 5321; https://mailport.dev")
CANNOT_VRFY = Reply(252, "2.5.0", "cannot verify, send some mail and I will try")  # RFC 5321 §7.3
NOT_IMPLEMENTED = Reply(502, "5.5.1", "command not implemented", "unknown_command")
UNKNOWN_COMMAND = Reply(500, "5.5.2", "command not recognized", "unknown_command")
LINE_WITHOUT_CR = Reply(500, "5.5.2", "a command line must end in CRLF", "bare_newline")
LINE_TOO_LONG = Reply(500, "5.5.2", "line too long", "line_too_long")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "authentication exchange line is too long", "line_too_long")  # RFC 4954 §4
SEND_EHLO_FIRST = Reply(503, "5.5.1", "send EHLO first", "bad_sequence")
NEED_MAIL = Reply(503, "5.5.1", "need MAIL first", "bad_sequence")
NEED_RCPT = Reply(503, "5.5.1", "need RCPT first", "bad_sequence")
NESTED_MAIL = Reply(503, "5.5.1", "a transaction is open already", "bad_sequence")
BAD_SEQUENCE = Reply(503, "5.5.1", "bad sequence of commands", "bad_sequence")
NO_ARGUMENT = Reply(501, "5.5.4", "no argument is allowed here", "syntax")
NEEDS_ARGUMENT = Reply(501, "5.5.4", "an argument is needed", "syntax")
BAD_HOSTNAME = Reply(501, "5.5.4", "a control character in the host name", "syntax")
NEEDS_HOSTNAME = Reply(501, "5.5.4", "a host name is needed", "syntax")
BAD_SENDER = Reply(501, "5.1.7", "syntax: MAIL FROM:<address>", "syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "syntax: RCPT TO:<address>", "syntax")
BAD_PARAMETER = Reply(501, "5.5.4", "syntax error in a parameter", "syntax")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "parameter not recognized", "syntax")

# TLS (RFC 3207).
READY_FOR_TLS = Reply(220, "2.0.0", "ready to start TLS")
TLS_REQUIRED = Reply(530, "5.7.0", "must issue a STARTTLS command first", "tls_required")
TLS_ACTIVE = Reply(503, "5.5.1", "TLS is active already", "bad_sequence")
TLS_DISABLED = Reply(502, "5.5.1", "STARTTLS is not available here", "unknown_command")
TLS_UNAVAILABLE = Reply(454, "4.7.0", "TLS is not available due to a temporary reason", "tls_unavailable")
STARTTLS_INJECTION = Reply(
    503, "5.5.1", "nothing may follow STARTTLS before the handshake", "starttls_injection", close=True
)

# AUTH (RFC 4954).
AUTHENTICATED = Reply(235, "2.7.0", "authentication succeeded")
AUTH_REQUIRED = Reply(530, "5.7.0", "authentication required", "auth_required")
AUTH_DISABLED = Reply(502, "5.5.1", "AUTH is not available here", "auth_disabled")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "encryption is required for authentication", "auth_needs_tls")
BAD_CREDENTIALS = Reply(535, "5.7.8", "authentication credentials invalid", "bad_credentials")
TOO_MANY_AUTH_FAILURES = Reply(421, "4.7.0", "too many failed authentications", "auth_failures", close=True)
AUTH_UNAVAILABLE = Reply(454, "4.7.0", "temporary authentication failure", "auth_unavailable")
AUTH_NOT_NOW = Reply(503, "5.5.1", "AUTH is not allowed now", "bad_sequence")
AUTH_MECHANISM = Reply(504, "5.5.4", "unrecognized authentication type", "syntax")
AUTH_NOT_BASE64 = Reply(501, "5.5.2", "not valid base64", "syntax")
AUTH_NOT_PLAIN = Reply(501, "5.5.2", "not a message of the PLAIN mechanism", "syntax")
AUTH_CANCELLED = Reply(501, "5.7.0", "authentication cancelled", "auth_cancelled")
AUTH_SYNTAX = Reply(501, "5.5.4", "syntax: AUTH mechanism [initial-response]", "syntax")
SENDER_NOT_OWNED = Reply(553, "5.7.1", "this sender address is not yours", "sender_not_owned")

# Recipients.
SENDER_OK = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "recipient ok")
RELAY_DENIED = Reply(550, "5.7.1", "relaying denied", "relay_denied")
NO_SUCH_RECIPIENT = Reply(550, "5.1.1", "no such recipient here", "no_such_recipient")
UNSAFE_ADDRESS = Reply(553, "5.1.3", "this form of address is not allowed", "unsafe_address")
SENDER_NEEDS_SMTPUTF8 = Reply(550, "5.6.7", "a non-ASCII address needs SMTPUTF8", "smtputf8")  # RFC 6531 §3.5
RECIPIENT_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "a non-ASCII address needs SMTPUTF8", "smtputf8")  # RFC 6531 §3.5
OTHER_ROUTE = Reply(452, "4.5.3", "send this recipient in another transaction", "other_route")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients", "max_recipients")  # RFC 5321 §4.5.3.1.10
NO_REVERSE_DNS = Reply(550, "5.7.25", "reverse DNS validation failed", "iprev")  # RFC 7372 §3.3
IPREV_UNKNOWN = Reply(451, "4.7.25", "the name of your address cannot be looked up, try again later", "iprev")
NULL_MX = Reply(550, "5.7.27", "the sender's domain takes no mail", "null_mx")  # RFC 7505 §4.2
ROUTE_BUSY = Reply(451, "4.3.2", "busy, try again later", "route_busy")

# Message.
SEND_DATA = Reply(354, "", "end data with <CR><LF>.<CR><LF>")
CHUNK_OK = Reply(250, "2.0.0", "chunk received")
SIZE_DECLARED = Reply(552, "5.3.4", "message is larger than the limit", "size_declared")  # RFC 1870 §6.1
TOO_LARGE = Reply(552, "5.3.4", "message is larger than the limit", "size")
DROP_LIMIT = Reply(421, "4.3.0", "message is far larger than the limit, closing connection", "drop_limit", close=True)
CHUNK_OUT_OF_PLACE = Reply(503, "5.5.1", "no chunk is expected", "bad_sequence")  # RFC 3030 §2
CHUNK_SIZE = Reply(501, "5.5.4", "syntax: BDAT size [LAST]", "syntax", close=True)
BARE_NEWLINE = Reply(550, "5.6.0", "a line ends in a bare CR or LF", "bare_newline")
MAIL_LOOP = Reply(554, "5.4.6", "mail loop", "mail_loop")
DMARC_FAILED = Reply(550, "5.7.26", "rejected by the DMARC policy of the author's domain", "dmarc")  # RFC 7372 §3.4
DMARC_UNKNOWN = Reply(451, "4.7.26", "DMARC of the author's domain cannot be checked, try again later", "dmarc")
SPF_FAILED = Reply(550, "5.7.23", "SPF validation failed", "spf")  # RFC 7372 §3.2
SPF_UNKNOWN = Reply(451, "4.7.24", "SPF of the sender's domain cannot be checked, try again later", "spf")
INTERNAL = Reply(451, "4.3.0", "internal error, try again later", "internal")
NO_SPACE = Reply(452, "4.3.1", "insufficient system storage, try again later", "no_space")
HEADER_TOO_LARGE = Reply(552, "5.3.4", "the header section is larger than the limit", "header_size")
PARTIAL = Reply(451, "4.3.0", "not all destinations took the message, try again later", "partial")


def queued(message_id: str) -> Reply:
    """Return the 250 of a message that its destination holds durably."""
    return Reply(250, "2.0.0", f"Ok: queued as {message_id}")

"""An SMTP conversation in which one message is sent, shown as it is held: what `mailport send` does."""

from __future__ import annotations

import smtplib
import socket
import ssl
import sys
from base64 import b64encode
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_TIMEOUT_SECONDS = 60.0


class Tls(StrEnum):
    """How the connection is encrypted."""

    AUTO = "auto"
    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class NotSent(Exception):  # noqa: N818 - what the message was
    """The message was not sent; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be sent, and how."""

    host: str
    port: int
    tls: Tls
    context: ssl.SSLContext
    trust: str  # what the context makes of a certificate, in words
    user: str | None
    password: str = field(repr=False)
    clear_password: bool  # may go over a connection that is not encrypted
    sender: str
    recipients: tuple[str, ...]
    message: bytes
    smtputf8: bool  # needs it


def note(text: str) -> None:
    """Show something beside what is said."""
    sys.stdout.write(f"* {text}\n")


def _show(who: str, text: str) -> None:
    sys.stdout.write(f"{who}: {text}\n")


def _text(reply: bytes | str) -> str:
    """Return a server's words on one line, and none that steers the terminal."""
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words.replace("\n", " ")
    )


class _Shown(smtplib.SMTP):
    """A client that shows what is said, but for passwords."""

    _authenticating = False

    def send(self, s: Any) -> None:
        super().send(s.encode() if isinstance(s, str) else s)  # UTF-8, which addresses may be in (RFC 6531)
        if isinstance(s, bytes):
            _show("C", f"({len(s)} octets of message, and the dot)")
        elif s.startswith("AUTH "):
            self._authenticating = True
            _show("C", f"{' '.join(s.split()[:2])} ****")
        else:
            _show("C", "****" if self._authenticating else s.rstrip("\r\n"))

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        self._authenticating = self._authenticating and code == 334
        lines = text.split(b"\n")
        for number, line in enumerate(lines, start=1):
            _show("S", f"{code}{'-' if number < len(lines) else ' '}{_text(line)}")
        return code, text

    def say(self, verb: str, argument: str = "", *, expect: int = 2) -> None:
        """Give a command. Raises SMTPResponseException where its reply is of another kind."""
        code, text = self.docmd(verb, argument)
        if code // 100 != expect:
            raise smtplib.SMTPResponseException(code, text)


class _ShownInTls(_Shown, smtplib.SMTP_SSL):
    """The same, on a port where TLS comes first."""


def send(errand: Errand) -> str:
    """Hold the conversation; return what the server says of the message. Raises NotSent."""
    place = f"{errand.host}:{errand.port}"
    try:
        with closing(_connect(errand)) as server:
            try:
                return _converse(server, errand)
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"refused: {_reply(error)}") from error
    except smtplib.SMTPServerDisconnected as error:
        raise NotSent(f"{place} hung up") from error
    except ssl.SSLCertVerificationError as error:
        raise NotSent(
            f"the certificate of {place} is not trusted: {error.verify_message} (--ca FILE, or --insecure)"
        ) from error
    except OSError as error:
        raise NotSent(f"{place}: {error.strerror or error}") from error


def _reply(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_text(error.smtp_error)}"


def _connect(errand: Errand) -> _Shown:
    here = socket.gethostname()  # smtplib would ask the DNS, and wait for it
    if errand.tls is not Tls.IMPLICIT:
        return _Shown(errand.host, errand.port, here, _TIMEOUT_SECONDS)
    server = _ShownInTls(errand.host, errand.port, here, timeout=_TIMEOUT_SECONDS, context=errand.context)
    _note_tls(server, errand)
    return server


def _converse(server: _Shown, errand: Errand) -> str:
    server.ehlo_or_helo_if_needed()
    if errand.tls is Tls.STARTTLS or (errand.tls is Tls.AUTO and server.has_extn("starttls")):
        if not server.has_extn("starttls"):
            raise NotSent("the server offers no STARTTLS")
        server.starttls(context=errand.context)
        _note_tls(server, errand)
        server.ehlo_or_helo_if_needed()
    if errand.user:
        _log_in(server, errand, errand.user)
    if errand.smtputf8 and not server.has_extn("smtputf8"):
        raise NotSent("the server offers no SMTPUTF8, which these addresses need")

    parameters = {
        "SIZE": f" SIZE={len(errand.message)}",
        "8BITMIME": "" if errand.message.isascii() else " BODY=8BITMIME",
        "SMTPUTF8": " SMTPUTF8" if errand.smtputf8 else "",
    }
    offered = "".join(text for keyword, text in parameters.items() if server.has_extn(keyword))
    server.say("MAIL", f"FROM:<{errand.sender}>{offered}")
    refused = []
    for recipient in errand.recipients:
        try:
            server.say("RCPT", f"TO:<{recipient}>")
        except smtplib.SMTPResponseException as error:
            refused.append(f"{recipient}: {_reply(error)}")
    if len(refused) == len(errand.recipients):
        raise NotSent(f"refused: {'; '.join(refused)}")
    code, text = server.data(errand.message)
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    if refused:
        raise NotSent(f"accepted ({_text(text)}), but refused for {'; '.join(refused)}")
    return _text(text)


def _note_tls(server: _Shown, errand: Errand) -> None:
    if isinstance(server.sock, ssl.SSLSocket):
        cipher = server.sock.cipher()
        note(f"{server.sock.version()}, {cipher[0] if cipher else 'no cipher'}, {errand.trust}")


def _log_in(server: _Shown, errand: Errand, user: str) -> None:
    """Authenticate; smtplib's own does it in ASCII only."""
    if not isinstance(server.sock, ssl.SSLSocket) and not errand.clear_password:
        raise NotSent("the connection is not encrypted: no password is sent in clear without --insecure")
    mechanisms = server.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in mechanisms:
        server.say("AUTH", "PLAIN " + _base64(f"\0{user}\0{errand.password}"))  # RFC 4616 §2
    elif "LOGIN" in mechanisms:
        server.say("AUTH", "LOGIN", expect=3)
        server.say(_base64(user), expect=3)
        server.say(_base64(errand.password))
    else:
        raise NotSent("the server offers neither AUTH PLAIN nor LOGIN on this connection")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()

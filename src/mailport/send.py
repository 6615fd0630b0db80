"""`mailport send`: send a test message, and show the conversation."""

from __future__ import annotations

import argparse
import os
import re
import smtplib
import socket
import ssl
import sys
from base64 import b64encode
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from enum import StrEnum
from getpass import getpass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

_IMPLICIT_TLS_PORTS = frozenset((465, 2465))  # RFC 8314 §3.3, and what examples/local.yaml serves without root
_TIMEOUT_SECONDS = 60.0


class Tls(StrEnum):
    """How the connection is encrypted."""

    AUTO = "auto"
    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class BadOption(Exception):  # noqa: N818 - what it is
    """What is wrong with the command line, in one line."""


class NotSent(Exception):  # noqa: N818 - what the message was
    """Why, in one line."""


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


# --- the command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options; each may also come as a MAILPORT_… variable."""
    add = parser.add_argument
    to = [address.strip() for address in _environment("TO").split(",") if address.strip()]
    add(
        "--to",
        metavar="ADDRESS",
        action="append",
        default=to,
        required=not to,
        help="a recipient; may be given several times",
    )
    add(
        "--server",
        metavar="HOST:PORT",
        type=_server,
        default=_environment("SERVER", "127.0.0.1:2525"),
        help="default: 127.0.0.1:2525",
    )
    add(
        "--from",
        metavar="ADDRESS",
        dest="sender",
        default=_environment("FROM") or None,
        help="the sender, <> for none; default: the user where that is an address, else mailport@ this host",
    )
    add("--user", metavar="NAME", default=_environment("USER") or None, help="log in as this user")
    add(
        "--password-stdin",
        action="store_true",
        default=_switched_on("PASSWORD_STDIN"),
        help="read the password from stdin; else it is what MAILPORT_PASSWORD holds, or is asked for",
    )
    add(
        "--tls",
        type=Tls,
        choices=list(Tls),
        default=_environment("TLS", Tls.AUTO),
        help="default: auto, which is implicit on ports 465 and 2465 and else STARTTLS where it is offered",
    )
    add(
        "--insecure",
        action="store_true",
        default=_switched_on("INSECURE"),
        help="take any certificate, and send a password in clear where need be; always so on loopback",
    )
    add(
        "--ca",
        metavar="FILE",
        type=Path,
        default=_environment("CA") or None,
        help="trust these PEM certificates in place of the system's, on loopback too",
    )
    add(
        "--subject",
        metavar="TEXT",
        default=_environment("SUBJECT", "A test by mailport send"),
        help="default: %(default)s",
    )
    add("--body", metavar="TEXT", default=_environment("BODY", "It works."), help="default: %(default)s")
    add(
        "-f",
        "--file",
        metavar="FILE",
        type=Path,
        help="send this whole message, header and all, in place of --subject and --body; - is stdin",
    )


def run(options: argparse.Namespace) -> int:
    """Send, and return 0 when the message was taken for all, 1 when not, 2 for a bad option."""
    try:
        taken = _send(_errand(options))
    except (BadOption, NotSent) as error:
        sys.stderr.write(f"mailport send: {error}\n")
        return 2 if isinstance(error, BadOption) else 1
    _note(f"taken: {taken}")
    return 0


def _environment(name: str, default: str = "") -> str:
    return os.environ.get(f"MAILPORT_{name}", default)


def _switched_on(name: str) -> bool:
    return _environment(name).lower() in ("1", "true")


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _errand(options: argparse.Namespace) -> Errand:
    host, port = options.server
    user, here = options.user, socket.gethostname()
    sender = options.sender if options.sender is not None else user if user and "@" in user else f"mailport@{here}"
    sender = sender.removeprefix("<").removesuffix(">")
    recipients = tuple(options.to)
    if any(not address.isprintable() for address in (sender, *recipients)):
        raise BadOption("an address must be one line")
    if options.password_stdin and options.file == Path("-"):
        raise BadOption("stdin cannot hold both the password and the message")
    smtputf8 = not "".join((sender, *recipients)).isascii()
    context, trust = _trust(host, options.ca, insecure=options.insecure)
    return Errand(
        host=host,
        port=port,
        tls=Tls.IMPLICIT if options.tls is Tls.AUTO and port in _IMPLICIT_TLS_PORTS else options.tls,
        context=context,
        trust=trust,
        user=user,
        password=_password(from_stdin=options.password_stdin) if user else "",
        clear_password=options.insecure or _on_this_machine(host),
        sender=sender,
        recipients=recipients,
        message=_read(options.file) if options.file else _compose(options, sender, recipients, smtputf8=smtputf8),
        smtputf8=smtputf8,
    )


def _trust(host: str, ca: Path | None, *, insecure: bool) -> tuple[ssl.SSLContext, str]:
    """Return a context, and what it makes of the server's certificate in words."""
    if ca and insecure:
        raise BadOption("--ca has certificates verified and --insecure has not: give one of them")
    if insecure or (_on_this_machine(host) and not ca):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context, f"certificate not verified: {'--insecure' if insecure else 'the server is on this machine'}"
    try:
        return ssl.create_default_context(cafile=ca), "certificate verified"
    except OSError as error:  # ssl.SSLError is one
        raise BadOption(f"--ca {ca}: {error.strerror or error}") from error


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if password := _environment("PASSWORD"):
        return password
    if not sys.stdin.isatty():
        raise BadOption("--user needs a password: --password-stdin, MAILPORT_PASSWORD, or a terminal to ask at")
    return getpass("Password: ")


def _read(path: Path) -> bytes:
    """Return the message in a file, its lines ending as SMTP's do."""
    try:
        message = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise BadOption(f"-f {path}: {error.strerror}") from error
    return re.sub(rb"\r?\n", b"\r\n", message)


def _compose(options: argparse.Namespace, sender: str, recipients: tuple[str, ...], *, smtputf8: bool) -> bytes:
    message = EmailMessage(policy.SMTPUTF8 if smtputf8 else policy.SMTP)
    try:
        message["From"] = sender or f"mailport@{socket.gethostname()}"
        message["To"] = ", ".join(recipients)
        message["Subject"] = options.subject
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = make_msgid(domain=socket.gethostname())
        message.set_content(options.body)
        return message.as_bytes()
    except ValueError as error:
        raise BadOption(f"no message can be made of this: {error}") from error


# --- the conversation


def _note(text: str) -> None:
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


def _send(errand: Errand) -> str:
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
        raise NotSent(f"taken ({_text(text)}), but refused for {'; '.join(refused)}")
    return _text(text)


def _note_tls(server: _Shown, errand: Errand) -> None:
    if isinstance(server.sock, ssl.SSLSocket):
        cipher = server.sock.cipher()
        _note(f"{server.sock.version()}, {cipher[0] if cipher else 'no cipher'}, {errand.trust}")


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

"""`mailport send`: its options, and the message that they make."""

from __future__ import annotations

import argparse
import os
import re
import socket
import ssl
import sys
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from getpass import getpass
from ipaddress import ip_address
from pathlib import Path

from mailport.commands.conversation import Errand, NotSent, Tls, note, send
from mailport.commands.options import Commands, add_command, host_and_port, switched_on

_IMPLICIT_TLS_PORTS = frozenset((465, 2465))  # RFC 8314 §3.3, and what examples/local.yaml serves without root


class BadOption(Exception):  # noqa: N818 - what it is
    """What is wrong with the command line, in one line."""


def add(commands: Commands) -> None:
    """Describe the command and its options."""
    parser = add_command(
        commands,
        "send",
        "send a test message and show the conversation",
        "mailport send --to anna@example.org --server 127.0.0.1:2525 --insecure",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


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
        default=switched_on("MAILPORT_PASSWORD_STDIN"),
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
        default=switched_on("MAILPORT_INSECURE"),
        help="accept any certificate, and send the password even without TLS. The default on loopback, where "
        "--ca verifies the certificate all the same",
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
    add(  # not MAILPORT_FILE: that is the InboundSmtp of the other commands
        "-f",
        "--file",
        metavar="FILE",
        type=Path,
        help="send this whole message, header and all, in place of --subject and --body; - is stdin (no variable)",
    )


def run(options: argparse.Namespace) -> int:
    """Send, and return 0 when the message was accepted for all, 1 when not, 2 for a bad option."""
    try:
        accepted = send(_errand(options))
    except (BadOption, NotSent) as error:
        sys.stderr.write(f"mailport send: {error}\n")
        return 2 if isinstance(error, BadOption) else 1
    note(f"accepted: {accepted}")
    return 0


def _environment(name: str, default: str = "") -> str:
    return os.environ.get(f"MAILPORT_{name}", default)


def _server(text: str) -> tuple[str, int]:
    host, port = host_and_port(text)
    if not host or not port:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, port


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
        raise BadOption("--ca verifies the certificate and --insecure does not: give only one of them")
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
        raise BadOption(f"cannot compose the message: {error}") from error

"""What the listener takes of aiosmtpd, by name. An upgrade that changes any of it fails here first.

Session is a subclass of aiosmtpd's SMTP. A method that aiosmtpd adds could be called by a client, or be replaced by one
of ours that means something else; one that it renames could be missing.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap
from pathlib import Path

from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Session as Greeting

import mailport.listener
from mailport.listener import session
from mailport.listener.session import Session

# Members of SMTP that Session replaces by its own.
REPLACED = {
    "smtp_AUTH",
    "smtp_DATA",
    "smtp_EHLO",
    "smtp_EXPN",
    "smtp_HELO",
    "smtp_HELP",
    "smtp_MAIL",
    "smtp_NOOP",
    "smtp_QUIT",
    "smtp_RCPT",
    "smtp_RSET",
    "smtp_STARTTLS",
    "smtp_VRFY",
    "_handle_client",
}
# Members of SMTP that are in use as they are.
INHERITED: set[str] = set()
# Attributes of aiosmtpd's own session object that are in use.
OF_THE_GREETING = {"host_name", "extended_smtp"}


def own_classes() -> list[type]:
    return [cls for cls in Session.__mro__ if cls.__module__.startswith("mailport.")]


def own_members() -> set[str]:
    """The names that classes of this project define for Session."""
    return {name for cls in own_classes() for name in vars(cls) if not name.startswith("__")}


def attributes_of(owner: str, source: str) -> set[str]:
    """The attributes that some source asks of what it calls `owner`: `self.x` of `self`."""
    nodes = ast.walk(ast.parse(textwrap.dedent(source)))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == owner}


def in_session(owner: str) -> set[str]:
    return set().union(*(attributes_of(owner, inspect.getsource(cls)) for cls in own_classes()))


def in_the_listener(owner: str) -> set[str]:
    folder = Path(mailport.listener.__file__).parent
    return set().union(*(attributes_of(owner, path.read_text()) for path in folder.glob("*.py")))


def test_what_is_replaced():
    """Each of these has a counterpart in aiosmtpd whose place it takes; a new one of that name would be another."""
    assert own_members() & set(dir(SMTP)) == REPLACED


def test_what_is_inherited():
    """Nothing else of aiosmtpd's is asked for: neither in a method of Session nor on a session."""
    asked = in_session("self") | in_the_listener("session")

    assert {"wire", "reply", "transaction"} <= asked
    assert asked & set(dir(SMTP)) - own_members() == INHERITED


async def test_what_the_greeting_holds():
    """The two things that aiosmtpd's session object is used for, as they are before EHLO."""
    greeting = Greeting(asyncio.get_running_loop())

    assert in_session("self.session") & set(vars(greeting)) == OF_THE_GREETING
    assert greeting.host_name is None
    assert greeting.extended_smtp is False


def test_what_a_client_can_call():
    """Only methods that are defined here, each of them by the name of its command."""
    assert {name.encode(): method for name, method in verbs().items()} == session._VERBS
    for verb, method in session._VERBS.items():
        assert inspect.getmodule(method).__name__.startswith("mailport."), verb


def verbs() -> dict[str, object]:
    return {name.removeprefix("smtp_"): getattr(Session, name) for name in own_members() if name.startswith("smtp_")}


def test_no_command_of_aiosmtpd_is_left():
    """A command that aiosmtpd knows and that is not replaced is one that nobody has looked at."""
    assert {name for name in dir(SMTP) if name.startswith("smtp_")} <= REPLACED

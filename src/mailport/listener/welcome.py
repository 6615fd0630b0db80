"""What `serve --dev` shows whoever started it: where it listens, who may log in, where mail lands, what to try."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mailport.contract.model import TlsMode
from mailport.listener.bindings import Bound
from mailport.listener.config import Config, ListenerOptions
from mailport.listener.dev import DevSecrets

_TLS_WORDS = {
    TlsMode.DISABLED: "in clear",
    TlsMode.START_TLS: "STARTTLS offered",
    TlsMode.START_TLS_REQUIRED: "STARTTLS required",
    TlsMode.IMPLICIT: "TLS from the first byte",
}


def welcome(bound: list[Bound], config: Config, data: Path, new: DevSecrets | None) -> Iterator[str]:
    """Yield the lines; `new` is what this start has made."""
    yield f"{config.spec.hostname} listens on"
    for listening in bound:
        described = _described(config.listeners[listening.listener])
        yield f"  {listening.address:<24}{listening.listener:<16}{described}"
    yield f"mail lands in {data / 'mail' / 'default'}/<domain>/<local part>/new/"
    if new is not None and new.users is not None:
        yield from new_login(new)
    elif config.spec.auth is not None:
        yield f"the user and password are those shown at the first start (for others remove {data / 'dev'})"
    if example := _example_recipient(config):
        yield from _examples(bound, config, example, new)
    yield "Ctrl-C ends it"


def _examples(bound: list[Bound], config: Config, recipient: str, new: DevSecrets | None) -> Iterator[str]:
    """Yield what to try: a mail as from another server, and one of the user's whose password has just been shown."""
    mailport = _command()
    as_server = next((listening for listening in bound if _open(config.listeners[listening.listener])), None)
    if as_server is not None:
        tls = _swaks_tls(config.listeners[as_server.listener])
        yield "to try it:"
        yield f"  {mailport} send --to {recipient} --server {as_server.address}"
        yield f"  swaks --to {recipient} --server {as_server.address}{tls}"
    as_user = next((listening for listening in bound if config.listeners[listening.listener].auth_required), None)
    if as_user is not None and new is not None and new.users is not None:
        tls = " --tls implicit" if config.listeners[as_user.listener].tls is TlsMode.IMPLICIT else ""
        yield "and with the password:"
        yield f"  {mailport} send --to {recipient} --server {as_user.address} --user {new.user}{tls}"


def _command() -> str:
    """Return how this command is called from here."""
    program = Path(sys.argv[0])
    if program.name != "mailport":
        return "python3 -m mailport"
    found = shutil.which("mailport")
    return "mailport" if found is not None and Path(found).samefile(program) else str(program)


def new_login(new: DevSecrets) -> Iterator[str]:
    """Yield a line with the user and password, where they are new: they are not shown again."""
    if new.users is not None:
        yield f"user {new.user}, password {new.password} (made now, not shown again; for another remove {new.users})"


def _described(options: ListenerOptions) -> str:
    words = _TLS_WORDS[options.tls]
    return f"{words}, authentication required" if options.auth_required else words


def _open(options: ListenerOptions) -> bool:
    return not options.auth_required and options.tls is not TlsMode.IMPLICIT and options.trusted_proxies is None


def _swaks_tls(options: ListenerOptions) -> str:
    return " -tls" if options.tls in (TlsMode.START_TLS, TlsMode.START_TLS_REQUIRED) else ""


def _example_recipient(config: Config) -> str:
    """Return an address that some route takes from anyone, or nothing."""
    for route in config.spec.routes:
        for pattern in route.recipients:
            local, _, domain = pattern.rpartition("@")
            if route.deliver.kind == "maildir" and domain and "*" not in domain:
                return f"{'anna' if '*' in local else local}@{domain}"
    return ""

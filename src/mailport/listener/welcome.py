"""What `serve --dev` tells who started it: where it listens, who may log in, where mail lands, what to try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mailport.listener.bindings import Bound
from mailport.listener.config import Config, Options
from mailport.listener.dev import Made
from mailport.model import TlsMode

_TLS_WORDS = {
    TlsMode.DISABLED: "in clear",
    TlsMode.START_TLS: "STARTTLS offered",
    TlsMode.START_TLS_REQUIRED: "STARTTLS required",
    TlsMode.IMPLICIT: "TLS from the first byte",
}


def welcome(bound: list[Bound], config: Config, data: Path, made: Made | None) -> Iterator[str]:
    """Yield the lines."""
    yield f"{config.spec.hostname} listens on"
    for one in bound:
        yield f"  {one.address:<24}{one.listener:<16}{_described(config.listeners[one.listener])}"
    yield f"mail lands in {data / 'mail' / 'default'}/<domain>/<local part>/new/"
    if made is not None and made.users is not None:
        yield from told(made)
    elif config.spec.auth is not None:
        yield f"the user and password are those shown at the first start (for others remove {data / 'dev'})"
    example = _example_recipient(config)
    first = next((one for one in bound if _open(config.listeners[one.listener])), None)
    if first is not None and example:
        yield "to try it:"
        yield f"  .venv/bin/mailport send --to {example} --server {first.address}"
        yield f"  swaks --to {example} --server {first.address}{_swaks_tls(config.listeners[first.listener])}"
    yield "Ctrl-C ends it"


def told(made: Made) -> Iterator[str]:
    """Yield what nobody will be told again."""
    if made.users is not None:
        yield f"user {made.user}, password {made.password} (made now, not shown again; for another remove {made.users})"


def _described(options: Options) -> str:
    words = _TLS_WORDS[options.tls]
    return f"{words}, authentication required" if options.auth_required else words


def _open(options: Options) -> bool:
    return not options.auth_required and options.tls is not TlsMode.IMPLICIT and options.trusted_proxies is None


def _swaks_tls(options: Options) -> str:
    return " -tls" if options.tls in (TlsMode.START_TLS, TlsMode.START_TLS_REQUIRED) else ""


def _example_recipient(config: Config) -> str:
    """Return an address that some route takes from anyone, or nothing."""
    for route in config.spec.routes:
        for pattern in route.recipients:
            local, _, domain = pattern.rpartition("@")
            if route.deliver.kind == "maildir" and domain and "*" not in domain:
                return f"{'anna' if '*' in local else local}@{domain}"
    return ""

"""What can go wrong at a next hop, and what the client hears: the tables of docs/routes.md, and of test_faults.py.

    python -m tests.deliver.next_hop.faults

writes them into the page. test_faults.py makes each of these faults in front of a real Dovecot and a real Postfix.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from mailport.deliver.next_hop.client import Login
from mailport.outward.allowed import Allowed
from tests.certificates import NOW, Issued
from tests.deliver.next_hop.faulty import (
    AUTH,
    CONTENT,
    DATA,
    EHLO,
    EHLO_OVER_TLS,
    GREETING,
    HANDSHAKE,
    MAIL,
    MIDDLE,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    Fault,
)
from tests.deliver.next_hop.servers import AUTHORITY, NAME

PAGE = Path(__file__).parents[3] / "docs/routes.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

NO, YES, MAYBE = "is not there", "is there", "may be there"
ALL, SMTP, LMTP = ("lmtp", "smtp"), ("smtp",), ("lmtp",)
PLAIN, WITH_TLS, WITH_LOGIN = "plain", "TLS", "login"
RESTART, KILL = "restart", "kill"


@dataclass(frozen=True)
class Case:
    """One fault, and what comes of it."""

    fault: Fault
    reply: str  # to RCPT, where the fault comes there, and else to the end of the content
    has: str = NO  # what the destination has then; after the sender's next attempt it has the message in any case
    counts: bool = False  # towards the five failures after which the route is left alone
    kinds: tuple[str, ...] = ALL
    way: str = PLAIN
    proxy: dict[str, Any] = field(default_factory=dict)  # options of `faulty`
    settings: dict[str, Any] = field(default_factory=dict)  # of the route, that differ
    recipient: str = "anna"
    octets: int = 0  # of the content, at least
    enhanced: str = ""  # of the reply, where that is passed on
    server: str = ""  # what becomes of it when the fault comes
    at_rcpt_only: bool = False  # it comes while the recipient is asked for, and not in a delivery


# --- the matrix: what is answered, and what comes in place of the answer

STEPS: dict[str, str] = {  # and what it takes to get there
    GREETING: PLAIN,
    EHLO: PLAIN,
    STARTTLS: WITH_TLS,
    HANDSHAKE: WITH_TLS,
    EHLO_OVER_TLS: WITH_TLS,
    AUTH: WITH_LOGIN,
    MAIL: PLAIN,
    RCPT: PLAIN,
    RSET: PLAIN,
    DATA: PLAIN,
    MIDDLE: PLAIN,
    CONTENT: PLAIN,
    QUIT: PLAIN,
}
INSTEAD: dict[str, str] = {
    "421": "421 4.3.2 shutting down",
    "another 4yz": "450 4.2.0 later",
    "5yz": "550 no",
    "a reply out of place": "299 what",
    "no SMTP": "HTTP/1.1 400 Bad Request",
    "closed": "close",
    "reset": "reset",
    "hangs": "hang",
    "an octet a second": "drip",
}
_BROKEN = ("close", "reset", "hang", "drip")
_NO_ANSWER = (HANDSHAKE, MIDDLE)  # something else is lost there
NOT_HEARD = (DATA, CONTENT)  # where the server says no, the real one is not to say yes behind it


def _cell(step: str, instead: str) -> Case | None:
    """Return what comes of it; None where there is no such thing."""
    then = INSTEAD[instead]
    is_line = then not in _BROKEN
    if step in _NO_ANSWER and is_line:
        return None
    if step in (RSET, QUIT):
        return Case(Fault(step, then), "250", YES, at_rcpt_only=step == RSET)
    kinds, way = (SMTP if step == AUTH else ALL), STEPS[step]
    counts = not (step in (MAIL, RCPT, DATA, CONTENT) and instead in ("another 4yz", "5yz"))
    heard = step != MIDDLE and not (step in NOT_HEARD and instead in ("421", "another 4yz", "5yz"))
    if instead == "5yz" and step in (RCPT, CONTENT):
        return Case(Fault(step, then, heard=heard), "550", enhanced="5.0.0")
    has = MAYBE if step == CONTENT and heard else NO
    return Case(Fault(step, then, heard=heard), "451", has, counts, kinds, way)


MATRIX: dict[str, dict[str, Case | None]] = {
    step: {instead: _cell(step, instead) for instead in INSTEAD} for step in STEPS
}

# --- what depends on the code of the answer

_BEFORE_MAIL = {STARTTLS: WITH_TLS, AUTH: WITH_LOGIN}


def _answered(step: str, line: str, reply: str = "451") -> Case:
    """Return what comes of an answer; where `reply` is a 5yz, it is passed on."""
    return Case(
        Fault(step, line, heard=step not in NOT_HEARD),
        reply,
        counts=step in _BEFORE_MAIL,
        kinds=SMTP if step == AUTH else ALL,
        way=_BEFORE_MAIL.get(step, PLAIN),
        enhanced=line.split(" ")[1] if reply != "451" else "",
    )


BY_CODE: dict[str, Case] = {
    f"`{line}` to {step}": _answered(step, line, reply)
    for step, line, reply in (
        (STARTTLS, "454 4.7.0 TLS is not available", "451"),
        (AUTH, "535 5.7.8 wrong password", "451"),
        (AUTH, "454 4.7.0 later", "451"),
        (MAIL, "553 5.1.7 no address", "553"),
        (MAIL, "550 5.1.8 no such domain", "550"),
        (MAIL, "552 5.3.4 too large", "552"),
        (MAIL, "550 5.7.1 policy", "451"),
        (MAIL, "530 5.7.0 authentication required", "451"),
        (RCPT, "550 5.1.1 no such user", "550"),
        (RCPT, "553 5.1.3 no address", "553"),
        (RCPT, "550 5.2.1 mailbox disabled", "550"),
        (RCPT, "552 5.2.2 over quota", "552"),
        (RCPT, "554 5.7.1 relay access denied", "451"),
        (RCPT, "550 5.4.4 no route", "451"),
        (RCPT, "530 must issue STARTTLS first", "451"),
        (RCPT, "503 valid MAIL first", "451"),
        (DATA, "554 5.5.1 no valid recipients", "451"),
        (CONTENT, "500 5.5.1 unrecognized command", "451"),
        (CONTENT, "550 5.7.1 spam", "550"),
        (CONTENT, "554 5.6.0 no message", "554"),
        (CONTENT, "552 5.3.4 too large", "552"),
        (CONTENT, "452 4.3.1 full", "451"),
    )
}

# --- what is wrong from the start, or happens to the server itself

NOTHING = Fault("", "")  # of the proxy's
OUT_OF_DATE = Issued([NAME], common_name=NAME, issuer=AUTHORITY, not_after=NOW - timedelta(days=1))
NO_MECHANISM = "250-next.example.org\r\n250-PIPELINING\r\n250 AUTH CRAM-MD5 GSSAPI"
BIG = 20_000  # octets: more than the port `small` takes

OTHERS: dict[str, Case] = {
    "it refuses connections": Case(NOTHING, "451", counts=True, settings={"port": "nobody"}),
    "it answers no connection": Case(NOTHING, "451", counts=True, settings={"port": "silent"}),
    "its name leads nowhere": Case(NOTHING, "451", counts=True, settings={"host": "no-such-host.invalid"}),
    "its address is forbidden": Case(NOTHING, "451", counts=True, settings={"allowed": Allowed()}),
    "STARTTLS is required, and it does not offer it": Case(
        NOTHING, "451", counts=True, way=WITH_TLS, proxy={"without": frozenset({"STARTTLS"})}
    ),
    "TLS begins with the connection, and it speaks none": Case(
        NOTHING, "451", counts=True, settings={"mode": "Implicit"}
    ),
    "something in clear comes behind its consent to STARTTLS": Case(
        Fault(STARTTLS, "220 go on\r\n250 injected"), "451", counts=True, way=WITH_TLS
    ),
    "it proves another name": Case(
        NOTHING, "451", counts=True, way=WITH_TLS, settings={"server_name": "mx.example.org"}
    ),
    "its certificate is of an unknown authority": Case(
        NOTHING, "451", counts=True, way=WITH_TLS, settings={"ca": Issued([]).pem}
    ),
    "its certificate is out of date": Case(
        NOTHING, "451", counts=True, way=WITH_TLS, proxy={"certificate": OUT_OF_DATE}
    ),
    "it speaks TLS 1.1 and no later one": Case(
        NOTHING, "451", counts=True, way=WITH_TLS, proxy={"tls": ssl.TLSVersion.TLSv1_1}
    ),
    "the password is wrong": Case(
        NOTHING, "451", counts=True, kinds=SMTP, way=WITH_LOGIN, settings={"login": Login(b"mailport", b"wrong")}
    ),
    "it offers no AUTH": Case(
        NOTHING, "451", counts=True, kinds=SMTP, way=WITH_LOGIN, proxy={"without": frozenset({"AUTH"})}
    ),
    "it offers neither PLAIN nor LOGIN": Case(
        Fault(EHLO_OVER_TLS, NO_MECHANISM), "451", counts=True, kinds=SMTP, way=WITH_LOGIN
    ),
    "it has no disk space for mail": Case(NOTHING, "451", kinds=SMTP, settings={"port": "no-space"}),
    "the mailbox is full, and the sender is to try again": Case(NOTHING, "451", kinds=LMTP, recipient="full"),
    "the mailbox is full, and the sender is not to": Case(
        NOTHING, "552", kinds=LMTP, recipient="never", enhanced="5.2.2"
    ),
    "it puts the message off after its content": Case(NOTHING, "451", kinds=SMTP, recipient="later"),
    "it refuses the message after its content": Case(NOTHING, "550", kinds=SMTP, recipient="never", enhanced="5.7.0"),
    "the message is larger than the SIZE that it offers": Case(
        NOTHING, "552", kinds=SMTP, settings={"port": "small"}, octets=BIG, enhanced="5.3.4"
    ),
    "the address is not ASCII, and it does not offer SMTPUTF8": Case(
        NOTHING, "553", recipient="jürgen", settings={"port": "bare"}, enhanced="5.6.7"
    ),
    "it restarts in the middle of the content": Case(Fault(MIDDLE, ""), "451", counts=True, server=RESTART),
    "it is killed in the middle of the content": Case(Fault(MIDDLE, ""), "451", counts=True, server=KILL),
    "it is killed behind the end of the content, before its answer is heard": Case(
        Fault(CONTENT, "reset"), "451", MAYBE, counts=True, server=KILL
    ),
}


def page() -> str:
    """Return the tables as Markdown."""
    lines = ["| what it would answer | " + " | ".join(INSTEAD) + " |", "|---|" + "---|" * len(INSTEAD)]
    for step, cells in MATRIX.items():
        lines.append(f"| {step} | " + " | ".join(_shown(case) for case in cells.values()) + " |")
    lines += ["", "| what happens | the client hears | the message |", "|---|---|---|"]
    for name, case in (BY_CODE | OTHERS).items():
        reply = f"`{case.reply} {case.enhanced}`" if case.enhanced else f"`{case.reply}`"
        lines.append(f"| {name} | {reply} | {case.has} |")
    return "\n".join(lines)


def _shown(case: Case | None) -> str:
    if case is None:
        return ""
    return f"{case.reply} ?" if case.has == MAYBE else case.reply


def written(text: str) -> str:
    """Return a page with the tables between their markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{page()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))

"""Our side of SMTP and LMTP, as conversations: C is what we send, S what the server says."""

from __future__ import annotations

import pytest

from mailport.deliver.next_hop.answers import ProtocolError
from mailport.deliver.next_hop.session import Misuse, Session, Step
from tests.tables import table

GREETING = "220 next.example.org ESMTP\r\n"


class Talk:
    """A session whose server's lines are given, and whose own are noted."""

    def __init__(self, *, lmtp: bool = False, encrypted: bool = True, offers: str = "PIPELINING") -> None:
        self.session = Session(lmtp=lmtp, encrypted=encrypted)
        self.lines: list[str] = []
        self.hears(GREETING)
        self.says(self.session.ehlo("mx.example.org"))
        self.hears(
            "".join(f"250-{keyword}\r\n" for keyword in ("next.example.org", *offers.splitlines())) + "250 HELP\r\n"
        )

    def says(self, octets: bytes | bytearray) -> None:
        self.lines += [f"C: {line}".strip() for line in octets.decode().removesuffix("\r\n").split("\r\n")]

    def hears(self, text: str) -> list[tuple[Step, int]]:
        self.lines += [f"S: {line}" for line in text.removesuffix("\r\n").split("\r\n")]
        return [(one.step, one.answer.code) for one in self.session.receive(text.encode())]

    def mail(self, size: int | None = 1000) -> None:
        self.says(self.session.mail("bob@example.net", smtputf8=True, body_8bitmime=True, size=size))

    def since_ehlo(self) -> str:
        start = next(number for number, line in enumerate(self.lines) if line == "S: 250 HELP")
        return "\n".join(self.lines[start + 1 :])


def test_a_part_of_a_reply_is_not_the_next_ones():
    """What came too many and by half would be taken for the answer to what is sent next."""
    talk = Talk()
    assert talk.session.idle
    talk.mail()
    assert talk.hears("250 2.1.0 Ok\r\n250 o")
    assert talk.session.answered_by_half

    talk = Talk()
    talk.hears("250 o")
    assert not talk.session.idle


def test_a_message_by_data():
    talk = Talk()
    talk.mail()
    talk.says(talk.session.rcpt("anna@example.org"))
    talk.says(talk.session.rcpt("carl@example.org"))
    talk.hears("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 no such user\r\n")
    talk.says(talk.session.data())
    talk.hears("354 go on\r\n")
    talk.says(talk.session.content(b"Subject: x\r\n\r\n"))
    talk.says(talk.session.content(b".hidden\r\n"))
    talk.says(talk.session.end())

    assert talk.hears("250 2.0.0 queued as 1\r\n") == [(Step.CONTENT, 250)]
    assert talk.session.idle
    assert (
        talk.since_ehlo()
        == """\
C: MAIL FROM:<bob@example.net>
C: RCPT TO:<anna@example.org>
C: RCPT TO:<carl@example.org>
S: 250 2.1.0 Ok
S: 250 2.1.5 Ok
S: 550 5.1.1 no such user
C: DATA
S: 354 go on
C: Subject: x
C:
C: ..hidden
C: .
S: 250 2.0.0 queued as 1"""
    )


def test_lmtp_answers_for_each_recipient():
    talk = Talk(lmtp=True)
    talk.mail()
    for name in ("anna", "bob", "carl"):
        talk.says(talk.session.rcpt(f"{name}@example.org"))
    talk.hears("250 Ok\r\n250 Ok\r\n550 5.1.1 no\r\n250 Ok\r\n")
    talk.says(talk.session.data())
    talk.hears("354 go on\r\n")
    talk.says(talk.session.end())

    assert talk.lines[1] == "C: LHLO mx.example.org"
    assert talk.hears("250 2.0.0 saved\r\n") == [(Step.CONTENT, 250)]
    assert not talk.session.idle
    assert talk.hears("452 4.2.2 over quota\r\n") == [(Step.CONTENT, 452)]
    assert talk.session.idle


@pytest.mark.parametrize(
    "offers, line",
    table(
        {
            "nothing is offered, nothing is used": ("HELP", "C: MAIL FROM:<bob@example.net>"),
            "SIZE": ("SIZE 1000000", "C: MAIL FROM:<bob@example.net> SIZE=1000"),
            "8BITMIME": ("8BITMIME", "C: MAIL FROM:<bob@example.net> BODY=8BITMIME"),
            "all, in lower case": (
                "size\n8bitmime\nsmtputf8",
                "C: MAIL FROM:<bob@example.net> SIZE=1000 BODY=8BITMIME SMTPUTF8",
            ),
        }
    ),
)
def test_what_is_offered_is_used(offers: str, line: str):
    talk = Talk(offers=offers)
    talk.mail()

    assert talk.since_ehlo() == line


def test_chunking_sends_the_content_as_it_is():
    talk = Talk(offers="CHUNKING")
    talk.mail()
    talk.hears("250 Ok\r\n")
    talk.says(talk.session.rcpt("anna@example.org"))
    talk.hears("250 Ok\r\n")

    assert talk.session.bdat(12) == b"BDAT 12 LAST\r\n"
    assert talk.hears("250 Ok\r\n") == [(Step.CONTENT, 250)]


def test_auth_plain():
    talk = Talk(offers="AUTH LOGIN PLAIN")
    talk.says(talk.session.auth(b"anna", b"secret"))
    talk.hears("235 2.7.0 Ok\r\n")

    assert talk.since_ehlo() == "C: AUTH PLAIN AGFubmEAc2VjcmV0\nS: 235 2.7.0 Ok"


def test_a_long_password_waits_until_it_is_asked_for():
    """A command has at most 512 octets."""
    talk = Talk(offers="AUTH PLAIN")
    talk.says(talk.session.auth(b"anna", b"x" * 600))
    talk.hears("334 \r\n")
    talk.says(talk.session.auth_response())

    assert talk.hears("235 Ok\r\n") == [(Step.AUTH, 235)]


def test_auth_login():
    talk = Talk(offers="AUTH LOGIN")
    talk.says(talk.session.auth(b"anna", b"secret"))
    talk.hears("334 VXNlcm5hbWU6\r\n")
    talk.says(talk.session.auth_response())
    talk.hears("334 UGFzc3dvcmQ6\r\n")
    talk.says(talk.session.auth_response())
    talk.hears("235 Ok\r\n")

    assert (
        talk.since_ehlo()
        == """\
C: AUTH LOGIN
S: 334 VXNlcm5hbWU6
C: YW5uYQ==
S: 334 UGFzc3dvcmQ6
C: c2VjcmV0
S: 235 Ok"""
    )


def test_a_password_never_goes_out_in_clear():
    talk = Talk(encrypted=False, offers="AUTH PLAIN")
    with pytest.raises(Misuse):
        talk.session.auth(b"anna", b"secret")


def test_after_starttls_what_was_offered_in_clear_is_forgotten():
    talk = Talk(encrypted=False, offers="STARTTLS\nAUTH PLAIN\nCHUNKING")
    talk.says(talk.session.starttls())
    talk.hears("220 go on\r\n")
    with pytest.raises(Misuse):
        talk.session.ehlo("mx.example.org")  # in clear
    talk.session.encrypted()

    assert talk.session.offers.keywords == {}
    with pytest.raises(Misuse):
        talk.session.auth(b"anna", b"secret")


@pytest.mark.parametrize(
    "text",
    table(
        {
            "octets behind the answer to STARTTLS": "220 go on\r\n250 injected\r\n",
            "half a line behind it": "220 go on\r\n2",
        }
    ),
)
def test_nothing_may_be_injected_before_the_handshake(text: str):
    talk = Talk(encrypted=False, offers="STARTTLS")
    talk.says(talk.session.starttls())
    with pytest.raises(ProtocolError, match="in clear"):
        talk.hears(text)


@pytest.mark.parametrize(
    "text",
    table(
        {
            "nobody asked": "250 Ok\r\n250 Ok\r\n",
            "354 to MAIL": "354 go on\r\n",
            "a yes of another command": "220 Ok\r\n",
            "nonsense": "hello\r\n",
        }
    ),
)
def test_what_the_server_may_not_say(text: str):
    talk = Talk()
    talk.mail()
    with pytest.raises(ProtocolError):
        talk.hears(text)


def test_421_ends_it_whenever_it_comes():
    talk = Talk()
    talk.mail()

    assert talk.hears("421 4.3.2 shutting down\r\n") == [(Step.MAIL, 421)]
    assert not talk.session.idle


def test_no_address_can_smuggle_a_command():
    talk = Talk()
    with pytest.raises(Misuse):
        talk.session.rcpt("anna@example.org>\r\nRCPT TO:<eve@example.org")


def test_without_pipelining_each_command_waits():
    talk = Talk(offers="HELP")
    talk.mail()
    with pytest.raises(Misuse):
        talk.session.rcpt("anna@example.org")

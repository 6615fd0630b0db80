"""Addresses: what RFC 5321 allows is taken, what is ambiguous is not, and two spellings of one mailbox are one key."""

from __future__ import annotations

import string
from email._header_value_parser import get_angle_addr
from email.errors import HeaderParseError, InvalidHeaderDefect

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mailport.address.mail_address import MAX_MAILBOX, Address, domain_key
from tests.tables import table

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
LET_DIG = string.ascii_letters + string.digits
NON_ASCII = "éßÅ中и\u0301ﬁ"

# RFC 5321 §4.1.2 and §4.1.3, rule by rule; with RFC 6531's letters
atoms = st.text(ATEXT + NON_ASCII, min_size=1, max_size=12)
dot_strings = st.lists(atoms, min_size=1, max_size=3).map(".".join)
qtext = st.sampled_from(" !" + "".join(map(chr, [*range(35, 92), *range(93, 127)])) + NON_ASCII)
quoted_pairs = st.integers(32, 126).map(lambda octet: "\\" + chr(octet))
quoted_strings = st.lists(qtext | quoted_pairs, max_size=12).map(lambda parts: '"' + "".join(parts) + '"')
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
domains = st.lists(labels | st.sampled_from(["münchen", "例え", "ПРИМЕР"]), min_size=1, max_size=4).map(".".join)
literals = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[ipv6:{ip.exploded.upper()}]"),
    st.from_regex(r"\[x-[a-z]{0,5}[0-9]:[!-?A-Z^-~]{1,10}\]", fullmatch=True),
)
mailboxes = st.builds("{}@{}".format, dot_strings | quoted_strings, domains | literals)


def oracle(text: str) -> tuple[str, str] | None:
    """What the standard library's slow parser makes of it: local part and domain, or None.

    It parses RFC 5322, where comments and folding white space may stand anywhere; RFC 5321 has neither.
    """
    try:
        parsed, rest = get_angle_addr(f"<{text}>")
    except (HeaderParseError, IndexError):  # the latter is a bug of its own, on unfinished input
        return None
    if rest or parsed.route or any(isinstance(defect, InvalidHeaderDefect) for defect in parsed.all_defects):
        return None
    return parsed.local_part, parsed.domain


@given(mailboxes)
@example('"a@b\\"c\\\\"@example.org')
@example('""@example.org')
@example("a@[IPv6:::ffff:192.0.2.1]")
def test_whatever_rfc_5321_allows_is_read_as_the_oracle_reads_it(text):
    """The grammar's own products are all accepted, with the local part and domain of the slow parser."""
    assume("=?" not in text)  # the oracle decodes RFC 2047's encoded words, which mean nothing in SMTP
    assume(len(text.encode()) <= MAX_MAILBOX)
    expected = oracle(text)

    address = Address.parse(text)

    assert expected is not None
    assert (address.local, address.domain) == expected


@given(st.text('ab.@"\\<>[]:%!_-1é ', max_size=12))
def test_whatever_is_accepted_has_one_meaning(text):
    """An address either is what the oracle reads too, or one of the liberties that are written down in address.py."""
    try:
        address = Address.parse(text)
    except ValueError:
        return
    without_liberties = text.removesuffix(".").replace("_", "u")
    local, domain = without_liberties.rsplit("@", 1)
    if not local.startswith('"'):
        local = ".".join(part or "empty" for part in local.split("."))
    expected = oracle(f"{local}@{domain}")

    assert expected is not None
    assert expected[1] == address.domain.replace("_", "u")


@given(mailboxes | st.text('ab.@"\\[]:é ', max_size=12))
def test_what_is_written_is_read_again(text):
    """`str` is the wire form: parsing it gives the same address."""
    try:
        address = Address.parse(text)
    except ValueError:
        assume(False)
    again = Address.parse(str(address))

    assert again == address
    assert again.key == address.key


@given(mailboxes)
def test_keys_are_stable(text):
    """A key is its own key: nothing is left to fold."""
    assume(len(text.encode()) <= MAX_MAILBOX)
    address = Address.parse(text)
    folded = Address(address.local_key, address.domain_key)

    assert folded.key == address.key


@pytest.mark.parametrize(
    ("one", "other"),
    table(
        {
            "case does not count, neither part's": ("Anna@Example.ORG", "anna@example.org"),
            "quotes that are not needed": ('"anna"@example.org', "anna@example.org"),
            "a quoted pair": (r'"an\na"@example.org', "anna@example.org"),
            "composed or decomposed": ("e\u0301@example.org", "é@example.org"),
            "marks in another order": ("\u03b1\u0345\u0301@example.org", "\u1fb4@example.org"),
            "case beyond ASCII": ("STRASSE@example.org", "straße@example.org"),
            "U-label and A-label": ("a@MÜNCHEN.de", "a@xn--mnchen-3ya.de"),
            "a domain in decomposed letters": ("a@mu\u0308nchen.de", "a@münchen.de"),
            "a sigma is the same at the end": ("a@ΣΟΦΟΣ.example", "a@σοφοσ.example"),
            "the ideographic full stop": ("a@例え。jp", "a@例え.jp"),
            "the root's dot": ("a@example.org.", "a@example.org"),
            "zeros in an address literal": ("a@[192.000.002.001]", "a@[192.0.2.1]"),
            "spellings of an IPv6 literal": ("a@[IPv6:2001:DB8:0::1]", "a@[ipv6:2001:db8::1]"),
            "the case of another tag": ("a@[X-Net:1]", "a@[x-net:1]"),
        }
    ),
)
def test_two_spellings_of_one_mailbox(one, other):
    """Both have the same key."""
    assert Address.parse(one).key == Address.parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    table(
        {
            "IDNA 2008 keeps ß": ("a@faß.de", "a@fass.de"),
            "a subaddress": ("anna+shop@example.org", "anna@example.org"),
            "dots": ("an.na@example.org", "anna@example.org"),
            "what only looks alike": ("\u0430@example.org", "a@example.org"),
        }
    ),
)
def test_two_mailboxes(one, other):
    """They have different keys."""
    assert Address.parse(one).key != Address.parse(other).key


@pytest.mark.parametrize(
    ("text", "written"),
    table(
        {
            "dots in odd places, which mobile networks gave out": ("taro..@docomo.ne.jp", '"taro.."@docomo.ne.jp'),
            "a quoted part that needs it": ('"a b"@example.org', '"a b"@example.org'),
            "a quoted part that does not": ('"a.b"@example.org', "a.b@example.org"),
            "quotes and backslashes": (r'"a\"\\b"@example.org', r'"a\"\\b"@example.org'),
            "an empty local part": ('""@example.org', '""@example.org'),
            "a host name with underscores": ("a@_mail._host.example.org", "a@_mail._host.example.org"),
            "an underscore beside a U-label": ("a@my_host.münchen.de", "a@my_host.münchen.de"),
            "a host without a domain": ("root@localhost", "root@localhost"),
            "a local part of 200 octets": ("v" * 200 + "@example.org", "v" * 200 + "@example.org"),
            "a root dot goes": ("a@example.org.", "a@example.org"),
        }
    ),
)
def test_accepted(text, written):
    """Liberties with one meaning are taken, and written as the RFC has it."""
    assert str(Address.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    table(
        {
            "nothing": "",
            "no @": "anna",
            "no local part": "@example.org",
            "no domain": "anna@",
            "only a root": "anna@.",
            "two @": "a@b@example.org",
            "a space": "an na@example.org",
            "a space around": " anna@example.org",
            "angle brackets": "<anna@example.org>",
            "a comment": "anna(work)@example.org",
            "unfinished quotes": '"anna@example.org',
            "something behind the quotes": '"anna"x@example.org',
            "a control character": "an\x01na@example.org",
            "one that is quoted": '"an\r\nna"@example.org',
            "an escaped one": '"an\\\0na"@example.org',
            "a tab in quotes": '"an\tna"@example.org',
            "DEL": "an\x7fna@example.org",
            "a C1 control": "an\x85na@example.org",
            "half of a surrogate pair": "an\ud800na@example.org",
            "an empty label": "a@example..org",
            "a leading dot": "a@.example.org",
            "two root dots": "a@example.org..",
            "a label that begins with a hyphen": "a@-example.org",
            "a label that ends with one": "a@example-.org",
            "a label over 63 octets": f"a@{'b' * 64}.org",
            "an address over 254 octets": f"{'a' * 243}@example.org",
            "over 254 octets in UTF-8": f"{'é' * 122}@example.org",
            "a symbol that IDNA 2008 does not know": "a@☃.net",
            "a domain that becomes something else": "a@℀.org",
            "a domain that becomes an address": "a@b\uff20example.org",
            "a domain that becomes a literal": "a@\uff3b1.2.3.4\uff3d",
            "a domain of nothing visible": "a@\u00ad",
            "a zero-width space in the domain": "a@exam\u200bple.org",
            "a soft hyphen": "a@exam\u00adple.org",
            "a word joiner": "a@exam\u2060ple.org",
            "a byte order mark": "a@\ufeffexample.org",
            "a variation selector": "a@exam\ufe0fple.org",
            "a combining grapheme joiner": "a@exam\u034fple.org",
            "a Hangul filler": "a@exam\u3164ple.org",
            "a tag": "a@exam\U000e0061ple.org",
            "a zero-width joiner": "a@\u0928\u094d\u200d.org",
            "a zero-width non-joiner, where a U-label may have it": "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.org",
            "an invisible character beside a U-label": "a@m\u00fcn\u200bchen.de",
            "letters of full width": "a@\uff45xample.org",
            "a label that begins with a combining mark": "a@\u0301xample.org",
            "a label with two hyphens in the third place": "a@ab--\u00fc.org",
            "an octet over 255": "a@[192.0.2.256]",
            "three octets": "a@[192.0.2]",
            "no literal": "a@[example.org]",
            "an empty literal": "a@[]",
            "an unfinished literal": "a@[192.0.2.1",
            "something behind a literal": "a@[192.0.2.1]x",
            "a zone": "a@[IPv6:fe80::1%eth0]",
            "bad IPv6": "a@[IPv6:1::2::3]",
            "a literal with an @": "a@[x:b@example.org]",
        }
    ),
)
def test_refused(text):
    """What is no address, or could be taken for another, is a ValueError."""
    with pytest.raises(ValueError, match=r"address|domain|octets"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("local", "domain"),
    table(
        {
            "a line end in the local part": ("a\r\nb", "example.org"),
            "a NUL": ("a\0", "example.org"),
            "a domain that is none": ("a", "b c"),
            "an unfinished literal": ("a", "[192.0.2.1"),
        }
    ),
)
def test_an_address_is_valid_by_construction(local, domain):
    """Whoever builds one without parsing cannot smuggle anything into it either."""
    with pytest.raises(ValueError, match=r"control|not a"):
        Address(local, domain)


def test_the_message_tells_what_is_wrong():
    """It is printed for those who write a document."""
    with pytest.raises(ValueError, match="'anna' is not an address: it has no @"):
        Address.parse("anna")


@pytest.mark.parametrize(
    ("text", "is_ascii"),
    table(
        {
            "all ASCII": ("anna@example.org", True),
            "a local part": ("änna@example.org", False),
            "a domain": ("anna@exämple.org", False),
            "an A-label is ASCII": ("anna@xn--exmple-cua.org", True),
        }
    ),
)
def test_what_needs_smtputf8(text, is_ascii):
    """Whether a server without SMTPUTF8 can be told the address as it is."""
    assert Address.parse(text).is_ascii is is_ascii


def test_a_domain_key_is_a_domain_key():
    """A-labels are not decoded, so one that IDNA 2008 would not make is what it is."""
    assert domain_key("XN--I-7IQ.ws") == "xn--i-7iq.ws"

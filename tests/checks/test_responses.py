"""Whatever a DNS server answers, octet by octet: it is read, or it is no answer, and nothing else is raised."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailport.authentication.dns import RecordType
from mailport.checks import resolver
from tests.authentication.test_bounds import EXAMPLES

RECORDS = {
    RecordType.TXT: ['"v=spf1" "-all"', '"x"'],
    RecordType.A: ["192.0.2.1", "192.0.2.2"],
    RecordType.AAAA: ["2001:db8::1"],
    RecordType.MX: ["10 mx.example.", "0 ."],
    RecordType.PTR: ["host.example."],
}
_ID, _HEADER = 2, 12  # octets of them: another id is another question's


def exchange(kind: RecordType) -> tuple[dns.message.QueryMessage, bytes]:
    """A question, and the octets of its answer: an alias, records, and a SOA."""
    query = dns.message.make_query("a.example.", kind, use_edns=0)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("a.example.", 300, "IN", "CNAME", "b.example."))
    response.answer.append(dns.rrset.from_text_list("b.example.", 300, "IN", kind, RECORDS[kind]))
    response.authority.append(dns.rrset.from_text("example.", 300, "IN", "SOA", "ns. h. 1 2 3 4 5"))
    return query, response.to_wire()


@pytest.mark.parametrize("kind", RecordType)
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 200), st.sampled_from([0, 1, 0x0C, 0x80, 0xC0, 0xFF])), max_size=5),
    length=st.integers(_HEADER, 300),
)
def test_any_response(kind, edits, length):
    """What dnspython takes for the answer to our question, we read; what it does not, it says by what we catch."""
    query, wire = exchange(kind)
    changed = bytearray(wire)
    for place, octet in edits:
        changed[_ID + place % (len(changed) - _ID)] = octet
    try:
        response = dns.message.from_wire(bytes(changed[:length]), ignore_trailing=True)
    except (dns.exception.DNSException, OSError, EOFError, ValueError):
        return

    reply = resolver._read(response, kind) if query.is_response(response) else None

    assert reply is None or reply.seconds >= 0

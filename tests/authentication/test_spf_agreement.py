"""SPF beside spftrace, another's implementation: both say the same of records and zones that nobody wrote.

Left out is what RFC 7208 leaves open, and the published suite too: a name with an empty label (`a..example`) is a
permerror to spftrace, and a name that does not exist to us. And of what the DNS has nothing to, spftrace counts the
questions, where RFC 7208 §4.6.4 counts the terms that ask them (test_spf_examples.py): where it has counted too many,
both are asked again without that limit.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spftrace import Evaluator, Limits, ZoneResolver

from mailport.authentication import spf
from tests.authentication.zones import Zone, answering, run

NAMES = [f"{label}.example" for label in ("a", "b", "c", "d", "gone")]
ADDRESSES = ["192.0.2.1", "192.0.2.77", "198.51.100.9"]
CLIENTS = [*ADDRESSES, "2001:db8::1"]

_domain = st.sampled_from([*NAMES, "%{d}", "%{l}.example", "%{ir}.example", "%{o}", "x", "%{h}", "%{s}"])
_length = st.sampled_from(["", "/24", "/0", "/32", "/33", "//64", "/24//64"])
_odd = ["all", "a", "mx", "ptr", "exp=a.example", "unknown=x", "nonsense", "all:x", "ip4", "a:", "redirect="]
_ip4 = st.tuples(st.sampled_from([*ADDRESSES, "192.0.2", "::1"]), st.sampled_from(["", "/24", "/33", "/024"]))
_ip6 = st.tuples(st.sampled_from(["2001:db8::1", "::", "192.0.2.1"]), st.sampled_from(["", "/32", "/129"]))
_term = st.one_of(
    st.sampled_from(_odd),
    st.builds("{}:{}".format, st.sampled_from(["include", "exists", "a", "mx", "A", "ptr"]), _domain),
    st.builds("{}:{}{}".format, st.sampled_from(["a", "mx"]), _domain, _length),
    st.builds("ip4:{0[0]}{0[1]}".format, _ip4),
    st.builds("ip6:{0[0]}{0[1]}".format, _ip6),
    st.builds("redirect={}".format, _domain),
)
_record = st.builds(
    lambda qualified: " ".join(["v=spf1", *(qualifier + term for qualifier, term in qualified)]),
    st.lists(st.tuples(st.sampled_from(["", "", "-", "~", "?", "+"]), _term), max_size=4),
)
_zone = st.dictionaries(
    st.sampled_from(NAMES[:4]),
    st.tuples(
        st.lists(_record, max_size=2),
        st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True),
        st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
    ),
    min_size=1,
)


def zones(generated: dict[str, Any]) -> tuple[Zone, dict[str, Any]]:
    """A zone as our tests have it, and as spftrace has it."""
    ours: Zone = {}
    theirs: dict[str, Any] = {}
    for name, (texts, addresses, exchanges) in generated.items():
        ours[name] = [
            *(("TXT", text) for text in texts),
            *(("A", address) for address in addresses),
            *(("MX", (place, host)) for place, host in enumerate(exchanges)),
        ] or [("HINFO", "")]
        theirs[name] = [(kind, value[1] if kind == "MX" else value) for kind, value in ours[name]]
    return ours, theirs


@settings(max_examples=150, deadline=None)
@given(generated=_zone, client=st.sampled_from(CLIENTS), local=st.sampled_from(["a", "x-y", ""]))
def test_agrees_with_spftrace(generated, client, local):
    """The same result, whatever the records are."""
    ours, theirs = zones(generated)
    domain = next(iter(generated))

    def ask(max_void: int) -> tuple[spf.SpfResult, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spf, "MAX_VOID", max_void)
            found = run(spf.check(ip_address(client), sender=(local, domain), helo="b.example"), answering(ours))
        evaluator = Evaluator(ZoneResolver(theirs), Limits(max_queries=None, max_void=max_void))
        return found, asyncio.run(evaluator.evaluate(client, f"{local}@{domain}", "b.example"))

    found, other = ask(spf.MAX_VOID)
    if other.void_lookups_used > spf.MAX_VOID:
        found, other = ask(1000)

    assert found.result == other.verdict, (found.why, other)

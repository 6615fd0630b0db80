"""A DNS server of the tests' own: serves zones as tables, and misbehaves by name.

A record's type may be a behaviour: SERVFAIL, TIMEOUT (silence), REFUSED, TRUNCATED (UDP says TC, TCP answers), LIES
(another id, another question and rubbish come first, and then nothing), SLOW (the records come after 0.08 seconds),
OLD (FORMERR where EDNS is used), LOOP (a CNAME to itself), REFERRAL (it names other servers, and nothing else),
MALFORMED (a TXT record without any text comes last, which RFC 1035 §3.3.14 does not allow).
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mailport.authentication.dns import Answer, Question, RecordType, Status
from tests.authentication.zones import Zone, answering

TTL = 300
BEHAVIOURS = frozenset({"SERVFAIL", "TIMEOUT", "REFUSED", "TRUNCATED", "LIES", "SLOW", "OLD", "REFERRAL", "MALFORMED"})
SOA = "ns.invalid. hostmaster.invalid. 1 3600 600 86400 60"


def seconds_to_wait(zone: Zone) -> int:
    """How many seconds to wait for an answer: as many as Mailport does by itself, and fewer where none may come."""
    return 1 if any(kind in ("TIMEOUT", "LIES") for values in zone.values() for kind, _ in values) else 5


class DnsServer:
    """Serves one zone, by UDP and TCP, from a thread of its own."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.port = 0
        self.asked: Counter[Question] = Counter()
        self.by_tcp = 0
        self.ports: list[int] = []  # of those that asked by UDP
        self.ids: list[int] = []

    def behaviours(self, name: str) -> set[str]:
        return {kind for kind, _ in self.zone.get(name, [])} & BEHAVIOURS

    def answer(self, wire: bytes, *, tcp: bool) -> list[tuple[float, bytes]]:
        """What is sent to a query, each with how many seconds to wait before it."""
        query = dns.message.from_wire(wire)
        asked = query.question[0]
        name = b".".join(asked.name.labels[:-1]).decode("latin-1").lower()
        question = Question(name, RecordType(dns.rdatatype.to_text(asked.rdtype)))
        self.asked[question] += 1
        self.ids.append(query.id)
        self.by_tcp += tcp
        response = dns.message.make_response(query)
        behaviours = self.behaviours(name)
        if "TIMEOUT" in behaviours and not any(kind == question.type for kind, _ in self.zone.get(name, [])):
            return []
        if "OLD" in behaviours and query.edns >= 0:
            query.use_edns(False)
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.FORMERR)
            return [(0, response.to_wire())]
        for failure in behaviours & {"REFUSED", "SERVFAIL"}:
            response.set_rcode(dns.rcode.from_text(failure))
            return [(0, response.to_wire())]
        if "REFERRAL" in behaviours:
            response.authority.append(dns.rrset.from_text("example.", TTL, "IN", "NS", "ns.invalid."))
            return [(0, response.to_wire())]
        if "TRUNCATED" in behaviours and not tcp:
            response.flags |= dns.flags.TC
            return [(0, response.to_wire())]
        if "LIES" in behaviours:
            other = dns.message.make_response(dns.message.make_query("other.example.", "TXT"))
            other.id = query.id
            response.id ^= 1
            return [(0, b"rubbish"), (0, response.to_wire()), (0, other.to_wire())]
        self._fill(response, question, asked.name)
        if "MALFORMED" in behaviours:
            empty = dns.rdata.GenericRdata(dns.rdataclass.IN, dns.rdatatype.TXT, b"")
            response.answer.append(dns.rrset.from_rdata(asked.name, TTL, empty))
        whole = response.to_wire(max_size=65535)
        if not tcp and len(whole) > max(query.payload, 512):
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            whole = response.to_wire()
        return [(0.08 if "SLOW" in behaviours else 0, whole)]

    def _fill(self, response: dns.message.Message, question: Question, name: dns.name.Name) -> None:
        aliases = [value for kind, value in self.zone.get(question.name, []) if kind == "CNAME"]
        if aliases:  # no more than that: who asks has to follow it
            response.answer.append(dns.rrset.from_text(name, TTL, "IN", "CNAME", f"{aliases[0].rstrip('.')}."))
            return
        found = answering(self.zone)(question)
        if found.status is Status.SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif found.status is Status.NOERROR:
            texts = _texts(question, found)
            response.answer.append(dns.rrset.from_text_list(name, TTL, "IN", question.type, texts))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN if found.status is Status.NXDOMAIN else dns.rcode.NOERROR)
            response.authority.append(dns.rrset.from_text("invalid.", TTL, "IN", "SOA", SOA))


def _texts(question: Question, found: Answer) -> list[str]:
    if question.type in (RecordType.A, RecordType.AAAA):
        return [str(address) for address in found.addresses]
    if question.type is RecordType.MX:
        return [f"{place} {_escaped(host)}." for place, host in enumerate(found.names)]
    if question.type is RecordType.PTR:
        return [f"{_escaped(host)}." for host in found.names]
    return [" ".join(_quoted(text[at : at + 255]) for at in range(0, max(len(text), 1), 255)) for text in found.texts]


def _escaped(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else f"\\{ord(c):03d}" for c in name)


def _quoted(text: bytes) -> str:
    return '"' + "".join(f"\\{octet:03d}" for octet in text) + '"'


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.server.ports.append(addr[1])
        loop = asyncio.get_running_loop()
        for seconds, wire in self.server.answer(data, tcp=False):
            loop.call_later(seconds, self.transport.sendto, wire, addr)


@contextmanager
def dns_server(zone: Zone) -> Iterator[DnsServer]:
    """Serve a zone on a port of 127.0.0.1, until the block ends."""
    server = DnsServer({name.lower().rstrip("."): values for name, values in zone.items()})
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            for seconds, answer in server.answer(wire, tcp=True):
                await asyncio.sleep(seconds)
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve(stop: asyncio.Event) -> None:
        while True:
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", 0))
            server.port = udp.get_extra_info("sockname")[1]
            try:
                tcp = await asyncio.start_server(by_tcp, "127.0.0.1", server.port)
                break
            except OSError:  # taken for TCP: another one
                udp.close()
        ready.set()
        await stop.wait()
        udp.close()
        tcp.close()
        await tcp.wait_closed()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()

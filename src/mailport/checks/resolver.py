"""The one door to the DNS, by dnspython: questions in, answers out, and never an exception.

Names are asked as they are, absolute: a cluster's search list would make five questions of each, and find what is not
meant. A server of ours follows CNAMEs; what it leaves is followed here. What comes by TCP may be large, and is read in
a thread.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.asyncbackend
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

from mailport.authentication.dns import Answer, Question, RecordType, Status
from mailport.checks.cache import MIN_SECONDS, Cache
from mailport.checks.conclusions import Conclusions
from mailport.outward.allowed import Allowed

PAYLOAD = 1232  # octets of an answer by UDP (RFC 9715 §3)
MAX_RECORDS = 512  # of an answer: what has more is no answer; reading thousands costs as much as a hundred messages
MAX_ALIASES = 8  # CNAMEs in a row that are followed
MAX_UNDER_WAY = 500  # questions, each with a socket of its own; the others wait
_SHARES = (0.2, 0.3, 0.5)  # of the seconds of a question: each attempt waits longer than the one before
_FAILED = Answer(Status.SERVFAIL)
_TIMED_OUT = Answer(Status.TIMEOUT)

Observe = Callable[[RecordType, str], None]
"""Counts a question that a server was asked: its type, and its outcome, a Status in lower case."""


class Server(NamedTuple):
    """A DNS server."""

    address: str
    port: int = 53


class _Reply(NamedTuple):
    """What one server said of one name."""

    answer: Answer
    seconds: float  # that it holds
    alias_of: str | None = None  # where the name leads, and the server has not said what is there


def system_servers() -> tuple[Server, ...]:
    """Return the servers of resolv.conf. Reads a file."""
    try:
        found = dns.resolver.Resolver(configure=True).nameservers
    except (dns.exception.DNSException, OSError):
        return ()
    return tuple(Server(str(address)) for address in found)


def why_not(server: Server, allowed: Allowed) -> str:
    """Say why a server that the document names may not be asked; empty where it may."""
    return allowed.why_not(ip_address(server.address))


class _LookUp:
    """A question that servers are asked, for as long as somebody waits for the answer."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Answer]) -> None:
        self.task = task
        self.waiting = 0

    async def result(self) -> Answer:
        """Wait for the answer. The last who gives up ends the look-up: a client may begin many, and wait for none."""
        self.waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self.task.cancel()


class Resolver:
    """Asks servers, and remembers. For one event loop."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        seconds: float = 5.0,
        cache: Cache | None = None,
        observe: Observe = lambda _type, _outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` are for one question with its repeats, at all servers together."""
        self.servers = tuple(servers)
        self.seconds = seconds
        self._cache = Cache() if cache is None else cache
        self.conclusions = Conclusions()  # from what the cache holds
        self._observe = observe
        self._clock = clock
        self._first = 0  # the server that is asked first: the one that answered last
        self._under_way: dict[Question, _LookUp] = {}
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)

    def known(self, question: Question) -> Answer | None:
        """Answer from what was answered before; None where that has to be asked."""
        return self._cache.get(question, self._clock())

    async def ask(self, question: Question) -> Answer:
        """Answer a question: from what is known, with those who ask the same now, or from a server."""
        if (answer := self.known(question)) is not None:
            return answer
        look_up = self._under_way.get(question)
        if look_up is None or look_up.task.cancelling():
            look_up = self._under_way[question] = _LookUp(asyncio.create_task(self._look_up(question)))
            look_up.task.add_done_callback(lambda task: self._ended(question, task))
        return await look_up.result()

    async def close(self) -> None:
        """Ask nothing any more of what is asked now."""
        left = [look_up.task for look_up in self._under_way.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _ended(self, question: Question, task: asyncio.Task[Answer]) -> None:
        look_up = self._under_way.get(question)
        if look_up is not None and look_up.task is task:
            del self._under_way[question]

    async def _look_up(self, question: Question) -> Answer:
        async with self._places:
            try:
                async with asyncio.timeout(self.seconds):
                    answer, seconds = await self._follow(question)
            except TimeoutError:
                answer, seconds = _TIMED_OUT, MIN_SECONDS
        self._observe(question.type, answer.status.lower())
        self._cache.put(question, answer, seconds, self._clock())
        return answer

    async def _follow(self, question: Question) -> tuple[Answer, float]:
        """Ask for a name, and for what it is an alias of where the server has not done so."""
        name, alias, least = question.name, False, float("inf")
        for _ in range(MAX_ALIASES):
            reply = await self._ask_servers(Question(name, question.type))
            least = min(least, reply.seconds)
            if reply.alias_of is None:
                return reply.answer._replace(alias=alias or reply.answer.alias), least
            name, alias = reply.alias_of, True
        return _FAILED, MIN_SECONDS

    async def _ask_servers(self, question: Question) -> _Reply:
        """Ask one server after the other until one answers; each as often as there is time."""
        name = _wire_name(question.name)
        if name is None:
            return _Reply(Answer(Status.NXDOMAIN), MIN_SECONDS)
        failed, silent = set[int](), False
        for share in _SHARES:
            for number in range(len(self.servers)):
                place = (self._first + number) % len(self.servers)
                if place in failed:
                    continue
                try:
                    async with asyncio.timeout(self.seconds * share / len(self.servers)):
                        reply = await self._ask_server(self.servers[place], name, question.type)
                except (TimeoutError, dns.exception.Timeout):
                    silent = True
                    continue
                if reply is not None:
                    self._first = place
                    return reply
                failed.add(place)
        return _Reply(_TIMED_OUT if silent else _FAILED, MIN_SECONDS)

    async def _ask_server(self, server: Server, name: dns.name.Name, kind: RecordType) -> _Reply | None:
        """Ask one server once; None where it has failed to answer, refused, or answered nonsense."""
        query = dns.message.make_query(name, dns.rdatatype.from_text(kind), use_edns=0, payload=PAYLOAD)
        try:
            response = await self._by_udp(query, server)
            if response.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):  # of before EDNS
                query.use_edns(False)
                response = await self._by_udp(query, server)
            if response.flags & dns.flags.TC:
                response = await self._by_tcp(query, server)
        except (TimeoutError, dns.exception.Timeout):
            raise
        except (dns.exception.DNSException, OSError, EOFError, ValueError):
            return None
        return _read(response, kind)

    async def _by_udp(self, query: dns.message.Message, server: Server) -> dns.message.Message:
        """Ask from a socket, and so a port, of its own, with an id by chance; what does not fit is no answer."""
        family = dns.inet.af_for_address(server.address)
        there = dns.inet.low_level_address_tuple((server.address, server.port), family)
        backend: Any = dns.asyncbackend.get_default_backend()  # whose make_socket is not annotated
        async with await backend.make_socket(family, socket.SOCK_DGRAM) as udp:
            await udp.sendto(query.to_wire(), there, None)
            while True:
                wire, sender = await udp.recvfrom(PAYLOAD, None)
                response = _parsed(wire) if _is_of(server, sender) else None
                if response is not None and query.is_response(response):
                    return response

    async def _by_tcp(self, query: dns.message.Message, server: Server) -> dns.message.Message:
        """Ask once more where an answer was too long for UDP. It may have hundreds of records: a thread reads them."""
        reader, writer = await asyncio.open_connection(server.address, server.port)
        try:
            wire = query.to_wire()
            writer.write(len(wire).to_bytes(2, "big") + wire)
            answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
        if _records_of(answer) > MAX_RECORDS:
            raise dns.query.BadResponse
        response = await asyncio.to_thread(_parsed, answer)
        if response is None or not query.is_response(response):
            raise dns.query.BadResponse
        return response


def _is_of(server: Server, sender: tuple[str, int]) -> bool:
    """Whether a datagram comes from the server that was asked; a link's name, as in fe80::1%eth0, is not compared."""
    return (ip_address(sender[0]).packed, sender[1]) == (ip_address(server.address).packed, server.port)


def _parsed(wire: bytes) -> dns.message.Message | None:
    """Read a response, but for the records in it that cannot be read; None where all of it is nonsense."""
    try:
        return dns.message.from_wire(wire, ignore_trailing=True, continue_on_error=True)
    except Exception:  # noqa: BLE001 - whatever dnspython makes of a stranger's octets
        return None


def _records_of(answer: bytes) -> int:
    """Return how many records an answer has, by its header (RFC 1035 §4.1.1: ANCOUNT, NSCOUNT, ARCOUNT)."""
    return sum(int.from_bytes(answer[place : place + 2], "big") for place in (6, 8, 10))


def _wire_name(name: str) -> dns.name.Name | None:
    """Return a name as labels, none of its characters being special; None where it cannot be one."""
    try:
        return dns.name.Name([*(label.encode("ascii") for label in name.split(".")), b""])
    except (dns.exception.DNSException, UnicodeError):
        return None


def _text_name(name: dns.name.Name) -> str:
    """Return a name as text, without the root's dot; what no question could hold as what is no name."""
    labels = name.labels[:-1]
    return "\0" if any(b"." in label for label in labels) else b".".join(labels).decode("latin-1").lower()


def _read(response: dns.message.Message, kind: RecordType) -> _Reply | None:
    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not isinstance(response, dns.message.QueryMessage):
        return None
    try:
        chain = response.resolve_chaining()
    except dns.exception.DNSException:  # no question, a loop, NXDOMAIN with records
        return None
    alias = bool(chain.cnames)
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    negative = chain.minimum_ttl if has_soa else MIN_SECONDS  # RFC 2308 §5
    if chain.answer is not None:
        return _Reply(_records(chain.answer, kind, alias=alias), chain.minimum_ttl)
    if response.errors:  # the records that were asked for may be those that cannot be read
        return None
    if rcode == dns.rcode.NXDOMAIN:
        return _Reply(Answer(Status.NXDOMAIN, alias=alias), negative)
    if alias and not has_soa:
        return _Reply(_FAILED, chain.minimum_ttl, alias_of=_text_name(chain.canonical_name))
    if not has_soa and any(rrset.rdtype == dns.rdatatype.NS for rrset in response.authority):
        return None  # a referral, of a server that does not look further (RFC 2308 §2.2)
    return _Reply(Answer(Status.NODATA, alias=alias), negative)


def _records(rrset: dns.rrset.RRset, kind: RecordType, *, alias: bool) -> Answer:
    answer = Answer(Status.NOERROR, alias=alias)
    match kind:
        case RecordType.A | RecordType.AAAA:
            return answer._replace(addresses=tuple(ip_address(record.address) for record in rrset))
        case RecordType.MX:
            by_preference = sorted(rrset, key=lambda record: record.preference)
            return answer._replace(names=tuple(_text_name(record.exchange) for record in by_preference))
        case RecordType.PTR:
            return answer._replace(names=tuple(_text_name(record.target) for record in rrset))
        case RecordType.TXT:
            return answer._replace(texts=tuple(b"".join(record.strings) for record in rrset))

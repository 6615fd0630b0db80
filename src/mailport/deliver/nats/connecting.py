"""Which server of a cluster a session is opened to."""

from __future__ import annotations

from mailport.deliver.nats.session import Place, Session
from mailport.outward.dial import CannotConnect, Dialer, NotAllowed

MOST_OTHERS = 16  # servers that are remembered of those that a server told of


class Connecting:
    """Opens sessions: to the configured server, else to those of its cluster that it told of.

    Each goes through the dialer: what a server tells is looked at as what the document says, and has to prove the same
    name where TLS is used.
    """

    def __init__(self, place: Place, dialer: Dialer, seconds: float) -> None:
        self._place = place
        self._dialer = dialer
        self._seconds = seconds
        self._others: list[tuple[str, int]] = []

    async def open(self) -> Session:
        """Open a session. Raises CannotConnect, TlsFailed, ConnectionLost, Unavailable: of the configured server."""
        first: CannotConnect | None = None
        for where in (self._place.host_and_port, *self._others):
            try:
                session = await Session.open(self._place, where, self._dialer, self._seconds)
            except CannotConnect as error:
                first = first or error
                if isinstance(error, NotAllowed) and where == self._place.host_and_port:
                    raise
                continue
            self._others = [one for one in session.others if one != self._place.host_and_port][:MOST_OTHERS]
            return session
        assert first is not None  # noqa: S101 - for mypy: there is one place at least
        raise first

"""What others learn of a connection: a line of the log and a count for each message and each refusal."""

from __future__ import annotations

from typing import Any

from mailport import log
from mailport.deliver.delivery import Envelope
from mailport.listener import metrics
from mailport.listener.proxy import Client
from mailport.listener.transaction import Transaction
from mailport.policy.replies import Reply

_log = log.get()


class Journal:
    """One connection's; `tls` and `user` are filled in as they become known."""

    __slots__ = ("_listener", "_log", "tls", "user")

    def __init__(self, listener: str, client: Client, session: str | None = None) -> None:
        self._listener = listener
        known = {"session": session} if session is not None else {}
        self._log = _log.bind(**known, listener=listener, client=client.text, client_port=client.port)
        self.tls: str | None = None  # version
        self.user: str | None = None

    def refused(self, reason: str, reply: Reply | None, detail: str, envelope: Envelope | None = None) -> None:
        """Note a refusal; `reply` None is a connection that was closed without a word."""
        metrics.refusals(self._listener, reason).inc()
        self._log.info(
            "refused",
            tls=self.tls,
            user=self.user,
            reason=reason,
            reply=f"{reply.code} {reply.enhanced}" if reply is not None else None,
            detail=detail or None,
            id=envelope.id if envelope is not None else None,
            sender=_path(envelope) if envelope is not None else None,
        )

    def message(self, transaction: Transaction, reply: Reply, seconds: float) -> None:
        """Note how a message ended, `seconds` after its last octet."""
        result = "accepted" if reply.positive else "refused" if reply.permanent else "deferred"
        label, envelope = transaction.route_label, transaction.envelope
        metrics.messages(self._listener, label, result).inc()
        if reply.positive:
            metrics.message_bytes.observe(transaction.size)
            metrics.delivery_seconds(label).observe(seconds)
        self._log.info(
            "message",
            tls=self.tls,
            user=self.user,
            id=envelope.id,
            sender=_path(envelope),
            recipients=[str(recipient) for recipient in transaction.recipients],
            size=transaction.size,
            route=transaction.route_names,
            result=result,
            reason=reply.reason or None,
            destination=[receipt.text for receipt in transaction.receipts] or None,
            duration=round(seconds, 6),
        )

    def lost(self, transaction: Transaction) -> None:
        """Note a client that left in the middle: it never heard 250, and will come again."""
        envelope = transaction.envelope
        self._log.info("connection lost", id=envelope.id, sender=_path(envelope), size=transaction.size)

    def tls_established(self, version: str) -> None:
        """Note a handshake that came to an end."""
        self.tls = version
        metrics.tls_handshakes(version, "ok").inc()

    def tls_failed(self, error: OSError) -> None:
        """Note one that came to nothing: clients that do not trust us, or that are none."""
        metrics.tls_handshakes("none", "failed").inc()
        late = isinstance(error, TimeoutError | ConnectionAbortedError)  # asyncio's word for a handshake's time-out
        self.refused("timeout" if late else "tls_handshake", None, str(error))

    def fault(self, event: str, **fields: Any) -> None:
        """Note a fault of ours, with the traceback of what is being handled."""
        self._log.exception(event, **fields)


def _path(envelope: Envelope) -> str:
    return str(envelope.sender) if envelope.sender is not None else "<>"

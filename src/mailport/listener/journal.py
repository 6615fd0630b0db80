"""What is logged and counted of a connection: a line and a metric for each message and each refusal."""

from __future__ import annotations

from typing import Any

from mailport.listener import metrics
from mailport.listener.proxy import Client
from mailport.listener.transaction import Transaction
from mailport.message.envelope import Envelope
from mailport.policy.replies import Reply
from mailport.process import log

_log = log.get()


class Journal:
    """One connection's log and metrics; `tls` and `user` are set as they become known."""

    __slots__ = ("_listener", "_log", "tls", "user")

    def __init__(self, listener: str, client: Client, session: str | None = None) -> None:
        self._listener = listener
        known = {"session": session} if session is not None else {}
        self._log = _log.bind(**known, listener=listener, client=client.text, client_port=client.port)
        self.tls: str | None = None  # version
        self.user: str | None = None

    def refused(self, reason: str, reply: Reply | None, detail: str, envelope: Envelope | None = None) -> None:
        """Log and count a refusal; `reply` is None where the connection was closed without a reply."""
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
        """Log and count how a message ended, `seconds` after its last octet."""
        result = "accepted" if reply.positive else "refused" if reply.permanent else "deferred"
        label, envelope = transaction.route_label, transaction.envelope
        metrics.messages(self._listener, label, result).inc()
        if reply.positive:
            metrics.message_bytes.observe(transaction.size)
            metrics.delivery_seconds(label).observe(seconds)
        authentication, disposition = transaction.examination.authentication, transaction.examination.disposition
        if authentication is not None:
            for check, outcome, _ in authentication.results:
                metrics.checks(check, outcome).inc()
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
            authentication="; ".join(authentication.written) if authentication is not None else None,
            disposition=disposition if authentication is not None else None,
            duration=round(seconds, 6),
        )

    def lost(self, transaction: Transaction, detail: str) -> None:
        """Log a client that left within a transaction: it had no 250 and keeps the message. `detail`: why, if known."""
        envelope = transaction.envelope
        self._log.info(
            "connection lost", id=envelope.id, sender=_path(envelope), size=transaction.size, detail=detail or None
        )

    def tls_established(self, version: str) -> None:
        """Count a TLS handshake that succeeded."""
        self.tls = version
        metrics.tls_handshakes(version, "ok").inc()

    def tls_failed(self, error: OSError) -> None:
        """Log and count a TLS handshake that failed: the client does not trust the certificate, or speaks no TLS."""
        metrics.tls_handshakes("none", "failed").inc()
        late = isinstance(error, TimeoutError | ConnectionAbortedError)  # asyncio raises either when it takes too long
        self.refused("timeout" if late else "tls_handshake", None, str(error))

    def fault(self, event: str, **fields: Any) -> None:
        """Log a fault of ours, with the traceback of the exception that is being handled."""
        self._log.exception(event, **fields)


def _path(envelope: Envelope) -> str:
    return str(envelope.sender) if envelope.sender is not None else "<>"

"""Brings one InboundSmtp to what its spec says: observe, admit, render, apply, refresh, report.

Each is a room, entered once in a look. What it hands on is a value that does not change any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailport.contract.model import InboundSmtp
from mailport.operator.admit.admit import Admitted, admit
from mailport.operator.admit.options import Options
from mailport.operator.api_error import ApiError
from mailport.operator.apply.applier import Applied, Applier
from mailport.operator.apply.refused import NamespaceGoneError
from mailport.operator.children.manifests import children, too_large
from mailport.operator.cluster import Cluster
from mailport.operator.metadata import Manifest
from mailport.operator.pods.poller import Poller
from mailport.operator.pods.refresh import Refresher
from mailport.operator.reason import PENDING, Reason
from mailport.operator.report.report import Reporter
from mailport.operator.watch.observe import Seen, observe
from mailport.operator.watch.store import Key, Store

_NOT_YET = Reason("Programmed", PENDING, "not applied yet")
_NOT_ACCEPTED = Reason("Programmed", PENDING, "nothing is applied until the spec is accepted")


@dataclass(frozen=True, slots=True)
class _Rendered:
    """The children, where the spec is accepted; the gateway is None where it is not."""

    accepted: Reason
    gateway: InboundSmtp | None = None
    children: tuple[Manifest, ...] = ()


class Reconciler:
    """Looks at one gateway at a time; two for different gateways may run beside each other."""

    def __init__(
        self, cluster: Cluster, store: Store, poller: Poller, options: Options, look_again: Callable[[set[Key]], None]
    ) -> None:
        """`look_again` has gateways looked at that something has come for which is not in the store."""
        self._store = store
        self._look_again = look_again
        self._options = options
        self._applier = Applier(cluster, store)
        self._refresher = Refresher(cluster, poller)
        self._reporter = Reporter(cluster, store)

    async def reconcile(self, key: Key) -> float | None:
        """Do what is to be done now; return the seconds until the next look, or None for when something changes.

        Raises ApiError where the whole is to be tried again, and NotOurTurnError.
        """
        try:
            seen = observe(self._store, key)
            if seen is None:
                self._applier.forget(key)
                self._refresher.forget(key)
                self._reporter.forget(key)
                return None
            return await self._bring(seen)
        except NamespaceGoneError:
            return None
        except ApiError as error:
            if error.status == 404:  # of the InboundSmtp itself: deleted a moment ago, and the news is on its way
                return None
            raise
        finally:
            self._look_again(self._applier.looked_at(key))

    async def _bring(self, seen: Seen) -> float | None:
        admitted = admit(seen, self._options)
        rendered = _render(admitted)
        if not seen.status:  # without one, GitOps tools take it for done
            pending = _NOT_ACCEPTED if rendered.gateway is None else _NOT_YET
            return await self._reporter.report(seen, rendered.gateway, rendered.accepted, pending) or 0.0
        left = await self._applier.left_to(seen, self._options.instance, may_ask=not admitted.suspended)
        if left is not None:
            self._refresher.forget(seen.key)
            await self._reporter.report_other_operator(seen, left.operator)
            return left.again_in
        applied = await self._apply(seen, admitted, rendered)
        refreshed = await self._refresher.refresh(applied.seen, may_poke=not admitted.suspended)
        contested_for = None
        if refreshed.all_asked or not self._reporter.is_said(applied.seen):
            contested_for = await self._reporter.report(
                applied.seen, rendered.gateway, rendered.accepted, applied.programmed, refreshed.pods
            )
        nexts = (applied.programmed.again_in, refreshed.again_in, contested_for)
        return min((seconds for seconds in nexts if seconds is not None), default=None)

    async def _apply(self, seen: Seen, admitted: Admitted, rendered: _Rendered) -> Applied:
        if rendered.gateway is None:
            return Applied(_NOT_ACCEPTED, seen)
        if admitted.suspended:
            return self._applier.pending(rendered.children, seen)
        return await self._applier.apply(rendered.children, seen)


def _render(admitted: Admitted) -> _Rendered:
    if admitted.gateway is None or admitted.inputs is None:
        return _Rendered(admitted.accepted)
    made = children(admitted.gateway, admitted.inputs)
    if (fault := too_large(made)) is not None:
        return _Rendered(Reason("Accepted", "ConfigTooLarge", str(fault)))
    return _Rendered(admitted.accepted, admitted.gateway, made)

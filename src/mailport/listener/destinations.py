"""The routes' destinations, built from the document and from what it refers to. Blocks: call it in a thread.

A destination stays the same object, with its connections, while neither its settings nor its Secrets change. Where what
it refers to is missing or does not load, the last good one of the same settings stays in use; where there is none, mail
for it is 451. So too where a pod does not mount it: there the settings may name other Secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb

from mailport.contract.model import Deliver, Route, Spec
from mailport.contract.references import Reference, apart_from_references, of_destination
from mailport.deliver import registry
from mailport.deliver.destination import Destination
from mailport.deliver.health import Health
from mailport.deliver.maildir.usage import MailboxUsage
from mailport.deliver.registry import Surroundings
from mailport.listener.config import Missing
from mailport.listener.mounted import IsThere
from mailport.listener.secrets import Secrets, Unreadable
from mailport.outward.dial import Dialer
from mailport.process import log

_log = log.get()

_Values = dict[str, dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class _Built:
    deliver: Deliver
    hostname: str
    values: _Values
    why_not: str  # empty: it can deliver
    destination: Destination
    health: Health = field(default_factory=Health)  # of this destination: another one is another's


@dataclass(frozen=True, slots=True)
class LoadedDestinations:
    """The destinations of a configuration, and what is missing or does not load of what they refer to."""

    by_route: dict[str, tuple[Destination, Health]]  # by the route's name
    missing: tuple[Missing, ...]
    not_mounted: tuple[str, ...]  # Secrets and ConfigMaps that only new pods have
    faults: tuple[str, ...]


class Destinations:
    """Builds the destinations of each configuration that is loaded."""

    def __init__(
        self, mail_root: Path, usage: MailboxUsage | None, dialer: Dialer, scratch: Path | None = None
    ) -> None:
        self._mail_root = mail_root
        self._usage = usage
        self._dialer = dialer
        self._scratch = scratch
        self._built: dict[str, _Built] = {}

    def load(self, spec: Spec, secrets: Secrets, is_there: IsThere) -> LoadedDestinations:
        """Build what has changed. `is_there`: mounted.py."""
        around = Surroundings(spec.hostname, self._mail_root, self._dialer, self._usage, self._scratch)
        built: dict[str, _Built] = {}
        missing: list[Missing] = []
        not_mounted: list[str] = []
        faults: list[str] = []
        for index, route in enumerate(spec.routes):
            of_route = list(of_destination(route.deliver, f"spec.routes[{index}].deliver.{route.deliver.kind}"))
            if lacking := [reference.name for reference in of_route if not is_there(reference)]:
                not_mounted += lacking
                why = f"this pod does not mount {', '.join(lacking)}"
                built[route.name] = self._as_before(route) or self._unbuilt(route, around, why)
                continue
            values, absent, fault = _read(of_route, secrets)
            missing += absent
            faults += [fault] if fault else []
            if why := fault or ", ".join(f"{entry.kind} {entry.name} has no {entry.key}" for entry in absent):
                built[route.name] = self._unbuilt(route, around, why)
                continue
            try:
                built[route.name] = self._of(route, around, values)
            except Exception as error:  # noqa: BLE001 - one route's fault, whatever it is, is not the others'
                named = " or ".join(f"{reference.kind} {reference.name}" for reference in of_route)
                where = f"{named}: " if named else ""
                why = f"{where}{_why(error)}"
                faults.append(why)
                built[route.name] = self._unbuilt(route, around, why)
        self._built = built
        return LoadedDestinations(
            by_route={name: (found.destination, found.health) for name, found in built.items()},
            missing=tuple(missing),
            not_mounted=tuple(dict.fromkeys(not_mounted)),
            faults=tuple(faults),
        )

    def _of(self, route: Route, around: Surroundings, values: _Values) -> _Built:
        former = self._built.get(route.name)
        if former is not None and (former.deliver, former.hostname, former.values, former.why_not) == (
            route.deliver,
            around.hostname,
            values,
            "",
        ):
            return former
        return _Built(route.deliver, around.hostname, values, "", registry.build(route.deliver, around, values))

    def _as_before(self, route: Route) -> _Built | None:
        """Return the one that there is, unless it would deliver elsewhere, or otherwise, than the document says now."""
        former = self._built.get(route.name)
        same = former is not None and apart_from_references(former.deliver) == apart_from_references(route.deliver)
        return former if same else None

    def _unbuilt(self, route: Route, around: Surroundings, why: str) -> _Built:
        """Return the last good one of the same settings, else what answers 451."""
        former = self._built.get(route.name)
        if former is not None and former.deliver == route.deliver and former.why_not in ("", why):
            return former
        return _Built(route.deliver, around.hostname, {}, why, registry.misconfigured(route.deliver, why))


def _why(error: Exception) -> str:
    """Return what an error says, or of one that may hold a value its type alone."""
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):  # of what the references hold: names none
        return str(error)
    places = [f"{frame.name} {frame.lineno}" for frame in extract_tb(error.__traceback__)]
    _log.error("a destination cannot be built", error=type(error).__name__, where=", ".join(places))
    return f"cannot be used: {type(error).__name__}"


def _read(references: list[Reference], secrets: Secrets) -> tuple[_Values, list[Missing], str]:
    """Return the values by the last part of their reference's field, what is missing, and what cannot be read."""
    values: _Values = {}
    missing: list[Missing] = []
    for reference in references:
        try:
            found = secrets.get_all(reference.kind, reference.name, reference.keys)
        except Unreadable as error:
            return {}, [], f"{reference.kind} {reference.name}: {error}"
        values[reference.field.rpartition(".")[2]] = found
        missing += [Missing(reference.kind, reference.name, key, reference.field) for key in reference.lacking(found)]
    return values, missing, ""

"""PURE. The listeners and the routes of a spec, each with the path that a fault of it begins with."""

from __future__ import annotations

from collections.abc import Iterator

from mailport.contract.model import Listener, Route, Spec


def listeners(spec: Spec) -> Iterator[tuple[str, Listener]]:
    """Yield each listener behind its path."""
    return ((f"spec.listeners[{index}]", listener) for index, listener in enumerate(spec.listeners))


def routes(spec: Spec) -> Iterator[tuple[str, Route]]:
    """Yield each route behind its path."""
    return ((f"spec.routes[{index}]", route) for index, route in enumerate(spec.routes))

"""PURE. What the operator was started with that decides about every gateway."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mailport.operator.admit.permitted import LOCAL_DESTINATIONS, Allowed
from mailport.operator.children.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, as far as it is about gateways."""

    given: Inputs
    """What children are made of besides the document, as far as that is not for the cluster to say."""

    allow: Allowed = field(default_factory=Allowed)
    """What authors may ask for: permitted.py."""

    instance: str = "default/mailport-operator"
    """Which installation this is, of all that there may be: its replicas are one."""

    def inputs(self, **known: Any) -> Inputs:
        """Return what a gateway's children are rendered from: `given`, what pods are told of `allow`, and `known`."""
        return replace(self.given, local_destinations=LOCAL_DESTINATIONS in self.allow.names, **known)

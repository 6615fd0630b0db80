"""PURE. What it means that the API server refused a child: whether trying again helps, and what a person has to do."""

from __future__ import annotations

import re

from mailport.operator.api_error import ApiError
from mailport.operator.apply.place import not_programmed
from mailport.operator.kinds import SERVICE, Place
from mailport.operator.metadata import Manifest
from mailport.operator.reason import Reason

# apimachinery's words, in any cause's message
_CHANGES_NEVER = ("field is immutable", "may not change once set")

# The authorizer's, as against a quota's or a policy's (k8s.io/apiserver, responsewriters.Forbidden)
_NO_RIGHT = re.compile(r'User "[^"]*" cannot [a-z]+ resource "')

UNPROCESSABLE = 422

# The object itself is wrong (400, 422), or larger than the API server takes (413): the same one will be refused again
_HOPELESS = (400, 413, UNPROCESSABLE)


class NamespaceGoneError(Exception):
    """The namespace is being deleted, and all in it."""


def raise_what_is_no_refusal(error: ApiError, place: Place) -> None:
    """Raise where the namespace goes, or where what we saw is not what is there: then all is to be looked at anew."""
    message = str(error)
    if (error.status == 403 and "is being terminated" in message) or (
        error.status == 404 and message.startswith("namespaces ")
    ):
        raise NamespaceGoneError(place.namespace) from error
    if error.status == 404:
        raise ApiError(409, message) from error
    if error.is_conflict:
        raise error


def passes_by_itself(error: ApiError) -> bool:
    """Whether the same request may well succeed a moment later, and nothing is to be said of it yet.

    A 500 is a webhook's, as a rule, or says that a field is unknown. What took too long may again. A right that is
    missing may be there: an API server that has just started has not read its roles.
    """
    if error.status == 403:
        return _NO_RIGHT.search(str(error)) is not None
    return error.is_passing and error.status != 500 and not error.timed_out


def may_be_of_the_change(error: ApiError) -> bool:
    """Whether it may be the change that is refused, and not the object as it is to be.

    A node port is taken, or out of range, whatever was there before; and a policy or a webhook has its own words.
    """
    if "denied request" in str(error) or "denied the request" in str(error):
        return False
    return error.status == UNPROCESSABLE and not any(cause.field.endswith(".nodePort") for cause in error.causes)


def under_another_name(manifest: Manifest) -> Manifest:
    """Return the object under another name, for a dry run, without node ports: two Services cannot share one."""
    metadata = {**manifest["metadata"], "name": f"{manifest['metadata']['name']}-dry-run"}
    spec = manifest.get("spec", {})
    if manifest["kind"] == SERVICE.name:
        ports = [{name: value for name, value in port.items() if name != "nodePort"} for port in spec["ports"]]
        spec = {**spec, "ports": ports}
    return {**manifest, "metadata": metadata, **({"spec": spec} if spec else {})}


def why(error: ApiError, place: Place, *, cannot_change: bool = False) -> Reason:
    """Say why a child is not as rendered; where it `cannot_change` in place, with the command that helps."""
    if cannot_change or any(words in cause.message for cause in error.causes for words in _CHANGES_NEVER):
        fields = ", ".join(dict.fromkeys(cause.field for cause in error.causes)) or "a field"
        command = f"kubectl delete {place.kind.name.lower()} {place.name} --namespace {place.namespace}"
        lost = " (its address will change)" if place.kind == SERVICE else ""
        message = f"{fields} of {place} cannot be changed in place. To recreate it{lost}: {command}"
        return not_programmed("ImmutableField", message)
    return not_programmed("ApplyFailed", f"{place}: {error}", hopeless=error.status in _HOPELESS)

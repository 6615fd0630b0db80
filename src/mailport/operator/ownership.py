"""PURE. Whose a child is: the InboundSmtp that controls it (metav1.OwnerReference), or nobody's."""

from __future__ import annotations

from mailport.operator.managed_fields import entries, is_our_apply
from mailport.operator.metadata import Manifest


def is_ours(child: Manifest, owner_uid: str) -> bool:
    """Whether a gateway controls a child; or nobody does, and it was us who applied it (`delete --cascade=orphan`)."""
    found = controller(child)
    return is_applied_by_us(child) if found is None else bool(found["uid"] == owner_uid)


def is_applied_by_us(child: Manifest) -> bool:
    """Whether an operator has applied it."""
    return any(is_our_apply(entry) for entry in entries(child))


def controller(child: Manifest) -> Manifest | None:
    """Return the owner reference of who looks after a child (metav1.OwnerReference)."""
    return next((owner for owner in child["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)

"""PURE. What was found, as JSON: for `mailport check` and for destinations. Its schema: docs/check.schema.json."""

from __future__ import annotations

from typing import Any

from mailport.authentication.results_field import Authentication


def described(found: Authentication) -> dict[str, Any]:
    """Return each check's result by its name; null where it was not made, and a list of DKIM's signatures."""
    iprev, spf, dmarc, arc = found.iprev, found.spf, found.dmarc, found.arc
    return {
        "iprev": iprev and {"result": iprev.result, "name": iprev.name, "why": iprev.why},
        "spf": spf
        and {
            "result": spf.result,
            "identity": spf.identity,
            "domain": spf.domain,
            "sender": spf.sender,
            "why": spf.why,
        },
        "dkim": None
        if found.dkim is None
        else [
            {
                "result": one.result,
                "domain": one.domain,
                "selector": one.selector,
                "algorithm": one.algorithm,
                "identity": one.identity,
                "signature": one.signature,
                "testing": one.testing,
                "why": one.why,
            }
            for one in found.dkim
        ],
        "dmarc": dmarc
        and {
            "result": dmarc.result,
            "domain": dmarc.domain,
            "policyDomain": dmarc.policy_domain,
            "policy": dmarc.policy.word,
            "alignedBy": dmarc.aligned_by,
            "why": dmarc.why,
        },
        "arc": arc and {"result": arc.result, "domain": arc.domain, "sets": arc.sets, "why": arc.why},
    }

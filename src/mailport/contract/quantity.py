"""PURE. Kubernetes quantities as whole numbers of bytes: "25Mi", "1G", "1e6", "1048576"."""

from __future__ import annotations

import re

KI, MI, GI, TI = 1 << 10, 1 << 20, 1 << 30, 1 << 40

# k8s.io/apimachinery/pkg/api/resource: binary and decimal suffixes, and the decimal exponent. Left out, as there is no
# part of a byte: m, u, n and fractions.
_SUFFIXES: dict[str, int] = {
    "": 1,
    **{name: 1 << 10 * power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{name: 1000**power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
}
_DIGITS = 18  # 10^18 is more than any bound here, and fits 64 bits
_QUANTITY = re.compile(rf"\+?([0-9]{{1,{_DIGITS}}})(?:[eE]\+?([0-9]{{1,2}})|([A-Za-z]{{0,2}}))")

EXPECTED = 'must be a whole number of bytes, or a quantity such as "25Mi"'


def parse(text: str) -> int:
    """Return the bytes that a quantity stands for; ValueError where it is none, or not a whole number of bytes."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    digits, exponent, suffix = match.groups()
    if exponent is not None:
        return int(f"{digits}{'0' * int(exponent)}")
    if suffix not in _SUFFIXES:
        raise ValueError(EXPECTED)
    return int(digits) * _SUFFIXES[suffix]


def render(count: int) -> str:
    """Return an exact quantity as the API server itself would write it: 26214400 is "25Mi", 5000000000 is "5G"."""
    for suffix in ("Ti", "Gi", "Mi", "Ki", "T", "G", "M", "k"):
        unit = _SUFFIXES[suffix]
        if count >= unit and count % unit == 0:
            return f"{count // unit}{suffix}"
    return str(count)

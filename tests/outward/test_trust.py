"""Which CA bundles are taken: those that people have, comments and all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailport.listener.tls import self_signed
from mailport.outward import trust
from tests.tables import table

CA = self_signed("next.example.org", datetime.now(UTC))[0]


@pytest.mark.parametrize(
    "bundle",
    table(
        {
            "a certificate": CA,
            "… behind a comment in UTF-8": "# NetLock Arany (Class Gold) Főtanúsítvány\n".encode() + CA,
            "… in Latin-1": "# AC Raíz Certicámara\n".encode("latin-1") + CA,
            "… behind a byte order mark": b"\xef\xbb\xbf" + CA,
            "… in front of one": CA + "# Főtanúsítvány\n".encode(),
        }
    ),
)
def test_what_is_pem_is_taken(bundle: bytes):
    assert trust.context(bundle).cert_store_stats()["x509"] == 1


@pytest.mark.parametrize(
    "bundle", table({"nothing": b"", "something else": b"xx", "not even ASCII": "ő".encode(), "DER": b"\x30\x82\x01"})
)
def test_what_holds_no_certificate_is_no_ca(bundle: bytes):
    with pytest.raises(trust.BadCa, match="no PEM certificates"):
        trust.context(bundle)


def test_a_ca_may_stand_beside_the_public_ones():
    public = trust.context(None).cert_store_stats()["x509"]

    assert trust.context(CA, public=True).cert_store_stats()["x509"] == public + 1

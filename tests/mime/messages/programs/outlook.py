"""Outlook's shapes, made by hand, since there is no Outlook here: python outlook.py PORT.

A message in rich text as Exchange sends it outward: a text, and all else in winmail.dat (MS-OXTNEF). Then a message in
HTML with the image and the names that Outlook for Windows gives them.
"""
# ruff: noqa: E501 - lines of messages

import smtplib
import struct
import sys
from base64 import b64decode, encodebytes

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def attribute(level: int, name: int, value: bytes) -> bytes:
    """MS-OXTNEF §2.1.3.1: level, id, length, value, checksum."""
    return struct.pack("<BII", level, name, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def tnef() -> bytes:
    """One attachment, `Übersicht.pdf` in Windows' code page."""
    return (
        struct.pack("<IH", 0x223E9F78, 1)  # signature, key
        + attribute(1, 0x00089006, struct.pack("<I", 0x00010000))  # attTnefVersion
        + attribute(1, 0x00069007, struct.pack("<II", 1252, 0))  # attOemCodepage
        + attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0")  # attMessageClass
        + attribute(2, 0x00069002, struct.pack("<HIHHI", 1, 0xFFFFFFFF, 0, 0, 0))  # attAttachRendData
        + attribute(2, 0x00018010, "Übersicht.pdf\0".encode("cp1252"))  # attAttachTitle
        + attribute(2, 0x0006800F, b"%PDF-1.7\n\xff\x00\r\n")  # attAttachData
    )


def base64(octets: bytes) -> bytes:
    return encodebytes(octets).replace(b"\n", b"\r\n")


FIELDS = (
    b'From: =?iso-8859-1?Q?M=FCller=2C_J=F6rg?= <joerg@example.net>\r\nTo: "Anna Example" <anna@example.org>\r\n'
    b"Subject: =?iso-8859-1?Q?Gr=FC=DFe_aus_K=F6ln?=\r\n"
    b"Thread-Topic: =?iso-8859-1?Q?Gr=FC=DFe_aus_K=F6ln?=\r\nThread-Index: AQHbQ0example==\r\n"
    b"Message-ID: <AM0PR01MB0001@AM0PR01MB0001.eurprd01.prod.outlook.com>\r\n"
    b"Accept-Language: de-DE, en-US\r\nContent-Language: de-DE\r\nX-MS-Has-Attach: yes\r\n"
)
RICH = (
    FIELDS
    + b"X-MS-TNEF-Correlator: <AM0PR01MB0001@AM0PR01MB0001.eurprd01.prod.outlook.com>\r\nMIME-Version: 1.0\r\n"
    + b'Content-Type: multipart/mixed; boundary="_000_AM0PR01MB0001_"\r\n\r\n--_000_AM0PR01MB0001_\r\n'
    + b'Content-Type: text/plain; charset="iso-8859-1"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    + b"Gr=FC=DFe aus K=F6ln, =96 =96\r\n"
    + b'\r\n--_000_AM0PR01MB0001_\r\nContent-Disposition: attachment; filename="winmail.dat"\r\n'
    + b'Content-Transfer-Encoding: base64\r\nContent-Type: application/ms-tnef; name="winmail.dat"\r\n\r\n'
    + base64(tnef())
    + b"\r\n--_000_AM0PR01MB0001_--\r\n"
)
HTML = (
    FIELDS
    + b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="_004_"; type="multipart/alternative"\r\n\r\n'
    + b'--_004_\r\nContent-Type: multipart/alternative; boundary="_000_"\r\n\r\n'
    + b'--_000_\r\nContent-Type: text/plain; charset="Windows-1252"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    + b"Gr=FC=DFe =96 10 =80\r\n\r\n[cid:image001.png@01DB4300.12345678]\r\n\r\n"
    + b'--_000_\r\nContent-Type: text/html; charset="Windows-1252"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    + b'<p class=3D"MsoNormal">Gr=FC=DFe =96 10 =80</p><img src=3D"cid:image001.png@01DB4300.12345678">\r\n\r\n--_000_--\r\n\r\n'
    + b'--_004_\r\nContent-Type: image/png; name="image001.png"\r\nContent-Description: image001.png\r\n'
    + b'Content-Disposition: inline; filename="image001.png"; size=70;\r\n\tcreation-date="Sat, 28 Nov 2026 10:00:00 GMT"\r\n'
    + b"Content-ID: <image001.png@01DB4300.12345678>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64(b64decode(IMAGE))
    + b"\r\n--_004_--\r\n"
)

with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    for message in (RICH, HTML):
        client.sendmail("joerg@example.net", ["anna@example.org"], message)

"""Python's smtplib and email: python send.py PORT."""
# ruff: noqa: RUF001 - the dash is what is sent

import smtplib
import sys
from base64 import b64decode
from email.headerregistry import Address
from email.message import EmailMessage

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

message = EmailMessage()
message["From"] = Address("Jörg Müller, Köln", "joerg", "example.net")
message["To"] = Address("Anna Example", "anna", "example.org")
message["Cc"] = "carl@example.org"
message["Subject"] = "Grüße aus Köln ☕ – eine Betreffzeile, die länger ist, als eine Zeile sein darf"
message["Message-ID"] = "<python@example.net>"
message.set_content("Grüße aus Köln! ☕\n\n.ein Punkt am Anfang\n")
message.add_alternative('<p>Grüße aus <b>Köln</b>! ☕</p><img src="cid:bild@example.net">\n', subtype="html")
html = message.get_payload()[1]
html.add_related(b64decode(IMAGE), "image", "png", cid="<bild@example.net>", filename="bild.png")
message.add_attachment(
    b"%PDF-1.7\n\xff\x00\r\n", maintype="application", subtype="pdf", filename="Übersicht € 2026.pdf"
)
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.send_message(message)

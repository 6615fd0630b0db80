#!/bin/sh
# swaks: send.sh PORT. It encodes nothing but attachments: what is not ASCII goes out as it is.
printf '%%PDF-1.7\n\377\000\r\n' >/tmp/swaks-attachment.$$
trap 'rm -f /tmp/swaks-attachment.$$' EXIT
swaks --silent 3 --server 127.0.0.1 --port "$1" --from joerg@example.net --to anna@example.org,carl@example.org \
  --header 'From: Jörg Müller <joerg@example.net>' --header 'To: Anna Example <anna@example.org>' \
  --header 'Cc: carl@example.org' \
  --header 'Subject: Grüße aus Köln ☕' --body 'Grüße aus Köln! ☕

.ein Punkt am Anfang
' --attach-type application/pdf --attach-name 'Übersicht € 2026.pdf' --attach "@/tmp/swaks-attachment.$$"

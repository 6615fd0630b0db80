// nodemailer: npm install nodemailer@10.6.1, then node send.js PORT
const nodemailer = require("nodemailer");
const image = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
nodemailer.createTransport({ host: "127.0.0.1", port: +process.argv[2], ignoreTLS: true }).sendMail({
  from: { name: "Jörg Müller, Köln", address: "joerg@example.net" },
  to: '"Anna Example" <anna@example.org>',
  cc: "carl@example.org",
  subject: "Grüße aus Köln ☕ – eine Betreffzeile, die länger ist, als eine Zeile sein darf",
  text: "Grüße aus Köln! ☕\n\n.ein Punkt am Anfang\n",
  html: '<p>Grüße aus <b>Köln</b>! ☕</p><img src="cid:bild@example.net">\n',
  attachments: [
    { filename: "bild.png", content: image, cid: "bild@example.net" },
    { filename: "Übersicht € 2026.pdf", content: Buffer.from("%PDF-1.7\n\xff\x00\r\n", "latin1"), contentType: "application/pdf" },
  ],
});

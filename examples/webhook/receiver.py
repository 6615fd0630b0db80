"""Takes mail from Mailport, format JSON, signed: WEBHOOK_KEY=… python receiver.py PORT FOLDER."""

import base64
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_KEY"].removeprefix("whsec_"))
FOLDER = os.open(sys.argv[2], os.O_RDONLY)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        said, body = self.headers, self.rfile.read(int(self.headers["Content-Length"]))
        signed = f"{said['webhook-id']}.{said['webhook-timestamp']}.".encode() + body
        ours = "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        fresh = abs(time.time() - int(said.get("webhook-timestamp", "0"))) < 300
        genuine = fresh and any(hmac.compare_digest(ours, one) for one in said.get("webhook-signature", "").split())
        if genuine:
            with open(f"{sys.argv[2]}/{said['webhook-id']}.json", "wb") as file:  # the same id: the same message again
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.fsync(FOLDER)  # 204 says that it survives a crash
        self.send_response(204 if genuine else 401)
        self.end_headers()


ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()

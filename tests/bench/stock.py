"""aiosmtpd as it is shipped: its Controller, its SMTP class, asyncio's own loop, and a handler that accepts and drops.

    python tests/bench/stock.py PORT

SIGTERM ends it.
"""

import signal
import sys

from aiosmtpd.controller import Controller


class Drop:
    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 - aiosmtpd's
        return "250 OK"


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    controller = Controller(Drop(), hostname="127.0.0.1", port=int(sys.argv[1]))
    controller.start()
    signal.sigwait({signal.SIGTERM})
    controller.stop()


if __name__ == "__main__":
    main()

"""Holds connections open and does nothing with them, until its standard input ends: `python hold.py PORT COUNT`.

A process of its own: half of the descriptors that a test needs are the client's.
"""

import resource
import socket
import sys

PER_ADDRESS = 5000  # of the ports that the kernel hands out for one address


def main() -> None:
    port, wanted = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    for number in range(wanted):
        source = (f"127.0.1.{1 + number // PER_ADDRESS}", 0)
        connection = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=source)
        connection.sendall(b"EHLO client.example\r\n")
        held.append(connection)
    for connection in held:
        heard = b""
        while b"\r\n250 " not in heard:
            data = connection.recv(4096)
            if not data:
                sys.exit(f"closed after {heard!r}")
            heard += data
    sys.stdout.write("held\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

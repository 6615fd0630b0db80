"""Holds connections open until its standard input ends: `python hold.py PORT COUNT [OCTETS]`.

With OCTETS each has begun a message, of which it has sent so many; without, it has said EHLO and nothing more.

A process of its own: half of the descriptors that a test needs are the client's.
"""

import resource
import socket
import sys

PER_ADDRESS = 5000  # of the ports that the kernel hands out for one address


def main() -> None:
    port, wanted, *octets = map(int, sys.argv[1:])
    said, last = b"EHLO client.example\r\n", b"\r\n250 "
    if octets:
        said += b"MAIL FROM:<a@client.example>\r\nRCPT TO:<anna@example.org>\r\n"
        said += b"BDAT %d\r\n" % octets[0] + b"x" * octets[0]
        last = b"chunk received\r\n"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    for number in range(wanted):
        source = (f"127.0.1.{1 + number // PER_ADDRESS}", 0)
        connection = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=source)
        connection.sendall(said)
        held.append(connection)
    for connection in held:
        heard = b""
        while last not in heard:
            data = connection.recv(4096)
            if not data:
                sys.exit(f"closed after {heard!r}")
            heard += data
    sys.stdout.write("held\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

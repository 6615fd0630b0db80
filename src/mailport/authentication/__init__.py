"""Who sent this? SPF, DKIM, DMARC, iprev and ARC as pure cores.

Each is a generator: it yields the DNS questions that it has, is sent the answers, and returns its result. No socket, no
clock; the time is handed in.
"""

"""What a running `mailport serve` says of its destinations: /status, /metrics, the log; and what it does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.test_next_hops import LOCAL, login, replies, second_mailport, to_smtp, write
from tests.deliver.next_hop import servers
from tests.disks import needs_root
from tests.serving import PASSWORD, USER, Serving, eventually, serving
from tests.tables import table

pytestmark = pytest.mark.slow

WITHIN_A_MINUTE = 70  # seconds: the time between two checks, and what a loaded machine takes
WRONG = "battery staple"


def said(server: Serving, route: str = "onward") -> tuple[str, str]:
    """Return what /status says of a route's destination."""
    (found,) = [one for one in server.status()["destinations"] if one["route"] == route]
    return found["state"], found["error"] or ""


def up(server: Serving) -> dict[str, str]:
    """Return what /metrics says of destinations: 1 or 0 by the route."""
    lines = (line for line in server.get("/metrics")[1].splitlines() if line.startswith("mailport_destination_up{"))
    return {line.partition('"')[2].partition('"')[0]: line.rpartition(" ")[2] for line in lines}


@pytest.mark.parametrize(
    "listener, mode", table({"STARTTLS": ("submission", "StartTLSRequired"), "implicit": ("submissions", "Implicit")})
)
def test_a_wrong_password_shows_and_a_rotated_one_is_taken(tmp_path: Path, listener: str, mode: str):
    """Without a message, within seconds of being loaded, without a restart, and never with the password."""
    with second_mailport(tmp_path / "next") as hop:
        (tmp_path / "first").mkdir()
        spec = login(hop.ports[listener], mode)
        with serving(tmp_path / "first", spec, LOCAL) as server:
            lacking = (
                "Misconfigured",
                "Secret login has no username, Secret login has no password, Secret ca has no tls.crt",
            )
            eventually(lambda: said(server) == lacking, f"{lacking}, and not {said(server)}")

            write(server.secret("ca"), tls_crt=(hop.secret("tls") / "tls.crt").read_bytes())
            write(server.secret("login"), username=USER, password=WRONG)
            eventually(lambda: said(server)[1].startswith("AUTH: 535 5.7.8"), "the wrong password")
            assert said(server)[0] == "Misconfigured"
            assert up(server) == {"onward": "0.0"}
            assert server.get("/readyz")[0] == 200, "the other routes' mail has to come in"
            server.logged(route="onward", state="Misconfigured")

            write(server.secret("login"), username=USER, password=PASSWORD)
            eventually(lambda: said(server) == ("Reachable", ""), "the right password")
            assert up(server) == {"onward": "1.0"}
            assert hop.messages("anna@example.org") == [], "nobody is sent mail for it"

            for place in ((server.folder / "log").read_text(), server.get("/status")[1]):
                assert WRONG not in place
                assert PASSWORD not in place


@needs_root
def test_a_server_that_goes_and_comes_back(tmp_path: Path):
    """Seen within a minute without any mail; readiness is untouched."""
    with servers.postfix() as next_hop, serving(tmp_path, to_smtp(next_hop.port), LOCAL) as server:
        eventually(lambda: said(server) == ("Reachable", ""), "reachable")
        assert connections(server) == {"idle": "0.0", "in_use": "0.0"}
        assert replies(server)[0] == 250
        assert connections(server) == {"idle": "2.0", "in_use": "0.0"}
        metrics = server.get("/metrics")[1]
        assert 'mailport_destination_breaker_open{route="onward"} 0.0' in metrics
        assert 'mailport_destination_seconds_count{route="onward"} 1.0' in metrics

        next_hop.stop()
        eventually(lambda: said(server)[0] == "Unreachable", "unreachable", WITHIN_A_MINUTE)
        assert f"port {next_hop.port}: Connection refused" in said(server)[1]
        assert {replies(server)[0] for _ in range(7)} == {451}
        assert 'mailport_destination_breaker_open{route="onward"} 1.0' in server.get("/metrics")[1]
        assert server.get("/readyz")[0] == 200

        next_hop.start()
        eventually(lambda: said(server) == ("Reachable", ""), "reachable again", WITHIN_A_MINUTE)


@needs_root
def test_a_message_that_fails_has_its_destination_checked_at_once(tmp_path: Path):
    """Nobody waits for the minute to pass. What is said of a route goes with it."""
    with servers.postfix() as next_hop, serving(tmp_path, to_smtp(next_hop.port), LOCAL) as server:
        eventually(lambda: said(server) == ("Reachable", ""), "reachable")
        next_hop.stop()
        assert replies(server)[0] == 451
        eventually(lambda: said(server)[0] == "Unreachable", "unreachable", seconds=15)
        assert up(server) == {"onward": "0.0"}
        next_hop.start()

        server.change({"routes": [{"name": "here", "recipients": ["*@example.org"], "deliver": {"maildir": {}}}]})
        eventually(lambda: said(server, "here") == ("Reachable", ""), "the other route")
        assert up(server) == {"here": "1.0"}
        assert 'route="onward"' not in "".join(
            line for line in server.get("/metrics")[1].splitlines() if line.startswith("mailport_destination")
        )


def connections(server: Serving) -> dict[str, str]:
    """Return what /metrics says of the connections with the destination."""
    lines = server.get("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith('mailport_destination_connections{route="onward"')]
    return {line.split('"')[3]: line.rpartition(" ")[2] for line in found}

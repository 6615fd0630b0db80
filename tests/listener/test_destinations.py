"""A route's destination as its document and Secrets change: what stays, what is built anew, what answers 451."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailport.contract import model
from mailport.contract.model import InboundSmtp, Spec
from mailport.deliver import registry
from mailport.deliver.destination import Destination, Unavailable
from mailport.deliver.discard import Discard
from mailport.deliver.misconfigured import Misconfigured
from mailport.deliver.next_hop.smtp import Smtp
from mailport.deliver.registry import Surroundings, Values
from mailport.listener.destinations import Destinations, LoadedDestinations
from mailport.listener.secrets import MAX_VALUE_BYTES, Secrets, Sources
from mailport.listener.tls import self_signed
from mailport.outward.allowed import Allowed
from mailport.outward.dial import Dialer
from tests.listener.test_secrets import mount
from tests.tables import table

NO_CA = "Secret login or ConfigMap ca: holds no PEM certificates that can be read"
LOGIN = {"username": b"mailport", "password": b"correct horse"}
CA = self_signed("next.example.org", datetime.now(UTC))[0]
SMTP: dict[str, Any] = {
    "host": "next.example.org",
    "tls": {"mode": "Implicit", "caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}},
    "credentialsSecretRef": {"name": "login"},
}


def spec(**routes: dict[str, Any]) -> Spec:
    """A spec with these routes, each to smtp with changes of SMTP; another destination by its kind."""
    made = [
        {
            "name": name,
            "recipients": [f"*@{name}.example.org"],
            "deliver": change if change.keys() & {"discard", "lmtp"} else {"smtp": {**SMTP, **change}},
        }
        for name, change in routes.items()
    ]
    head = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}
    whole = {"hostname": "mx.example.org", "listeners": [{"name": "smtp", "port": 25}], "routes": made}
    return InboundSmtp.parse_json(json.dumps(head | {"spec": whole})).spec


@dataclass
class World:
    """A pod's mounts, and the destinations that are built from them."""

    folder: Path
    mounted: set[str] = field(default_factory=lambda: {"ca", "login"})
    generation: int = 0

    def __post_init__(self) -> None:
        self.dialer = Dialer(Allowed())
        self.destinations = Destinations(self.folder / "mail", None, self.dialer)
        self.put("ca", {"ca.crt": CA})
        self.put("login", LOGIN)

    def put(self, name: str, values: dict[str, bytes]) -> None:
        """Put another generation of values into a volume, as the kubelet does; none of them: it is gone."""
        self.generation += 1
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / f"..{self.generation}").mkdir()
        mount(folder, str(self.generation), values)

    def load(self, spec: Spec) -> LoadedDestinations:
        directories = (self.folder,)
        secrets = Secrets(secrets=Sources(directories=directories), config_maps=Sources(directories=directories))
        return self.destinations.load(spec, secrets, lambda wanted: wanted.name in self.mounted)

    def destination(self, spec: Spec, route: str = "a") -> Destination:
        return self.load(spec).by_route[route][0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def why_not(destination: Destination) -> str:
    """Return why mail for it is 451."""
    assert isinstance(destination, Misconfigured)
    with pytest.raises(Unavailable) as failure:
        await destination.check()
    assert failure.value.reply.reason == "destination_misconfigured"
    return str(failure.value)


# --- what stays


Change = Callable[[World], Spec]


def same(world: World) -> Spec:
    del world
    return spec(a={})


def another_route(world: World) -> Spec:
    del world
    return spec(b={"host": "other.example.org"}, a={})


def written_anew(world: World) -> Spec:
    world.put("login", LOGIN)
    return spec(a={})


def another_port(world: World) -> Spec:
    del world
    return spec(a={"port": 587})


def rotated_password(world: World) -> Spec:
    world.put("login", LOGIN | {"password": b"battery staple"})
    return spec(a={})


def another_ca(world: World) -> Spec:
    world.put("ca", {"ca.crt": self_signed("next.example.org", datetime.now(UTC))[0]})
    return spec(a={})


def password_gone(world: World) -> Spec:
    world.put("login", {"username": b"mailport"})
    return spec(a={})


def secret_gone(world: World) -> Spec:
    world.put("login", {})
    return spec(a={})


def ca_that_is_none(world: World) -> Spec:
    world.put("ca", {"ca.crt": b"no PEM"})
    return spec(a={})


def value_too_large(world: World) -> Spec:
    world.put("login", LOGIN | {"password": b"x" * (MAX_VALUE_BYTES + 1)})
    return spec(a={})


def secret_of_a_new_pod(world: World) -> Spec:
    del world
    return spec(a={"credentialsSecretRef": {"name": "new-login"}})


@pytest.mark.parametrize(
    "change, stays",
    table(
        {
            "nothing changed": (same, True),
            "another route did": (another_route, True),
            "a Secret was written anew, with the same values": (written_anew, True),
            "a port changed": (another_port, False),
            "a password was rotated": (rotated_password, False),
            "a CA was": (another_ca, False),
            "a password is gone: the last good one stays in use": (password_gone, True),
            "a Secret is gone": (secret_gone, True),
            "a CA does not load": (ca_that_is_none, True),
            "a value cannot be read": (value_too_large, True),
            "a Secret that only new pods mount": (secret_of_a_new_pod, True),
        }
    ),
)
def test_a_destination_stays_while_it_can(world: World, change: Change, stays: bool):
    """With its connections, and with what is known of its health."""
    before = world.load(spec(a={})).by_route["a"]
    after = world.load(change(world)).by_route["a"]

    assert isinstance(after[0], Smtp)
    assert (after[0] is before[0]) == stays
    assert (after[1] is before[1]) == stays


@pytest.mark.parametrize(
    "change, missing, not_mounted, faults",
    table(
        {
            "a password is gone": (password_gone, ["password"], (), ()),
            "a Secret is gone": (secret_gone, ["username", "password"], (), ()),
            "a CA does not load": (
                ca_that_is_none,
                [],
                (),
                (NO_CA,),
            ),
            "a Secret that only new pods mount": (secret_of_a_new_pod, [], ("new-login",), ()),
        }
    ),
)
def test_what_is_wrong_is_reported_whether_or_not_a_last_good_one_is_in_use(
    world: World, change: Change, missing: list[str], not_mounted: tuple[str, ...], faults: tuple[str, ...]
):
    world.load(spec(a={}))
    loaded = world.load(change(world))

    assert [(one.name, one.key, one.field) for one in loaded.missing] == [
        ("login", key, "spec.routes[0].deliver.smtp.credentialsSecretRef") for key in missing
    ]
    assert (loaded.not_mounted, loaded.faults) == (not_mounted, faults)


def test_a_value_that_cannot_be_read_is_named_without_it(world: World):
    loaded = world.load(value_too_large(world))
    (fault,) = loaded.faults

    assert fault.startswith("Secret login: ")
    assert fault.endswith(f"password: over {MAX_VALUE_BYTES} octets")
    assert "xxx" not in fault


@pytest.mark.parametrize("error", [TypeError, KeyError, RuntimeError, OSError, UnicodeError])
def test_a_fault_that_nobody_thought_of_is_one_routes_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
):
    """It ends neither `serve` nor a reload, and of what it says, which may be a password, its type is told."""
    building = registry.build

    def build(deliver: model.Deliver, around: Surroundings, values: Values) -> Destination:
        if deliver.smtp is not None:
            raise error("correct horse")
        return building(deliver, around, values)

    monkeypatch.setattr(registry, "build", build)
    loaded = world.load(spec(a={}, b={"discard": {}}))

    assert loaded.faults == (f"Secret login or ConfigMap ca: cannot be used: {error.__name__}",)
    assert isinstance(loaded.by_route["a"][0], Misconfigured)
    assert isinstance(loaded.by_route["b"][0], Discard)


# --- without a last good one


@pytest.mark.parametrize(
    "change, why",
    table(
        {
            "a password is not there": (password_gone, "Secret login has no password"),
            "a Secret is not": (secret_gone, "Secret login has no username, Secret login has no password"),
            "a CA does not load": (
                ca_that_is_none,
                NO_CA,
            ),
            "a Secret that only new pods mount": (secret_of_a_new_pod, "this pod does not mount new-login"),
        }
    ),
)
async def test_without_a_last_good_one_mail_is_451(world: World, change: Change, why: str):
    """And the other routes are served."""
    wanted = change(world)
    assert await why_not(world.destination(wanted)) == why

    other = world.load(InboundSmtp.model_validate(_with_discard(wanted), strict=False).spec).by_route["other"][0]
    assert other.kind == "discard"


def _with_discard(wanted: Spec) -> dict[str, Any]:
    other = {"name": "other", "recipients": ["*@other.example.org"], "deliver": {"discard": {}}}
    whole = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
    whole["routes"] = [*whole["routes"], other]
    head = {"apiVersion": "mailport.dev/v1alpha1", "kind": "InboundSmtp", "metadata": {"name": "mx"}}
    return {**head, "spec": whole}


async def test_it_heals_when_what_is_missing_comes(world: World):
    """With a health of its own: what was said of the stand-in says nothing of the destination."""
    stand_in, said = world.load(secret_gone(world)).by_route["a"]
    assert world.destination(spec(a={})) is stand_in, "it stays the same while the same is missing"
    world.put("login", LOGIN)
    destination, health = world.load(spec(a={})).by_route["a"]

    assert isinstance(destination, Smtp)
    assert health is not said


@pytest.mark.parametrize("name", table({"empty": b"", "a NUL in it": b"mail\0port", "a line end": b"\r\n"}))
async def test_a_login_that_cannot_be_one(world: World, name: bytes):
    world.put("login", LOGIN | {"username": name})

    assert "the username is empty, or there is a NUL" in await why_not(world.destination(spec(a={})))


async def test_other_settings_are_never_served_with_a_destination_of_before(world: World):
    """A last good one is of the same settings: mail for a new host does not go to the old one."""
    world.load(spec(a={}))
    secret_gone(world)

    assert await why_not(world.destination(spec(a={"host": "other.example.org"}))) != ""


def test_a_route_that_is_gone_is_forgotten(world: World):
    """A route of its name is another one's, later."""
    before = world.destination(spec(a={}))
    world.load(spec(b={}))

    assert world.destination(spec(a={})) is not before

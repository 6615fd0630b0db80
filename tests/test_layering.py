"""The house's rules about imports, read with `ast`: which way they point, what is pure, and one door a library.

The three tables are the rules. A new library needs a line in DOORS, a new module usually nothing.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


class Layer(NamedTuple):
    modules: tuple[str, ...]  # these and what is below them; the longest match decides
    imports: frozenset[str] = frozenset()  # the layers that it may know besides itself
    pure: bool = False


BELOW_POLICY = frozenset({"contract", "address"})

# The operator's rooms, and what all of them know. What is beside these (operate, reconcile, the Lease) is above them.
_CLUSTER = frozenset({"operator.cluster", "operator.facts"})
OF_ALL_ROOMS = {
    "operator.facts": Layer(
        (
            "mailport.operator.api_error",
            "mailport.operator.contest",
            "mailport.operator.kinds",
            "mailport.operator.managed_fields",
            "mailport.operator.metadata",
            "mailport.operator.ownership",
            "mailport.operator.proxy",
            "mailport.operator.reason",
            "mailport.operator.rollout",
        ),
        BELOW_POLICY,
        pure=True,
    ),
    "operator.cluster": Layer(("mailport.operator.cluster",), frozenset({"operator.facts", "process"})),
}
OPERATOR_ROOMS = {
    "operator.watch": Layer(("mailport.operator.watch",), frozenset({"process"}) | _CLUSTER),
    "operator.children": Layer(
        ("mailport.operator.children",), frozenset({"operator.facts"}) | BELOW_POLICY, pure=True
    ),
    "operator.admit": Layer(
        ("mailport.operator.admit",),
        frozenset({"outward", "operator.children", "operator.watch", "operator.facts"}) | BELOW_POLICY,
        pure=True,
    ),
    "operator.apply": Layer(
        ("mailport.operator.apply",), frozenset({"operator.children", "operator.watch", "process"}) | _CLUSTER
    ),
    "operator.pods": Layer(
        ("mailport.operator.pods",), frozenset({"operator.children", "operator.watch", "process"}) | _CLUSTER
    ),
    "operator.report": Layer(
        ("mailport.operator.report",),
        frozenset({"operator.children", "operator.pods", "operator.watch", "process"}) | _CLUSTER | BELOW_POLICY,
    ),
}

# As docs/design.md draws them. `outward` and `message` do not know each other, nor do listener and operator.
LAYERS = {
    "commands": Layer(
        ("mailport.__main__", "mailport.commands"),
        frozenset({"listener", "operator", "operator.admit", "operator.children", "operator.facts"})
        | frozenset({"checks", "message", "policy", "authentication", "process"})
        | BELOW_POLICY,
    ),
    "listener": Layer(
        ("mailport.listener",),
        frozenset({"deliver", "checks", "outward", "message", "policy", "authentication", "process"}) | BELOW_POLICY,
    ),
    "operator": Layer(("mailport.operator",), frozenset({"process", *OPERATOR_ROOMS, *OF_ALL_ROOMS}) | BELOW_POLICY),
    **OPERATOR_ROOMS,
    **OF_ALL_ROOMS,
    "deliver": Layer(
        ("mailport.deliver",),
        frozenset({"outward", "message", "mime", "policy", "authentication", "process"}) | BELOW_POLICY,
    ),
    "checks": Layer(
        ("mailport.checks",), frozenset({"outward", "message", "policy", "authentication", "process"}) | BELOW_POLICY
    ),
    "outward": Layer(("mailport.outward",), frozenset({"process"}) | BELOW_POLICY),
    "message": Layer(("mailport.message",), frozenset({"authentication", "process"}) | BELOW_POLICY),
    "mime": Layer(("mailport.mime",), pure=True),
    "policy": Layer(("mailport.policy",), frozenset({"authentication"}) | BELOW_POLICY, pure=True),
    "authentication": Layer(("mailport.authentication",), BELOW_POLICY, pure=True),
    "contract": Layer(("mailport.contract",), frozenset({"address"}), pure=True),
    "address": Layer(("mailport.address",), pure=True),
    "process": Layer(("mailport.process",)),
    "version": Layer(("mailport",)),  # the package itself, which holds its version and nothing else
}
for _layer, _rules in LAYERS.items():
    if _layer != "version":
        LAYERS[_layer] = _rules._replace(imports=_rules.imports | {"version"})

# What a pure module may import of the standard library: nothing that varies (clock, chance, environment) or acts.
PURE = {
    "__future__", "abc", "base64", "binascii", "bisect", "codecs", "collections", "contextlib", "dataclasses",
    "datetime", "decimal", "email", "enum", "fractions", "functools", "hashlib", "hmac", "io", "ipaddress", "itertools",
    "json", "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata", "urllib.parse",
}  # fmt: skip
IMPURE = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}
CLOCK = {"formatdate", "localtime", "now", "today", "utcnow"}


class Door(NamedTuple):
    packages: tuple[str, ...]
    modules: tuple[str, ...]  # the only ones that import them


# Each distribution of pyproject.toml's dependencies, and where it is known.
DOORS = {
    "aiohappyeyeballs": Door(("aiohappyeyeballs",), ("mailport.outward.dial",)),
    "aiohttp": Door(
        ("aiohttp", "yarl"),  # yarl: the URLs that aiohttp takes
        (
            "mailport.process.web",
            "mailport.operator.cluster",
            "mailport.operator.pods.ask",
            "mailport.outward.http",
        ),
    ),
    "aiosmtpd": Door(("aiosmtpd",), ("mailport.listener.session",)),
    "argon2-cffi": Door(("argon2",), ("mailport.listener.hashes",)),
    "bcrypt": Door(("bcrypt",), ("mailport.listener.hashes",)),
    "cryptography": Door(
        ("cryptography",),
        ("mailport.listener.tls", "mailport.authentication.keys", "mailport.deliver.nats.credentials"),
    ),
    "dnspython": Door(("dns",), ("mailport.checks.resolver",)),
    "idna": Door(("idna",), ("mailport.address.mail_address",)),
    "ifaddr": Door(("ifaddr",), ("mailport.listener.bindings",)),
    "kopf": Door(("kopf",), ("mailport.operator.watch.streams",)),
    "kubernetes": Door(("kubernetes",), ("mailport.operator.cluster",)),
    "nats-py": Door(("nats",), ("mailport.deliver.nats.session",)),
    "obstore": Door(("obstore",), ("mailport.deliver.s3.bucket",)),
    "orjson": Door(
        ("orjson",), ("mailport.process.log", "mailport.operator.watch.kept", "mailport.operator.watch.store")
    ),
    "prometheus-client": Door(
        ("prometheus_client",), ("mailport.listener.metrics", "mailport.operator.report.metrics")
    ),
    "pydantic": Door(
        ("pydantic", "pydantic_core"),
        (
            "mailport.contract.model",
            "mailport.contract.defaults",
            "mailport.contract.formats",
            "mailport.contract.pod_formats",
            "mailport.contract.shape",
            "mailport.contract.core_v1",
        ),
    ),
    "pyyaml": Door(("yaml",), ("mailport.contract.yaml_text",)),
    "structlog": Door(("structlog",), ("mailport.process.log",)),
    "uvloop": Door(("uvloop",), ("mailport.process.loop",)),
}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def opens(door: Door, module: str) -> bool:
    """Whether a module is one of a door's, or below one."""
    return any(within(module, allowed) for allowed in door.modules)


def layer_of(module: str) -> str:
    """Name the layer that holds a module, or a name in it."""
    matches = [(len(top), name) for name, layer in LAYERS.items() for top in layer.modules if within(module, top)]
    return max(matches)[1]


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """All that is imported anywhere in a module: inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            # with the name: `from mailport import listener` is a module of another layer than mailport
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def impure_calls(tree: ast.Module) -> Iterator[str]:
    for function in (node.func for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(function, ast.Name) and function.id in IMPURE | CLOCK:
            yield function.id
        elif isinstance(function, ast.Attribute) and function.attr in CLOCK:
            yield function.attr


def faults(module: str, source: str, *, package: bool = False) -> list[str]:
    """What is wrong with a module's imports. `package`: it is its package's __init__."""
    tree = ast.parse(source)
    mine = layer_of(module)
    says_pure = (ast.get_docstring(tree) or "").startswith("PURE.")
    found = []
    for name in imports(tree, module if package else module.rpartition(".")[0]):
        top = name.partition(".")[0]
        if top == "mailport":
            theirs = layer_of(name)
            if theirs != mine and theirs not in LAYERS[mine].imports:
                found.append(f"{module} imports {name}: {mine} may not know {theirs}")
        elif top in sys.stdlib_module_names:
            if (says_pure or LAYERS[mine].pure) and not any(within(name, allowed) for allowed in PURE):
                found.append(f"{module} imports {name}: it is pure")
        elif not any(top in door.packages and opens(door, module) for door in DOORS.values()):
            found.append(f"{module} imports {name}: not its door")
    if says_pure or LAYERS[mine].pure:
        found += [f"{module} calls {name}(): it is pure" for name in sorted(impure_calls(tree))]
    if LAYERS[mine].pure and not package and not says_pure:
        found.append(f'{module} does not begin with """PURE.')
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"), path


def test_imports_keep_to_the_tables():
    """Every module of src imports only what its layer may, and libraries only through their doors."""
    found = [
        fault for name, path in modules() for fault in faults(name, path.read_text(), package=path.stem == "__init__")
    ]

    assert not found, "\n".join(found)


def test_the_operator_runs_on_asyncios_own_event_loop():
    """uvloop does not survive every TLS handshake that is cancelled: docs/decisions/2026-11-28-operator.md."""
    asking = {
        name
        for name, path in modules()
        if any(within(imported, "mailport.process.loop") for imported in imports(ast.parse(path.read_text()), ""))
    }

    assert asking == {"mailport.listener.lifecycle"}


def test_every_dependency_has_a_door_and_is_used():
    """pyproject.toml's dependencies, the doors, and what is imported at those doors are the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = dict(modules())
    imported = {
        (name.partition(".")[0], module)
        for module, path in sources.items()
        for name in imports(ast.parse(path.read_text()), "")
    }
    unused = [
        (distribution, module)
        for distribution, door in DOORS.items()
        for module in door.modules
        if not any(package in door.packages and within(at, module) for package, at in imported)
    ]

    optional = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for lines in optional for line in lines)]

    assert {Requirement(line).name for line in lines} == set(DOORS)
    assert not unused


BAD = {
    "policy knows no socket": ("mailport.policy.access", '"""PURE. x"""\nimport socket', "imports socket: it is pure"),
    "policy knows no clock": (
        "mailport.policy.limits",
        '"""PURE. x"""\nfrom time import monotonic',
        "imports time.monotonic",
    ),
    "nor asks one by another name": (
        "mailport.policy.rcpt",
        '"""PURE. x"""\nimport datetime\ndatetime.datetime.now()',
        "calls now(): it is pure",
    ),
    "policy opens no file": ("mailport.policy.auth", '"""PURE. x"""\nopen("users")', "calls open(): it is pure"),
    "policy waits for nothing, not even inside a function": (
        "mailport.policy.auth",
        '"""PURE. x"""\ndef f():\n    import asyncio',
        "imports asyncio: it is pure",
    ),
    "policy says that it is pure": ("mailport.policy.auth", '"""x"""', "does not begin with"),
    "the contract fetches nothing": (
        "mailport.contract.rules",
        '"""PURE. x"""\nimport urllib.request',
        "urllib.request: it is pure",
    ),
    "the contract knows no layer above it": (
        "mailport.contract.model",
        '"""PURE. x"""\nfrom mailport import listener',
        "contract may not know listener",
    ),
    "a module that calls itself pure is held to it in any layer": (
        "mailport.listener.framing",
        '"""PURE. x"""\nimport os',
        "imports os: it is pure",
    ),
    "policy knows no destination": (
        "mailport.policy.outcome",
        '"""PURE. x"""\nfrom mailport.deliver.destination import Refused',
        "policy may not know deliver",
    ),
    "an authentication core asks no resolver": (
        "mailport.authentication.spf",
        '"""PURE. x"""\nimport socket',
        "imports socket: it is pure",
    ),
    "nor knows what is decided on its result": (
        "mailport.authentication.dmarc",
        '"""PURE. x"""\nfrom mailport.policy import replies',
        "authentication may not know policy",
    ),
    "a message knows no destination": (
        "mailport.message.message",
        "from mailport.deliver.destination import Refused",
        "message may not know deliver",
    ),
    "nor do they for the type checker only": (
        "mailport.policy.rcpt",
        '"""PURE. x"""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mailport.deliver import registry',
        "policy may not know deliver",
    ),
    "a connection outward knows no message": (
        "mailport.outward.pool",
        "from mailport.message.message import Message",
        "outward may not know message",
    ),
    "nor a message a connection": (
        "mailport.message.message",
        "from mailport.outward.dial import Dialer",
        "message may not know outward",
    ),
    "listener and operator do not meet": (
        "mailport.operator.report.status",
        "import mailport.listener.tls",
        "operator.report may not know listener",
    ),
    "what is rendered asks no API server": (
        "mailport.operator.children.service",
        '"""PURE. x"""\nfrom mailport.operator.cluster import Cluster',
        "operator.children may not know operator.cluster",
    ),
    "an InboundSmtp goes through the operator's rooms one way": (
        "mailport.operator.apply.applier",
        "from mailport.operator.report.conditions import conditions",
        "operator.apply may not know operator.report",
    ),
    "nobody imports the commands": (
        "mailport.listener.server",
        "import mailport.__main__",
        "listener may not know commands",
    ),
    "a relative import is followed": (
        "mailport.deliver.registry",
        "from ..listener import tls",
        "imports mailport.listener.tls: deliver may not know listener",
    ),
    "a library is imported at its own door only": (
        "mailport.listener.server",
        "from aiosmtpd.smtp import SMTP",
        "imports aiosmtpd.smtp.SMTP: not its door",
    ),
    "a library without a door comes in nowhere": (
        "mailport.process.web",
        "import requests",
        "requests: not its door",
    ),
}


@pytest.mark.parametrize(("module", "source", "fault"), BAD.values(), ids=BAD)
def test_a_breach_is_found(module, source, fault):
    """Each rule is seen to fail: exactly one fault, and the right one."""
    found = faults(module, source)

    assert len(found) == 1
    assert fault in found[0]


GOOD = {
    "the listener knows policy, destinations, the base and itself": (
        "mailport.listener.transaction",
        (
            "import asyncio\nfrom mailport.policy import replies\nfrom mailport.contract import model\n"
            "from . import journal"
        ),
    ),
    "a pure module computes": (
        "mailport.policy.rcpt",
        '"""PURE. x"""\nfrom collections.abc import Iterable\nimport re\nfrom mailport.contract.model import Route',
    ),
    "a door opens": ("mailport.listener.session", "from aiosmtpd.smtp import SMTP"),
}


@pytest.mark.parametrize(("module", "source"), GOOD.values(), ids=GOOD)
def test_what_is_allowed_passes(module, source):
    assert faults(module, source) == []

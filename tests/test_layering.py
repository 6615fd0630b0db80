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


# deliver and policy never meet, nor do listener and operator.
LAYERS = {
    "commands": Layer(
        ("mailport.__main__", "mailport.hash_password", "mailport.render", "mailport.send", "mailport.validate"),
        frozenset({"listener", "operator", "deliver", "policy", "process", "base"}),
    ),
    "listener": Layer(("mailport.listener",), frozenset({"deliver", "policy", "process", "base"})),
    "operator": Layer(("mailport.operator",), frozenset({"process", "base"})),
    "process": Layer(
        ("mailport.log", "mailport.loop", "mailport.web")
    ),  # what the two that run for long share, and no more
    "deliver": Layer(("mailport.deliver",), frozenset({"base"})),
    "policy": Layer(("mailport.policy",), frozenset({"base"}), pure=True),
    "base": Layer(("mailport",), pure=True),  # model, address, documents and whatever else is not named above
}

# What a pure module may import of the standard library: nothing that varies (clock, chance, environment) or acts.
PURE = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses", "datetime",
    "decimal", "email", "enum", "fractions", "functools", "hashlib", "hmac", "io", "ipaddress", "itertools", "json",
    "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata", "urllib.parse",
}  # fmt: skip
IMPURE = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}
CLOCK = {"formatdate", "localtime", "now", "today", "utcnow"}


class Door(NamedTuple):
    packages: tuple[str, ...]
    modules: tuple[str, ...]  # the only ones that import them


# Each distribution of pyproject.toml's dependencies, and where it is known.
DOORS = {
    "aiohttp": Door(("aiohttp",), ("mailport.web", "mailport.operator.cluster", "mailport.operator.pods")),
    "aiosmtpd": Door(("aiosmtpd",), ("mailport.listener.session",)),
    "argon2-cffi": Door(("argon2",), ("mailport.listener.hashes",)),
    "bcrypt": Door(("bcrypt",), ("mailport.listener.hashes",)),
    "cryptography": Door(("cryptography",), ("mailport.listener.tls",)),
    "idna": Door(("idna",), ("mailport.address",)),
    "ifaddr": Door(("ifaddr",), ("mailport.listener.bindings",)),
    "kopf": Door(("kopf",), ("mailport.operator.handlers",)),
    "kubernetes": Door(("kubernetes",), ("mailport.operator.cluster",)),
    "orjson": Door(("orjson",), ("mailport.log", "mailport.operator.store")),
    "prometheus-client": Door(("prometheus_client",), ("mailport.listener.metrics", "mailport.operator.metrics")),
    "pydantic": Door(
        ("pydantic", "pydantic_core"), ("mailport.model", "mailport.formats", "mailport.shape", "mailport.core_v1")
    ),
    "pyyaml": Door(("yaml",), ("mailport.yaml_text",)),
    "structlog": Door(("structlog",), ("mailport.log",)),
    "uvloop": Door(("uvloop",), ("mailport.loop",)),
}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


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
        elif not any(top in door.packages and module in door.modules for door in DOORS.values()):
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
        if not any((package, module) in imported for package in door.packages)
    ]

    assert {Requirement(line).name for line in project["dependencies"]} == set(DOORS)
    assert not unused


BAD = {
    "policy knows no socket": ("mailport.policy.access", '"""PURE. x"""\nimport socket', "imports socket: it is pure"),
    "policy knows no clock": (
        "mailport.policy.limits",
        '"""PURE. x"""\nfrom time import monotonic',
        "imports time.monotonic",
    ),
    "nor asks one by another name": (
        "mailport.policy.trace",
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
    "a base module fetches nothing": (
        "mailport.rules",
        '"""PURE. x"""\nimport urllib.request',
        "urllib.request: it is pure",
    ),
    "a base module knows no layer above it": (
        "mailport.model",
        '"""PURE. x"""\nfrom mailport import listener',
        "base may not know listener",
    ),
    "a module that calls itself pure is held to it in any layer": (
        "mailport.listener.framing",
        '"""PURE. x"""\nimport os',
        "imports os: it is pure",
    ),
    "policy and deliver do not meet": (
        "mailport.deliver.maildir",
        "from mailport.policy.replies import Reply",
        "deliver may not know policy",
    ),
    "nor do they for the type checker only": (
        "mailport.policy.rcpt",
        '"""PURE. x"""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mailport.deliver import delivery',
        "policy may not know deliver",
    ),
    "listener and operator do not meet": (
        "mailport.operator.status",
        "import mailport.listener.tls",
        "operator may not know listener",
    ),
    "nobody imports the commands": (
        "mailport.listener.server",
        "import mailport.__main__",
        "listener may not know commands",
    ),
    "a relative import is followed": (
        "mailport.deliver.maildir",
        "from ..listener import tls",
        "imports mailport.listener.tls: deliver may not know listener",
    ),
    "a library is imported at its own door only": (
        "mailport.listener.server",
        "from aiosmtpd.smtp import SMTP",
        "imports aiosmtpd.smtp.SMTP: not its door",
    ),
    "a library without a door comes in nowhere": (
        "mailport.web",
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
        "import asyncio\nfrom mailport.policy import replies\nfrom mailport import deliver, model\nfrom . import log",
    ),
    "a pure module computes": (
        "mailport.policy.rcpt",
        '"""PURE. x"""\nfrom collections.abc import Iterable\nimport re\nfrom mailport.model import Route',
    ),
    "a door opens": ("mailport.listener.session", "from aiosmtpd.smtp import SMTP"),
}


@pytest.mark.parametrize(("module", "source"), GOOD.values(), ids=GOOD)
def test_what_is_allowed_passes(module, source):
    assert faults(module, source) == []

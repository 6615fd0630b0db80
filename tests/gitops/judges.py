"""What Argo CD and Flux make of objects: the check of deploy/argocd, and kstatus itself."""

import json
import shutil
import subprocess
from typing import Any, NamedTuple, Protocol

from tests.kube.cluster import ROOT, NotBuiltError, program

HEALTH = ROOT / "deploy/argocd/health.lua"

# As Argo CD runs it (util/lua/lua.go): `obj` is a global, and of the libraries there are basic functions and `table`.
# Strings have no methods, as it is the string library that gives them some. Prints status, tab, message of each object.
_AS_ARGO_CD = """\
debug.setmetatable("", nil)
for _, obj in ipairs(objects) do
  local check = assert(loadstring(source, "@health.lua"))
  setfenv(check, {
    obj = obj, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall, select = select,
    table = table, tonumber = tonumber, tostring = tostring, type = type,
  })
  local health = check()
  io.write(health.status, "\\t", health.message, "\\n")
end
"""


class Judgement(NamedTuple):
    """What is said of an object."""

    status: str
    message: str


class Judge(Protocol):
    """Says how objects are."""

    def __call__(self, *objects: dict[str, Any]) -> list[Judgement]: ...


def argo_cd(*objects: dict[str, Any]) -> list[Judgement]:
    """Return the health that the check says. Raises NotBuiltError without Lua."""
    return run_check(HEALTH.read_text(), *objects)


def run_check(source: str, *objects: dict[str, Any]) -> list[Judgement]:
    """Run a check as Argo CD does."""
    lua = shutil.which("lua5.1")
    if lua is None:
        raise NotBuiltError("lua5.1 is not installed: make setup")
    given = f"local source, objects = {_in_lua(source)}, {_in_lua(list(objects))}\n"
    return [Judgement(*line.split("\t")) for line in _run(lua, "-", stdin=given + _AS_ARGO_CD).splitlines()]


def kstatus(*objects: dict[str, Any]) -> list[Judgement]:
    """Return what kstatus computes. Raises NotBuiltError where it has not been built."""
    said = _run(str(program("kstatus")), stdin="\n".join(map(json.dumps, objects)))
    return [Judgement(**json.loads(line)) for line in said.splitlines()]


def _run(*command: str, stdin: str) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _in_lua(value: Any) -> str:
    """Write a value of JSON in Lua, where a null is nothing at all."""
    match value:
        case None:
            return "nil"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(f"\\{octet:03}" for octet in value.encode()) + '"'
        case list():
            return "{" + ",".join(map(_in_lua, value)) + "}"
        case dict():
            return "{" + ",".join(f"[{_in_lua(name)}]={_in_lua(each)}" for name, each in value.items()) + "}"
        case _:
            raise TypeError(value)

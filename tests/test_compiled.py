"""The compiled build, as it is in the image, does what the source does: the same tests pass with it."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/mailport"
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
MODULES = ["mailport." + module.replace("/", ".") for module in HOOK["custom"]["modules"]]
FOLDERS = (
    "address",
    "authentication",
    "checks",
    "message",
    "policy",
    "listener",
)  # that hold the tests of these modules
BUILT_SECONDS = 1200  # of a test that has it built first, on a machine with other work
OF_SOURCE = (  # tests of which one reads the source of the classes, and one is traced line by line
    "tests/listener/test_aiosmtpd.py",
    "tests/message/test_content.py::test_a_thread_reads_all_or_hears_that_it_is_over",
)


@pytest.mark.parametrize("module", HOOK["custom"]["modules"])
def test_nothing_is_suspended_while_it_handles_an_exception(module):
    """In CPython each coroutine and generator has its own exception that is being handled; mypyc's share the thread's.

    One that is suspended in `except` or `finally` leaves it to whichever runs next: a bare `raise` there raises the
    other's. `async with` waits there too, but for `asyncio.timeout`, whose end never does.
    """
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    handling = [statement for one in tries for part in (*one.handlers, one) for statement in _where_handled(part)]
    suspended = [
        ast.unparse(node)
        for statement in handling
        for node in ast.walk(statement)
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield | ast.YieldFrom)
    ]
    managers = [
        ast.unparse(item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
    ]

    assert not suspended
    assert set(managers) <= {"asyncio.timeout"}


@pytest.mark.parametrize("module", HOOK["custom"]["modules"])
def test_no_slice_does_something(module):
    """mypyc takes the bounds of a slice twice where what is sliced is no list, tuple, str or bytes."""
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    bounds = [bound for node in ast.walk(tree) if isinstance(node, ast.Slice) for bound in (node.lower, node.upper)]
    called = [
        ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ast.unparse(node)
        for bound in bounds
        if bound is not None
        for node in ast.walk(bound)
        if isinstance(node, ast.Call | ast.Await | ast.NamedExpr)
    ]

    assert set(called) <= {"count", "index", "int", "len", "lstrip", "max", "min", "rfind"}  # these change nothing


@pytest.mark.parametrize("module", HOOK["custom"]["modules"])
def test_no_two_exceptions_of_a_function_have_one_name(module):
    """mypyc gives a name the type of the first `except … as`, and raises TypeError at the second."""
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    twice = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types = {}
            for handler in ast.walk(function):
                if isinstance(handler, ast.ExceptHandler) and handler.name is not None:
                    types.setdefault(handler.name, set()).add(ast.unparse(handler.type))
            twice += [f"{function.name}: {name}" for name, caught in types.items() if len(caught) > 1]

    assert not twice


def _where_handled(part):
    return part.body if isinstance(part, ast.ExceptHandler) else part.finalbody


@pytest.mark.parametrize("module", HOOK["custom"]["modules"])
def test_no_class_has_a_base_of_another_library(module):
    """Its type is Any to mypyc, which lays out an instance as if there were no base.

    With Session, whose base is aiosmtpd's SMTP, the garbage collection then took a pointer to code for an object.
    """
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    others = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module.partition(".")[0] not in {"mailport", *sys.stdlib_module_names}
        for alias in node.names
    }
    bases = {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}

    assert not bases & others
    assert all("." not in base or base.startswith("asyncio.") for base in bases)


@pytest.fixture(scope="module")
def compiled():
    """The environment in which Python takes the compiled build."""
    folder = subprocess.run(ROOT / "tools/compiled.sh", check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    without_ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return without_ours | {"PYTHONPATH": folder}


@pytest.mark.slow
@pytest.mark.timeout(BUILT_SECONDS)
def test_what_is_compiled(compiled):
    """Each module that pyproject.toml names, and the source is there for tracebacks."""
    script = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", script, *MODULES], env=compiled, check=True, capture_output=True, text=True
    )
    files = list(map(Path, ran.stdout.split()))

    assert [file.suffix for file in files] == [".so"] * len(MODULES)
    assert all(file.is_relative_to(compiled["PYTHONPATH"]) for file in files)
    assert all(file.with_name(file.name.partition(".")[0] + ".py").exists() for file in files)


@pytest.mark.slow
@pytest.mark.timeout(BUILT_SECONDS)
def test_the_steps_of_files_are_in_c(compiled):
    """A wheel has the library, and mail takes it."""
    script = "from mailport.deliver.maildir import file_steps\nprint(type(file_steps.STEPS).__name__)"
    ran = subprocess.run([sys.executable, "-c", script], env=compiled, check=True, capture_output=True, text=True)

    assert ran.stdout == "InC\n"


@pytest.mark.slow
@pytest.mark.timeout(BUILT_SECONDS)
def test_the_same_tests_pass(compiled):
    """All those of the folders whose modules are compiled, dialogs with a whole listener among them."""
    left_out = [f"--deselect={test}" for test in OF_SOURCE]
    folders = [f"tests/{folder}" for folder in FOLDERS]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *left_out, *folders],
        cwd=ROOT,
        env=compiled,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-20_000:]
    assert int(ran.stdout.rpartition(" passed")[0].split()[-1]) > 1000

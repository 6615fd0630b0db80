"""What hatchling does beside packing the wheel: what every message passes is compiled, where that can be.

That is the modules of Python that pyproject.toml names, and the steps of files in C (deliver/maildir/file_steps.py).

It takes mypyc and a C compiler. Without them, and in an editable install, there is the source alone, which does the
same with more CPU. MAILPORT_COMPILE=0 compiles nothing; with =1 a build fails that cannot compile.

Why, and what it brings: docs/decisions/2026-11-29-compiled.md and 2026-11-30-file-steps.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Other libraries are Any, whether or not they are installed here: what is built is the same everywhere.
_MYPY = ("--config-file=", "--no-site-packages", "--ignore-missing-imports")


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for a wheel: pyproject.toml, tool.hatch.build.targets.wheel.hooks.custom."""

    _built: Path | None = None

    def dependencies(self) -> list[str]:
        """Return what a build in isolation needs beside hatchling."""
        return list(self.config["requires"]) if _asked_for() != "0" and _has_compiler() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the libraries packed beside the source."""
        if version == "editable" or _asked_for() == "0":
            return
        if not (_has_compiler() and find_spec("mypyc")):
            missing = "mypyc, a C compiler or Python's headers are missing"
            if _asked_for() == "1":
                raise RuntimeError(f"MAILPORT_COMPILE=1, but {missing}")
            self.app.display_warning(f"nothing is compiled: {missing}")
            return
        self._built = Path(tempfile.mkdtemp(prefix="mailport-"))
        _compile([f"src/mailport/{module}.py" for module in self.config["modules"]], self._built)
        for library in self._built.rglob("*.so*"):
            build_data["force_include"][str(library)] = str(library.relative_to(self._built))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what has been packed."""
        if self._built is not None:
            shutil.rmtree(self._built)


def _compile(sources: list[str], target: Path) -> None:
    """Make a library of all the modules, and a small one of each that stands for it, below `target`."""
    from mypyc.build import mypycify  # noqa: PLC0415 - it is not everywhere
    from setuptools import Distribution, Extension  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="mailport-") as folder:
        # Most of the time is CPython's own, whose functions are called: more than -O1 takes long and brings nothing
        extensions = mypycify(
            [*_MYPY, *sources], opt_level="1", debug_level="0", target_dir=folder, group_name="mailport"
        )
        if sys.platform == "linux":  # elsewhere there is no sync_file_range
            source = "src/mailport/deliver/maildir/file_steps.c"
            extensions.append(Extension("mailport.deliver.maildir.file_steps_c", [source]))
        command = Distribution({"name": "mailport", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp, command.parallel = str(target), folder, os.cpu_count()
        command.ensure_finalized()
        command.run()
    for library in target.rglob("file_steps_c.*"):  # it is no module, and so has no name of one
        library.rename(library.with_name("file_steps.so.1"))


def _asked_for() -> str:
    return os.environ.get("MAILPORT_COMPILE", "")


def _has_compiler() -> bool:
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which(compiler.split()[0]) is not None and headers.exists()

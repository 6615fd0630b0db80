"""What fails beside other tests runs once more with the machine to itself: `make test`, through tools/tests.sh.

Both outcomes stand in the output. Only what a test itself found wrong has a second run, and only where that is a few
tests: what a fixture found (the refused requests of an operator, a leak) would not be seen again by one test alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

MOST = 3  # tests of ten thousand: with more of them it is not the machine


class OnceMore:
    """Collects what fails, and writes at the end which tests are to run again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: list[str] = []
        self._final = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when == "call":
            self._failed.append(report.nodeid)
        elif report.failed:
            self._final = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._final |= report.failed

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        few = 0 < len(self._failed) <= MOST and not self._final and exitstatus == pytest.ExitCode.TESTS_FAILED
        self._file.write_text("".join(f"{nodeid}\n" for nodeid in self._failed if few))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self._file.read_text().splitlines():
            terminalreporter.write_line(f"FAILED BESIDE OTHERS, runs once more alone: {nodeid}")

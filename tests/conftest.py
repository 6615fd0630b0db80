"""What holds for every test: on which event loops it runs, and that none is left out unseen."""

import asyncio
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

from tests import groups
from tests.once_more import OnceMore

# A developer's machine may have it, a fresh one has not; where it is set, what is never flushed is not found.
os.environ.pop("PYTHONUNBUFFERED", None)

# A deadline measures what else the machine is doing.
hypothesis.settings.register_profile("mailport", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("mailport")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """An async test runs on asyncio, and one that is marked `both_loops` on uvloop too."""
    loops = {"asyncio": asyncio.new_event_loop}
    return loops | {"uvloop": uvloop.new_event_loop} if item.get_closest_marker("both_loops") else loops


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--once-more", type=Path, metavar="FILE", help="write here which failed tests are to run again")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("once_more")
    if file and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(OnceMore(file))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> groups.Groups:
    return groups.Groups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=groups.order)


def fail_if_skipped(report: pytest.CollectReport | pytest.TestReport) -> None:
    """In CI everything a test needs is installed (make setup), so one that is skipped proves nothing and fails."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI nothing may be: {report.longrepr[2]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report

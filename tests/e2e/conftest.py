"""A node for the tests of this folder: brought up for the first that asks for it, gone after the last."""

import sys
from collections.abc import Generator, Iterator

import pytest

from tests.e2e.node import Node, missing
from tests.e2e.release import Release

SECONDS = 900  # a test's time-out: the first waits for images to be made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "able" in getattr(item, "fixturenames", ()):
            for mark in (pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(SECONDS)):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def able() -> None:
    """This machine has what a node takes. Where CI is set, tests/conftest.py lets nothing be skipped."""
    if lacks := missing():
        pytest.skip(
            f"a node takes {', '.join(lacks)}: `make e2e`, as root on Debian, installs and builds what it needs"
        )


@pytest.fixture(scope="package")
def node(able: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster with a node, and the product's image on it."""
    plugins = request.config.pluginmanager
    capture, terminal = plugins.getplugin("capturemanager"), plugins.getplugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            if hasattr(request.config, "workerinput"):  # of pytest-xdist: nobody reads a worker's terminal
                sys.stderr.write(f"\ne2e: {line}\n")
                return
            terminal.ensure_newline()
            terminal.write_line(f"e2e: {line}")

    node = Node(tmp_path_factory.mktemp("node"), say)
    try:
        node.bring_up()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def release(node: Node) -> Iterator[Release]:
    """The chart, installed."""
    release = Release(node)
    release.install()
    yield release
    release.uninstall()


@pytest.fixture
def namespace(node: Node) -> Iterator[str]:
    """A namespace that nothing is in, and that enforces the restricted Pod Security Standard."""
    with node.namespace() as name:
        yield name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failed test's pods, before they go with their namespace."""
    report = yield
    node = getattr(item, "funcargs", {}).get("node")
    if report.failed and isinstance(node, Node):
        report.sections.append(("the node", node.diagnosis()))
    return report

"""Watch streams that fail: how long is known, whatever each try looks like. tests/kube has real ones."""

import asyncio
import logging
import time

import pytest
from structlog.testing import capture_logs

from mailport.operator.watch import streams
from mailport.operator.watch.streams import Watches

FORBIDDEN = streams.APIForbiddenError("pods is forbidden", status=403, headers={})


class Broken(streams._Watch):
    """Streams that fail soon after they begin, as those of an API server do that takes none."""

    hears = False  # something, before it fails
    fails = True
    error: Exception = ConnectionError("refused")

    async def _watch(self):
        await asyncio.sleep(0.01)
        self._heard = self.hears
        if self.fails:
            raise self.error
        while not self._stopping.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def broken(monkeypatch):
    """Watches of that kind, of which one is handed out."""
    monkeypatch.setattr(streams, "_Watch", Broken)
    monkeypatch.setattr(streams, "_PAUSES", (0.01,))

    def make(restarted=lambda: None, **facts):
        for name, value in facts.items():
            monkeypatch.setattr(Broken, name, value)
        return Watches((), lambda *_: None, restarted)

    return make


async def until(happens):
    async with asyncio.timeout(5):
        while not happens():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("hears", [False, True], ids=["nothing comes", "something comes before each failure"])
async def test_watches_that_begin_and_fail_again_and_again_are_failing(broken, hears):
    """They run, now and then; since the first failure none has held."""
    watches = broken(hears=hears)
    watches.start()
    began = time.monotonic()
    try:
        await until(lambda: watches.failing_for() > 0)
        await asyncio.sleep(0.5)  # some forty tries
        failing = watches.failing_for()
    finally:
        await watches.stop()

    assert 0.4 < failing <= time.monotonic() - began


async def test_watches_that_hold_are_not_failing_any_more(broken, monkeypatch):
    """Where something comes after half a minute, here a moment; else when kopf would have given up."""
    watches = broken(hears=True)
    watches.start()
    try:
        await until(lambda: watches.failing_for() > 0)
        monkeypatch.setattr(Broken, "fails", False)
        monkeypatch.setattr(streams, "_HEARD_SECONDS", 0.2)
        await until(lambda: watches.running and watches.failing_for() == 0)
        monkeypatch.setattr(streams, "_HEARD_SECONDS", 30)
    finally:
        await watches.stop()


async def test_streams_that_begin_anew_say_so(broken):
    """What ended meanwhile they do not tell: it has to be listed."""
    began_anew = []
    watches = broken(restarted=lambda: began_anew.append(1))
    watches.start()
    try:
        await until(lambda: began_anew)
    finally:
        await watches.stop()


async def test_where_we_may_not_look_is_no_failure_of_ours(broken):
    """No new process would see more; and a list would be refused as well. It is tried again all the same."""
    began_anew = []
    watches = broken(restarted=lambda: began_anew.append(1), error=FORBIDDEN)
    (watch,) = watches._watches
    watches.start()
    try:
        await until(lambda: watch.forbidden and watch.failing_for() > 0.1)
        assert watches.failing_for() == 0
        assert not watches.running, "of all that there is we see nothing"
        assert began_anew == []
    finally:
        await watches.stop()


async def test_a_namespace_that_may_not_be_looked_at_makes_us_no_less_ready_for_others(broken, monkeypatch):
    """It may be gone."""
    broken(fails=False)
    watches = Watches(("one", "gone"), lambda *_: None, lambda: None)
    one, gone = watches._watches
    monkeypatch.setattr(type(gone), "_watch", watch_of(gone, FORBIDDEN))
    watches.start()
    try:
        await until(lambda: gone.forbidden and one.running)
        assert watches.running
    finally:
        await watches.stop()


def watch_of(failing, error):
    """A `_watch` that fails for one, and holds for others."""

    async def watch(self):
        await asyncio.sleep(0.01)
        if self is failing:
            raise error
        while not self._stopping.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    return watch


def test_what_all_streams_say_is_said_once_and_what_follows_from_it_not_at_all():
    """While the API server is away each of eleven streams would say so every few seconds."""
    handler = streams._ToOurLog()
    with capture_logs() as logged:
        for words in (
            "Request attempt #1/4 failed; will retry: GET /api/v1/pods -> ConnectionRefusedError",
            "Watching pods: GET https://10.96.0.1/api/v1/pods -> ConnectionRefusedError",
            "Watching services: GET https://10.96.0.1/api/v1/services -> ConnectionRefusedError",
            "Watching services: GET https://10.96.0.1/api/v1/services -> TimeoutError",
        ):
            handler.emit(logging.LogRecord("kopf", logging.WARNING, "", 0, words, None, None))

    assert [line["detail"].rpartition(" -> ")[2] for line in logged] == ["ConnectionRefusedError", "TimeoutError"]

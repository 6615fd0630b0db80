"""The machine inside this one goes away with whoever made it. Each here is made in a network of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kube.cluster import ROOT

# Makes a machine with a program in it that mounted something, says who they are, and waits
STARTING = """
import signal, subprocess
from tests.e2e.machine import LINK, NODE, Machine

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored by what it runs behind itself
machine = Machine("inner")
try:
    machine.start({"198.18.64.0/18": NODE})
    machine.run("mount", "-t", "tmpfs", "mailport-tests", "/mnt")
    machine.run("sh", "-c", "setsid --fork sleep 600 >/dev/null 2>&1")
    print(machine.run("hostname").strip(), flush=True)
    print(subprocess.run(["ip", "route"], capture_output=True, text=True).stdout.count(LINK), flush=True)
    signal.pause()
finally:
    machine.stop()
"""


def mentions(what: str) -> list[Path]:
    """Find the processes that see such a mount."""
    found = []
    for mounts in Path("/proc").glob("[0-9]*/mounts"):
        try:
            found += [mounts] if what in mounts.read_text() else []
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_nothing_is_left_behind(able, name):
    """Neither a process nor a mount, after Ctrl-C and after what gives nobody time to clear up."""
    apart = ["unshare", "--net", "--", sys.executable, "-c", STARTING]
    with subprocess.Popen(apart, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starting:
        try:
            assert starting.stdout.readline() == "inner\n"
            assert starting.stdout.readline() == "2\n"
            assert mentions("mailport-tests")
        finally:
            starting.send_signal(getattr(signal, name))
        try:
            starting.wait(30)
        finally:
            starting.kill()

    deadline = time.monotonic() + 10
    while mentions("mailport-tests"):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if "mailport-tests" in line]

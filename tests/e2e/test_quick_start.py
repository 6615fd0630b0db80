"""docs/quick-start.md, as it is written: its commands are run one after the other, but for those that install."""

import os
import re
import subprocess

import pytest

from tests.e2e import mail
from tests.e2e.release import Release
from tests.kube.cluster import ROOT, program

PAGE = (ROOT / "docs/quick-start.md").read_text()
NAMESPACE = "mail"
PASSWORD = "correct horse"  # of which the shell must make one word


def commands(page: str) -> str:
    """Return what a reader types, from the first use of `mailport` on; not what is shown as printed."""
    typed = []
    shown = page[page.index("```console\n$ mailport()") :]
    for block in re.findall(r"^```console\n(.*?)^```$", shown, re.MULTILINE | re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = command.splitlines()
            goes_on = first.endswith(("\\", "<<END"))
            typed.append("\n".join([first, *rest] if goes_on else [first]))
    return "\n".join(typed)


@pytest.fixture
def volume(release: Release, tmp_path_factory: pytest.TempPathFactory):
    """What a default StorageClass would provide; and in the end no namespace that the page has made."""
    folder = tmp_path_factory.mktemp("mail") / "mail"
    mail.provide_default_volume(release.node, "quick-start", folder)
    try:
        yield folder
    finally:  # nobody waits for it: the pods take half a minute to end
        release.node.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        release.node.kubectl("delete", "persistentvolume", "quick-start", "--wait=false")


def test_the_quick_start_as_it_is_written(release, volume, tmp_path):
    """Each command does what the page says, in an empty folder of a reader who has kubectl, openssl and bash."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl").symlink_to(program("kubectl"))
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands(PAGE)],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "KUBECONFIG": str(release.node.kubeconfig),
            "HOME": str(tmp_path),
        },
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "is valid" in done.stdout
    assert re.search(r"^mx +True +Ready +1 +25,587 ", done.stdout, re.MULTILINE)
    assert len(mail.messages(volume, "anna@example.org")) == 1
    assert len(mail.messages(volume, "bob@example.org")) == 1
    assert len(re.findall(r"^/var/lib/mailport/mail/.*/new/", done.stdout, re.MULTILINE)) == 2

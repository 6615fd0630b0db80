"""Which folder is whose, and what it takes for one to be there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.destination import Refused, Unavailable
from mailport.deliver.maildir.destination import Maildir
from mailport.deliver.maildir.mailbox import Mailboxes, NameTooLong, folder_name
from mailport.policy import replies
from tests.deliver.conftest import Open, deliver, everything, files, verify
from tests.disks import needs_root
from tests.tables import table

FS_GROUP = 10001


@pytest.mark.parametrize(
    "address, settings, path",
    table(
        {
            "case does not matter": ("Anna@Example.ORG", {}, "default/example.org/anna"),
            "a claim has a folder of its own": ("anna@example.org", {"claimName": "mail"}, "mail/example.org/anna"),
            "a subaddress is stripped": ("anna+shop@example.org", {}, "default/example.org/anna"),
            "from its first separator on": ("anna+shop+2026@example.org", {}, "default/example.org/anna"),
            "unless nothing would be left": ("+shop@example.org", {}, "default/example.org/+shop"),
            "the separator can be another": (
                "anna-shop+x@example.org",
                {"stripSubaddress": "-"},
                "default/example.org/anna",
            ),
            "or none": ("anna+shop@example.org", {"stripSubaddress": ""}, "default/example.org/anna+shop"),
            "a quoted local part is unquoted": ('"anna"@example.org', {}, "default/example.org/anna"),
            "a space in quotes": ('"anna b"@example.org', {}, "default/example.org/anna%20b"),
            "a slash makes no folder": ("a/b@example.org", {}, "default/example.org/a%2Fb"),
            "dots do not lead upwards": ('".."@example.org', {}, "default/example.org/%2E."),
            "nor does one dot stay": ('"."@example.org', {}, "default/example.org/%2E"),
            "nothing is hidden": ('".anna"@example.org', {}, "default/example.org/%2Eanna"),
            "an escape is escaped": ("a%2fb@example.org", {}, "default/example.org/a%252fb"),
            "an empty local part": ('""@example.org', {}, "default/example.org/%"),
            "a colon, which flags begin with": ('"a:2,s"@example.org', {}, "default/example.org/a%3A2%2Cs"),
            "what is not ASCII stays UTF-8": ("Jürgen@example.org", {}, "default/example.org/jürgen"),
            "composed": ("ju\u0308rgen@example.org", {}, "default/example.org/jürgen"),
            "case-folded": ("STRAẞE@example.org", {}, "default/example.org/strasse"),
            "a domain is its A-label": ("anna@Bücher.example", {}, "default/xn--bcher-kva.example/anna"),
            "an IPv4 literal": ("anna@[192.0.2.1]", {}, "default/%5B192.0.2.1%5D/anna"),
            "an IPv6 literal": ("anna@[IPv6:2001:db8::1]", {}, "default/%5Bipv6%3A2001%3Adb8%3A%3A1%5D/anna"),
        }
    ),
)
def test_an_address_has_one_folder(address: str, settings: dict[str, str], path: str):
    """The folder is made of the claim, the domain and the local part, as the contract has it."""
    mailboxes = Mailboxes(model.Maildir.model_validate_json(json.dumps(settings)), Path("/mail"))

    assert mailboxes.path(Address.parse(address)) == f"/mail/{path}".encode()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_no_two_keys_share_a_folder(one: str, other: str):
    """Whatever a client writes is one name, which no other local part has, and which stays where it is put."""
    try:
        names = folder_name(one), folder_name(other)
    except NameTooLong:
        return

    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert name
        assert not name.startswith(b".")
        assert b"/" not in name
        assert b"\0" not in name


@pytest.mark.parametrize(
    "local, taken",
    table(
        {
            "as long as a name can be": ("a" * 238, True),
            "escapes count as written": ("é" * 100 + "!" * 18, True),
            "too long by its escapes": ("!" * 86, False),
        }
    ),
)
async def test_a_name_that_no_disk_holds_is_no_recipient(open_maildir: Open, local: str, taken: bool):
    """More than 255 octets cannot be the name of a folder: 550 5.1.1 at RCPT."""
    if taken:
        await deliver(open_maildir(), f"{local}@example.org")
        return

    with pytest.raises(Refused) as refused:
        await verify(open_maildir(), f"{local}@example.org")

    assert refused.value.reply == replies.NO_SUCH_RECIPIENT


async def test_a_domain_may_be_too_long_too(open_maildir: Open):
    """A literal's brackets and colons are escaped, and may make it longer than a name can be."""
    with pytest.raises(Refused):
        await verify(open_maildir(), f"a@[x:{':' * 100}]")


async def test_rcpt_makes_nothing(maildir: Maildir, tmp_path: Path):
    """Who asks for a thousand addresses, and sends nothing, leaves no thousand folders."""
    await verify(maildir, "anna@example.org")

    assert everything(tmp_path) == []


async def test_never_means_that_somebody_else_makes_mailboxes(open_maildir: Open, tmp_path: Path):
    """With createMailboxes Never, only a recipient with a folder exists; what is missing in it is made."""
    maildir = open_maildir(createMailboxes="Never")
    (tmp_path / "default/example.org/anna").mkdir(parents=True)
    (tmp_path / "default/example.org/file").touch()

    for stranger in ("bert@example.org", "anna@example.net", "file@example.org", "x@file.example.org"):
        with pytest.raises(Refused) as refused:
            await verify(maildir, stranger)
        assert refused.value.reply == replies.NO_SUCH_RECIPIENT
    await verify(maildir, "anna+shop@example.org")
    await deliver(maildir, "anna+shop@example.org")
    assert len(files(tmp_path / "default/example.org/anna/new")) == 1


async def test_a_missing_volume_is_no_missing_recipient(open_maildir: Open):
    """Under Never, 550 would send mail back for a fault of ours: where the claim's own folder is missing, it is 451."""
    with pytest.raises(Unavailable):
        await verify(open_maildir(createMailboxes="Never"), "anna@example.org")


async def test_a_removed_mailbox_is_not_made_again_under_never(open_maildir: Open, tmp_path: Path):
    """One that goes between RCPT and the end of DATA is 451, nothing is left, and the next RCPT says 550."""
    maildir = open_maildir(createMailboxes="Never")
    folder = tmp_path / "default/example.org/anna"
    folder.mkdir(parents=True)
    await deliver(maildir, "anna@example.org")
    await verify(maildir, "anna@example.org")
    shutil.rmtree(folder)

    with pytest.raises(Unavailable):
        await deliver(maildir, "anna@example.org")
    with pytest.raises(Refused):
        await verify(maildir, "anna@example.org")
    assert not folder.exists()


@pytest.mark.parametrize(
    "removed",
    table(
        {
            "a folder of the mailbox": "default/example.org/anna/tmp",
            "the mailbox": "default/example.org/anna",
            "the domain": "default/example.org",
            "all": "default",
        }
    ),
)
async def test_a_removed_mailbox_is_made_again(maildir: Maildir, tmp_path: Path, removed: str):
    """Folders that an administrator removes while we run come back with the next message."""
    await deliver(maildir, "anna@example.org")
    shutil.rmtree(tmp_path / removed)
    await deliver(maildir, "anna@example.org")

    assert files(tmp_path / "default/example.org/anna/new")


async def test_a_removed_new_costs_one_451(maildir: Maildir, tmp_path: Path):
    """Without `new` a message cannot arrive; it comes back with the sender's next attempt."""
    await deliver(maildir, "anna@example.org")
    shutil.rmtree(tmp_path / "default/example.org/anna/new")

    with pytest.raises(Unavailable):
        await deliver(maildir, "anna@example.org")
    assert files(tmp_path) == []
    await deliver(maildir, "anna@example.org")
    assert len(files(tmp_path / "default/example.org/anna/new")) == 1


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Generator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    "settings, file_mode, folder_mode",
    table(
        {
            "the defaults": ({}, 0o660, 0o770),
            "others": ({"fileMode": "0604", "directoryMode": "0705"}, 0o604, 0o705),
            "a folder that hands down its group": ({"directoryMode": "2770"}, 0o660, 0o2770),
        }
    ),
)
@pytest.mark.usefixtures("umask")
async def test_modes_are_those_of_the_document(
    open_maildir: Open, tmp_path: Path, settings: dict[str, str], file_mode: int, folder_mode: int
):
    """Files and folders get the modes that are written there, whatever the umask."""
    mail_root = tmp_path / "mail"
    await deliver(open_maildir(mail_root, **settings), "anna@example.org")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (mail_root, *mail_root.rglob("*"))}

    assert {modes[path] for path in modes if path.is_file()} == {file_mode}
    assert {modes[path] for path in modes if path.is_dir()} == {folder_mode}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    os.chown(tmp_path, -1, FS_GROUP)
    tmp_path.chmod(0o2770)
    return tmp_path


@needs_root
async def test_the_volumes_group_is_handed_down(open_maildir: Open, volume: Path):
    """Kubernetes gives a volume fsGroup's group and the setgid bit: all that is made in it keeps both."""
    await deliver(open_maildir(volume), "anna@example.org")
    made = everything(volume)

    assert {path.stat().st_gid for path in made} == {FS_GROUP}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o2770}


async def test_many_messages_make_one_mailbox_together(maildir: Maildir, tmp_path: Path):
    """A mailbox that does not exist may get its first messages all at once."""
    await asyncio.gather(*(deliver(maildir, "anna@example.org") for _ in range(30)))

    assert len(files(tmp_path / "default/example.org/anna/new")) == 30

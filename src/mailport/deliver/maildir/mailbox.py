"""Where a recipient's mail lies on disk, and how its folders come to be.

Paths are bytes: what is not ASCII is UTF-8 on disk, whatever the locale of the process.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock

from mailport.address.mail_address import Address
from mailport.contract import model
from mailport.deliver.maildir.disk import sync_folder

NAME_MAX = 255  # octets of one name, on every file system of Linux
KNOWN_MAX = 10_000  # mailboxes remembered to be there: about a megabyte

_UNSAFE = re.compile(rb"^\.|[^a-z0-9._+=\x80-\xff-]")  # `%` too, so that no two names become one


class NameTooLong(ValueError):  # noqa: N818 - what it says
    """A domain or a local part that no file system holds."""


@lru_cache(maxsize=4096)
def folder_name(key: str) -> bytes:
    """Turn a key of an address into the name of a folder: never empty, never hidden, never with a slash."""
    name = _UNSAFE.sub(lambda octet: b"%%%02X" % ord(octet[0]), key.encode()) or b"%"
    if len(name) > NAME_MAX:
        raise NameTooLong(f"{len(name)} octets as the name of a folder")
    return name


def without_subaddress(local: str, separator: str) -> str:
    """Cut a local part at its first separator (RFC 5233), unless nothing would be left."""
    return (local.partition(separator)[0] or local) if separator else local


class Mailboxes:
    """The mailboxes of one claim: `<mail root>/<claim>/<domain>/<local part>/{tmp,new,cur}`.

    All but `path` and `forget` do I/O and are for threads, any number of them at once.
    """

    def __init__(self, settings: model.Maildir, mail_root: Path) -> None:
        self.creates = settings.create_mailboxes is model.CreateMailboxes.ALWAYS
        self.root = mail_root / (settings.claim_name or "default")
        self._root = bytes(self.root)
        self._separator = settings.strip_subaddress
        self._quarantine = f".{settings.quarantine_folder}".encode() if settings.quarantine_folder else b""
        self.file_mode = settings.file_mode_bits
        self._mode = settings.directory_mode_bits
        self._known: set[bytes] = set()
        self._making_root = Lock()

    def path(self, recipient: Address) -> bytes:
        """Return the folder of a recipient's mailbox; NameTooLong where there can be none."""
        local = without_subaddress(recipient.local_key, self._separator)
        return b"%s/%s/%s" % (self._root, folder_name(recipient.domain_key), folder_name(local))

    def place(self, mailbox: bytes, *, quarantined: bool) -> bytes:
        """Return the folder that a message goes to: the mailbox, or the one below it for what is quarantined."""
        return os.path.join(mailbox, self._quarantine) if quarantined and self._quarantine else mailbox

    def exists(self, mailbox: bytes) -> bool:
        """Look whether somebody made this mailbox."""
        try:
            return stat.S_ISDIR(os.stat(mailbox).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            os.stat(self._root)  # a volume that is not there is our fault, and not a missing recipient
            return False

    def make(self, mailbox: bytes) -> None:
        """Make what is missing of a mailbox, and make it durable. FileNotFoundError where it is not ours to create.

        What is there already is synced too, once: another process may have made it a moment ago and not come to that.
        A folder below a mailbox (`place`) is made in any case, where the mailbox itself is there.
        """
        if mailbox in self._known:
            return
        above, name = os.path.split(mailbox)
        if name.startswith(b"."):  # no mailbox is hidden: folder_name
            self.make(above)
            self._make_in(above, name)
            self._mark_folder(mailbox)
        elif self.creates:
            domain = os.path.dirname(mailbox)
            self._make_root()
            self._make_in(self._root, os.path.basename(domain))
            self._make_in(domain, os.path.basename(mailbox))
        self._make_in(mailbox, b"tmp", b"new", b"cur")
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()  # to look again is cheap enough to keep no order of use
        self._known.add(mailbox)

    def forget(self) -> None:
        """Look again before the next delivery: a folder was removed under us, perhaps a whole domain's."""
        self._known.clear()

    def check(self) -> None:
        """Look whether there is a place for mail, and make nothing. Raises OSError."""
        folder = Path(os.fsdecode(self._root))
        if self.creates:  # it is made with the first mailbox
            folder = next(one for one in (folder, *folder.parents) if one.exists())
        volume = os.statvfs(folder)
        may = os.X_OK | (os.W_OK if self.creates else 0)
        code = 0
        if volume.f_flag & os.ST_RDONLY:
            code = errno.EROFS
        elif not os.access(folder, may, effective_ids=True):
            code = errno.EACCES
        elif (volume.f_blocks and not volume.f_bavail) or (volume.f_files and not volume.f_favail):  # 0: it counts none
            code = errno.ENOSPC
        if code:
            raise OSError(code, os.strerror(code), str(folder))

    def _mark_folder(self, folder: bytes) -> None:
        """Leave the file by which Maildir++ tells a folder from a mailbox. What is in it matters to nobody."""
        path = os.path.join(folder, b"maildirfolder")
        with suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.file_mode)
            try:
                os.fchmod(fd, self.file_mode)  # whatever the umask
            finally:
                os.close(fd)

    def _make_root(self) -> None:
        with self._making_root:  # nobody builds on it before it is durable
            missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
            for folder in reversed(missing):
                self._make_in(bytes(folder.parent), os.fsencode(folder.name))

    def _make_in(self, parent: bytes, *names: bytes) -> None:
        for folder in (os.path.join(parent, name) for name in names):
            with suppress(FileExistsError):
                os.mkdir(folder, self._mode)
                inherited = os.stat(folder).st_mode & stat.S_ISGID  # which keeps fsGroup's group all the way down
                os.chmod(folder, self._mode | inherited)  # whatever the umask
        sync_folder(parent)

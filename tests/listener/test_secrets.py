"""Values come from documents, then from directories as Kubernetes mounts them, and nothing leads out of those."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mailport.listener.secrets import MAX_VALUE_BYTES, Secrets, Sources, Unreadable
from tests.tables import table


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def mount(folder: Path, generation: str, values: dict[str, bytes]) -> None:
    """Put a generation of values into a volume as the kubelet does: a new directory, then one rename."""
    for key, value in values.items():
        write(folder / f"..{generation}" / key, value)
        if not (folder / key).is_symlink():
            (folder / key).symlink_to(Path("..data") / key)
    (folder / "..data_tmp").symlink_to(f"..{generation}")
    (folder / "..data_tmp").replace(folder / "..data")


def below(*directories: Path) -> Secrets:
    return Secrets(secrets=Sources(directories=directories))


def test_documents_come_before_directories(tmp_path: Path) -> None:
    """A Secret of the served files wins over one of the same name in DIR."""
    write(tmp_path / "users/htpasswd", b"from DIR")

    secrets = Secrets(secrets=Sources({"users": {"htpasswd": b"from a document"}}, (tmp_path,)))

    assert secrets.get("Secret", "users", "htpasswd") == b"from a document"


def test_the_kinds_are_apart(tmp_path: Path) -> None:
    """A ConfigMap does not satisfy a reference to a Secret of the same name."""
    secrets = Secrets(config_maps=Sources({"ca": {"ca.crt": b"PEM"}}))

    assert secrets.get("ConfigMap", "ca", "ca.crt") == b"PEM"
    assert secrets.get("Secret", "ca", "ca.crt") is None


def test_one_place_gives_all_keys(tmp_path: Path) -> None:
    """A certificate is never put together with the key of another place."""
    write(tmp_path / "a/mx/tls.crt", b"chain of a")
    write(tmp_path / "b/mx/tls.crt", b"chain of b")
    write(tmp_path / "b/mx/tls.key", b"key of b")

    values = below(tmp_path / "a", tmp_path / "b").get_all("Secret", "mx", ("tls.crt", "tls.key"))

    assert values == {"tls.crt": b"chain of a"}


def test_a_mounted_secret_is_read(tmp_path: Path) -> None:
    """Keys are symlinks through `..data`, and after a swap their values are the new ones."""
    secrets = below(tmp_path)
    mount(tmp_path / "mx", "1", {"tls.crt": b"old"})
    before = secrets.get("Secret", "mx", "tls.crt")
    mount(tmp_path / "mx", "2", {"tls.crt": b"new"})

    assert (before, secrets.get("Secret", "mx", "tls.crt")) == (b"old", b"new")


def test_values_are_of_one_moment(tmp_path: Path) -> None:
    """However often the kubelet swaps the volume, a certificate comes with its own key."""
    mount(tmp_path / "mx", "0", {"tls.crt": b"0", "tls.key": b"0"})
    secrets, ended = below(tmp_path), threading.Event()

    def swap() -> None:
        for generation in range(1, 200):
            mount(tmp_path / "mx", str(generation), {"tls.crt": b"%d" % generation, "tls.key": b"%d" % generation})
        ended.set()

    kubelet = threading.Thread(target=swap)
    kubelet.start()
    pairs = set()
    while not ended.is_set():
        pairs.add(tuple(secrets.get_all("Secret", "mx", ("tls.crt", "tls.key")).values()))
    kubelet.join()

    assert len(pairs) > 1
    assert all(chain == key for chain, key in pairs)


@pytest.mark.parametrize(
    "name, key",
    table(
        {
            "a name that climbs": ("..", "passwd"),
            "a name that is a path": ("a/../..", "passwd"),
            "an absolute name": ("/etc", "passwd"),
            "an empty name": ("", "passwd"),
            "a name with a line end": ("mx\n", "passwd"),
            "a name that is too long": ("a" * 254, "passwd"),
            "a key that climbs": ("mx", "../passwd"),
            "a key that is the directory": ("mx", "."),
            "a key that is the directory above": ("mx", ".."),
            "the kubelet's own symlink": ("mx", "..data"),
            "a key with a NUL": ("mx", "a\0b"),
            "an empty key": ("mx", ""),
            "a key with a line end": ("mx", "htpasswd\n"),
        }
    ),
)
def test_nothing_leads_out_of_the_directory(tmp_path: Path, name: str, key: str) -> None:
    """Names are checked here too, although the model has checked them."""
    with pytest.raises(ValueError, match=r"not (the name|a key) of a Secret"):
        below(tmp_path).get("Secret", name, key)
    with pytest.raises(ValueError, match=r"not (the name|a key) of a Secret"):
        below(tmp_path).paths("Secret", name, [key])


@pytest.mark.parametrize("key", [".dockerconfigjson", "tls.crt", "AWS_ACCESS_KEY_ID", "a..b"])
def test_keys_that_kubernetes_allows_are_allowed(tmp_path: Path, key: str) -> None:
    """Keys may have dots anywhere but two in front."""
    write(tmp_path / "mx" / key, b"value")

    assert below(tmp_path).get("Secret", "mx", key) == b"value"


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    """No folder, an empty one (an optional volume), a file in place of the folder: nothing is there."""
    (tmp_path / "empty").mkdir()
    write(tmp_path / "file", b"")

    for name in ("absent", "empty", "file"):
        assert below(tmp_path).get("Secret", name, "tls.crt") is None


@pytest.mark.parametrize(
    "make, why",
    table(
        {
            "over 1 MiB": (lambda path: path.write_bytes(b"x" * (MAX_VALUE_BYTES + 1)), "over 1048576 octets"),
            "a directory": (lambda path: path.mkdir(), "Is a directory"),
            "a FIFO, which nobody writes": (os.mkfifo, "not a file"),
            "a device": (lambda path: path.symlink_to("/dev/zero"), "not a file"),
            "a symlink to itself": (lambda path: path.symlink_to(path), "symbolic links"),
        }
    ),
)
def test_what_cannot_be_had_is_named(tmp_path: Path, make, why: str) -> None:
    """The message names the file and the reason."""
    (tmp_path / "mx").mkdir()
    make(tmp_path / "mx/tls.crt")

    with pytest.raises(Unreadable, match=why) as raised:
        below(tmp_path).get("Secret", "mx", "tls.crt")
    assert str(tmp_path / "mx/tls.crt") in str(raised.value)


def test_values_are_not_shown() -> None:
    """What prints a Secrets prints no value."""
    assert "hidden" not in repr(Secrets(secrets=Sources({"users": {"htpasswd": b"hidden"}})))


def test_the_files_of_a_value_are_watched_also_before_they_exist(tmp_path: Path) -> None:
    """A Secret of a document needs no watching: the document is watched."""
    secrets = Secrets(secrets=Sources({"given": {"tls.crt": b""}}, (tmp_path,)))

    assert secrets.paths("Secret", "mx", ["tls.crt", "tls.key"]) == [tmp_path / "mx/tls.crt", tmp_path / "mx/tls.key"]
    assert secrets.paths("Secret", "given", ["tls.crt"]) == []

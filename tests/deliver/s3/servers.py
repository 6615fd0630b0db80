"""Object stores that speak S3: moto, an AWS for tests with its STS, and versitygw, which keeps objects on a disk.

tools/kube.sh brings both. Each ends with its `with`.
"""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path

from tests.kube.cluster import program
from tests.serving import eventually, free_port

BUCKET = "mail"
KEYS = {"AWS_ACCESS_KEY_ID": b"mailport", "AWS_SECRET_ACCESS_KEY": b"correct-horse"}
# moto looks no further than to who it is
_SIGNED = "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@dataclass
class Store:
    """A store with one bucket, looked at by a client of its owner's."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[HTTPMessage, bytes]:
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Authorization": _SIGNED}, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.headers, response.read()

    def objects(self, bucket: str = BUCKET) -> list[str]:
        return re.findall(r"<Key>([^<]+)</Key>", self.request("GET", f"{bucket}?list-type=2")[1].decode())

    def get(self, key: str) -> tuple[HTTPMessage, bytes]:
        return self.request("GET", f"{BUCKET}/{key}")

    def uploads(self) -> list[str]:
        """Return the ids of uploads that have begun and neither ended nor been taken back."""
        return re.findall(r"<UploadId>([^<]+)</UploadId>", self.request("GET", f"{BUCKET}?uploads")[1].decode())


@dataclass
class Disk:
    """A store that knows one user, and whose buckets are folders."""

    port: int
    folder: Path
    log: Path
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        user = ("--access", KEYS["AWS_ACCESS_KEY_ID"].decode(), "--secret", KEYS["AWS_SECRET_ACCESS_KEY"].decode())
        users = self.folder.with_name("users")
        users.mkdir(exist_ok=True)
        command = [program("versitygw"), *user, "--port", f"{self.host}:{self.port}", "--iam-dir", str(users)]
        command += ["posix", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, "versitygw")

    def add_user(self, keys: Mapping[str, bytes]) -> None:
        """Make a user, who has no right to anything."""

        def login(of: Mapping[str, bytes]) -> list[str]:
            return ["--access", of["AWS_ACCESS_KEY_ID"].decode(), "--secret", of["AWS_SECRET_ACCESS_KEY"].decode()]

        admin = [program("versitygw"), "admin", *login(KEYS), "--endpoint-url", self.url]
        subprocess.run([*admin, "create-user", *login(keys), "--role", "user"], check=True, capture_output=True)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        return False

    def objects(self) -> dict[str, bytes]:
        bucket = self.folder / BUCKET
        return {str(path.relative_to(bucket)): path.read_bytes() for path in bucket.rglob("*.*") if path.is_file()}


@contextmanager
def versitygw(folder: Path, host: str = "127.0.0.1") -> Iterator[Disk]:
    """Run versitygw, with an empty bucket, below a folder whose file system has extended attributes."""
    store = Disk(free_port(), folder / "buckets", folder / "versitygw.log", host)
    (store.folder / BUCKET).mkdir(parents=True)
    try:
        store.start()
        yield store
    finally:
        store.kill()


@contextmanager
def moto(folder: Path, port: int = 0) -> Iterator[Store]:
    """Run moto, with an empty bucket; its log is in the folder."""
    store = Store(port or free_port())

    def answers() -> bool:
        with suppress(OSError, urllib.error.HTTPError):
            store.request("PUT", BUCKET)
            return True
        return False

    with (folder / "moto.log").open("ab") as log:
        process = subprocess.Popen([program("moto"), "-H", "127.0.0.1", "-p", str(store.port)], stdout=log, stderr=log)
    try:
        eventually(answers, "moto")
        yield store
    finally:
        process.kill()
        process.wait()

"""One bucket of an object store. The one door to obstore.

obstore connects by itself, in threads of its own: what it is given to connect to has been looked at before. It writes,
and it signs. It follows redirects, and has no option not to: so what is only asked is asked by our own connections, and
a write counts by what proves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from mailport.contract import model
from mailport.deliver.destination import MISCONFIGURED, Unavailable
from mailport.deliver.s3 import answers
from mailport.deliver.s3.credentials import Keys, WorkloadIdentity
from mailport.deliver.s3.etag import Etag, plain
from mailport.outward.http import Answer, Poster

if TYPE_CHECKING:  # names that exist for the type checker alone
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

_PARTS_AT_ONCE = 2  # of one message
_RETRIES = 2  # of one request: "slow down", a connection that was closed just then
_CONNECT_SECONDS = 5
_SIGNED_SECONDS = 60  # for which a signed URL is good: the clocks of both sides may differ a little
_INLINE = 64 * 1024  # octets that are hashed in the time that a thread takes to begin
_ERRORS = (BaseError, FileNotFoundError)  # FileNotFoundError is a 404, of the bucket too


class Bucket:
    """Objects go in whole or not at all."""

    part: ClassVar = 5 * 1024 * 1024  # octets of a part: the fewest that S3 takes of any but the last

    def __init__(
        self, settings: model.S3, endpoint: str, credentials: Keys | WorkloadIdentity, ca: bytes | None, asking: Poster
    ) -> None:
        """`ca` are certificates that are trusted beside the public ones, PEM; `asking` is for the same endpoint.

        Blocks. Raises ValueError.
        """
        self._asking = asking
        self._seconds = settings.timeout_seconds
        config: S3Config = {
            "endpoint": endpoint,
            "region": settings.region,
            "checksum_algorithm": "SHA256",
            "virtual_hosted_style_request": False,
            "skip_signature": False,
        }
        if settings.server_side_encryption is not None:
            config["server_side_encryption"] = settings.server_side_encryption.value
        if settings.kms_key_id is not None:
            config["sse_kms_key_id"] = settings.kms_key_id
        provider: Any = None
        if isinstance(credentials, Keys):
            provider = _Provider(credentials)
        else:
            config |= credentials.config  # type: ignore[typeddict-item]  # keys of S3Config, as credentials.py has them
        client: ClientConfig = {
            "allow_http": endpoint.lower().startswith("http:"),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "timeout": timedelta(seconds=settings.timeout_seconds),
            "user_agent": "Mailport",
        }
        if ca is not None:
            client["root_certificate"] = ca
        seconds = timedelta(seconds=settings.timeout_seconds)
        retries: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": seconds}
        try:
            self._store = S3Store(
                settings.bucket,
                config=config,
                client_options=client,
                retry_config=retries,
                credential_provider=provider,
            )
        except BaseError as error:
            raise ValueError(answers.read(str(error)).text) from error

    async def put(self, key: str, content: bytes | AsyncIterator[bytes | bytearray], values: dict[str, str]) -> str:
        """Write an object, in parts where it comes in pieces, which show up nowhere before the last; return its ETag.

        Raises Unavailable, also where nothing proves that it is there, and what reading the pieces raises: then the
        parts are taken back.
        """
        parts = not isinstance(content, bytes)
        etag = Etag(self.part if parts else None)
        try:
            result = await obstore.put_async(
                self._store,
                key,
                content if isinstance(content, bytes) else _hashed(content, etag),
                attributes=values,
                use_multipart=parts,
                chunk_size=self.part,
                max_concurrency=_PARTS_AT_ONCE,
            )
        except _ERRORS as error:
            raise answers.unavailable(answers.read(str(error)), type(error)) from error
        if isinstance(content, bytes):
            await _hash(content, etag)
        tag = result["e_tag"] or ""
        if not etag.proves(tag):
            await self._must_be_there(key, tag, etag.octets)
        return tag

    async def look(self, key: str) -> None:
        """Ask for an object that need not be there: whether the bucket is, and takes our keys. Raises Unavailable.

        Who may write need not be allowed to read, so that a plain "access denied" is no fault here.
        """
        found = await self._ask("GET", key)
        answer = answers.of_http(found.status, found.text)
        if found.status != 200 and answer.code not in ("NoSuchKey", "AccessDenied"):
            raise answers.unavailable(answer)

    async def close(self) -> None:
        """End our own connections; obstore's end when nobody uses them."""
        await self._asking.close()

    async def _must_be_there(self, key: str, tag: str, octets: int) -> None:
        """Look at an object that was written, where its ETag proves nothing. Raises Unavailable."""
        found = await self._ask("HEAD", key)
        if found.status == 200 and (found.octets, plain(found.etag)) == (octets, plain(tag)):
            return
        why = "its ETag is not the content's MD5, and the object that was written"
        if found.status == 200:
            raise Unavailable(f"{why} is another one")
        answer = answers.of_http(found.status, "")
        if found.status == 403:
            raise Unavailable(
                f"{why} may not be looked at: {answer.text}: s3:GetObject is needed", reason=MISCONFIGURED
            )
        if found.status == 404:
            raise Unavailable(f"{why} is not there: a redirect, or a page, has answered in the store's place")
        raise answers.unavailable(answer._replace(text=f"{why} cannot be looked at: {answer.text}"))

    async def _ask(self, method: Literal["GET", "HEAD"], key: str) -> Answer:
        """Send a signed request by a connection of ours, which follows no redirect. Raises Unavailable, OSError."""
        try:
            url = await obstore.sign_async(self._store, method, key, timedelta(seconds=_SIGNED_SECONDS))
        except _ERRORS as error:
            raise answers.unavailable(answers.read(str(error)), type(error)) from error
        return await self._asking.ask(method, url, asyncio.get_running_loop().time() + self._seconds)


async def _hashed(content: AsyncIterator[bytes | bytearray], etag: Etag) -> AsyncIterator[bytes | bytearray]:
    async for piece in content:
        await _hash(piece, etag)
        yield piece


async def _hash(content: bytes | bytearray, etag: Etag) -> None:
    if len(content) <= _INLINE:
        etag.update(content)
    else:
        await asyncio.to_thread(etag.update, content)


class _Provider:
    """Hands a Secret's keys to obstore: a provider is the one way in which nothing is taken from the environment."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def __call__(self) -> S3Credential:
        return {
            "access_key_id": self._keys.access_key_id,
            "secret_access_key": self._keys.secret_access_key,
            "token": self._keys.session_token,
            "expires_at": None,
        }

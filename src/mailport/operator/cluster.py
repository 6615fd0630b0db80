"""The Kubernetes API. The one door to the kubernetes client, and the one place where the operator writes."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiohttp
from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client import ApiClient, Configuration

from mailport import __version__
from mailport.operator.kinds import Kind, kind_of
from mailport.operator.metadata import OPERATOR, Manifest

READ_SECONDS = 30.0
WRITE_SECONDS = 4.0  # with the 10 s of lease.py less than a Lease lasts: no write of ours outlives our turn
CONNECTIONS = 32
PAGE = 250  # objects: a page is read in a few milliseconds, during which nothing else turns

_APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Query = list[tuple[str, str]]


class Cause(NamedTuple):
    """One field that the API server objects to."""

    field: str
    message: str


class ApiError(Exception):
    """The API server said no, or nothing: then the status is 0. The message is the server's, for a person."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason  # metav1.StatusReason
        self.causes = causes
        self.retry_after = retry_after  # seconds

    @property
    def is_conflict(self) -> bool:
        """Whether the object is not the one that was seen: look again."""
        return self.status == 409

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status in (0, 401, 409, 429) or self.status >= 500


class NotOurTurnError(Exception):
    """Another replica may lead: nothing may be written."""


class Cluster:
    """A connection to the API server, by the pod's ServiceAccount or the current kubeconfig."""

    def __init__(self, may_write: Callable[[], bool] = lambda: True) -> None:
        self._may_write = may_write
        self._client: ApiClient | None = None
        self.answers = True  # whether the API server answered the last time, be it a refusal

    async def connect(self) -> None:
        """Read the credentials. Raises ApiError where there are none."""
        configuration = Configuration()
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ:
                kubeconfig.load_incluster_config(configuration)
            else:
                await kubeconfig.load_kube_config(client_configuration=configuration)
        except (kubeconfig.ConfigException, OSError) as error:
            raise ApiError(0, f"no way to the API server: {error}") from error
        configuration.connection_pool_maxsize = CONNECTIONS
        # Else each request would look into the environment and for a .netrc, in a thread
        configuration.client_session_kwargs = {"trust_env": bool(urllib.request.getproxies())}
        self._client = ApiClient(configuration)
        self._client.user_agent = f"mailport-operator/{__version__}"

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    # --- reading

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None where there is none. Raises ApiError."""
        try:
            return await self._ask("GET", kind.path(namespace, name), READ_SECONDS)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def every(self, kind: Kind, namespace: str | None) -> AsyncIterator[Manifest]:
        """Yield every object of a kind that its selector selects, asked for page by page. Raises ApiError."""
        query = [("limit", str(PAGE)), *([("labelSelector", kind.selector)] if kind.selector else [])]
        following = ""
        while True:
            more = [("continue", following)] if following else []
            page = await self._ask("GET", kind.path(namespace), READ_SECONDS, query=query + more)
            for item in page["items"]:
                # a list's items do not say what they are
                yield {"apiVersion": kind.api_version, "kind": kind.name, **item}
            following = page["metadata"].get("continue", "")
            if not following:
                return

    # --- writing: each names what it saw, so that it changes nothing that has been changed since

    async def apply(self, manifest: Manifest, *, subresource: str = "", force: bool = True) -> Manifest:
        """Apply an object by server-side apply, and return it as it is then. Raises ApiError, NotOurTurnError.

        With metadata.resourceVersion, a conflict (409) where the object is another by now.
        """
        path = kind_of(manifest).path(
            manifest["metadata"]["namespace"], manifest["metadata"]["name"], subresource=subresource
        )
        query = [("fieldManager", OPERATOR), ("force", "true" if force else "false")]
        return await self._write("PATCH", path, manifest, content_type=_APPLY, query=query)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Manifest | list[Manifest], *, content_type: str
    ) -> Manifest:
        """Patch an object. Raises ApiError, NotOurTurnError."""
        query = [("fieldManager", OPERATOR)]
        return await self._write("PATCH", kind.path(namespace, name), body, content_type=content_type, query=query)

    async def create(self, kind: Kind, namespace: str, body: Manifest) -> Manifest:
        """Create an object. Raises ApiError (409 where it is there already), NotOurTurnError."""
        return await self._write("POST", kind.path(namespace), body, query=[("fieldManager", OPERATOR)])

    async def delete(self, kind: Kind, seen: Manifest) -> None:
        """Delete an object as it was seen; one that is gone already is no error. Raises ApiError, NotOurTurnError."""
        metadata = seen["metadata"]
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        }
        try:
            await self._write("DELETE", kind.path(metadata["namespace"], metadata["name"]), body)
        except ApiError as error:
            if error.status != 404:
                raise

    async def put_lease(self, kind: Kind, namespace: str, name: str, body: Manifest, *, seconds: float) -> Manifest:
        """Create or replace a Lease, by the resourceVersion in it: what gives the turn to write waits for no turn.

        Raises ApiError.
        """
        if "resourceVersion" in body["metadata"]:
            return await self._ask("PUT", kind.path(namespace, name), seconds, body)
        return await self._ask("POST", kind.path(namespace), seconds, body)

    async def _write(
        self,
        method: str,
        path: str,
        body: Manifest | list[Manifest],
        *,
        content_type: str = "application/json",
        query: Query | None = None,
    ) -> Manifest:
        if not self._may_write():
            raise NotOurTurnError(path)
        return await self._ask(method, path, WRITE_SECONDS, body, content_type=content_type, query=query)

    async def _ask(
        self,
        method: str,
        path: str,
        seconds: float,
        body: Manifest | list[Manifest] | None = None,
        *,
        content_type: str = "application/json",
        query: Query | None = None,
    ) -> Manifest:
        assert self._client is not None, "connect() first"  # noqa: S101
        try:
            async with asyncio.timeout(seconds):
                # Without the body, which the client would copy value by value: that takes longer than all the rest
                verb, url, headers, _, _ = await self._client.param_serialize(
                    method,
                    path,
                    query_params=query or [],
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    auth_settings=["BearerToken"],
                )
                response = await self._client.call_api(verb, url, headers, body, _request_timeout=seconds)
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.answers = False
            raise ApiError(0, f"no answer from the API server: {str(error) or type(error).__name__}") from error
        self.answers = True
        if not 200 <= response.status < 300:
            raise _error(response.status, content, response.headers.get("Retry-After"))
        answer: Manifest = json.loads(content)
        return answer


def _error(status: int, content: bytes, retry_after: str | None) -> ApiError:
    """Read a metav1.Status, or whatever a proxy on the way says instead."""
    try:
        said: Any = json.loads(content)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        said = {}
    details = said.get("details") or {}
    causes = tuple(Cause(cause.get("field", ""), cause.get("message", "")) for cause in details.get("causes") or ())
    seconds = retry_after if retry_after is not None else details.get("retryAfterSeconds")
    return ApiError(
        status,
        said.get("message") or f"the API server answered {status}",
        reason=said.get("reason", ""),
        causes=causes,
        retry_after=float(seconds) if seconds is not None and str(seconds).isdigit() else None,
    )

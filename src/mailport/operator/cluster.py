"""The Kubernetes API. The one door to the kubernetes client, and the one place where the operator writes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client import ApiClient, Configuration

from mailport import __version__
from mailport.operator.api_error import ApiError, Cause, NotOurTurnError
from mailport.operator.kinds import Kind, kind_of
from mailport.operator.metadata import OPERATOR, Manifest
from mailport.operator.proxy import proxy_for

READ_SECONDS = 30.0
# Longer than the API server may take: webhooks are called one after the other, and each has 10 s by default. No write
# needs to end with our turn: the process does, and with it the connection; and what comes late names what it saw
WRITE_SECONDS = 30.0
CONNECTIONS = 48  # more than there are workers: lists and look-ups wait for none of them
# Objects. A page is read at once, and whoever may make a ConfigMap anywhere may fill its 1.5 MB and label it as ours:
# the memory that the chart gives must hold that. To ask for a page takes two or three milliseconds
PAGE = 10
_SELECTED = 50  # objects: what `select` is for has a few

_APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Query = list[tuple[str, str]]


class Cluster:
    """A connection to the API server, by the pod's ServiceAccount or the current kubeconfig."""

    def __init__(self, may_write: Callable[[], bool] = lambda: True) -> None:
        self._may_write = may_write
        self._client: ApiClient | None = None
        self.answers = True  # whether the API server answered the last time, be it a refusal
        self.outages = 0  # how often it began not to

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
        configuration.proxy = configuration.proxy or proxy_for(configuration.host, os.environ)
        # By aiohttp's rules the environment would lead to another proxy; and it would be asked, in a thread, each time
        configuration.client_session_kwargs = {"trust_env": False}
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
        query = [("limit", str(PAGE)), *_selecting(kind)]
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

    async def select(self, kind: Kind, namespace: str, fields: str) -> list[Manifest]:
        """Return the objects of a kind that a field selector selects, the first 50. Raises ApiError."""
        query = [("limit", str(_SELECTED)), ("fieldSelector", fields)]
        page = await self._ask("GET", kind.path(namespace), READ_SECONDS, query=query)
        items: list[Manifest] = page["items"]
        return items

    async def version(self, kind: Kind, namespace: str | None) -> int:
        """Return the resourceVersion that a list would be of now. Raises ApiError."""
        page = await self._ask("GET", kind.path(namespace), READ_SECONDS, query=[("limit", "1"), *_selecting(kind)])
        return int(page["metadata"]["resourceVersion"])

    # --- writing: each names what it saw, so that it changes nothing that has been changed since

    async def apply(
        self, manifest: Manifest, *, subresource: str = "", force: bool = True, dry_run: bool = False
    ) -> Manifest:
        """Apply an object by server-side apply, and return it as it is then. Raises ApiError, NotOurTurnError.

        With metadata.resourceVersion, a conflict (409) where the object is another by now. A dry run changes nothing,
        and is answered and refused as the real one would be.
        """
        path = kind_of(manifest).path(
            manifest["metadata"]["namespace"], manifest["metadata"]["name"], subresource=subresource
        )
        query = [("fieldManager", OPERATOR), ("force", "true" if force else "false")]
        query += [("dryRun", "All")] if dry_run else []
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
            self.outages += self.answers
            self.answers = False
            timed_out = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
            if timed_out:
                what = f"the API server did not answer within {seconds:g} s"
            else:
                what = f"no connection to the API server: {str(error) or type(error).__name__}"
            raise ApiError(0, what, timed_out=timed_out) from error
        self.answers = True
        if not 200 <= response.status < 300:
            raise _error(response.status, content, response.headers.get("Retry-After"))
        answer: Manifest = json.loads(content)
        return answer


def _selecting(kind: Kind) -> Query:
    return [("labelSelector", kind.selector)] if kind.selector else []


def _error(status: int, content: bytes, retry_after: str | None) -> ApiError:
    """Read a metav1.Status, or whatever a proxy on the way says instead."""
    try:
        answer: Any = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    details = answer.get("details") or {}
    causes = tuple(Cause(cause.get("field", ""), cause.get("message", "")) for cause in details.get("causes") or ())
    seconds = retry_after if retry_after is not None else details.get("retryAfterSeconds")
    return ApiError(
        status,
        answer.get("message") or f"the API server answered {status}",
        reason=answer.get("reason", ""),
        causes=causes,
        retry_after=float(seconds) if seconds is not None and str(seconds).isdigit() else None,
    )

"""A candidate that, while it leads, writes one ConfigMap all the time: in a test's own process, or in one to be killed.

    python -m tests.kube.candidate NAMESPACE LEASE IDENTITY

Prints a line when it writes for the first time in a turn, and one when its work has been stopped.
"""

import asyncio
import signal
import sys

from mailport.operator.api_error import ApiError, NotOurTurnError
from mailport.operator.cluster import MERGE_PATCH, Cluster
from mailport.operator.kinds import CONFIG_MAP
from mailport.operator.lease import Election, LeaseLostError
from mailport.process import log

PAUSE = 0.05  # seconds between two writes


class Candidate:
    """What the operator is to a Lease. The audit log tells candidates by their user agent."""

    def __init__(self, namespace, lease, identity, said=lambda word: None):
        self._namespace = namespace
        self._config_map = f"{lease}-state"
        self._identity = identity
        self._said = said
        self._for_lease = Cluster()
        self.election = Election(self._for_lease, namespace, lease, identity)
        self._for_work = Cluster(may_write=self.election.may_write)
        self.writes = asyncio.Event()

    async def run(self):
        """Run until cancelled."""
        for cluster in (self._for_lease, self._for_work):
            await cluster.connect()
            cluster._client.user_agent = self._identity
        try:
            await self.election.run(self._work)
        finally:
            for cluster in (self._for_lease, self._for_work):
                await cluster.close()

    async def _work(self):
        try:
            while True:
                try:
                    await self._write()
                except NotOurTurnError:
                    pass
                except ApiError as error:
                    if not error.is_passing:
                        raise
                await asyncio.sleep(PAUSE)
        finally:
            self._said("stopped")

    async def _write(self):
        """Write what has been seen, so that a write which comes late changes nothing."""
        seen = await self._for_work.get(CONFIG_MAP, self._namespace, self._config_map)
        if seen is None:
            new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self._config_map}}
            seen = await self._for_work.create(CONFIG_MAP, self._namespace, new)
        count = int((seen.get("data") or {}).get("count", "0")) + 1
        body = {
            "metadata": {"resourceVersion": seen["metadata"]["resourceVersion"]},
            "data": {"by": self._identity, "count": str(count)},
        }
        await self._for_work.patch(CONFIG_MAP, self._namespace, self._config_map, body, content_type=MERGE_PATCH)
        if not self.writes.is_set():
            self.writes.set()
            self._said("writes")


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(namespace, lease, identity):
    candidate = Candidate(namespace, lease, identity, say)
    running = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await candidate.run()


if __name__ == "__main__":
    log.configure()
    try:
        asyncio.run(main(*sys.argv[1:]))
    except asyncio.CancelledError:
        pass
    except LeaseLostError:
        sys.exit(1)

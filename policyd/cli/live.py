"""`--live`: the cluster as it is now, read-only, by the watcher that the agent has, too.

Imported only for `--live`: the offline commands know nothing of a Kubernetes client.
"""

from __future__ import annotations

import asyncio
import os
import time
from argparse import Namespace

from policyd.agent.store import ObjectStore
from policyd.cluster.state import ClusterState
from policyd.errors import EnvironmentRefused
from policyd.watcher.reflector import Reflector
from policyd.watcher.resource import RESOURCES
from policyd.watcher.transport import connect, find_access

#: How long the first complete lists may take; 100 000 pods take some 15 s.
PATIENCE = 60.0
#: What no patience mends.
HOPELESS = ("forbidden", "unauthorized", "untrusted")


def load_live(args: Namespace) -> ClusterState:
    """List everything once. Raises EnvironmentRefused with what the API server, or the way there, said."""
    return asyncio.run(_load(args))


async def _load(args: Namespace) -> ClusterState:
    connection = await connect(find_access(args.kubeconfig, args.context, os.environ))
    wake = asyncio.Event()
    store = ObjectStore("", wake)
    reflectors = [Reflector(resource, connection, store.apply) for resource in RESOURCES]
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    end = time.monotonic() + PATIENCE
    try:
        while store.waiting_for:
            wake.clear()
            try:
                async with asyncio.timeout(0.5):
                    await wake.wait()
            except TimeoutError:
                _give_up(reflectors, late=time.monotonic() > end)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()
    return store.state()


def _give_up(reflectors: list[Reflector], *, late: bool) -> None:
    troubles = [(r.status().kind, t) for r in reflectors if (t := r.status().trouble) is not None]
    if late or any(trouble.reason in HOPELESS for _, trouble in troubles):
        told = "; ".join(f"{kind}: {trouble.text}" for kind, trouble in troubles)
        raise EnvironmentRefused(f"the cluster cannot be listed: {told or 'the API server is too slow'}")

"""A node at the moments of its life at which rules may be missing, on each placement."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import yaml

from policyd.kube.registry import SERVED
from policyd.lab.namespace import Namespace
from tests.agent.agents import Agent, nft, running
from tests.cni.bed import WORLD, Bed, Wiring, pod_manifest
from tests.networks.beside import Pod, answered, settled, wire
from tests.support.waiting import until
from tests.watcher.emulator import KINDS, NAMESPACES, PODS, POLICIES, Emulator
from tests.watcher.server import write_kubeconfig

Placement = Literal["host", "port", "pod"]
#: How pods hang on a node that judges them so.
WIRINGS: dict[Placement, Wiring] = {"host": "ptp", "port": "bridge", "pod": "macvlan"}

#: What is asked is by TCP and by UDP, at one port, in both families.
OPEN, CLOSED = [True] * 4, [False] * 4
ALLOWED = [True, False] * 2
NAMES = ("web", "friend", "other")


class Ground:
    """A node with three pods: `friend` may reach `web` by TCP, `other` may not."""

    def __init__(self, stack: ExitStack, directory: Path, placement: Placement) -> None:
        self.placement = placement
        self.bed = Bed(stack, directory, WIRINGS[placement])
        self._wire()
        #: What meets a pod that no agent knows: the node closes it, and a new namespace is empty.
        self.unknown = OPEN if placement == "pod" else CLOSED
        self.pods: dict[str, Pod] = {}

    def _wire(self) -> None:
        if self.placement == "pod":
            self.bed.outside = wire(self.bed)

    @contextmanager
    def agent(self, *more: str) -> Iterator[Agent]:
        """An agent that has come to everything."""
        placed = ("--placement", "pod") if self.placement == "pod" else ()
        with self.bed.agent("--cni-cache", str(self.bed.runtime.results), *placed, *more) as agent:
            settled(self.bed)
            yield agent

    def start(self, *names: str) -> None:
        """Start pods, one after the other."""
        for name in names or NAMES:
            self.pods[name] = Pod(self.bed, name).start()

    def begin(self, threads: ThreadPoolExecutor, *names: str) -> list[Future[Pod]]:
        """Begin to start pods; the result of each is there when its network is ready."""
        made = {name: Pod(self.bed, name) for name in names}
        self.pods |= made
        return [threads.submit(pod.start) for pod in made.values()]

    def reboot(self, restored: Path | None) -> None:
        """The kernel is empty; where systemd is told so, it loads the last ruleset before pods start."""
        self.bed.reboot()
        self._wire()
        if restored is not None:
            nft(self.bed.node, "-f", str(restored))

    def met(self, source: str, target: str = "web") -> list[bool]:
        """What packets of one pod to another meet."""
        return answered(self.pods[source].namespace, self.pods[target].addresses)

    def judged(self) -> None:
        """What policies say is what packets meet."""
        assert self.met("other") == CLOSED
        assert self.met("friend") == ALLOWED
        assert self.met("web", "other") == OPEN

    def comes_to_be_judged(self, target: str) -> None:
        """A pod that an agent does not know yet is judged before long."""
        until(lambda: (self.met("other", target), self.met("friend", target)) == (CLOSED, ALLOWED))


class ApiServer:
    """One in the node's network namespace, until it is ended."""

    def __init__(self, node: Namespace, kubeconfig: Path, pods: Sequence[str]) -> None:
        self._node, self._kubeconfig, self._pods = node, kubeconfig, pods
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_up.wait(60)

    def end(self) -> None:
        """Nobody listens any more."""
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    def _run(self) -> None:
        with self._node.entered():
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        # With a placement in the pods an agent follows more kinds, of which there are no objects here.
        emulator = Emulator(kinds=KINDS | {kind.path: kind.name for kind in SERVED})
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        space, policy = yaml.safe_load_all(WORLD)
        emulator.put(NAMESPACES, space)
        emulator.put(POLICIES, policy)
        emulator.put(PODS, *(yaml.safe_load(pod_manifest(name)) for name in self._pods))
        async with emulator.serve():
            write_kubeconfig(self._kubeconfig, emulator.url)
            self._is_up.set()
            await self._is_over.wait()


@contextmanager
def followed(ground: Ground, kubeconfig: Path) -> Iterator[Agent]:
    """An agent that follows that API server."""
    bed = ground.bed
    placed = ("--placement", "pod") if ground.placement == "pod" else ()
    flags = ("--kubeconfig", str(kubeconfig), "--run-dir", str(bed.run_dir), "--listen", "")
    more = ("--pod-interfaces", "veth*,cni0", "--cni-cache", str(bed.runtime.results), *placed)
    with running(bed.node, bed.manifests, *flags, *more) as agent:
        settled(bed)
        yield agent

"""Where the scene is played: namespaces, servers, and a copy of the manifests that may be edited.

Must not change anything but what it makes, and all of that is gone when it is closed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from policyd.demo.scene import FAMILIES, Reach, Scene
from policyd.lab.lab import Lab
from policyd.lab.plan import NodePlan, PodPlan
from policyd.lab.probes import Probe, probe_all


class Stage:
    """A scene, built. Use it as a context manager."""

    def __init__(self, scene: Scene) -> None:
        """Build all of it, or nothing."""
        self._scene = scene
        self._stack = ExitStack()
        try:
            directory = TemporaryDirectory(prefix="policyd-demo-")
            self.manifests = Path(self._stack.enter_context(directory)) / scene.manifests.name
            shutil.copytree(scene.manifests, self.manifests)
            pods = tuple(PodPlan(pod.name, (pod.v4, pod.v6)) for pod in scene.pods)
            node = scene.node
            self._lab = self._stack.enter_context(Lab([NodePlan(node.name, (node.v4, node.v6), pods)]))
            for target in scene.targets:
                for family in FAMILIES:
                    address = target.host.address(family)
                    self._lab.servers.listen(self._lab.home(address), target.transport, address, target.port)
        except BaseException:
            self._stack.close()
            raise
        self.node = self._lab.nodes[node.name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def measure(self, pairs: Iterable[tuple[str, str]], seconds: float = 1.5) -> Reach:
        """Try to connect each pair over both families, all at once; silence for so long is a no."""
        tried = [(source, target, family) for source, target in pairs for family in FAMILIES]
        outcomes = probe_all([self._probe(*each) for each in tried], seconds)
        reach: dict[tuple[str, str], frozenset[int]] = {}
        for (source, target, family), outcome in zip(tried, outcomes, strict=True):
            answered = {family} if outcome.result == "answered" else set()
            reach[source, target] = reach.get((source, target), frozenset()) | answered
        return reach

    def save(self, edited: Path) -> None:
        """Save a manifest over its namesake as editors do: whole, by a rename."""
        draft = self.manifests / f".{edited.name}.draft"
        shutil.copyfile(edited, draft)
        draft.rename(self.manifests / edited.name)

    def _probe(self, source: str, target: str, family: int) -> Probe:
        [host] = [host for host in self._scene.sources if host.name == source]
        [goal] = [each for each in self._scene.targets if each.label == target]
        own = host.address(family)
        return Probe(self._lab.home(own), goal.host.address(family), goal.transport, goal.port, own)

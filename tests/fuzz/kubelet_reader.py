"""The reader of what a kubelet says of its pods: protobuf."""

from __future__ import annotations

from pathlib import Path

from policyd.cluster.events import Event
from policyd.kubelet.message import read_event
from policyd.node.two_sources import TwoSources, Word
from tests.cases.form import pod
from tests.fuzz.mutations import BYTES
from tests.fuzz.target import Target
from tests.kubelet.kubelet import ADDED, COMPLETE, DELETED, field, pod_bytes

POD = pod("x/a", "10.0.0.1", "fd00::1", ports=[{"name": "http", "containerPort": 80, "protocol": "TCP"}])


def kubelet_reader(_: Path) -> Target:
    """An event, and what comes of it for a node that knows nothing else."""

    def read(message: bytes) -> str:
        try:
            said = read_event(message)
        except ValueError as error:
            return f"no event: {error}"
        told: list[Event] = []
        if said.pod is not None:
            both = TwoSources(said.pod.node or "n1", told.extend)
            both.kubelet([Word(said.pod, ended=said.what == "ended")])
        return f"{said.what}, {len(told)} events"

    events = (field(1, kind) + field(2, pod_bytes(POD)) for kind in (ADDED, DELETED))
    return Target("kubelet", read, (*events, field(1, COMPLETE)), BYTES)

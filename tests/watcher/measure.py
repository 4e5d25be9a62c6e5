"""What a pod costs: `python -m tests.watcher.measure [PODS]` prints time and memory, from bytes to the store.

The pods are like those of a Deployment on a real cluster, 5 to 7 KB each; the bytes come from this process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic_core import from_json

from policyd.cluster.events import Event
from policyd.kube.decode import decode_live
from policyd.kube.registry import POD
from policyd.watcher.message import LIST_ENDS
from policyd.watcher.reflector import Reflector
from policyd.watcher.resource import Query
from policyd.watcher.transport import Answer
from tests.watcher.history import Raw, to_json
from tests.watcher.replies import event

CHUNK = 64 * 1024
CONDITION: Raw = {"lastProbeTime": None, "lastTransitionTime": "2026-11-23T21:47:59Z", "status": "True"}


def realistic_pod(number: int) -> Raw:
    """One of ten pods of a Deployment; five hundred nodes, two hundred namespaces, both IP families."""
    deployment = number // 10
    app, template = f"app-{deployment}", f"{deployment * 7919 % 0xFFFFFF:08x}"
    began = f"2026-11-{number % 28 + 1:02}T21:{number % 60:02}"
    container = realistic_container(app)
    fields: Raw = {f"f:{name}": {".": {}, "f:name": {}, "f:value": {}} for name in [*container, *CONDITION]}
    return {
        "metadata": {
            "name": f"{app}-{template}-{number * 104729 % 0xFFFFF:05x}",
            "generateName": f"{app}-",
            "namespace": f"team-{deployment % 200}",
            "uid": f"{number * 7919 % 0xFFFFFFFF:08x}-81c4-4002-9b76-{number * 104729:012x}",
            "resourceVersion": str(1_000_000 + number),
            "creationTimestamp": f"{began}:57Z",
            "labels": {"app": app, "pod-template-hash": template, "tier": "front"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "controller": True}
            ],
            "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}
                for manager in ("kube-controller-manager", "kubelet")
            ],
        },
        "spec": {
            "volumes": [
                {"name": f"volume-{index}", "configMap": {"name": f"c{index}"}} for index in range(4)
            ],
            "containers": [container],
            "nodeName": f"node-{number % 500}",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
        },
        "status": realistic_status(number, f"{began}:58Z"),
    }


def realistic_container(app: str) -> Raw:
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10}
    return {
        "name": "web",
        "image": "registry.example/team/web:1.2.3",
        "env": [{"name": f"VARIABLE_{index}", "value": f"value-{index}-of-{app}"} for index in range(12)],
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
        ],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m"}},
        "volumeMounts": [{"name": f"volume-{index}", "mountPath": f"/etc/{index}"} for index in range(4)],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def realistic_status(number: int, began: str) -> Raw:
    ips = [
        f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        f"fd00:244:{number % 500:x}::{number:x}",
    ]
    identity = {"imageID": "sha256:" + "a" * 64, "containerID": "containerd://" + "b" * 64}
    return {
        "phase": "Running",
        "conditions": [{"type": type_, **CONDITION} for type_ in ("Initialized", "Ready", "PodScheduled")],
        "hostIP": "192.0.2.1",
        "podIP": ips[0],
        "podIPs": [{"ip": ip} for ip in ips],
        "startTime": began,
        "containerStatuses": [{"name": "web", "ready": True, **identity}],
    }


class FromHere:
    """A Transport that streams a list of realistic pods, and then nothing."""

    def __init__(self, pods: int) -> None:
        self.pods = pods

    @asynccontextmanager
    async def get(self, path: str, query: Query, accept: str, seconds: float) -> AsyncIterator[Answer]:
        yield Answer(200, None, self._chunks())

    async def renew(self) -> None:
        """There are no credentials."""

    async def _chunks(self) -> AsyncIterator[bytes]:
        buffer = b""
        for line in self._lines():
            buffer += line
            while len(buffer) >= CHUNK:
                yield buffer[:CHUNK]
                buffer = buffer[CHUNK:]
        yield buffer
        await asyncio.Event().wait()

    def _lines(self) -> Iterator[bytes]:
        for number in range(self.pods):
            yield event("ADDED", to_json(realistic_pod(number)))
        end = {"metadata": {"resourceVersion": "9", "annotations": {LIST_ENDS: "true"}}}
        yield event("BOOKMARK", to_json(end))


def fill(pods: int) -> Reflector:
    """A reflector that has listed so many pods."""

    async def listed() -> Reflector:
        done = asyncio.Event()

        def sink(_events: Sequence[Event]) -> None:
            done.set()

        reflector = Reflector(POD, FromHere(pods), sink)
        task = asyncio.create_task(reflector.run())
        await done.wait()
        task.cancel()
        await asyncio.wait([task])
        return reflector

    return asyncio.run(listed())


def resident() -> int:
    """Bytes of memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def timed(work: Callable[[bytes], object], lines: Sequence[bytes]) -> float:
    """Microseconds for each line, the best of five."""
    times = []
    for _ in range(5):
        began = time.process_time()
        for line in lines:
            work(line)
        times.append(time.process_time() - began)
    return min(times) / len(lines) * 1e6


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(pods: int) -> None:
    lines = [event("MODIFIED", to_json(realistic_pod(number)))[:-1] for number in range(2000)]
    say(f"{sum(map(len, lines)) // len(lines)} bytes a pod")
    steps: dict[str, Callable[[bytes], object]] = {
        "json.loads": json.loads,
        "from_json": from_json,
        "from_json + decode_live": lambda line: decode_live(from_json(line)["object"], POD),
    }
    for name, work in steps.items():
        say(f"{name}: {timed(work, lines):.0f} µs a pod")
    del lines
    fill(100)  # what is loaded and cached once
    before = resident()
    reflector = fill(pods)
    say(f"{len(reflector.objects)} pods: {(resident() - before) / pods:.0f} bytes resident a pod")
    del reflector
    gc.collect()
    tracemalloc.start()
    kept = fill(pods)
    gc.collect()
    now, peak = tracemalloc.get_traced_memory()
    say(f"allocated: {now / pods:.0f} bytes a pod, at most {peak / pods:.0f}")
    del kept


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)

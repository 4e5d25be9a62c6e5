"""An API server in a process of its own, with a seeded cluster in it: so its time is not the agent's.

Reads commands from standard input and answers with JSON lines; ends with its input. The emulator is that of
the watcher's tests; pods are as long as real ones, 4 to 5 KB.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator, Mapping

from bench.scenarios import NODE, Manifest, Scale, cluster, local_pods
from tests.watcher.emulator import NAMESPACES, NODES, PODS, POLICIES, Emulator
from tests.watcher.measure import realistic_pod

PATHS = {"Pod": PODS, "Namespace": NAMESPACES, "NetworkPolicy": POLICIES, "Node": NODES}
#: Where probes live, apart from all others, isolated by a policy.
PLACE = "probes"
#: Of so many changes one is a probe: a new pod of the node, which is counted in the agent's log.
PROBE_EVERY = 20


async def main(scale: Scale) -> None:
    """Serve a cluster until standard input ends."""
    emulator = Emulator()
    for item in realistic(scale):
        emulator.put(PATHS[item["kind"]], item)
    changes = _Changes(emulator, scale)
    changes.begin()
    emulator.history.compact()
    gc.freeze()  # to look through 100 000 pods takes Python seconds, which would count as the agent's
    async with emulator.serve():
        _say({"url": emulator.url})
        while line := await asyncio.to_thread(sys.stdin.readline):
            await changes.do(json.loads(line))


def realistic(scale: Scale) -> Iterator[Manifest]:
    """The cluster with pods as long as real ones."""
    local = local_pods(scale)
    number = 0
    for item in cluster(scale):
        if item["kind"] == "Pod":
            long: Manifest = realistic_pod(number)
            for part in ("metadata", "spec", "status"):
                item[part] = {**long[part], **item[part]}
            item["spec"]["containers"] = long["spec"]["containers"]
            item["spec"]["nodeName"] = NODE if number in local else f"node-{1 + number % 99}"
            number += 1
        yield item


def probe_address(number: int) -> str:
    """The address of a probe; they are counted from 1, which there is from the beginning."""
    return f"10.200.{number >> 8}.{number & 255}"


def _policy(name: str, spec: Mapping[str, object]) -> Manifest:
    metadata = {"namespace": PLACE, "name": name}
    return {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": metadata, "spec": spec}


def _say(line: Mapping[str, object]) -> None:
    print(json.dumps(line), flush=True)


class _Changes:
    """What happens in the cluster when it is told so."""

    def __init__(self, emulator: Emulator, scale: Scale) -> None:
        self._emulator = emulator
        self._pods = [
            item
            for item in realistic(Scale(scale.pods, 0, scale.local, scale.per_namespace))
            if item["kind"] == "Pod"
        ]
        self._probes = 0
        self._policies = 0
        self._moved = 0

    def begin(self) -> None:
        """Put there what probes need."""
        self._emulator.put(NAMESPACES, {"metadata": {"name": PLACE}})
        self._emulator.put(POLICIES, _policy("probes", {"podSelector": {}, "policyTypes": ["Egress"]}))
        self._emulator.put(PODS, self._probe())

    async def do(self, command: Mapping[str, object]) -> None:
        """Do one thing, and say when it was done."""
        match command:
            case {"do": "churn", "rate": int(rate), "seconds": int(seconds)}:
                await self._churn(rate, seconds)
            case {"do": "policy"}:
                self._policies += 1
                ports = [{"port": 30_000 + 2 * number} for number in range(self._policies)]
                spec = {"podSelector": {}, "ingress": [{"ports": [port]} for port in ports]}
                began = time.time()
                self._emulator.put(POLICIES, _policy("changing", spec))
                _say({"at": began})
            case {"do": "crowd", "namespace": str(namespace), "pods": int(pods)}:
                self._crowd(namespace, pods)
            case {"do": "put", "item": dict(item)}:
                self._put(item)
            case {"do": "delete", "kind": str(kind), "key": str(key)}:
                began = time.monotonic()
                self._emulator.delete(PATHS[kind], key)
                _say({"at": began})
            case {"do": "burst", "items": list(items), "gap": float(gap)}:
                loop = asyncio.get_running_loop()
                began = loop.time()
                for number, item in enumerate(items):
                    await asyncio.sleep(began + number * gap - loop.time())
                    self._put(item)
            case _:
                raise AssertionError(command)
        _say({"done": True})

    def _put(self, item: Manifest) -> None:
        """Say when it was, by the monotonic clock, which is the same in all processes."""
        began = time.monotonic()
        self._emulator.put(PATHS[item["kind"]], item)
        _say({"at": began})

    def _crowd(self, namespace: str, pods: int) -> None:
        """Put pods of other nodes into one namespace, all at once."""
        self._emulator.put(NAMESPACES, {"metadata": {"name": namespace}})
        for number in range(pods):
            pod: Manifest = json.loads(json.dumps(self._pods[number % len(self._pods)]))
            addresses = [f"10.202.{number >> 8 & 255}.{number & 255}", f"fd00:202::{number:x}"]
            pod["metadata"] |= {"namespace": namespace, "name": f"one-of-many-{number}"}
            pod["metadata"].pop("uid")
            pod["spec"]["nodeName"] = "node-1"
            pod["status"] |= {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
            self._emulator.put(PODS, pod)

    async def _churn(self, rate: int, seconds: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(rate * seconds):
            await asyncio.sleep(began + number / rate - loop.time())
            if number % PROBE_EVERY == 0:
                self._send()
            else:
                self._move()

    def _send(self) -> None:
        pod = self._probe()
        began = time.time()
        self._emulator.put(PODS, pod)
        _say({"at": began})

    def _probe(self) -> Manifest:
        """A pod whose arrival in the ruleset can be seen from outside."""
        self._probes += 1
        pod: Manifest = json.loads(json.dumps(self._pods[0]))
        address = probe_address(self._probes)
        pod["metadata"] |= {"namespace": PLACE, "name": f"probe-{self._probes}", "labels": {}}
        pod["spec"]["nodeName"] = NODE
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
        pod["metadata"].pop("uid")
        return pod

    def _move(self) -> None:
        """Delete a pod of another node, or create it again elsewhere, with another address."""
        self._moved += 1
        pod = self._pods[((self._moved - 1) >> 1) * 7919 % len(self._pods)]
        if pod["spec"]["nodeName"] == NODE:
            return
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if self._moved & 1:
            if key in self._emulator.history.of(PODS):
                self._emulator.delete(PODS, key)
            return
        addresses = [f"10.201.{self._moved >> 8 & 255}.{self._moved & 255}", f"fd00:201::{self._moved:x}"]
        again = json.loads(json.dumps(pod))
        again["status"] |= {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
        self._emulator.put(PODS, again)


if __name__ == "__main__":
    asyncio.run(main(Scale(*map(int, sys.argv[1:5]))))

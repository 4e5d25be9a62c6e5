"""How long each kind of change takes in a cluster of any size: from the API server's event to the ruleset in
force.

Works on what `bench.scale.running` yields. The first moment is the server's, the second the agent's log's, to
a millisecond. What changes lies in namespaces of its own, next to the cluster's, but for the small one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.apiserver import PLACE
from bench.scale import Agent, Line, Server
from bench.scenarios import NODE

#: Pods of the node that a policy selects when it is edited; all the node's pods are these and the scale's.
SELECTED = 100
#: Pods of the large namespace that is relabelled.
CROWD = 10_000
#: Between two changes, so that each comes after a quiet spell.
REST_SECONDS = 0.3
#: At least so many changes of a kind, however long they take.
LEAST = 3


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: `samples` of a kind, or what `seconds` are enough for; a few at least."""

    samples: int = 100
    seconds: float = 60.0


class Events:
    """Changes of a running cluster."""

    def __init__(self, server: Server, agent: Agent, relabelled: str) -> None:
        """`relabelled`: a namespace of the cluster, all of whose pods are of usual number."""
        self._server, self._agent, self._small = server, agent, relabelled
        self._number = 0

    def prepare(self, most: int, *, crowd: bool) -> None:
        """Put there what changes need, for so many changes of each kind, and wait until it is in force."""
        put = [_policy("edited", {"selected": "yes"}, [{"app": "remote"}])]
        put += [_policy(f"special-{number}", {"special": str(number)}, []) for number in range(most)]
        put += [_namespace_policy(), _pod("remote-0", {"app": "remote"}, 0, "node-1")]
        put += [_pod(f"selected-{n}", {"selected": "yes"}, 1 + n, NODE) for n in range(SELECTED)]
        self._number = SELECTED + 1
        if crowd:
            self._server.do(do="crowd", namespace="crowd", pods=CROWD)
        before = self._pods()
        self._server.links.add(map(_addresses, range(1, 1 + SELECTED)))
        self._server.do(do="burst", items=put, gap=0.0)
        self._agent.until(lambda lines: lines[-1]["pods"] == before + SELECTED)
        time.sleep(1.0)

    def measure(self, effort: Effort, *, crowd: bool) -> dict[str, list[float]]:
        """Make every kind of change; the seconds by kind."""
        kinds: dict[str, Callable[[int], float]] = {
            "remote-pod": self._remote_pod,
            "local-pod-known": lambda _: self._local_pod({}),
            "local-pod-new": lambda number: self._local_pod({"special": str(number)}),
            "policy-edited": self._policy_edited,
            "namespace-relabelled": lambda number: self._relabelled(self._small, number),
        }
        if crowd:
            kinds["crowd-relabelled"] = lambda number: self._relabelled("crowd", number)
        return {kind: _repeat(change, effort) for kind, change in kinds.items()}

    def _remote_pod(self, number: int) -> float:
        return self._in_force(_pod(f"remote-{number + 1}", {"app": "remote"}, self._fresh(), "node-1"))

    def _local_pod(self, labels: dict[str, str]) -> float:
        """A pod of the node comes; afterwards it goes, which is not measured."""
        before, number = self._pods(), self._fresh()
        self._server.links.add([_addresses(number)])
        time.sleep(REST_SECONDS)
        took = self._in_force(_pod(f"local-{number}", labels, number, NODE))
        self._server.do(do="delete", kind="Pod", key=f"{PLACE}/local-{number}")
        self._agent.until(lambda lines: lines[-1]["pods"] == before)
        return took

    def _policy_edited(self, number: int) -> float:
        ports = [{"port": 20_000 + 2 * each} for each in range(2 + number % 2)]
        return self._in_force(_policy("edited", {"selected": "yes"}, [{"app": "remote"}], ports))

    def _relabelled(self, namespace: str, number: int) -> float:
        labels = {"relabelled": "no" if number % 2 else "yes"}
        return self._in_force({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})

    def _in_force(self, item: Line) -> float:
        known = len(self._agent.in_force())
        wall = time.time() - time.monotonic()
        (said,) = self._server.do(do="put", item=item)
        return float(self._agent.until(lambda lines: len(lines) > known)[known]["at"] - wall - said["at"])

    def _pods(self) -> int:
        return int(self._agent.in_force()[-1]["pods"])

    def _fresh(self) -> int:
        self._number += 1
        return self._number


def _repeat(change: Callable[[int], float], effort: Effort) -> list[float]:
    end, found = time.monotonic() + effort.seconds, list[float]()
    while len(found) < LEAST or (len(found) < effort.samples and time.monotonic() < end):
        found.append(change(len(found)))
        time.sleep(REST_SECONDS)
    return found


def _addresses(number: int) -> tuple[str, str]:
    return f"10.203.{number >> 8}.{number & 255}", f"fd00:203::{number:x}"


def _pod(name: str, labels: dict[str, str], number: int, node: str) -> Line:
    addresses = _addresses(number)
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"namespace": PLACE, "name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def _policy(
    name: str, selects: dict[str, str], peers: list[dict[str, str]], ports: list[Line] | None = None
) -> Line:
    sources = [{"podSelector": {"matchLabels": labels}} for labels in peers]
    return _manifest(name, selects, [{"from": sources, "ports": ports or [{"port": 80}]}] if peers else [])


def _namespace_policy() -> Line:
    peer = {"namespaceSelector": {"matchLabels": {"relabelled": "yes"}}}
    return _manifest("relabelled", {"selected": "yes"}, [{"from": [peer]}])


def _manifest(name: str, selects: dict[str, str], ingress: list[Line]) -> Line:
    return {
        "kind": "NetworkPolicy",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"namespace": PLACE, "name": name},
        "spec": {"podSelector": {"matchLabels": selects}, "policyTypes": ["Ingress"], "ingress": ingress},
    }

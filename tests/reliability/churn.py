"""A cluster that never rests, on an API server that fails: random objects, and two pods under guard.

Namespace x holds the pods a and b. Whatever else changes, policies forbid a > b udp/1001 at every moment, by
a's egress, b's ingress or both, and allow udp/2002 and udp/3003.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from policyd.cluster.state import ClusterState
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest
from tests.reliability.flows import PORTS
from tests.reliability.states import Key, Pool, decoded, key_of
from tests.watcher import replies
from tests.watcher.emulator import KINDS, Cut, Emulator, How

PATHS = {kind: path for path, kind in KINDS.items()}
GUARDED = {"a": ("10.244.1.2", "fd00:10:244:1::2"), "b": ("10.244.1.3", "fd00:10:244:1::3")}
NODES = {f"n{number}": (f"192.0.2.{number}", f"2001:db8:1::{number}") for number in (1, 2, 3)}
MOST_FAULTS = 2
ENDS: tuple[How, ...] = ("reset", "drop", "half-line", "end")


class Churn:
    """What happens in the cluster, and to its server. Each method is one thing more."""

    def __init__(self, emulator: Emulator, pool: Pool, rng: random.Random) -> None:
        self.emulator = emulator
        self._pool, self._rng = pool, rng
        self._known: dict[Key, Manifest] = {}
        self._guards: dict[str, Manifest] = {}
        self.changes = self.faults = 0
        for name, addresses in NODES.items():
            self._put(_node(name, addresses))
        self._put(namespace("x"))
        for name, held in GUARDED.items():
            self._put(pod(f"x/{name}", *held))
        self.guard()
        self.move()

    def objects(self) -> list[Manifest]:
        """What the server holds."""
        held = [(path, json.loads(text)) for path in KINDS for _, text in self.emulator.history.listed(path)]
        return [{"kind": KINDS[path], "apiVersion": _version(path), **raw} for path, raw in held]

    def state(self) -> ClusterState:
        return decoded(self.objects())

    def step(self) -> None:
        """Change something: mostly a few objects, sometimes a guard, rarely everything."""
        chance = self._rng.random()
        if chance < 0.03:
            self.move()
        elif chance < 0.25:
            self.guard()
        else:
            for _ in range(self._rng.randrange(1, 5)):
                self._change(self._rng.choice(self._pool.known))

    def move(self) -> None:
        """Go to another state of the cluster altogether."""
        state = self._pool.state(self._rng.randrange(3, 1 << 32))
        for key in self._pool.known:
            self._become(key, state.get(key))

    def guard(self) -> None:
        """Let others guard x: they come before those go that did it until now."""
        name = self._rng.choice(("out", "in"))
        self._guards[name] = self._guard(name)
        self._put(self._guards[name])
        other = "in" if name == "out" else "out"
        if other in self._guards and self._rng.random() < 0.5:
            self._delete(key_of(self._guards.pop(other)))

    def _guard(self, name: str) -> Manifest:
        peer, key = ("b", "to") if name == "out" else ("a", "from")
        peers = [
            [pods(pod=peer)],
            [namespaces()],
            [block(f"{GUARDED[peer][0]}/32"), block(f"{GUARDED[peer][1]}/128")],
            [block("10.244.0.0/16", "10.244.1.200/32"), block("fd00::/8")],
        ]
        low, high = PORTS["allowed"], PORTS["established"]
        ports = [
            [{"protocol": "UDP", "port": low}, {"protocol": "UDP", "port": high}],
            [{"protocol": "UDP", "port": low, "endPort": high + self._rng.randrange(99)}],
        ]
        strangers = [f"198.51.100.{self._rng.randrange(256)}/32" for _ in range(self._rng.randrange(3))]
        rules = [{key: self._rng.choice(peers), "ports": self._rng.choice(ports)}]
        rules += [{key: [block(stranger)]} for stranger in strangers]
        self._rng.shuffle(rules)
        write = egress if name == "out" else ingress
        return write("x", "a" if name == "out" else "b", *rules, name=name)

    def _change(self, key: Key) -> None:
        self._become(key, self._rng.choice([*self._pool.versions(key), None]))

    def _become(self, key: Key, raw: Manifest | None) -> None:
        if raw is None:
            if key in self._known:
                self._delete(key)
        elif self._known.get(key) != raw:
            self._put(raw)

    def _put(self, raw: Manifest) -> None:
        self._known[key_of(raw)] = raw
        self.emulator.put(PATHS[raw["kind"]], raw)
        self.changes += 1

    def _delete(self, key: Key) -> None:
        del self._known[key]
        self.emulator.delete(PATHS[key[0]], key[1])
        self.changes += 1

    # What goes wrong

    def fail(self) -> None:
        """Let the server or the network fail in some way, if not too much is to come anyway."""
        if len(self.emulator.faults) > MOST_FAULTS:
            return  # each failure in a row doubles the pause, and a run needs times without
        self.faults += 1
        ways: list[Callable[[str], None]] = [self._cut, self._cut_next, self._forget, self._refuse]
        self._rng.choice(ways)(self._rng.choice(sorted(KINDS)))

    def _cut(self, path: str) -> None:
        self.emulator.cut(path, self._rng.choice(ENDS))

    def _cut_next(self, path: str) -> None:
        self.emulator.faults.append(Cut(self._rng.randrange(8), self._rng.choice(ENDS)))
        self.emulator.cut(path, "drop")

    def _forget(self, path: str) -> None:
        """The next watch from an old version is 410, and so is the rest of a list."""
        self.emulator.history.compact()
        self.emulator.expire_pages()
        self.emulator.cut(path, "drop")

    def _refuse(self, path: str) -> None:
        code = self._rng.choice((429, 500, 503, 504))
        for _ in range(self._rng.randrange(1, 4)):
            status = replies.status(code, "Because", "of a test")
            self.emulator.faults.append(replies.refuse(status, {"Retry-After": "0"}))
        self.emulator.cut(path, "reset")


def _version(path: str) -> str:
    return path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")[0]


def _node(name: str, addresses: tuple[str, ...]) -> Manifest:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "Hostname", "address": name}, *listed]},
    }

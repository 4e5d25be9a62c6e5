"""States of a cluster, mixed from random worlds, the roads from one to another, and what each means.

A `Pool` has several versions of each object; a `State` has one version of some of them. Every state is one
that a cluster could be in, however odd.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from policyd.cluster.events import Delete, Event, Upsert
from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.pipeline import build
from policyd_compiler.nft.ast import Table
from policyd_compiler.options import Options
from policyd_compiler.sim import Packet, Simulator
from tests.oracle import Connection, Manifest, Oracle
from tests.reliability.kernel import strip
from tests.routes import node_addresses, packet
from tests.strategies.clusters import Shape
from tests.strategies.worlds import random_connections, random_world

NODE = "n1"
SHAPE = Shape(pods=7, policies=5)
PROBES = 40
OPTIONS = Options()
#: Without budgets: for what is larger than an honest cluster, and is to be compiled all the same.
UNBOUNDED = replace(OPTIONS, policy_budget=1 << 40, namespace_budget=1 << 40)

Key: TypeAlias = tuple[str, str]
State: TypeAlias = Mapping[Key, Manifest]
Order: TypeAlias = Literal["as it comes", "reversed", "shuffled", "by kind", "deletes first", "deletes last"]
#: For each probe, whether it passes.
Meaning: TypeAlias = tuple[bool, ...]


def key_of(raw: Manifest) -> Key:
    """Give the kind of a manifest, and its key in a store."""
    metadata = raw["metadata"]
    namespace = metadata.get("namespace")
    return raw["kind"], f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def _unique(raw: Manifest, world: int) -> Manifest:
    """Give a uid that nothing else has: of several claimants of an address it decides who is named first."""
    metadata = raw["metadata"]
    if "uid" in metadata:
        metadata = {**metadata, "uid": f"{metadata['uid']}-{key_of(raw)[1]}-{world}"}
    return {**raw, "metadata": metadata}


def decode(raw: Manifest) -> KubeObject:
    """Decode a manifest as what comes from a server."""
    item = decode_live(raw).item
    assert item is not None
    return item


def upsert(raw: Manifest) -> Event:
    return Upsert(key_of(raw)[1], decode(raw))


@dataclass(slots=True)
class Pool:
    """Worlds from a seed, and probes aimed at the edges of all of them."""

    seed: int
    shape: Shape = SHAPE
    count: int = PROBES
    worlds: list[State] = field(init=False)
    probes: list[tuple[Connection, Packet]] = field(init=False)
    _versions: dict[Key, list[Manifest]] = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        drawn = [[_unique(raw, n) for raw in random_world(rng, self.shape)] for n in range(3)]
        self.worlds = [{key_of(raw): raw for raw in world} for world in drawn]
        everything = [raw for world in drawn for raw in world]
        self._versions = {}
        for raw in everything:
            self._versions.setdefault(key_of(raw), []).append(raw)
        own = node_addresses(everything)
        found = ((c, packet(c, NODE, own)) for c in random_connections(rng, everything, self.count))
        self.probes = [(connection, met) for connection, met in found if met is not None]

    def state(self, target: str | int) -> State:
        """Give one of the worlds by its number, the empty state, or a mixture: of each object any version."""
        match target:
            case "empty":
                return {}
            case 0 | 1 | 2:
                return self.worlds[target]
            case _:
                rng = random.Random(target)
                chosen = {key: rng.choice([*versions, None]) for key, versions in self._versions.items()}
                return {key: raw for key, raw in chosen.items() if raw is not None}

    @property
    def known(self) -> list[Key]:
        """Name every object that is in some world, but for nodes."""
        return [key for key in self._versions if key[0] != "Node"]

    def versions(self, key: Key) -> list[Manifest]:
        """Give what an object is in the worlds that have it."""
        return self._versions[key]

    def other(self, key: Key, rng: random.Random) -> Event:
        """Say something about an object that may not hold."""
        raw = rng.choice([*self._versions[key], None])
        return Delete(*key) if raw is None else upsert(raw)

    def meant(self, state: State) -> Meaning:
        """Say what the oracle says of each probe."""
        oracle = Oracle(state.values(), live=True)
        return tuple(oracle.node_verdict(connection, NODE) for connection, _ in self.probes)

    def done(self, table: Table | None) -> Meaning:
        """Say what a ruleset does to each probe; without a ruleset everything passes."""
        if table is None:
            return (True,) * len(self.probes)
        simulator = Simulator(table)
        return tuple(simulator.evaluate(met).verdict == "accept" for _, met in self.probes)

    def differences(self, found: Meaning, wanted: Meaning) -> list[str]:
        """Name the probes about which two disagree."""
        rows = zip(self.probes, found, wanted, strict=True)
        return [f"{c}: {was}, not {right}" for (c, _), was, right in rows if was != right]


def roads(old: State, new: State, order: Order, seed: int, pool: Pool | None = None) -> list[Event]:
    """Say what leads from one state to another. What is said last about each object is what holds in the end.

    With a pool, of some objects something else is said first, and some things are said twice.
    """
    rng = random.Random(seed)
    kinds = rng.sample(KINDS.names, len(KINDS.names))
    words: list[tuple[float, Event]] = []
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    for number, key in enumerate(changed):
        last = upsert(new[key]) if key in new else Delete(*key)
        said = [last]
        if pool is not None and rng.random() < 0.3:
            said = [*(pool.other(key, rng) for _ in range(rng.randrange(3))), last, last]
        rank = kinds.index(key[0])
        # What is said of one object stays in its order, whatever comes between.
        places = sorted(_place(order, number, rank, rng.random(), gone=key not in new) for _ in said)
        words.extend(zip(places, said, strict=True))
    return [word for _, word in sorted(words, key=lambda item: item[0])]


def _place(order: Order, number: int, kind: int, chance: float, *, gone: bool) -> float:
    match order:
        case "as it comes":
            return number
        case "reversed":
            return -number
        case "shuffled":
            return chance
        case "by kind":
            return kind + chance
        case "deletes first":
            return chance - gone
        case "deletes last":
            return chance + gone
        case _:
            assert_never(order)


def decoded(raws: Iterable[Manifest]) -> ClusterState:
    """Give these manifests as a store would hold them."""
    return ClusterState.of(map(decode, raws))


def compiled(state: ClusterState) -> Table:
    """Compile a state from nothing: what every road to it must lead to."""
    return strip(build(state, NODE, OPTIONS).table)

"""The one path from a cluster to a ruleset. The command line and the agent both come this way. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from policyd.cluster.ambient import for_mesh
from policyd.cluster.attachments import attached, with_nodes
from policyd.cluster.findings import Finding
from policyd.cluster.idle import IdlePeer
from policyd.cluster.resolve import Resolved, resolve
from policyd.cluster.state import ClusterState
from policyd_compiler.budget import Budget, OverBudget, over_budget
from policyd_compiler.driver import compile_snapshot
from policyd_compiler.ir import Endpoint, Snapshot
from policyd_compiler.lower.lower import Lowered
from policyd_compiler.lower.owners import Owners
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options

#: What an agent writes first; the applier counts on from what the kernel holds.
FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True)
class Stats:
    """How much a ruleset holds, counted in the kernel's terms, and what it stands for."""

    pods: int
    isolated: int
    policies: int
    chains: int
    rules: int
    sets: int
    elements: int
    #: Peers, of policies that select pods of the node, that select no pod with an address.
    idle_peers: int = 0


@dataclass(frozen=True)
class Ruleset:
    """One node's ruleset, and what was odd in the cluster.

    `owners`: for each chain, set and map, the policies (`namespace/name`) that it serves. `warnings` hold the
    sentences of `findings`, too. `idle`: peers that select nobody, told by who compiles once
    (`cluster/idle.py`), as that may be so for long. `over`: the policies that are quarantined for their cost.
    """

    table: Table
    owners: Owners
    warnings: tuple[str, ...]
    stats: Stats
    findings: tuple[Finding, ...] = ()
    idle: tuple[IdlePeer, ...] = ()
    over: tuple[OverBudget, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build was made of, and what one `policyd.graph.graph.Graph` works out later changes from.

    `closed`: the policies that were quarantined from the beginning. `state`: the cluster with the very
    policies that were resolved, which for a mesh are not those that are written.
    """

    state: ClusterState
    resolved: Resolved
    lowered: Lowered
    budget: Budget
    options: Options
    closed: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Build(Ruleset):
    """A ruleset, the snapshot that it was compiled from, and what else went into it."""

    snapshot: Snapshot
    sources: Sources = field(compare=False, repr=False)


def build(
    state: ClusterState, node: str, options: Options, quarantined: frozenset[str] = frozenset()
) -> Build:
    """Compile a cluster for one node.

    Policies in `quarantined` isolate their pods and allow nothing (decisions 8), and so do those that would
    cost more than the budgets of `options`.
    """
    budget = Budget(options.policy_budget, options.namespace_budget)
    state = for_mesh(state, options)
    resolved = resolve(state, node, quarantined, budget)
    over = resolved.over
    if too_dear := over_budget(resolved.snapshot, budget):
        over = tuple(sorted((*over, *too_dear), key=lambda each: each.policy))
        resolved = resolve(state, node, quarantined.union(each.policy for each in over))
    snapshot = attached(with_nodes(resolved.snapshot, state.nodes.values()), state.attachments)
    lowered = compile_snapshot(snapshot, options)
    table = stamp(lowered.table, FIRST_GENERATION)
    findings = as_open(resolved.findings, options)
    stats = count(snapshot.endpoints, table, resolved.policies, len(resolved.idle))
    return Build(
        table,
        lowered.owners,
        resolved.warnings,
        stats,
        findings,
        resolved.idle,
        over,
        snapshot=snapshot,
        sources=Sources(state, resolved, lowered, budget, options, quarantined),
    )


def as_open(findings: tuple[Finding, ...], options: Options) -> tuple[Finding, ...]:
    """Where pods' interfaces are known, a pod without a known address neither sends nor receives (NP-107)."""
    guarded = bool(options.pod_interfaces)
    return tuple(replace(f, is_open=f.is_open and not guarded) for f in findings)


def count(endpoints: Sequence[Endpoint], table: Table, policies: int, idle_peers: int) -> Stats:
    """Count what a table holds, and what it stands for."""
    return Stats(
        pods=len(endpoints),
        isolated=sum(1 for e in endpoints if e.ingress or e.egress),
        policies=policies,
        chains=len(table.chains),
        rules=sum(len(chain.rules) for chain in table.chains),
        sets=len(table.parts),
        elements=sum(len(part.elements) for part in table.parts),
        idle_peers=idle_peers,
    )

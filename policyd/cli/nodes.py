"""For which node of a cluster something is compiled: the one that is named, or the only one there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policyd.cluster.idle import idle_warnings
from policyd.cluster.state import ClusterState
from policyd.errors import Diagnostic, WrongUsage
from policyd.kube.syntax import did_you_mean, quote
from policyd.lint.finding import Finding
from policyd.pipeline import Build

#: Nodes named in a message; a cluster may have thousands.
_NAMED = 10


def choose_node(named: str | None, state: ClusterState, hint: str = "name one with --node") -> str:
    """The node to compile for. A name that nobody knows is an accident that would open everything.

    Raises WrongUsage; `hint` is what to do where there are several.
    """
    known = state.node_names()
    if named is not None:
        if known and named not in known:
            close = did_you_mean(named, known) if len(known) > _NAMED else ""
            raise WrongUsage(f"there is no node {quote(named)}{close or _list(known)}")
        return named
    if not known:
        raise WrongUsage(
            "no node is named in what was read: read Nodes or Pods, too, or name a node with --node"
        )
    if len(known) > 1:
        raise WrongUsage(f"which node? {hint}{_list(known)}")
    return known[0]


def choose_nodes(named: str | None, state: ClusterState, *, all_nodes: bool) -> tuple[str, ...]:
    """All nodes with `--all-nodes`, else one. Raises WrongUsage."""
    known = state.node_names()
    if all_nodes and known:
        return known
    return (choose_node(named, state, "name one with --node, or take --all-nodes"),)


def build_warnings(
    state: ClusterState, built: Build, certain: Iterable[Finding] = (), *, one_node: bool
) -> Iterator[Diagnostic]:
    """What is odd in the cluster, peers that select nobody, and that a node without pods is all open.

    Of peers that `certain` findings are about there is more to say than that they select nobody.
    """
    warnings = [*built.warnings, *_over_budget(built)]
    if not built.stats.pods and one_node:
        warnings.append(
            f"no pod of node {built.snapshot.node} has an address: the ruleset lets everything pass"
        )
    yield from (Diagnostic("policyd", 0, 0, "warning", text) for text in warnings)
    known = tuple(f"{finding.object.kind} {finding.object}: {finding.path} " for finding in certain)
    for source, text in idle_warnings(state, built.idle):
        if text.startswith(known):
            continue
        file, line = (source.file, source.line) if source else ("policyd", 0)
        yield Diagnostic(file, line, 1 if line else 0, "warning", text)


def _over_budget(built: Build) -> Iterator[str]:
    """One sentence for all policies that are closed for one reason: a namespace may have thousands."""
    names: dict[str, list[str]] = {}
    for over in built.over:
        names.setdefault(over.sentence, []).append(over.policy)
    for sentence, policies in names.items():
        more = f" and {len(policies) - _NAMED} more" if len(policies) > _NAMED else ""
        named = f"{', '.join(policies[:_NAMED])}{more}"
        yield f"quarantined, so their pods are isolated and they allow nothing: {named}: {sentence}"


def _list(nodes: tuple[str, ...]) -> str:
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return f"; there are {', '.join(nodes[:_NAMED])}{more}"

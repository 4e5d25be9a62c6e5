"""Whole namespaces, or all with one label, in place of their pods and workloads. Pure.

What a group may do is what at least one of it may do to at least one of the other, in any family: the
question is where anything can pass at all. What is allowed to nobody, and may be to somebody, is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from policyd.ask.endpoints import Endpoint
from policyd.ask.judged import CLOSED, Judged
from policyd.ask.reach import Connection, Outside, Reachability

#: What stands for an endpoint among others.
Group: TypeAlias = Callable[[Endpoint], Endpoint]
#: Kinds of what stands for several endpoints.
GROUPS = ("Namespace", "Label")
_WHOLE = ("0.0.0.0/0", "::/0")


def by_namespace(endpoint: Endpoint) -> Endpoint:
    """The namespace of an endpoint."""
    return _group(f"namespace/{endpoint.namespace}", "Namespace", endpoint.namespace)


def by_label(key: str) -> Group:
    """All with one value of a label, wherever they are; and all without it."""

    def group(endpoint: Endpoint) -> Endpoint:
        value = dict(endpoint.labels).get(key)
        name = f"without {key}" if value is None else f"{key}={value}"
        return _group(f"label/{name}", "Label", name)

    return group


def _group(id_: str, kind: str, name: str) -> Endpoint:
    return Endpoint(id_, "", kind, name, (), (), ())


def grouped(found: Reachability, group: Group) -> Reachability:
    """The same answer about groups. Between members of one group there is a connection of it with itself."""
    groups = {each.id: group(each) for each in found.endpoints}
    ends = sorted({each.id: each for each in groups.values()}.values(), key=lambda each: each.name)
    judged: dict[tuple[str, str], Judged] = {}
    for each in found.connections:
        pair = groups[each.sender.id].id, groups[each.receiver.id].id
        known = judged.get(pair, CLOSED)
        judged[pair] = Judged(known.allowed | each.judged.allowed, known.possible | each.judged.possible)
    by_id = {each.id: each for each in ends}
    connections = tuple(
        Connection(by_id[sender], by_id[receiver], None, judged[sender, receiver])
        for sender, receiver in sorted(judged)
    )
    outside = (replace(each, endpoint=groups[each.endpoint.id]) for each in found.outside)
    return Reachability(tuple(ends), connections, tuple(_merged(outside)))


def _merged(found: Iterable[Outside]) -> Iterator[Outside]:
    """Each entry once, but for those that another one holds: of all addresses, and with these ports."""
    entries = list(dict.fromkeys(found))
    for each in entries:
        if not any(_holds(other, each) for other in entries if other is not each):
            yield each


def _holds(other: Outside, each: Outside) -> bool:
    alike = (other.endpoint, other.inbound, other.family) == (each.endpoint, each.inbound, each.family)
    whole = other.block.cidr in _WHOLE and not other.block.excepts
    return alike and whole and not each.allowed - other.allowed

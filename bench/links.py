"""Interfaces of the node's pods, as a network plugin makes them before the API server knows of addresses.

Veth pairs with host routes, as ptp, Calico and the cloud CNIs have them. The pods' ends share one namespace,
as nobody sends anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from policyd.lab.namespace import Namespace


class Links:
    """Interfaces of pods of one node; without them each look asks for all pods' routes in vain."""

    def __init__(self, node: Namespace) -> None:
        """`node` is not closed with these."""
        self._node, self._pods = node, Namespace("pods")
        self._numbers = count(1)

    def add(self, pods: Iterable[Sequence[str]]) -> None:
        """Make one for each pod, with these addresses, of either family."""
        numbered = [(next(self._numbers), addresses) for addresses in pods]
        pairs = [f"link add veth{n} type veth peer name eth{n} netns {self._pods.path}" for n, _ in numbered]
        self._node.ip([*pairs, *(f"link set veth{n} up" for n, _ in numbered)])
        inside = [f"address add {each} dev eth{n}" for n, addresses in numbered for each in addresses]
        self._pods.ip([*inside, *(f"link set eth{n} up" for n, _ in numbered)])
        self._node.ip([f"route add {each} dev veth{n}" for n, addresses in numbered for each in addresses])

    def close(self) -> None:
        """Remove them. Idempotent."""
        self._pods.close()

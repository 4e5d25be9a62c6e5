"""The addresses of a test cluster. They are private to its machines, so every cluster has the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Addresses:
    """One place on the network, in both families."""

    v4: str
    v6: str


CONTROL_PLANE = Addresses("172.30.0.10", "fd30::10")
NODES = {"n1": Addresses("172.30.0.11", "fd30::11"), "n2": Addresses("172.30.0.12", "fd30::12")}
LENGTHS = Addresses("24", "64")  # the prefix lengths of the network between the machines
PODS = Addresses("10.244.0.0/16", "fd00:244::/56")
SERVICES = Addresses("10.96.0.0/16", "fd00:96::/112")
API_SERVICE = "10.96.0.1"  # the Service `kubernetes` takes the first address
API_PORT = 6443

"""Settings that change what is compiled, with the decision behind each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Options:
    """How policies become rules.

    `pod_interfaces` are names of this node's pod interfaces (a trailing `*` for all that begin so); with any,
    unknown local pods are closed (decisions 4). `node_egress`: whether a pod's traffic to its own node is
    judged (decisions 2). `hairpin`: whether a pod that reaches itself through its own Service is judged
    (decisions 1). `deny`: drop silently, or reject for debugging (decisions 5).
    """

    table: str = "policyd"
    pod_interfaces: tuple[str, ...] = ()
    node_egress: Literal["enforce", "exempt"] = "enforce"
    hairpin: Literal["allow", "evaluate"] = "allow"
    deny: Literal["drop", "reject"] = "drop"

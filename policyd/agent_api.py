"""What the agent answers at /debug/state: written by the agent, read by commands, the same models for both.

A further field has a default, so that a command reads what an agent of before says; what it does not know it
passes over. What means something else gets another name, or all of it another `apiVersion`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

API_VERSION: Literal["policyd/v1"] = "policyd/v1"


class _Answer(BaseModel):
    """Part of an answer, made of a dataclass with the same fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


class ReportedCondition(_Answer):
    """Something that is not as it should be. `degraded`: policies may not be enforced as they stand."""

    name: str
    text: str
    degraded: bool = True


class RulesetSize(_Answer):
    """How much is in force."""

    pods: int = 0
    isolated: int = 0
    policies: int = 0
    chains: int = 0
    rules: int = 0
    sets: int = 0
    elements: int = 0
    idle_peers: int = 0


class AddressFinding(_Answer):
    """What is odd about an address that pods claim."""

    name: str
    text: str
    pods: tuple[str, ...] = ()
    is_open: bool = False


class RulesetInForce(_Answer):
    """The ruleset in force. `since` is wall clock, in seconds."""

    generation: int
    since: float
    stats: RulesetSize = RulesetSize()
    warnings: tuple[str, ...] = ()
    findings: tuple[AddressFinding, ...] = ()


class KnownObjects(_Answer):
    """What is known of a kind. `stale_seconds` ago that was known to be complete."""

    kind: str
    count: int
    stale_seconds: float | None = None
    mistakes: dict[str, tuple[str, ...]] = {}


class InterfaceCount(_Answer):
    """How many pods of the node are bound to ports of bridges, to links of their own, and to nothing."""

    ports: int = 0
    links: int = 0
    unbound: int = 0


class OwnPods(_Answer):
    """By whose word the node's pods are known: the kubelet's, too, which has said something of so many; and
    why not, where it is asked. None: the API server's alone, or manifests'."""

    kubelet: bool | None = None
    pods: int = 0
    reason: str = ""


class GovernedPod(_Answer):
    """A pod of the node, and the policies that isolate it in each direction; None: none does, it is open."""

    name: str
    ingress: tuple[str, ...] | None = None
    egress: tuple[str, ...] | None = None


class JudgedInside(_Answer):
    """How many pods are judged in their own namespaces; addresses of those whose rules are in force."""

    pods: int = 0
    addresses: tuple[str, ...] = ()


class PolicyFindings(_Answer):
    """What is certainly wrong with policies: how much, and the first sentences."""

    count: int = 0
    named: tuple[str, ...] = ()


class Proven(_Answer):
    """What was proved when: that the ruleset of a generation is what the policies mean. `at`: wall clock.

    `whole_at`: when all of a ruleset was last compared, and not only what had changed.
    """

    proved: bool | None = None
    at: float = 0.0
    whole_at: float = 0.0
    generation: int = 0
    told: tuple[str, ...] = ()


class AgentState(_Answer):
    """All of it."""

    apiVersion: Literal["policyd/v1"] = API_VERSION  # noqa: N815 Kubernetes' word
    settings: dict[str, object] = {}
    conditions: tuple[ReportedCondition, ...] = ()
    enforced: RulesetInForce | None = None
    quarantined: dict[str, str] = {}
    repairs: int = 0
    rulesets_made: dict[str, int] = {}
    not_followed: dict[str, int] = {}
    verified: float = 0.0
    waiting_for: tuple[str, ...] = ()
    objects: tuple[KnownObjects, ...] = ()
    interfaces: InterfaceCount | None = None
    inside: JudgedInside = JudgedInside()
    own_pods: OwnPods = OwnPods()
    findings: PolicyFindings = PolicyFindings()
    pods: tuple[GovernedPod, ...] = ()
    proof: Proven = Proven()

    @property
    def enforcing(self) -> bool:
        """Whether what is in force is what the objects say."""
        return self.enforced is not None and not any(condition.degraded for condition in self.conditions)

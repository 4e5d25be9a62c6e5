"""NP203: namespaces without any policy (asked for); NP204: rules that open pods to everybody."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.kube.objects import Source
from policyd.kube.selectors import matches
from policyd.lint.drafts import Draft, Subject, items, mapping
from policyd.lint.seen import Seen
from policyd.lint.selectors import RULE_SIDES


def open_to_all(subject: Subject) -> Iterator[Draft]:
    """NP204: ingress without peers and ports; an empty list of peers, which is everybody (NP-014)."""
    if subject.policy is None:
        return
    for direction, side in RULE_SIDES.items():
        if getattr(subject.policy, direction) is None:
            continue
        for number, rule in enumerate(items(subject.spec.get(direction))):
            path = ("spec", direction, number)
            raw = mapping(rule)
            peers, ports = raw.get(side), raw.get("ports")
            whom = "from everybody" if direction == "ingress" else "to everybody"
            if peers == []:
                text = f"is an empty list, which is not nobody: it allows traffic {whom}"
                hint = f"for nobody leave the rule out; for everybody leave {side} out"
                yield Draft("NP204", (*path, side), text, hint=hint)
            elif direction == "ingress" and not peers and not ports:
                text = "lets everybody in, at every port: pods, nodes, and addresses outside of the cluster"
                yield Draft("NP204", path, text, hint="name ports, or from whom")


def no_baseline(seen: Seen) -> Iterator[tuple[str, Source | None, str]]:
    """NP203: namespaces in which there are pods that no policy isolates, with what to say of each."""
    for name in seen.namespaces:
        pods = [pod for pod in seen.of(seen.within((name,))) if not pod.host_network]
        policies = seen.policies_in.get(name, ())
        bare = [pod for pod in pods if not any(matches(p.pods, dict(pod.labels)) for p in policies)]
        if bare:
            more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
            text = f"has pods that no policy isolates: {bare[0].name}{more}"
            yield name, seen.sources.get(name) or bare[0].source, text

"""Selectors in labels that a pod can have: what no API server takes is never there (NP-045)."""

from __future__ import annotations

from itertools import chain

from policyd.kube.objects import LabelSelector, Requirement
from policyd.kube.syntax import label_key_mistake, label_value_mistake

_KEY = "policyd-nothing"
#: No pod has a label and has it not.
NOTHING = LabelSelector((Requirement(_KEY, "DoesNotExist"), Requirement(_KEY, "Exists")))


def legal(selector: LabelSelector) -> tuple[Requirement, ...]:
    """Requirements that mean the same, in labels that exist."""
    return tuple(chain.from_iterable(map(_legal, selector.requirements)))


def contradicts(requirements: tuple[Requirement, ...]) -> bool:
    """Whether it is plain that nothing can meet them all."""
    missing = {r.key for r in requirements if r.operator == "DoesNotExist"}
    return any(r.key in missing for r in requirements if r.operator in ("Exists", "In"))


def _legal(requirement: Requirement) -> tuple[Requirement, ...]:
    """What no pod can have is never in, and always absent."""
    key, operator, values = requirement.key, requirement.operator, requirement.values
    positive = operator in ("In", "Exists")
    if label_key_mistake(key) is not None:
        return NOTHING.requirements if positive else ()
    kept = tuple(value for value in values if label_value_mistake(value) is None)
    if values and not kept:
        return NOTHING.requirements if positive else ()
    return (Requirement(key, operator, kept),)

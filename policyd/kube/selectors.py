"""Label selectors: does a set of labels satisfy one? The plain meaning; an index must agree with it."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.kube.objects import LabelSelector, Requirement


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """All requirements are ANDed (NP-030); a selector without any matches everything (NP-002)."""
    return all(_holds(requirement, labels) for requirement in selector.requirements)


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case "In":  # the key must exist, also with "" (NP-034)
            return requirement.key in labels and labels[requirement.key] in requirement.values
        case "NotIn":  # a missing key matches (NP-031)
            return requirement.key not in labels or labels[requirement.key] not in requirement.values
        case "Exists":  # also with the value "" (NP-033)
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels

"""Label selectors (NP-030 to NP-038)."""

import pytest

from policyd.kube.objects import LabelSelector, Operator, Requirement
from policyd.kube.selectors import matches

CASES: list[tuple[str, Operator, tuple[str, ...], dict[str, str], bool]] = [
    ("NP-030 In", "In", ("a", "b"), {"k": "b"}, True),
    ("NP-030 In other", "In", ("a",), {"k": "b"}, False),
    ("NP-034 In empty text", "In", ("",), {"k": ""}, True),
    ("NP-034 In empty text, no key", "In", ("",), {}, False),
    ("NP-031 NotIn, no key", "NotIn", ("a",), {}, True),
    ("NP-031 NotIn", "NotIn", ("a",), {"k": "a"}, False),
    ("NP-034 NotIn empty text", "NotIn", ("",), {"k": ""}, False),
    ("NP-034 NotIn empty text, no key", "NotIn", ("",), {}, True),
    ("NP-033 Exists, empty text", "Exists", (), {"k": ""}, True),
    ("NP-033 Exists, no key", "Exists", (), {"other": ""}, False),
    ("NP-032 DoesNotExist", "DoesNotExist", (), {}, True),
    ("NP-032 DoesNotExist, empty text", "DoesNotExist", (), {"k": ""}, False),
]


@pytest.mark.parametrize(("rule", "operator", "values", "labels", "expected"), CASES)
def test_requirement(
    rule: str, operator: Operator, values: tuple[str, ...], labels: dict[str, str], expected: bool
) -> None:
    assert matches(LabelSelector((Requirement("k", operator, values),)), labels) is expected, rule


def test_no_requirement_matches_everything() -> None:
    assert matches(LabelSelector(), {})


def test_requirements_are_anded() -> None:
    both = LabelSelector((Requirement("a", "Exists"), Requirement("b", "In", ("x",))))
    assert matches(both, {"a": "", "b": "x"})
    assert not matches(both, {"a": "", "b": "y"})
    assert not matches(both, {"b": "x"})


def test_contradiction_matches_nothing() -> None:
    """NP-035."""
    never = LabelSelector((Requirement("a", "Exists"), Requirement("a", "DoesNotExist")))
    assert not matches(never, {"a": ""})
    assert not matches(never, {})

"""One tenant's policies: whatever they are, they cost what they are, and nobody else pays for them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bench import tenants
from policyd.pipeline import build
from policyd_compiler.nft.printer import print_replace
from tests.oracle import Manifest
from tests.reliability.states import OPTIONS, decoded
from tests.support.counting import lines_run

World = Callable[[int], list[Manifest]]
#: Lines of Python for each byte of manifests and of the ruleset: some 7 at most.
PER_BYTE = 10

FAMILIES: tuple[tuple[World, int], ...] = (
    (tenants.nested, 400),
    (tenants.nested_for_many, 30),
    (tenants.one_rule_policies, 1000),
    (tenants.random_selectors, 400),
    (tenants.halves, 100),
    (tenants.disjoint_ports, 1000),
    (tenants.excepts, 2400),
    (tenants.disjoint, 2000),
    (tenants.long_lists, 2000),
)


@pytest.mark.parametrize(
    ("world", "size"), FAMILIES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_work_is_linear_in_what_comes_in_and_what_goes_out(world: World, size: int) -> None:
    """Each family of policies that ever cost more than its share, at a size where a square would show."""
    objects = world(size)
    state = decoded(objects)
    count = lines_run(lambda: build(state, "n1", OPTIONS))
    script = print_replace(build(state, "n1", OPTIONS).table)
    assert count < PER_BYTE * (len(json.dumps(objects)) + len(script))

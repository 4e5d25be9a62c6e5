"""The dry run asks the kernel for everything that the compiler can say, and changes nothing."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import get_args

import pytest

from policyd.applier.backend import NftRefused, statement_at
from policyd.applier.program import NftProgram
from policyd.lab.namespace import Namespace
from policyd.node.self_test import (
    TABLE,
    bridge_script,
    bridge_unsupported_reason,
    bridged_tables,
    script,
    tables,
    unsupported_reason,
)
from policyd_compiler.lower import bridge, dispatch, guard, hearers, link
from policyd_compiler.nft.ast import Action, Continue, Rule, Set, Table, VerdictMap, Vmap
from policyd_compiler.nft.expressions import Field, Right, address_field, interface_field, pair_field
from policyd_compiler.options import Options
from tests.fakes.fake_nft import NO_BRIDGE, FakeNft
from tests.golden.golden import cases

DROP, REJECT = Options(), Options(deny="reject")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def inet(options: Options) -> list[Table]:
    """Every table in family inet; those with one next to them count, too."""
    return [*tables(options), *bridged_tables(options)]


def beside(options: Options) -> list[Table]:
    """Every table in family bridge."""
    return [table.bridge for table in bridged_tables(options) if table.bridge is not None]


def rules(held: list[Table]) -> list[Rule]:
    return [rule for table in held for chain in table.chains for rule in chain.rules]


def emitted() -> Iterator[tuple[Table, list[Table]]]:
    """Each table of the golden cases, and those of the dry run that are in its family."""
    for case in cases():
        table = case.table(case.node)
        yield table, inet(case.options)
        if table.bridge is not None:
            yield table.bridge, beside(case.options)


def test_every_expression_of_the_compiler_is_in_it() -> None:
    for table, asked in emitted():
        kinds = {kind for rule in rules([table]) for kind in expressions(rule)}
        assert {kind for rule in rules(asked) for kind in expressions(rule)} >= kinds


def expressions(rule: Rule) -> Iterator[tuple[Field, type[Right] | type[Action], bool]]:
    for match in rule.matches:
        yield match.field, type(match.right), match.negated
    if isinstance(rule.action, Vmap):
        yield rule.action.field, Vmap, False


def test_every_verdict_of_the_compiler_is_in_it() -> None:
    for table, asked in emitted():
        assert verdicts(asked) >= verdicts([table])
    assert verdicts([*inet(DROP), *inet(REJECT)]) == {*get_args(Action)} - {Continue}


def verdicts(held: list[Table]) -> set[type[Action]]:
    said: set[type[Action]] = {type(rule.action) for rule in rules(held)}
    return said | {type(v) for table in held for m in table.maps for _, v in m.elements}


def test_every_kind_of_set_and_map_is_in_it() -> None:
    for table, asked in emitted():
        assert shapes([i for t in asked for i in t.sets]) >= shapes(table.sets)
        assert shapes([i for t in asked for i in t.maps]) >= shapes(table.maps)
    for table in (*inet(DROP), *beside(DROP)):
        used = {rule.action.map for rule in rules([table]) if isinstance(rule.action, Vmap)}
        assert used == {each.name for each in table.maps}


def shapes(items: list[Set] | tuple[Set, ...] | list[VerdictMap] | tuple[VerdictMap, ...]) -> set[object]:
    return {(item.key, item.interval, bool(item.size)) for item in items}


@pytest.mark.parametrize(
    ("module", "held"),
    [(bridge, beside), (hearers, beside), (guard, inet), (dispatch, inet)],
    ids=["bridge", "hearers", "guard", "dispatch"],
)
def test_every_field_that_a_module_names_is_asked_for(
    module: ModuleType, held: Callable[[Options], list[Table]]
) -> None:
    """Whatever the golden cases hold: a rule that is added without its like in the dry run is noticed."""
    asked = {kind[0] for rule in rules(held(DROP)) for kind in expressions(rule)}
    assert set(fields(module)) <= asked


def test_every_field_of_the_link_is_asked_for_in_both_families() -> None:
    for held in (inet(DROP), beside(DROP)):
        asked = {kind[0] for rule in rules(held) for kind in expressions(rule)}
        assert {Field.ICMPV6_TYPE, Field.IP6_HOPLIMIT} < set(fields(link)) <= asked


def fields(module: ModuleType) -> Iterator[Field]:
    """The fields that the source of a module names, or has a function name for it, in both families."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Attribute(ast.Name("Field"), name):
                yield Field[name]
            case ast.Call(ast.Name("address_field"), [_, ast.Constant(str(side))]):
                yield from (address_field(family, side) for family in (4, 6))  # type: ignore[arg-type]
            case ast.Call(ast.Name("interface_field"), [_, ast.Constant(str(side))]):
                yield from (interface_field(family, side) for family in (4, 6))  # type: ignore[arg-type]
            case ast.Call(ast.Name("pair_field"), _):
                yield from (pair_field(family) for family in (4, 6))
            case _:
                pass


def test_reject_is_asked_for_only_where_it_is_configured() -> None:
    assert "icmpx" in script(REJECT)
    assert "icmpx" not in script(DROP)


@pytest.mark.kernel
@pytest.mark.parametrize("options", [DROP, REJECT])
async def test_this_kernel_takes_it_and_is_left_as_it_was(namespace: Namespace, options: Options) -> None:
    nft = NftProgram(namespace.path)
    assert await unsupported_reason(nft, options) is None
    assert await bridge_unsupported_reason(nft, options) is None
    assert await nft.list_table(TABLE) is None
    assert await nft.list_table(TABLE, "bridge") is None


async def test_a_kernel_without_family_bridge_takes_all_the_rest() -> None:
    nft = FakeNft(refuses=NO_BRIDGE)
    assert await unsupported_reason(nft, DROP) is None
    said = await bridge_unsupported_reason(nft, DROP)
    assert said is not None
    assert f"refuses a table in family bridge (add table bridge {TABLE}: " in said
    assert "Operation not supported" in said
    assert "table bridge" in bridge_script(DROP)
    assert "table bridge" not in script(DROP)


class Refusing(FakeNft):
    """A kernel without fib."""

    async def check(self, script: str) -> None:
        line = next(n for n, text in enumerate(script.splitlines(), start=1) if "fib" in text)
        raise NftRefused(
            "Could not process rule: No such file or directory", line, statement_at(script, line)
        )


async def test_what_is_refused_is_named() -> None:
    said = await unsupported_reason(Refusing(), DROP)
    assert said is not None
    assert "refuses what policyd enforces with (chain forward: fib saddr type local drop" in said
    assert "Could not process rule: No such file or directory" in said

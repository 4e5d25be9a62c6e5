"""The dry run asks the kernel for everything that the compiler can say, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from policyd.applier.backend import NftRefused, statement_at
from policyd.applier.fake import FakeNft
from policyd.applier.program import NftProgram
from policyd.lab.namespace import Namespace
from policyd.node.self_test import TABLE, refusal, script, table
from policyd_compiler.nft.ast import Action, Continue, Rule, Set, VerdictMap, Vmap
from policyd_compiler.nft.expressions import Field, Right
from policyd_compiler.options import Options
from tests.golden.golden import cases

DROP, REJECT = Options(), Options(deny="reject")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def test_every_expression_of_the_compiler_is_in_it() -> None:
    asked = {kind for options in (DROP, REJECT) for rule in rules(options) for kind in expressions(rule)}
    emitted = {
        kind
        for case in cases()
        for chain in case.table(case.node).chains
        for rule in chain.rules
        for kind in expressions(rule)
    }
    assert len(emitted) >= 15
    assert asked >= emitted


def expressions(rule: Rule) -> Iterator[tuple[Field, type[Right] | type[Action], bool]]:
    for match in rule.matches:
        yield match.field, type(match.right), match.negated
    if isinstance(rule.action, Vmap):
        yield rule.action.field, Vmap, False


def test_every_verdict_of_the_compiler_is_in_it() -> None:
    said = {type(rule.action) for options in (DROP, REJECT) for rule in rules(options)}
    elements = {type(v) for options in (DROP, REJECT) for m in table(options).maps for _, v in m.elements}
    emitted = {type(r.action) for case in cases() for c in case.table(case.node).chains for r in c.rules}
    assert said | elements >= emitted
    assert emitted == {*get_args(Action)} - {Continue}


def rules(options: Options) -> list[Rule]:
    return [rule for chain in table(options).chains for rule in chain.rules]


def test_every_kind_of_set_and_map_is_in_it() -> None:
    def shapes(items: tuple[Set | VerdictMap, ...]) -> set[tuple[str, bool]]:
        return {(str(item.key), item.interval) for item in items}

    assert len(shapes(table(DROP).sets)) == 7
    assert {interval for _, interval in shapes(table(DROP).maps)} == {False, True}
    asked = {rule.action.map for rule in rules(DROP) if isinstance(rule.action, Vmap)}
    assert asked == {each.name for each in table(DROP).maps}


def test_reject_is_asked_for_only_where_it_is_configured() -> None:
    assert "icmpx" in script(REJECT)
    assert "icmpx" not in script(DROP)


@pytest.mark.kernel
@pytest.mark.parametrize("options", [DROP, REJECT])
async def test_this_kernel_takes_it_and_is_left_as_it_was(namespace: Namespace, options: Options) -> None:
    nft = NftProgram(namespace.path)
    assert await refusal(nft, options) is None
    assert await nft.list_table(TABLE) is None


class Refusing(FakeNft):
    """A kernel without fib."""

    async def check(self, script: str) -> None:
        line = next(n for n, text in enumerate(script.splitlines(), start=1) if "fib" in text)
        raise NftRefused(
            "Could not process rule: No such file or directory", line, statement_at(script, line)
        )


async def test_what_is_refused_is_named() -> None:
    said = await refusal(Refusing(), DROP)
    assert said is not None
    assert "refuses what policyd enforces with (chain forward: fib saddr type local drop" in said
    assert "Could not process rule: No such file or directory" in said

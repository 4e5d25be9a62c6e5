"""What changes in elements alone is changed in place, and else around the swap; in a real kernel, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pytest

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd.applier.in_place import Difference, InPlace
from policyd.applier.worker import NftWorker
from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace
from policyd.netlink.elements import ElementWriter
from policyd_compiler.elements import differing_elements
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.commands import Change, Elements, add, print_changes
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.ruleset import part_of, with_parts
from tests.applier.rulesets import NAME, content
from tests.cases.form import ingress, namespace, pod, pods
from tests.fakes.fake_nft import FakeNft
from tests.oracle import Manifest
from tests.property.holding import bare
from tests.routes import compile_world

POLICY = ingress("x", "web", {"from": [pods(role="friend")], "ports": [{"port": 80}]})


def world(*others: Manifest, policy: Manifest = POLICY) -> Table:
    """A pod of this node, isolated, and others."""
    web = pod("x/web", "10.0.0.1", "fd00::1")
    return bare(compile_world([namespace("x"), web, policy, *others], "n1").table)


def friend(number: int, node: str = "n2", role: str = "friend", net: int = 1) -> Manifest:
    labels = {"labels": {"role": role}}
    name, v6 = f"x/f{net}-{number}", f"fd00:1::{net}:{number}"
    return pod(name, f"10.0.{net}.{number}", v6, node=node, metadata=labels)


async def test_nothing_is_forgotten_when_the_agent_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads are gone while the loop still runs: no error is logged."""
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    monkeypatch.setattr("policyd.applier.in_place.FORGET_SECONDS", 0.01)
    InPlace(NAME, FakeNft(), atomic=True, wait=lambda: None).swapped()
    await loop.shutdown_default_executor()
    await asyncio.sleep(0.05)
    assert errors == []


@dataclass
class Recorder:
    """A writer that keeps how much it has written, and fails so many times."""

    writer: ElementWriter | FakeNft
    written: list[int] = field(default_factory=list)
    fails: int = 0

    def write(self, table: str, inet: Iterable[Change]) -> None:
        changes = list(inet)
        if self.fails:
            self.fails -= 1
            raise EnvironmentRefused("on purpose")
        self.writer.write(table, changes)
        self.written.append(len(changes))


class Kernel:
    """An applier on a backend, with what it writes in place, and how often it waited for packets."""

    def __init__(self, nft: Nft, writer: ElementWriter | FakeNft) -> None:
        self.nft, self.recorder, self.waits = nft, Recorder(writer), 0
        self.in_place = InPlace(NAME, self.recorder, atomic=True, wait=self._wait)
        self.applier = Applier(nft, NAME, elements=self.in_place)

    def _wait(self) -> None:
        self.waits += 1

    async def holds(self, table: Table) -> bool:
        """Whether the kernel holds just this, by our belief and in truth."""
        same = await content(self.nft) == stamp(table, self.applier.generation)
        return await self.applier.verify() == () and same


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.kernel)])
async def kernel(request: pytest.FixtureRequest) -> AsyncIterator[Kernel]:
    if request.param == "fake":
        nft = FakeNft()
        yield Kernel(nft, nft)
        return
    with closing(Namespace("applier")) as namespace:
        with namespace.entered():
            writer = ElementWriter()
        worker = NftWorker(namespace.path)
        yield Kernel(worker, writer)
        await worker.close()
        writer.close()


async def test_a_peer_that_comes_and_goes_is_some_elements(kernel: Kernel) -> None:
    first, second = world(friend(1)), world(friend(1), friend(2))
    await kernel.applier.apply(first)
    for wanted in (second, first):
        applied = await kernel.applier.apply(wanted)
        assert (applied.steps, applied.generation) == (("elements",), 1)
        assert await kernel.holds(wanted)
    assert not kernel.applier.holds_leftovers
    assert kernel.recorder.written == [2, 2]  # a set of each family, which asking and answering chains share


async def test_what_packets_may_still_be_in_is_waited_for(kernel: Kernel) -> None:
    """After a swap, and before the same address changes again; not before another one does."""
    await kernel.applier.apply(world(friend(1)))
    await kernel.applier.apply(world(friend(1), friend(2)))
    assert kernel.waits == 1
    await kernel.applier.apply(world(friend(1), friend(2), friend(3)))
    assert kernel.waits == 1
    await kernel.applier.apply(world(friend(1), friend(3)))
    assert kernel.waits == 2


@pytest.mark.parametrize("come", [True, False])
async def test_a_pod_of_the_node_needs_a_swap_and_some_elements(kernel: Kernel, come: bool) -> None:
    fewer, more = world(friend(1)), world(friend(1), friend(2, "n1"), isolated())
    first, second = (fewer, more) if come else (more, fewer)
    await kernel.applier.apply(first)
    applied = await kernel.applier.apply(second)
    order = ("stage", "commit", "elements") if come else ("stage", "elements", "commit")
    assert applied.steps == order
    assert not kernel.applier.lags
    await kernel.applier.sweep()
    assert await kernel.holds(second)


async def test_a_lesser_verdict_of_which_there_is_no_chain_yet_is_written_before_the_swap(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it is less than what the peer may do now: chains are staged first."""
    half = {"from": [pods(role="half")], "ports": [{"port": 81}]}
    policy = ingress("x", "web", {"from": [pods(role="friend")]}, half)
    await kernel.applier.apply(world(friend(1), friend(2), policy=policy))
    wanted = world(friend(1), friend(2, role="half"), policy=policy)
    applied = await kernel.applier.apply(wanted)
    assert applied.steps == ("stage", "elements", "commit")
    assert not caplog.records
    await kernel.applier.sweep()
    assert await kernel.holds(wanted)


async def test_elements_of_a_table_that_is_replaced_are_not_written_once_more(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an upgrade, where base chains have other priorities."""
    older = world(friend(1), friend(2))
    hooks = (
        chain if chain.hook is None else replace(chain, hook=replace(chain.hook, priority=7))
        for chain in older.chains
    )
    await kernel.applier.apply(replace(older, chains=tuple(hooks)))
    wanted = world(friend(1))
    assert (await kernel.applier.apply(wanted)).steps == ("replace",)
    assert await kernel.holds(wanted)
    assert not caplog.records


def isolated() -> Manifest:
    """A policy that selects friends, of which there may be none on the node."""
    spec = {"podSelector": {"matchLabels": {"role": "friend"}}, "policyTypes": ["Ingress"]}
    return {**ingress("x", None, name="friends"), "spec": spec}


async def test_what_cannot_be_changed_around_a_swap_is_put_next_to_and_led_back(kernel: Kernel) -> None:
    """One friend leaves and another comes, while the policy that names them changes."""
    other = ingress("x", "web", {"from": [pods(role="friend")], "ports": [{"port": 81}]})
    await kernel.applier.apply(world(friend(1)))
    applied = await kernel.applier.apply(wanted := world(friend(2), policy=other))
    assert applied.steps == ("stage", "commit")
    assert [kernel.applier.lags] == [True]
    await kernel.applier.sweep()
    assert await kernel.applier.verify() == ()
    await kernel.applier.apply(wanted)
    await kernel.applier.sweep()
    assert [kernel.applier.lags] == [False]
    assert await kernel.holds(wanted)


async def test_a_set_that_others_declare_larger_is_changed_in_place(kernel: Kernel) -> None:
    """Back and forth over the number of members where a compilation declares another size."""
    fewer = world(*(friend(n) for n in range(1, 172)))
    more = world(*(friend(n) for n in range(1, 173)))
    assert sizes(fewer) == {256}
    assert sizes(more) == {512}
    await kernel.applier.apply(fewer)
    for wanted, is_other in ((more, True), (fewer, False), (more, True)):
        applied = await kernel.applier.apply(wanted)
        assert (applied.steps, applied.generation) == (("elements",), 1)
        assert (kernel.applier.is_of_other_size, kernel.applier.lags) == (is_other, False)
        assert await kernel.applier.verify() == ()
    known = Difference(more, {})
    assert (await kernel.applier.apply(more, known)).steps == ()
    assert sizes(await content(kernel.nft)) == {256}


async def test_sizes_become_those_of_a_compilation_when_asked_for(kernel: Kernel) -> None:
    """Next to the sets there are, as ever, and from there on to the plain names."""
    fewer = world(*(friend(n) for n in range(1, 172)))
    more = world(*(friend(n) for n in range(1, 173)))
    await kernel.applier.apply(fewer)
    await kernel.applier.apply(more)
    for lags in (True, False):
        assert (await kernel.applier.apply(more, exact=True)).steps == ("stage", "commit")
        assert (kernel.applier.lags, kernel.applier.is_of_other_size) == (lags, False)
        await kernel.applier.sweep()
    assert await kernel.holds(more)


async def test_what_does_not_fit_into_a_set_is_put_alongside(kernel: Kernel) -> None:
    fewer, more = (world(*(friend(n & 255, net=1 + (n >> 8)) for n in range(count))) for count in (171, 257))
    await kernel.applier.apply(fewer)
    applied = await kernel.applier.apply(more)
    assert (applied.steps, kernel.applier.lags) == (("stage", "commit"), True)
    await kernel.applier.sweep()
    await kernel.applier.apply(more)
    await kernel.applier.sweep()
    assert await kernel.holds(more)


async def test_a_size_that_somebody_else_declared_is_not_kept(kernel: Kernel) -> None:
    wanted = world(friend(1))
    await kernel.applier.apply(wanted)
    part = next(part for part in wanted.sets if part.size == 256)
    await kernel.nft.run(print_changes(NAME, [add(replace(part, size=300, elements=()))]))
    assert await kernel.applier.verify() == (f"set {part.name} was changed",)
    for _ in range(2):
        await kernel.applier.apply(wanted)
        await kernel.applier.sweep()
    assert await kernel.holds(wanted)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_follows_costs_what_changes(kernel: Kernel, fails: bool) -> None:
    """From the second time on: until then it is not known who asks what."""
    table = world(friend(1))
    await kernel.applier.apply(table)
    with patch.object(kernel.in_place, "delta", wraps=kernel.in_place.delta) as compared:
        for others in ((2,), (2, 3), (3,), (3, 4)):
            kernel.recorder.fails = int(fails and others == (3,))
            table, known = follow(table, world(friend(1), *map(friend, others)))
            applied = await kernel.applier.apply(table, known)
            assert (applied.steps, applied.generation) == (("elements",), 1)
            assert await kernel.holds(table)
    assert compared.call_count == (2 if fails else 1)


async def test_what_was_found_out_of_kinds_of_changes_is_forgotten_at_times(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policyd.applier.in_place.MOST_KINDS", 3)
    table = world(friend(1))
    await kernel.applier.apply(table)
    with patch.object(kernel.in_place, "delta", wraps=kernel.in_place.delta) as compared:
        for others in ((2,), (2, 3), (3,), (3, 4), (3, 4, 5)):
            table, known = follow(table, world(friend(1), *map(friend, others)))
            assert (await kernel.applier.apply(table, known)).steps == ("elements",)
    assert compared.call_count == 2


async def test_what_follows_may_outgrow_its_set(kernel: Kernel) -> None:
    """In a size that a compilation does not declare, and when not all fit any more, next to it."""
    table = world(*(friend(n & 255, net=1 + (n >> 8)) for n in range(170)))
    await kernel.applier.apply(table)
    for count, steps in ((172, ("elements",)), (256, ("elements",)), (257, ("stage", "commit"))):
        others = (friend(n & 255, net=1 + (n >> 8)) for n in range(count))
        table, known = follow(table, world(*others))
        applied = await kernel.applier.apply(table, known)
        assert applied.steps == steps
        assert kernel.applier.is_of_other_size == (count < 257)
        await kernel.applier.sweep()
        assert await kernel.applier.verify() == ()


def follow(before: Table, after: Table) -> tuple[Table, Difference]:
    """A table as one that follows another gives it: what did not change is the same object."""
    parts = {part.name: part for part in after.parts if part != part_of(before, part.name)}
    table = with_parts(before, parts)
    alike = (replace(part_of(before, name), size=part.size) for name, part in parts.items())
    found = differing_elements(with_parts(before, {part.name: part for part in alike}), table)
    assert found is not None
    return table, Difference(before, found)


def sizes(table: Table | None) -> set[int]:
    """How large sets and maps of peers are declared: two families are alike."""
    assert table is not None
    return {part.size for part in table.parts if part.size >= 256}


@pytest.mark.parametrize(("fails", "steps"), [(1, ("elements",)), (2, ("stage", "commit"))])
async def test_after_a_failure_the_kernel_is_read_and_it_goes_on_from_there(
    kernel: Kernel, fails: int, steps: tuple[str, ...]
) -> None:
    """In place if that works now, else by a swap."""
    await kernel.applier.apply(world(friend(1)))
    kernel.recorder.fails = fails
    applied = await kernel.applier.apply(wanted := world(friend(1), friend(2)))
    assert applied.steps == steps
    await kernel.applier.sweep()
    await kernel.applier.apply(wanted)
    await kernel.applier.sweep()
    assert await kernel.holds(wanted)


async def test_elements_that_somebody_took_are_no_trouble(kernel: Kernel) -> None:
    """The kernel refuses to delete what is not there: nothing is lost, and the ruleset becomes right."""
    await kernel.applier.apply(world(friend(1), friend(2)))
    (name,) = {part.name for part in world(friend(1)).sets if part.name.startswith("group4")}
    await kernel.nft.run(f"delete element inet {NAME} {name} {{ 10.0.1.2 }}\n")
    await kernel.applier.apply(wanted := world(friend(1)))
    await kernel.applier.sweep()
    await kernel.applier.apply(wanted)
    await kernel.applier.sweep()
    assert await kernel.holds(wanted)


@pytest.mark.parametrize("how", ["another agent", "a repair"])
async def test_what_was_not_swept_is_known_again_where_only_elements_are_written(
    kernel: Kernel, how: str
) -> None:
    """Else nothing removed it until the next swap: what a ruleset left, and then nobody swept."""
    await kernel.applier.apply(world(friend(1), friend(2, "n1"), isolated()))
    second, third = world(friend(1)), world(friend(1), friend(3))
    await kernel.applier.apply(second)
    applier, wanted = kernel.applier, third
    if how == "another agent":
        applier = Applier(kernel.nft, NAME, elements=kernel.in_place)
    else:
        wanted = second
        part = next(part for part in second.sets if part.name.startswith("group4") and part.elements)
        gone = Change("delete", Elements(part.name, part.key, part.elements))
        await kernel.nft.run(print_changes(NAME, [gone]))
        assert await applier.verify() != ()
    assert (await applier.apply(wanted)).steps == ("elements",)
    assert applier.holds_leftovers
    await applier.sweep()
    assert await content(kernel.nft) == stamp(wanted, applier.generation)
    assert await applier.verify() == ()

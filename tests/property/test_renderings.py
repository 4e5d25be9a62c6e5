"""What is made of an answer says what the answer does: the file of assertions, and groups."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given

from policyd.ask.assertions import decode_assertions, judge
from policyd.ask.reach import Reachability, reach
from policyd.manifests.single import read_single
from policyd.render.assertions_file import assertions
from policyd.render.groups import by_label, by_namespace, grouped
from policyd.render.tables import csv_text
from tests.asking import ANY_WORLD, PROBES, verdict, world_of
from tests.cases.form import block, egress, namespace, pod
from tests.oracle import Manifest


@given(ANY_WORLD)
def test_the_present_state_holds_to_its_own_assertions(objects: list[Manifest]) -> None:
    world = world_of(objects)
    text = assertions(world)
    if not text:
        return  # a world of nobody
    for assertion in read_single(text.encode(), "tests.yaml", decode_assertions):
        result = judge(world, assertion)
        assert result.passed, (assertion.title, result.mistake, result.wrong[:1])


@pytest.mark.parametrize(
    "peers",
    [
        [block("0.0.0.0/1"), block("128.0.0.0/1")],  # all addresses, but by no rule alone
        [block("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")],  # none
    ],
)
def test_blocks_of_which_why_says_less_than_reach_are_left_open(peers: list[Manifest]) -> None:
    world = world_of([namespace("a"), pod("a/p", "10.1.0.1"), egress("a", "p", {"to": peers})])
    assert "to: internet" not in assertions(world)


@given(ANY_WORLD)
def test_a_group_may_what_any_of_it_may_and_csv_names_all_of_it(objects: list[Manifest]) -> None:
    found = reach(world_of(objects))
    says_what_is_allowed_and_unknown(found)
    for group in (by_namespace, by_label("app")):
        by_id = {each.id: group(each).id for each in found.endpoints}
        answers = {
            (each.sender.id, each.receiver.id): each.judged for each in grouped(found, group).connections
        }
        said: dict[tuple[str, str], list[set[str]]] = {}
        for each in found.connections:
            states = said.setdefault(
                (by_id[each.sender.id], by_id[each.receiver.id]), [set() for _ in PROBES]
            )
            for states_of_probe, probe in zip(states, PROBES, strict=True):
                states_of_probe.add(verdict(each.judged, *probe))
        assert answers.keys() == said.keys()
        for pair, states in said.items():
            for seen, probe in zip(states, PROBES, strict=True):
                best = next(word for word in ("allowed", "unknown", "denied") if word in seen)
                assert verdict(answers[pair], *probe) == best


def says_what_is_allowed_and_unknown(found: Reachability) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    for each in found.connections:
        ends = each.sender.id, each.receiver.id, str(each.family or "")
        mine = [row for row in rows if (row["from"], row["to"], row["family"]) == ends]
        for protocol, port in PROBES:
            wanted = protocol if port else "other"
            words = [r["verdict"] for r in mine if r["protocol"] == wanted and is_in(r["ports"], port)]
            assert (words or ["denied"]) == [verdict(each.judged, protocol, port)]


def is_in(numbers: str, port: int | None) -> bool:
    if port is None:
        return True
    ranges = (each.partition("-") for each in numbers.split(","))
    return any(int(low) <= port <= int(high or low) for low, _, high in ranges)

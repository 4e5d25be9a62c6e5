"""The other outputs: the IR keeps to its schema, the summary says what is in force."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from policyd_compiler.ir_json import print_ir, schema
from policyd_compiler.nft.json_printer import print_replace_json
from tests.cli.calls import SHOP, Call, as_list
from tests.oracle import Manifest
from tests.routes import compile_world
from tests.strategies.worlds import worlds
from tests.worlds import Case, recorded_cases


def mistakes(value: object) -> list[str]:
    """List what of a printed IR its published schema forbids."""
    return [
        error.message for error in Draft202012Validator(json.loads(json.dumps(schema()))).iter_errors(value)
    ]


@given(worlds())
def test_the_ir_keeps_to_its_schema(world: list[Manifest]) -> None:
    for node in ("n1", "n2"):
        value = json.loads(print_ir(compile_world(world, node).snapshot))
        assert mistakes(value) == []


def test_the_schema_is_printed(call: Call) -> None:
    result = call("schema", "ir")
    assert (result.code, json.loads(result.out)) == (0, schema())
    assert json.loads(result.out)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(json.loads(result.out))


def test_the_ir_is_printed(call: Call) -> None:
    result = call("compile", "-f", "-", "--node", "n1", "-o", "ir", stdin=as_list(*SHOP))
    value = json.loads(result.out)
    assert [(e["pod"], e["ingress"], e["egress"]) for e in value["endpoints"]] == [
        ("shop/db", 0, 1),
        ("shop/web", 2, None),
    ]
    assert value["isolations"][0]["policies"] == [
        {"kind": "NetworkPolicy", "namespace": "shop", "name": "default-deny", "file": "<stdin>", "line": 1}
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("node"),
        lambda value: value.update(extra=1),
        lambda value: value.update(kind="Other"),
        lambda value: value["endpoints"][0].update(ingress=-1),
        lambda value: value["endpoints"][0].update(addresses="10.0.0.1"),
        lambda value: value["isolations"][0].update(direction="both"),
        lambda value: value["isolations"][0].update(stages=[]),
        lambda value: value["isolations"][1]["stages"][0]["rules"][0].update(peers="some"),
        lambda value: value["isolations"][1]["stages"][0]["rules"][0].update(ports={"tcp": [[1]]}),
        lambda value: value["isolations"][1]["stages"][0]["rules"][0].update(ports={"tcp": [[1, 65536]]}),
    ],
)
def test_the_schema_forbids_what_is_not_printed(change: Any, call: Call) -> None:
    value = json.loads(call("compile", "-f", "-", "--node", "n1", "-o", "ir", stdin=as_list(*SHOP)).out)
    assert mistakes(value) == []
    change(value)
    assert mistakes(value) != []


SUMMARY = """\
node n1: 2 pods, 2 isolated, by 3 policies

POD       ADDRESSES                 INGRESS                      EGRESS
shop/db   10.244.1.11               shop/default-deny            shop/db
shop/web  10.244.1.10, fd00::1:10   shop/default-deny, shop/web  open

POLICY             ISOLATES IN  PODS OF THIS NODE
shop/db            egress       shop/db
shop/default-deny  ingress      shop/db, shop/web
shop/web           ingress      shop/web

outside of policy: shop/proxy (on the network of the node)
"""


def test_the_summary_says_who_is_isolated_by_whom(call: Call) -> None:
    result = call("compile", "-f", "-", "--node", "n1", "-o", "summary", stdin=as_list(*SHOP))
    head, _, sizes = result.out.partition("\nSETS AND MAPS")
    assert [re.sub(r" +", " ", line) for line in head.splitlines()] == [
        re.sub(r" +", " ", line) for line in SUMMARY.splitlines()
    ]
    assert sizes.splitlines()[0].split() == ["ELEMENTS", "CHAINS", "RULES"]
    assert "\x1b" not in result.out


@pytest.mark.parametrize("case", recorded_cases()[::10], ids=lambda case: case.id)
def test_the_sizes_of_the_summary_are_those_of_the_ruleset(case: Case, call: Call) -> None:
    text = as_list(*case.objects)
    arguments = ("compile", "-f", "-", "--node", "n1", "--unknown-fields=warn")
    summary = call(*arguments, "-o", "summary", stdin=text)
    commands = json.loads(call(*arguments, "-o", "json", stdin=text).out)["nftables"]
    added = [command["add"] for command in commands if "add" in command]
    parts = [part for item in added for key in ("set", "map") if (part := item.get(key))]
    counted = [
        len(parts),
        sum(len(part.get("elem", ())) for part in parts),
        sum("chain" in item for item in added),
        sum("rule" in item for item in added),
    ]
    assert summary.out.splitlines()[-1].split() == list(map(str, counted))


def test_the_json_is_json_a_command_to_a_line(call: Call) -> None:
    result = call("compile", "-f", "-", "--node", "n1", "-o", "json", stdin=as_list(*SHOP))
    assert result.out == print_replace_json(compile_world(list(SHOP), "n1").table)
    first, *lines, last = result.out.splitlines()
    assert (first, last) == ('{"nftables": [', "]}")
    assert len(json.loads(result.out)["nftables"]) == len(lines)

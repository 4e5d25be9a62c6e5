"""Rulesets in the shape of others stand in a row, and let one client in."""

from __future__ import annotations

import pytest

from bench import datapath


@pytest.mark.parametrize("family", [4, 6])
def test_each_policy_is_a_rule_and_the_client_is_in_the_middle(family: datapath.Family) -> None:
    text = datapath.walked(9, family)
    client, server = datapath.CLIENT[family == 6], datapath.SERVER[family == 6]
    sets = [line for line in text.splitlines() if line.startswith("set ")]
    assert [number for number, line in enumerate(sets) if f"{{ {client} }}" in line] == [4]
    rules = text.split("chain pod {\n")[1].split("\n}")[0].splitlines()
    assert (len(rules), rules[-1]) == (10, "drop")
    assert all(f"saddr @s{number} " in rule for number, rule in enumerate(rules[:-1]))
    assert f"daddr {server} jump pod\n" in text


@pytest.mark.parametrize("family", [4, 6])
def test_each_pod_is_a_jump_and_the_server_is_in_the_middle(family: datapath.Family) -> None:
    text = datapath.jumps(9, family)
    jumps = [line for line in text.splitlines() if " jump " in line]
    server = datapath.SERVER[family == 6]
    assert [number for number, line in enumerate(jumps) if f"daddr {server} " in line] == [4]
    assert text.count("chain pod") == text.count("\ndrop\n") == len(jumps) == 9

"""Same objects, same bytes (L15): in whatever order they come, and whatever the hash seed is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.nft.printer import print_replace
from tests.cases.form import block, egress, ingress, namespaces, pods, requirement
from tests.oracle import Manifest
from tests.routes import compile_stored
from tests.strategies.worlds import worlds
from tests.worlds import recorded_world


@given(worlds(), st.sampled_from(["n1", "n2", "n3"]), st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(world: list[Manifest], node: str, rng: random.Random) -> None:
    shuffled = rng.sample(world, len(world))
    first, second = (compile_stored(objects, node) for objects in (world, shuffled))
    assert print_replace(first.table) == print_replace(second.table)
    assert (first.warnings, first.owners) == (second.warnings, second.owners)


@given(worlds(), st.sampled_from(["n1", "n2", "n3"]))
def test_sets_of_single_keys_have_a_size(world: list[Manifest], node: str) -> None:
    """Without one their table grows behind a transaction's back, and what lists them meanwhile loses some."""
    table = compile_stored(world, node).table
    parts = [part for each in (table, table.bridge) if each is not None for part in each.parts]
    assert [part.name for part in parts if part.elements and not part.interval and not part.size] == []


POLICIES = (
    ingress("x", None, {"from": [pods(pod="a"), namespaces(team="green")], "ports": [{"port": "http"}]}),
    ingress("x", None, {"from": [block("10.0.0.0/8", "10.244.2.0/24"), block("fd00::/8")]}, name="blocks"),
    ingress("x", None, {"ports": [{"port": 443}, {"protocol": "UDP", "port": 53}]}, name="ports"),
    *(ingress("x", None, name=name) for name in ("closed", "locked", "shut")),
    egress("x", None, {"to": [namespaces()], "ports": [{"port": "http"}]}, name="names"),
    egress("x", None, {"to": [pods(requirement("pod", "NotIn", "a"))]}, {"to": [namespaces()]}, name="pods"),
    egress("y", None, {"to": [namespaces(team="green"), block("0.0.0.0/0")]}, name="out"),
)


def test_the_hash_seed_does_not_matter(tmp_path: Path) -> None:
    """Sets and dicts of text are in another order in each process, unless told otherwise."""
    manifest = tmp_path / "world.json"
    items = [*recorded_world(), *POLICIES]
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    command = [sys.executable, "-m", "policyd", "compile", "-f", str(manifest), "--node", "n1"]
    printed = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert printed[0] == printed[1] == printed[2] != b""

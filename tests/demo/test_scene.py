"""The expectations were written by hand; two judges that know nothing of each other find them right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from policyd.demo.scene import CLUSTER, FAMILIES, MANIFESTS, Reach, Scene, policy_files, read_scene, shortly
from policyd.manifests.load import load_manifest
from policyd_compiler.sim import Simulator
from tests.oracle import Connection, Manifest, Oracle
from tests.routes import compile_world, node_addresses, packet

SCENE = read_scene()
ACTS = ("before", "after")


def manifests(directory: Path) -> list[Manifest]:
    return [m for path in sorted(directory.glob("*.yaml")) for m in yaml.safe_load_all(path.read_text())]


@pytest.fixture(params=ACTS)
def act(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[Manifest], Reach]:
    """The manifests of an act, and what was expected of it."""
    directory = tmp_path / "manifests"
    shutil.copytree(SCENE.manifests, directory)
    if request.param == "before":
        return manifests(directory), SCENE.expected
    shutil.copy(SCENE.edit, directory)
    return manifests(directory), SCENE.expected_after


def connections(scene: Scene) -> Iterator[tuple[tuple[str, str], int, Connection]]:
    """Everything that is tried."""
    sources = {host.name: host for host in scene.sources}
    targets = {target.label: target for target in scene.targets}
    for source, target in scene.expected:
        for family in FAMILIES:
            host, goal = sources[source], targets[target]
            yield (
                (source, target),
                family,
                Connection(
                    host.address(family),
                    goal.host.address(family),
                    goal.transport.upper(),
                    goal.port,
                    local_node=host.name if host == scene.node else None,
                ),
            )


def test_the_oracle_expects_the_same(act: tuple[list[Manifest], Reach]) -> None:
    objects, expected = act
    oracle = Oracle(objects)
    found = {(pair, family): oracle.verdict(c) for pair, family, c in connections(SCENE)}
    assert found == {(pair, family): family in expected[pair] for pair, family in found}


def test_the_ruleset_means_the_same(act: tuple[list[Manifest], Reach]) -> None:
    objects, expected = act
    simulator = Simulator(compile_world(objects, SCENE.node.name).table)
    addresses = node_addresses(objects)
    found = {}
    for pair, family, connection in connections(SCENE):
        met = packet(connection, SCENE.node.name, addresses)
        assert met is not None
        found[pair, family] = simulator.evaluate(met).verdict == "accept"
    assert found == {(pair, family): family in expected[pair] for pair, family in found}


@pytest.mark.parametrize("expected", [SCENE.expected, SCENE.expected_after], ids=ACTS)
def test_everybody_tries_every_port_of_others_across_the_node(expected: Reach) -> None:
    outside = {host.name for host in SCENE.sources if host not in (*SCENE.pods, SCENE.node)}
    assert set(expected) == {
        (source.name, target.label)
        for source in SCENE.sources
        for target in SCENE.targets
        if source != target.host and not (source.name in outside and target.name == "dns")
    }


def test_the_scene_shows_both_families_both_protocols_and_both_verdicts() -> None:
    for reach in (SCENE.expected, SCENE.expected_after):
        assert {frozenset(), frozenset({4}), frozenset({4, 6})} <= set(reach.values())
    assert {target.transport for target in SCENE.targets} == {"tcp", "udp"}


def test_the_edit_opens_and_closes() -> None:
    changed = {pair for pair, reach in SCENE.expected.items() if SCENE.expected_after[pair] != reach}
    assert changed == {("guest/shell", "api:9000"), ("ops/prometheus", "api:9100")}
    assert [pair for pair in changed if SCENE.expected_after[pair]] == [("guest/shell", "api:9000")]


def test_the_edit_takes_the_place_of_a_file() -> None:
    assert (SCENE.manifests / SCENE.edit.name).exists()


@pytest.mark.parametrize(
    "path", [MANIFESTS / CLUSTER, *policy_files(MANIFESTS), SCENE.edit], ids=lambda path: path.name
)
def test_manifests_are_good_and_begin_with_what_they_say(path: Path) -> None:
    objects, diagnostics = load_manifest(path.read_bytes(), path.name)
    assert objects != ()
    assert diagnostics == ()
    assert path.read_text().startswith("# ")
    assert 20 < len(shortly(path)) < 64, "it stands behind a name in 80 columns"

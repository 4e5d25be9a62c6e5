"""Questions about a cluster of which one may read one namespace only: what is not known is unknown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from policyd.errors import Exit
from policyd.kube.registry import ASKED
from tests.cases.form import egress, namespaces
from tests.cli.calls import SHOP, Result, finish, start
from tests.watcher.emulator import NAMESPACES, Emulator
from tests.watcher.server import write_kubeconfig

OTHERS = egress("shop", "db", {"to": [namespaces(team="data")], "ports": [{"port": 5432}]}, name="data")


def cluster(*, everywhere: bool = False) -> Emulator:
    """An API server that holds the shop, and shows its namespace alone."""
    paths = {kind.path: kind.name for kind in ASKED}
    within = {kind.path_of(kind.version, "shop"): kind.name for kind in ASKED if kind.namespaced}
    emulator = Emulator(kinds={**paths, **within})
    emulator.forbidden.update([] if everywhere else paths)
    for path, kind in (paths if everywhere else within).items():
        emulator.put(path, *(manifest for manifest in (*SHOP, OTHERS) if manifest["kind"] == kind))
    return emulator


async def ask(emulator: Emulator, folder: Path, *line: str) -> Result:
    async with emulator.serve():
        write_kubeconfig(folder / "config", emulator.url)
        config = ("--live", "--kubeconfig", str(folder / "config"))
        return await asyncio.to_thread(lambda: finish(start(*line, *config)))


ONLY = "cluster: warning: only namespace shop may be listed: pods of others and their policies are not known"


async def test_what_is_seen_is_answered_and_the_rest_is_unknown(tmp_path: Path) -> None:
    emulator = cluster()
    found = await ask(emulator, tmp_path, "why", "shop/db", "shop/api:80", "-n", "shop", "-o", "json")
    assert (found.code, json.loads(found.out)["verdict"]) == (Exit.FINDING, "denied")
    assert ONLY in found.err
    assert "ClusterNetworkPolicy may not be listed: what ClusterNetworkPolicies say is in no" in found.err
    assert "Namespace may not be listed: what depends on labels of namespaces is unknown" in found.err
    asked = ("why", "shop/db", "10.244.9.9:5432", "-n", "shop", "-o", "json")
    verdict = json.loads((await ask(emulator, tmp_path, *asked)).out)
    assert {verdict[each]["verdict"] for each in ("egress", "ingress")} == {"unknown"}
    assert "only namespace shop was read" in verdict["egress"]["because"][0]


async def test_a_namespace_that_may_not_be_read_either_is_named(tmp_path: Path) -> None:
    emulator = cluster()
    emulator.forbidden.update(kind.path_of(kind.version, "default") for kind in ASKED)
    found = await ask(emulator, tmp_path, "reach")
    assert (found.code, found.out) == (Exit.ENVIRONMENT, "")
    assert "neither the cluster nor its namespace default can be listed (-n names another)" in found.err


async def test_what_is_not_needed_may_be_kept_from_us(tmp_path: Path) -> None:
    """All namespaces are seen, as pods and policies are; what is asked of other addresses is known."""
    emulator = cluster(everywhere=True)
    emulator.forbidden.update({NAMESPACES, "/api/v1/nodes", "/apis/apps/v1/deployments"})
    asked = ("why", "shop/db", "10.244.9.9:5432", "-o", "json")
    found = await ask(emulator, tmp_path, *asked)
    assert json.loads(found.out)["verdict"] == "denied"
    assert "only namespace" not in found.err
    assert "Deployment may not be listed: pods of a Deployment are named alone" in found.err


async def test_compile_does_without_nothing(tmp_path: Path) -> None:
    """A ruleset of half of the objects would be wrong."""
    found = await ask(cluster(), tmp_path, "compile", "--node", "n1")
    assert (found.code, found.out) == (Exit.ENVIRONMENT, "")

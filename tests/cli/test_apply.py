"""`policyd apply` does once what the agent does: it swaps, touches nothing else, checks, and ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from policyd.cli.apply import with_attachments
from policyd.cluster.attachments import attachments_json
from policyd.cluster.state import ClusterState
from policyd.errors import Exit
from policyd.lab.namespace import Namespace
from policyd.manifests.load import load_manifest
from tests.agent.agents import nft, policy, run, running, write
from tests.cli.node import manifests, node

__all__ = ["manifests", "node"]
pytestmark = pytest.mark.kernel


def apply(node: Namespace, directory: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return run(node, "apply", "-f", str(directory), "--node", "n1", *flags)


def handles(node: Namespace) -> dict[str, int]:
    """The number that the kernel gave to each set, map and chain when it was made."""
    listing = json.loads(nft(node, "-j", "list", "table", "inet", "policyd"))
    objects = [(kind, value) for item in listing["nftables"] for kind, value in item.items()]
    return {value["name"]: value["handle"] for kind, value in objects if kind in ("set", "map", "chain")}


def test_the_first_ruleset_is_that_of_compile(node: Namespace, manifests: Path) -> None:
    done = apply(node, manifests)
    assert (done.returncode, done.stdout) == (Exit.OK, "")
    assert done.stderr.startswith("policyd: n1: generation 1 is in force: 2 pods, 1 isolated, ")
    both = "table inet policyd\ntable bridge policyd\n"
    assert nft(node, "list", "tables") == both
    applied = nft(node, "list", "table", "inet", "policyd")
    objects, _ = load_manifest(b"---\n".join(path.read_bytes() for path in manifests.iterdir()), "x")
    with node.entered():
        known = with_attachments(ClusterState.of(objects), "n1").attachments
    assert known.bridges == ("cni0",)
    attachments = manifests.parent / "attachments.json"
    attachments.write_text(json.dumps(attachments_json(known)))
    flags = ("--node", "n1", "--attachments", str(attachments))
    compiled = run(node, "compile", "-f", str(manifests), *flags).stdout
    with node.entered():
        subprocess.run(["nft", "-f", "-"], input=compiled, text=True, check=True)
    assert nft(node, "list", "table", "inet", "policyd") == applied


def test_what_did_not_change_is_not_touched_and_nothing_is_left_over(
    node: Namespace, manifests: Path
) -> None:
    """A packet may be walking on it: whoever replaces the table loses packets of allowed connections."""
    apply(node, manifests)
    before = handles(node)
    write(manifests, "db.yaml", policy("db", "db", 5432))
    done = apply(node, manifests)
    assert done.returncode == Exit.OK
    assert "generation 2 is in force" in done.stderr
    after = handles(node)
    kept = before.keys() & after.keys()
    assert {"forward", "input", "output"} & kept
    assert any(name.startswith("in4-") for name in kept)
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}
    write(manifests, "db.yaml", "")
    assert apply(node, manifests).returncode == Exit.OK
    assert handles(node).keys() == before.keys()


def test_without_a_difference_nothing_is_written(node: Namespace, manifests: Path) -> None:
    apply(node, manifests)
    before = nft(node, "list", "table", "inet", "policyd")
    done = apply(node, manifests)
    assert (done.returncode, "nothing to change, generation 1 is in force" in done.stderr) == (0, True)
    assert nft(node, "list", "table", "inet", "policyd") == before


def test_a_dry_run_changes_nothing(node: Namespace, manifests: Path) -> None:
    done = apply(node, manifests, "--dry-run")
    assert (done.returncode, nft(node, "list", "tables")) == (Exit.OK, "")
    both = "n1: table inet policyd and table bridge policyd"
    assert f"{both}: the kernel would take generation 1; nothing was changed" in done.stderr
    apply(node, manifests)
    assert "nothing to change, generation 1 is in force" in apply(node, manifests, "--dry-run").stderr


def test_what_somebody_else_wrote_into_the_table_is_replaced(node: Namespace, manifests: Path) -> None:
    apply(node, manifests)
    before = nft(node, "list", "table", "inet", "policyd")
    nft(node, "add rule inet policyd forward accept")
    done = apply(node, manifests)
    assert (done.returncode, "generation 2 is in force" in done.stderr) == (Exit.OK, True)
    after = nft(node, "list", "table", "inet", "policyd")
    assert after == before.replace("generation 1", "generation 2")


def test_it_refuses_while_an_agent_is_at_work(node: Namespace, manifests: Path) -> None:
    with running(node, manifests):
        before = nft(node, "list", "table", "inet", "policyd")
        write(manifests.parent, "other.yaml", (manifests / "world.yaml").read_text())
        done = apply(node, manifests.parent / "other.yaml")
        assert (done.returncode, nft(node, "list", "table", "inet", "policyd")) == (
            Exit.ENVIRONMENT,
            before,
        )
        assert "already enforces table inet policyd on this node; stop it first" in done.stderr


def test_the_agent_goes_on_from_what_was_applied(node: Namespace, manifests: Path) -> None:
    apply(node, manifests)
    before = handles(node)
    with running(node, manifests) as agent:
        [applied] = agent.says("ruleset in force")
        assert applied["generation"] == 1
    assert handles(node) == before


def test_mistakes_in_manifests_change_nothing(node: Namespace, manifests: Path) -> None:
    apply(node, manifests)
    before = nft(node, "list", "table", "inet", "policyd")
    write(manifests, "web.yaml", policy("web", "web", 80).replace("ingress", "ingres"))
    assert apply(node, manifests).returncode == Exit.BAD_INPUT
    assert nft(node, "list", "table", "inet", "policyd") == before


def test_what_is_in_force_bears_the_names_of_compile_when_peers_changed_too(
    node: Namespace, manifests: Path
) -> None:
    """A set of peers that changes is put beside first, by another name."""
    named = "[{from: [{podSelector: {matchLabels: {app: peer}}}]}]"
    write(manifests, "db.yaml", policy("db", "db", 5432).replace("[{ports: [{port: 5432}]}]", named))
    peer = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: peer, namespace: shop, labels: {app: peer}}\n"
        "spec: {nodeName: n2, containers: [{name: c}]}\n"
        "status: {phase: Running, podIPs: [{ip: 10.9.9.9}]}\n"
    )
    apply(node, manifests)
    write(manifests, "peer.yaml", peer)
    done = apply(node, manifests)
    assert (done.returncode, "generation 3 is in force" in done.stderr) == (Exit.OK, True)
    assert "10.9.9.9" in nft(node, "list", "table", "inet", "policyd")
    assert "nothing to change, generation 3 is in force" in apply(node, manifests).stderr

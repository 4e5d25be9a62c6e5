"""`policyd compile`: what it reads, for which node, with which options, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policyd.cluster.state import ClusterState
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.cases.form import ingress, namespace, pod, pods, policy
from tests.cli.calls import SHOP, Call, as_list, node

HEAD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"

NOTHING = "holds no Namespace, Node, Pod, ClusterNetworkPolicy or NetworkPolicy"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.json"
    path.write_text(as_list(*SHOP))
    return path


def expected(path: Path, name: str, options: Options = Options()) -> str:  # noqa: B008 a value
    objects, _ = load_manifest(path.read_bytes(), str(path))
    return print_replace(build(ClusterState.of(objects), name, options).table)


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_it_prints_the_bytes_of_the_one_path(name: str, shop: Path, call: Call) -> None:
    """Which the agent takes, too."""
    result = call("compile", "-f", shop, "--node", name)
    assert (result.code, result.err) == (0, "")
    assert result.out == expected(shop, name)


def test_the_order_of_objects_and_files_does_not_matter(tmp_path: Path, call: Call) -> None:
    """L15, but for the comments that say where something was written."""
    for number, manifest in enumerate(SHOP):
        (tmp_path / f"{number}.json").write_text(json.dumps(manifest))
        (tmp_path / f"{len(SHOP) - number}.yaml").write_text(json.dumps(manifest))
    one = call(
        "compile", *[a for n in range(len(SHOP)) for a in ("-f", tmp_path / f"{n}.json")], "--node", "n1"
    )
    other = call(
        "compile", *[a for n in range(len(SHOP)) for a in ("-f", tmp_path / f"{n + 1}.yaml")], "--node", "n1"
    )
    assert one.code == other.code == 0
    assert without_comments(one.out) == without_comments(other.out)


def without_comments(script: str) -> list[str]:
    return [line for line in script.splitlines() if not line.lstrip().startswith("#")]


FLAGS: list[tuple[list[str], Options]] = [
    (["--table", "other"], Options(table="other")),
    (["--pod-interfaces", "cni0,veth*"], Options(pod_interfaces=("cni0", "veth*"))),
    (["--node-egress", "exempt"], Options(node_egress="exempt")),
    (["--hairpin", "evaluate"], Options(hairpin="evaluate")),
    (["--deny", "reject"], Options(deny="reject")),
    (["--istio-ambient", "translate"], Options(istio_ambient="translate")),
    (["--policy-budget", "1"], Options(policy_budget=1)),
    (["--namespace-budget", "1"], Options(namespace_budget=1)),
    (
        ["--pod-tunnels", "allow", "--pod-interfaces", "cni0"],
        Options(pod_tunnels="allow", pod_interfaces=("cni0",)),
    ),
]


@pytest.mark.parametrize(("flags", "options"), FLAGS, ids=[row[0][0] for row in FLAGS])
def test_every_option_of_the_compiler_has_its_flag(
    flags: list[str], options: Options, shop: Path, call: Call
) -> None:
    result = call("compile", "-f", shop, "--node", "n1", *flags)
    assert result.out == expected(shop, "n1", options) != expected(shop, "n1")


def test_the_flags_are_those_of_the_options() -> None:
    assert {flags[0][2:].replace("-", "_") for flags, _ in FLAGS} == set(Options.__dataclass_fields__)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--table", "a b"], "must be a letter, and at most 63"),
        (["--table", "ä"], "must be a letter, and at most 63"),
        (["--pod-interfaces", "veth*,a/b"], "'a/b' is not an interface"),
        (["--pod-interfaces", "*"], "'*' is not an interface"),
        (["--pod-interfaces", "sixteen-letters-"], "'sixteen-letters-' is not an interface"),
        (["--pod-interfaces", ""], "'' is not an interface"),
        (["--node", "n1\n"], 'argument --node: "n1\\n" is not a valid name'),
        (["-n", "Shop"], "is not a valid namespace name"),
        (["--table", "flush"], "must not be a word of nft's own"),
        (["--generation", "0"], "must be a number from 1 on, of at most 18 digits, not '0'"),
        (["--generation=-3"], "must be a number from 1 on"),
        (["--generation", "1" + "0" * 18], "must be a number from 1 on"),
        (["--deny", "no"], "invalid choice: 'no'"),
        (["--node", "n1", "--all-nodes"], "not allowed with argument"),
        (["--all-nodes"], "say where with --output-dir"),
        (["--output-dir", "x"], "--output-dir is for --all-nodes"),
        ([], "which node? name one with --node, or take --all-nodes; there are n1, n2"),
        (["--node", "n3"], 'there is no node "n3"; there are n1, n2'),
        (["a.yaml", "b.yaml"], "files are named with -f, each with its own: -f a.yaml -f b.yaml"),
    ],
)
def test_flags_that_make_no_sense(flags: list[str], sentence: str, shop: Path, call: Call) -> None:
    result = call("compile", "-f", shop, *flags)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err


def test_without_a_file_it_says_how_to_give_one(call: Call) -> None:
    result = call("compile")
    assert result.code == 2
    assert "name files or directories with -f" in result.err


def test_the_node_is_known_when_only_one_is_named(call: Call) -> None:
    """By a Node, or by a pod that runs there."""
    for objects in ((node("n7"),), (pod("x/a", "10.0.0.1", node="n7"),)):
        result = call("compile", "-f", "-", stdin=as_list(*objects))
        assert (result.code, result.out[:9]) == (0, "add table")


def test_where_no_node_is_named_one_must_be(call: Call) -> None:
    text = as_list(policy("x", policyTypes=["Ingress"]))
    result = call("compile", "-f", "-", stdin=text)
    assert (result.code, result.out) == (2, "")
    assert "no node is named in what was read" in result.err
    named = call("compile", "-f", "-", "--node", "anything", "--allow-empty", stdin=text)
    assert named.code == 0
    assert "no pod of node anything has an address: the ruleset lets everything pass" in named.err
    alone = call("compile", "-f", "-", stdin=as_list(node("n7")))
    assert "no pod of node n7 has an address" in alone.err


def test_a_long_list_of_nodes_is_cut_short(call: Call) -> None:
    text = as_list(*(node(f"n{number:03}") for number in range(500)))
    result = call("compile", "-f", "-", stdin=text)
    assert "n009 and 490 more" in result.err
    misspelt = call("compile", "-f", "-", "--node", "n47o", stdin=text)
    assert misspelt.code == 2
    assert 'there is no node "n47o"; did you mean "n4' in misspelt.err


def test_all_nodes_have_their_files(shop: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "a" / "b"
    result = call("compile", "-f", shop, "--all-nodes", "--output-dir", out)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"policyd: wrote {out}/n1.nft\npolicyd: wrote {out}/n2.nft\n"
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        f"{name}.nft": expected(shop, name) for name in ("n1", "n2")
    }


@pytest.mark.parametrize(("output", "suffix"), [("json", "json"), ("ir", "ir.json"), ("summary", "txt")])
def test_files_are_named_after_what_they_hold(
    output: str, suffix: str, shop: Path, tmp_path: Path, call: Call
) -> None:
    call("compile", "-f", shop, "--all-nodes", "--output-dir", tmp_path / "out", "-o", output)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"n1.{suffix}", f"n2.{suffix}"]


def test_a_directory_that_cannot_be_written(shop: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").write_text("kept")
    result = call("compile", "-f", shop, "--all-nodes", "--output-dir", tmp_path / "file")
    assert result.code == 4
    assert "n1.nft cannot be written" in result.err
    (tmp_path / "out" / "n1.nft").mkdir(parents=True)
    result = call("compile", "-f", shop, "--all-nodes", "--output-dir", tmp_path / "out")
    assert result.code == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["n1.nft"], "nothing unfinished is left"


def test_after_a_mistake_nothing_is_written(shop: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "n1.nft").write_text("kept")
    bad = as_list(policy("x", policyTypes=["ingress"]))
    result = call("compile", "-f", shop, "-f", "-", "--all-nodes", "--output-dir", tmp_path, stdin=bad)
    assert (result.code, result.out) == (3, "")
    assert (tmp_path / "n1.nft").read_text() == "kept"


def test_every_mistake_of_every_file_is_reported_sorted_and_counted(tmp_path: Path, call: Call) -> None:
    (tmp_path / "b.yaml").write_text(HEAD + "  labels: {a: 1, b: on}\n")
    (tmp_path / "a.yaml").write_text(HEAD + "  lables: {}\n")
    result = call("compile", "-f", tmp_path / "b.yaml", "-f", tmp_path, "-f", tmp_path / "c.yaml")
    assert (result.code, result.out) == (3, "")
    *lines, last = result.err.splitlines()
    assert lines == sorted(lines)
    assert [line.removeprefix(f"{tmp_path}/").split(" ")[0] for line in lines] == [
        "a.yaml:5:3:", "b.yaml:5:15:", "b.yaml:5:15:", "b.yaml:5:21:", "b.yaml:5:21:", "c.yaml:",
    ]  # fmt: skip
    assert last == "policyd: 6 errors"


def test_objects_that_are_given_twice_are_refused(shop: Path, tmp_path: Path, call: Call) -> None:
    again = tmp_path / "again.yaml"
    again.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    result = call("compile", "-f", shop, "-f", again, "--node", "n1")
    assert (result.code, result.out) == (3, "")
    assert f"{again}:1:1: error: Namespace shop is given twice; the first is at {shop}:1" in result.err


@pytest.mark.parametrize(
    "text", ["", "---\n", "# nothing\n", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"]
)
def test_nothing_to_compile_is_a_mistake(text: str, call: Call) -> None:
    """`kubectl get ... | policyd compile | nft -f -` would open everything when kubectl fails."""
    result = call("compile", "-f", "-", "--node", "n1", stdin=text)
    assert (result.code, result.out) == (3, "")
    assert f"<stdin>: warning: {NOTHING}" in result.err
    assert "there is nothing to compile" in result.err


def test_kinds_of_others_are_passed_over_and_a_file_of_them_is_reported(
    shop: Path, tmp_path: Path, call: Call
) -> None:
    others = tmp_path / "others.yaml"
    others.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\nkind: Service\napiVersion: v1\n"
    )
    result = call("compile", "-f", shop, "-f", others, "--node", "n1")
    assert result.code == 0
    assert result.err == (f"{others}: warning: {NOTHING}\npolicyd: 1 warning\n")
    both = call("compile", "-f", tmp_path, "--node", "n1")
    assert both.err == "", "a directory may hold what it likes beside"


ODD: list[tuple[list[str], list[Any], int, str]] = [
    ([], [ingress("x", "a", {"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]})], 0, "warning"),
    (
        ["--legacy-cidrs=error"],
        [ingress("x", "a", {"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]})],
        3,
        "error",
    ),
    ([], [policy("x", ingres=[])], 3, "error"),
    (["--unknown-fields=warn"], [policy("x", ingres=[])], 0, "warning"),
]


@pytest.mark.parametrize(("flags", "objects", "code", "word"), ODD)
def test_matters_of_taste_have_a_flag(
    flags: list[str], objects: list[Any], code: int, word: str, call: Call
) -> None:
    text = as_list(namespace("x"), pod("x/a", "10.0.0.1"), *objects)
    result = call("compile", "-f", "-", *flags, stdin=text)
    assert result.code == code
    assert f": {word}: NetworkPolicy x/p: spec" in result.err
    assert (result.out != "") is (code == 0), "warnings do not change the exit code"


def test_the_default_namespace_is_a_flag(call: Call) -> None:
    text = f"{HEAD}spec: {{nodeName: n1}}\nstatus: {{podIP: 10.0.0.1}}\n"
    result = call("compile", "-f", "-", "-n", "shop", "-o", "summary", stdin=text)
    assert "shop/a" in result.out
    assert "policyd: warning: namespace shop is not among the objects" in result.err


def test_what_is_odd_in_the_cluster_is_reported_once(tmp_path: Path, call: Call) -> None:
    text = as_list(pod("x/a", "10.0.0.1"), pod("x/b", "10.0.0.1", node="n2"))
    result = call("compile", "-f", "-", "--all-nodes", "--output-dir", tmp_path, stdin=text)
    assert result.code == 0
    assert result.err.count("namespace x is not among the objects") == 1
    assert result.err.count("10.0.0.1 is claimed by 2 pods, x/b, x/a: ") == 1
    assert result.err.endswith("policyd: 2 warnings\n")


@pytest.mark.parametrize(
    ("flags", "opens"),
    [((), True), (("--missing-namespaces", "named"), True), (("--missing-namespaces", "unknown"), False)],
)
def test_what_a_missing_namespace_is_can_be_said(flags: tuple[str, ...], opens: bool, call: Call) -> None:
    """NP-040 for manifests; NP-168 for the objects that an agent knows."""
    rule = {
        "from": [{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}]
    }
    text = as_list(pod("x/a", "10.0.0.1"), pod("w/b", "10.0.0.2"), namespace("x"), ingress("x", "a", rule))
    result = call("compile", "-f", "-", "--node", "n1", *flags, stdin=text)
    assert result.code == 0
    told = result.err.count("warning: namespace w is not ")
    assert ("10.0.0.2" in result.out, told) == (opens, 1)


def test_in_a_cluster_a_missing_namespace_may_come(call: Call) -> None:
    result = call("compile", "--live", "--missing-namespaces", "named", "--node", "n1")
    assert (result.code, result.out) == (2, "")
    assert "--missing-namespaces named is for manifests" in result.err


def test_an_impossible_address_is_a_warning_and_in_the_summary(call: Call) -> None:
    """NP-167."""
    text = as_list(namespace("x"), pod("x/a", "127.0.0.1"), pod("x/b", "10.0.0.2"), policy("x"))
    result = call("compile", "-f", "-", "--node", "n1", "-o", "summary", stdin=text)
    assert result.code == 0
    assert "warning: pod x/a claims 127.0.0.1, a loopback address" in result.err
    assert "outside of policy: x/a (no address that a pod can have)" in result.out


def test_names_of_files_cannot_add_to_the_script(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "x\ndelete table inet other\n.json"
    path.write_text(as_list(*SHOP))
    result = call("compile", "-f", path, "--node", "n1")
    assert result.code == 0
    assert not any(line.startswith("delete table inet other") for line in result.out.splitlines())


def test_a_peer_that_selects_nobody_is_a_warning_where_its_rule_was_written(
    tmp_path: Path, call: Call
) -> None:
    """The commonest question about NetworkPolicy: why does my rule for a host-network pod do nothing?"""
    path = tmp_path / "web.yaml"
    path.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: host, namespace: shop}\n"
        "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - podSelector: {matchLabels: {pod: proxy}}\n"
    )
    shop = tmp_path / "shop.json"
    shop.write_text(as_list(*SHOP))
    result = call("compile", "-f", shop, "-f", path, "--node", "n1", "-o", "summary")
    assert result.code == 0
    first, last = result.err.splitlines()
    said = "NetworkPolicy shop/host: spec.ingress[0].from[0] matches only pods on the host's network"
    assert first.startswith(f"{path}:8:1: warning: {said}")
    assert last == "policyd: 1 warning"


@pytest.mark.parametrize("how", ["comment", "annotation", "another"])
def test_what_is_switched_off_is_no_warning(shop: Path, call: Call, tmp_path: Path, how: str) -> None:
    """As in lint: by a comment on the line, or by the policy's annotation; of that rule only."""
    annotation = (
        'annotations: {policyd.io/lint-ignore: "NP102 it comes later"}' if how == "annotation" else ""
    )
    comment = {"comment": "  # policyd: ignore NP102", "another": "  # policyd: ignore NP104"}.get(how, "")
    (tmp_path / "slip.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: slip, namespace: shop, {annotation}}}\n"
        "spec:\n  podSelector: {matchLabels: {pod: web}}\n  ingress:\n  - from:\n"
        f"    - podSelector: {{matchLabels: {{pod: dbb}}}}{comment}\n"
    )
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    result = call(
        "compile", "-f", tmp_path / "slip.yaml", "-f", tmp_path / "shop.json", "--node", "n1", "-o", "summary"
    )
    assert result.code == 0
    assert ("did you mean db?" in result.err) == (how == "another")


def test_a_word_that_is_one_slip_away_is_a_warning_with_what_was_meant(shop: Path, call: Call) -> None:
    """Each once, though its peer selects nobody, too."""
    text = as_list(
        *SHOP,
        ingress("shop", "web", {"from": [pods(pod="ap1")], "ports": [{"port": "htpt"}]}, name="slip"),
        ingress("shop", "web", {"from": [pods(pod="dbb")]}, name="slips"),
        ingress("shop", "dbb", name="nobody"),
    )
    result = call("compile", "-f", "-", "--node", "n1", "-o", "summary", stdin=text)
    assert result.code == 0
    said = {
        line.rpartition("--explain ")[2]: line for line in result.err.splitlines() if "did you mean" in line
    }
    assert sorted(said) == ["NP101`)", "NP102`)", "NP104`)"]
    assert "no pod of shop has pod=dbb; did you mean db?" in said["NP102`)"]
    assert result.err.count("slips: spec.ingress[0].from[0] ") == 1
    assert result.err.count("slip: spec.ingress[0].from[0] ") == 1  # no slip is known, and it selects nobody


def test_a_policy_over_its_budget_is_warned_of(shop: Path, call: Call) -> None:
    """And compiled as an agent with that budget has it: closed."""
    result = call("compile", "-f", shop, "--node", "n1", "--policy-budget", "1")
    assert result.code == 0
    assert "warning: quarantined, so their pods are isolated and they allow nothing: " in result.err
    assert "it costs this node more than 1 elements" in result.err


def test_policies_without_any_pod_are_no_ruleset(call: Call) -> None:
    """It would let everything pass, and nobody would notice."""
    stdin = as_list(node("n1"), policy("shop", policyTypes=["Ingress"]), pod("shop/web"))
    refused = call("compile", "-f", "-", "--node", "n1", stdin=stdin)
    assert (refused.code, refused.out) == (1, "")
    assert "policyd: 1 policy, and no pod that holds an address: the ruleset would let" in refused.err
    taken = call("compile", "-f", "-", "--node", "n1", "--allow-empty", stdin=stdin)
    assert taken.code == 0
    assert "table inet policyd" in taken.out

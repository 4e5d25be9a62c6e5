"""`policyd why` and `policyd reach`, as they are called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cases.form import cluster_policy, ingress, namespace, pod, pods, policy
from tests.cli.answers import answer
from tests.cli.calls import ROOT, Call, as_list
from tests.oracle import Manifest

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
ASKED = {
    "allowed": ("shop/deploy/web", "shop/sts/db:5432"),
    "denied": ("guest/pod/shell", "shop/sts/db:5432"),
    "unknown": ("shop/deploy/web", "shop/sts/db:7946/UDP"),
}
#: shop/deploy/web has a pod web-0, and a Service in front of it.
TEMPLATE = {
    "metadata": {"labels": {"pod": "web-0"}},
    "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
}
DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"template": TEMPLATE},
}


def owned(name: str, address: str) -> Manifest:
    """A pod of the Deployment."""
    made = pod(f"shop/{name}", address, ports=[{"name": "http", "containerPort": 8080}])
    made["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "web", "controller": True}]
    return made


SERVICE: Manifest = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "front", "namespace": "shop"},
    "spec": {"selector": {"pod": "web-0"}, "ports": [{"port": 80, "targetPort": "http"}]},
}
SHOP = (
    namespace("shop"),
    DEPLOYMENT,
    owned("web-0", "10.244.1.10"),
    SERVICE,
    pod("shop/client", "10.244.1.11"),
    ingress("shop", "web-0", {"from": [pods(pod="klient")], "ports": [{"port": "http"}]}, name="web"),
)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of the contract, named as it is there."""
    monkeypatch.chdir(EXAMPLE)
    return EXAMPLE


def test_reach_answers_the_example(call: Call, example: Path) -> None:
    assert answer(call, "reach", "-f", "old") == json.loads((example / "reach.json").read_text())


@pytest.mark.parametrize("verdict", ASKED)
def test_why_answers_the_example(call: Call, example: Path, verdict: str) -> None:
    found = answer(call, "why", "-f", "old", *ASKED[verdict], code=0 if verdict == "allowed" else 1)
    expected = json.loads((example / f"why-{verdict}.json").read_text())
    for direction in ("egress", "ingress"):
        near = expected[direction]["near"]
        assert found[direction].pop("near")[: len(near)] == expected[direction].pop("near")
        found[direction].pop("because", None)
    assert found == expected


def test_order_and_place_of_the_objects_change_nothing(call: Call) -> None:
    texts = {call("reach", "-f", "-", "-o", "json", stdin=as_list(*each)).out for each in (SHOP, SHOP[::-1])}
    assert len(texts) == 1


def test_the_text_says_what_would_change_it(call: Call, tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    result = call("why", "-f", tmp_path, "shop/client", "svc/front:80")
    assert result.code == 1
    assert result.out.splitlines()[:4] == [
        "DENIED  shop/pod/client → shop/deploy/web  TCP 8080",
        "  svc/shop/front port 80 leads to port http of its pods, which is judged",
        "  egress   open   no policy selects shop/pod/client for egress",
        "  ingress  DENY   isolated by shop/web; no rule of theirs allows it",
    ]
    assert "fix    pod: klient → pod: client, or label the pod pod=klient" in result.out
    assert "port 8080 fits; the source has pod=client, the rule wants pod=klient" in result.out


def test_an_overlay_is_put_over_what_is_read(call: Call, tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    fixed = tmp_path / "fixed.json"
    fixed.write_text(as_list(ingress("shop", "web-0", {"from": [pods(pod="client")]}, name="web")))
    asked = ("shop/client", "shop/web:8080")
    assert call("why", "-f", tmp_path / "shop.json", *asked).code == 1
    result = call("why", "-f", tmp_path / "shop.json", "--with", fixed, *asked)
    assert (result.code, result.out.split()[0]) == (0, "ALLOWED")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("shop/deploy/web", "shop/deploy/web"),
        ("deployment/web", "shop/deploy/web"),
        ("web", "shop/deploy/web"),
        ("shop/web-0", "shop/pod/web-0"),
        ("web-0", "shop/pod/web-0"),
        ("svc/shop/front", "shop/deploy/web"),
        ("pod=web-0@shop", "shop/deploy/web"),
    ],
)
def test_ends_have_several_names(call: Call, name: str, meant: str) -> None:
    found = answer(
        call,
        "why",
        "-f",
        "-",
        "client",
        f"{name}:{80 if 'svc' in name else 8080}",
        stdin=as_list(*SHOP),
        code=1,
    )
    assert found["to"]["id"] == meant
    assert found["to"]["addresses"] == ["10.244.1.10"]
    assert found["port"] == 8080


def test_an_address_is_a_pods_or_nobodys(call: Call) -> None:
    stdin = as_list(*SHOP)
    found = answer(call, "why", "-f", "-", "10.244.1.11", "10.244.1.10:8080", stdin=stdin, code=1)
    assert (found["from"], found["ingress"]["isolatedBy"]) == ({"address": "10.244.1.11"}, ["shop/web"])
    found = answer(call, "why", "-f", "-", "shop/client", "[2001:db8::1]:443", stdin=stdin, code=1)
    assert found["egress"]["because"] == ["there is no family in which both have an address"]
    assert call("why", "-f", "-", "shop/client", "203.0.113.1:443", stdin=stdin).code == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("shop/cleint", "shop/web:80"), 'there is no endpoint "shop/cleint"; did you mean "shop/client"?'),
        (("shop/client", "shop/web:99999"), "a port number is from 1 to 65535, not 99999"),
        (("shop/client", "shop/web:80/ICMP"), "a protocol is one of TCP, UDP, SCTP"),
        (("shop/client", "shop/web:htpt"), 'shop/deploy/web has no TCP port "htpt"; did you mean "http"?'),
        (("shop/client", "shop/web:redis"), 'has no TCP port "redis"; it names http: give a number'),
        (("svc/front:80", "shop/web:80"), "a port goes with the one who receives only"),
        (("shop/client", "svc/front:81"), "svc/shop/front has no port 81/TCP; it has 80/TCP"),
        (("shop/client", "svc/back:81"), 'there is no Service "back"'),
        (("shop/*", "web:80"), '"shop/*" can mean shop/deploy/web, shop/pod/client: name one of them'),
        (("node/n9", "web:80"), 'there is no node "n9"'),
    ],
)
def test_a_question_that_cannot_be_is_refused(call: Call, asked: tuple[str, str], said: str) -> None:
    result = call("why", "-f", "-", *asked, stdin=as_list(*SHOP))
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_files_of_a_directory_that_are_no_manifests_are_skipped(call: Call, tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    (tmp_path / "values.yaml").write_text("replicas: 3\nimage: {kind: none}\n")
    (tmp_path / "chart.yaml").write_text("kind: {{ .Values.kind }}\napiVersion: v1\n")
    (tmp_path / "products.json").write_text('["a", "b"]')
    result = call("reach", "-f", tmp_path)
    assert result.code == 0
    assert result.err == "policyd: 3 files that are no manifests were skipped\n"
    assert call("reach", "-f", tmp_path / "values.yaml").code == 3


@pytest.mark.parametrize(
    "broken",
    [
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {pods: 1}\n",
        "apiVersion: v1\nkind: Pod\n metadata: {}\n",
        "apiVersion: v1\nkind: Netwrkpolicy\nmetadata: {name: a}\n",
    ],
)
def test_a_broken_manifest_of_a_directory_is_a_mistake(call: Call, tmp_path: Path, broken: str) -> None:
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    (tmp_path / "broken.yaml").write_text(broken)
    result = call("reach", "-f", tmp_path)
    assert (result.code, result.out) == (3, "")
    assert "broken.yaml:" in result.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("-f", "-", "--live"), ("-f", "-", "--with", "-"), ("-f", "-", "--context", "c")],
)
def test_it_must_be_clear_what_is_asked_about(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("reach", *arguments, stdin=as_list(*SHOP)).code == 2


def test_a_revision_and_a_bundle_are_read(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "shop.json").write_text(as_list(*SHOP))
    monkeypatch.chdir(tmp_path)
    who = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "a")):
        subprocess.run(
            ["git", *words], check=True, env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        )
    (tmp_path / "deploy" / "shop.json").unlink()
    expected = answer(call, "reach", "-f", "-", stdin=as_list(*SHOP))
    assert answer(call, "reach", "--git", "HEAD:deploy") == expected
    found = call("why", "--git", "HEAD", "shop/client", "web:8080")
    assert "HEAD:deploy/shop.json:" in found.out
    assert call("reach", "--git", "nothing").code == 4
    (tmp_path / "objects.json").write_text(as_list(*SHOP))
    with tarfile.open(tmp_path / "bundle.tar.gz", "w:gz") as bundle:
        bundle.add("objects.json", "policyd-n1/objects.json")
    assert answer(call, "reach", "--bundle", "bundle.tar.gz") == expected
    assert call("reach", "--bundle", "objects.json").code == 3


def test_what_is_shown_can_be_narrowed(call: Call, example: Path) -> None:
    found = answer(call, "reach", "-f", "old", "--to", "shop/db", "--port", "5432")
    assert found["connections"] == [
        {"from": "shop/deploy/web", "to": "shop/sts/db", "allowed": {"TCP": "5432"}}
    ]
    assert found["outside"] == []
    found = answer(call, "reach", "-f", "old", "--from", "internet")
    assert (found["connections"], {each["from"] for each in found["outside"]}) == ([], {"outside"})


def test_a_revision_without_its_prefix_is_told_how_it_is_written(call: Call, example: Path) -> None:
    result = call("diff", "HEAD~1", "new")
    assert (result.code, result.out) == (3, "")
    assert "a revision of git is written git:HEAD~1\n" in result.err


def test_a_table_has_rows_that_send(call: Call, example: Path) -> None:
    lines = call("reach", "-f", "old", "-o", "table").out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["guest/shell", "shop/web", "shop/db", "outside"]
    assert lines[2].split()[1:] == ["all", "·", "5432", "?udp/7946", "all"]
    narrow = call("reach", "-f", "old").out.splitlines()
    assert narrow[:2] == ["guest/shell", "  ← outside   all (v4 only)"]


def test_pods_that_differ_make_the_workload_unknown(call: Call) -> None:
    other = owned("web-1", "10.244.1.12")
    stdin = as_list(*SHOP, other)
    found = answer(call, "why", "-f", "-", "shop/client", "deploy/web:8080", stdin=stdin, code=1)
    assert (found["verdict"], found["ingress"]["because"]) == ("unknown", ["differs between the pods"])
    [into] = [
        each
        for each in answer(call, "reach", "-f", "-", stdin=stdin)["connections"]
        if (each["from"], each["to"]) == ("shop/pod/client", "shop/deploy/web")
    ]
    assert into["allowed"] == {}
    assert into["unknown"]["TCP"] == "1-65535"
    by_pod = answer(call, "reach", "-f", "-", "--by", "pod", stdin=stdin)
    assert [each["id"] for each in by_pod["endpoints"]] == [
        "shop/pod/client",
        "shop/pod/web-0",
        "shop/pod/web-1",
    ]


def test_what_the_administrator_denies_is_not_said_to_be_allowed_by_no_rule(call: Call) -> None:
    """The NetworkPolicy that isolates it allows it: nobody asks it any more."""
    tier = cluster_policy("first", ingress=[{"action": "Deny", "from": [{"namespaces": {}}]}])
    allowing = policy("shop", name="too", policyTypes=["Ingress"], ingress=[{}])
    asked = ("why", "-f", "-", "shop/client", "deploy/web:8080")
    done = call(*asked, stdin=as_list(*SHOP, allowing, tier))
    assert done.code == 1
    assert "no rule of theirs" not in done.out
    assert (
        "  ingress  DENY   a ClusterNetworkPolicy denies it, before shop/too, shop/web are asked" in done.out
    )
    assert "denies it, in tier Admin" in done.out


@pytest.mark.parametrize(("action", "code"), [("Deny", 1), ("Accept", 0), ("Pass", 1)])
def test_rules_of_the_administrator_come_first(call: Call, action: str, code: int) -> None:
    tier = cluster_policy("first", ingress=[{"action": action, "from": [{"namespaces": {}}]}])
    asked = ("why", "-f", "-", "shop/client", "deploy/web:8080")
    found = answer(call, *asked, stdin=as_list(*SHOP, tier), code=code)["ingress"]
    named = {"Deny": found["near"], "Accept": found["rules"], "Pass": []}[action]
    assert [(each["policy"], each["rule"]) for each in named[:1]] == (
        [] if action == "Pass" else [("first", "ingress[0]")]
    )
    assert found["isolatedBy"] == ["shop/web"]
    assert [each["policy"] for each in found["near"]] == {
        "Deny": ["first"],
        "Accept": [],
        "Pass": ["shop/web"],
    }[action]
    exposed = answer(call, "reach", "-f", "-", "--open", "--to", "shop/web", stdin=as_list(*SHOP, tier))
    opened = [(each["to"], rule["policy"]) for each in exposed["exposed"] for rule in each["rules"]]
    assert (("pods", "first") in opened) == (action == "Accept")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("fornt", 'did you mean "front"?'),
        ("shop/fornt", 'did you mean "shop/front"?'),
        ("en", "there is shop/pod/client"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_one_that_may_be_meant(
    call: Call, asked: str, said: str
) -> None:
    stdin = as_list(*SHOP, pod("shop/front", "10.244.1.13"))
    assert said in call("why", "-f", "-", asked, "shop/web:8080", stdin=stdin).err


def test_without_a_port_what_is_denied_is_called_denied(call: Call) -> None:
    result = call("why", "-f", "-", "client", "deploy/web", stdin=as_list(*SHOP))
    assert (result.code, result.out.splitlines()[1].split("  ")[1:]) == (
        1,
        ["DENIED", "all ports; with one, as in shop/deploy/web:80, the reason is said"],
    )


def test_policies_without_anybody_are_no_world_to_ask_about(call: Call, tmp_path: Path) -> None:
    """Else `diff` of a directory of policies would say that nothing differs, whatever was edited."""
    for name in ("old", "new"):
        (tmp_path / f"{name}.json").write_text(as_list(SHOP[-1]))
    for words in (
        ("reach", "-f", tmp_path / "old.json"),
        ("diff", tmp_path / "old.json", tmp_path / "new.json"),
    ):
        result = call(*words)
        assert (result.code, result.out) == (3, "")
        assert "no pod and no workload was read" in result.err
    (tmp_path / "pods.json").write_text(as_list(*SHOP[:-1]))
    sides = (tmp_path / "old.json", tmp_path / "new.json")
    assert call("diff", *sides, "--with", tmp_path / "pods.json").code == 1


def test_what_is_given_twice_alike_counts_once(call: Call, tmp_path: Path) -> None:
    """As repositories have the same Deployment for several tools."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(as_list(*SHOP))
    asked = ("why", "-f", tmp_path, "shop/client", "shop/web:8080")
    assert "a.json:" in call(*asked).out
    other = ingress("shop", "web-0", {"from": [pods(pod="client")]}, name="web")
    (tmp_path / "b.json").write_text(as_list(other, pod("shop/client", "10.244.1.12")))
    result = call(*asked)
    assert (result.code, result.out) == (3, "")
    assert len(result.err.splitlines()) == 2
    assert "is given twice; the first is at" in result.err
    assert "and they differ, and 1 more like this. Name the files of one deployment" in result.err


def test_patches_in_directories_are_no_manifests(call: Call, tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text(as_list(*SHOP))
    patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n$patch: delete\n"
    (tmp_path / "patch.yaml").write_text(patch)
    assert call("reach", "-f", tmp_path).err == "policyd: 1 file that is no manifest was skipped\n"


def test_a_directory_is_compared_with_its_folders(call: Call, tmp_path: Path) -> None:
    """As a revision is: `diff git:main .` compares the same files."""
    for name in ("old", "new"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "shop.json").write_text(as_list(*SHOP))
    assert call("diff", tmp_path / "old", tmp_path / "new").code == 0
    result = call("reach", "-f", tmp_path / "old")
    assert (result.code, "-R looks into its folders" in result.err) == (3, True)

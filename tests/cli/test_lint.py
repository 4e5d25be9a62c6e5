"""`policyd lint`: what it reads, what it prints where, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from policyd.kube.registry import ASKED
from policyd.lint.examples import SHOP
from policyd.lint.table import BY_ID
from tests.cli.calls import ROOT, Call, finish, start
from tests.watcher.emulator import Emulator
from tests.watcher.server import write_kubeconfig

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: wbe}}}]
"""
NOTE = BY_ID["NP107"].bad


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the shop and a policy; the test stands in it."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "deploy" / "policies"
    folder.mkdir(parents=True)
    (tmp_path / "deploy" / "shop.yaml").write_text(SHOP)
    (tmp_path / "deploy" / "values.yaml").write_text("replicas: 3\n")
    (folder / "api.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_is_read_with_its_folders(shop: Path, call: Call) -> None:
    result = call("lint", "deploy")
    assert result.code == 1
    assert result.out == (
        "deploy/policies/api.yaml:7:14: NP102 warn   shop/api ingress[0].from[0] matches no pod: "
        "no pod of shop has app=wbe; did you mean web?\n"
    )
    assert result.err == "policyd: 1 warning in 1 policy (1 file skipped); `policyd lint --explain NP102`\n"


def test_without_a_path_it_is_the_directory_where_one_is(shop: Path, call: Call) -> None:
    assert "NP102" in call("lint").out
    assert call("lint", "-f", "deploy").out == call("lint", "deploy").out


def test_json_alone_is_on_standard_output(shop: Path, call: Call) -> None:
    result = call("lint", "deploy", "-o", "json")
    printed = json.loads(result.out)
    assert (printed["apiVersion"], printed["kind"]) == ("policyd/v1", "Findings")
    assert printed["world"] == "complete"
    assert printed["summary"] == {"error": 0, "warn": 1, "note": 0, "policies": 1, "skipped": 1, "ignored": 0}
    [finding] = printed["findings"]
    assert finding["object"] == {"kind": "NetworkPolicy", "namespace": "shop", "name": "api"}
    assert finding["suggestion"]["replace"] == "web"


@pytest.mark.parametrize(
    ("policy", "flags", "code"),
    [
        (POLICY, [], 1),
        (POLICY, ["--fail-on", "error"], 0),
        (POLICY, ["--fail-on", "never"], 0),
        (POLICY, ["--exit-zero"], 0),
        (POLICY, ["--ignore", "NP102"], 0),
        (POLICY, ["--select", "NP2,NP3"], 0),
        (POLICY, ["--select", "NP1"], 1),
        (POLICY, ["--baseline", "--ignore", "NP102"], 1),
        (POLICY, ["--extend", "NP203", "--ignore", "NP102"], 1),
        (NOTE, [], 0),
        (NOTE, ["--fail-on", "note"], 1),
        (BY_ID["NP001"].bad, ["--fail-on", "error"], 1),
    ],
)
def test_how_it_ends(shop: Path, call: Call, policy: str, flags: list[str], code: int) -> None:
    (shop / "deploy" / "policies" / "api.yaml").write_text(policy)
    assert call("lint", "deploy", *flags).code == code


@pytest.mark.parametrize("output", ["text", "json", "github", "junit", "md", "sarif"])
def test_every_output_comes_twice_the_same(shop: Path, call: Call, output: str) -> None:
    first = call("lint", "deploy", "-o", output)
    assert first.code == 1
    assert "NP102" in first.out
    assert call("lint", "deploy", "-o", output).out == first.out


def test_standard_input(shop: Path, call: Call) -> None:
    result = call("lint", "-", "deploy/shop.yaml", stdin=POLICY)
    assert result.out.startswith("<stdin>:7:14: NP102 warn")
    assert call("lint", "-", "-").code == 2
    assert call("lint", "-", "--fix", stdin=POLICY).code == 2


def test_fix_changes_the_file_and_nothing_else(shop: Path, call: Call) -> None:
    path = shop / "deploy" / "policies" / "api.yaml"
    path.chmod(0o640)
    result = call("lint", "deploy", "--fix")
    assert (result.code, result.out) == (0, "")
    assert "1 edit made" in result.err
    assert path.read_text() == POLICY.replace("wbe", "web")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (shop / "deploy" / "shop.yaml").read_text() == SHOP
    assert [p.name for p in path.parent.iterdir()] == ["api.yaml"]


def test_fix_of_one_path_that_is_named_twice(shop: Path, call: Call) -> None:
    assert call("lint", "deploy", "deploy/policies/api.yaml", "--fix").code == 0


def test_settings_of_the_repository(shop: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / ".policyd.yaml").write_text("lint: {ignore: [NP102]}\n")
    monkeypatch.chdir(shop / "deploy")
    assert call("lint", ".").code == 0
    assert "1 ignored" in call("lint", ".").err
    (shop / "other.yaml").write_text("lint: {exclude: ['policies/*']}\n")
    assert call("lint", ".", "--config", "../other.yaml").err.endswith("in 0 policies (1 file skipped)\n")
    (shop / ".policyd.yaml").write_text("lint: {ignroe: []}\n")
    result = call("lint", ".")
    assert (result.code, result.out) == (3, "")
    assert ".policyd.yaml:1:8: error: lint.ignroe: unknown field" in result.err
    assert call("lint", ".", "--config", "nowhere.yaml").code == 4


def test_settings_above_the_repository_are_not_its_own(shop: Path, call: Call) -> None:
    inner = shop / "deploy" / "inner"
    (inner / ".git").mkdir(parents=True)
    (shop / ".policyd.yaml").write_text("lint: {ignore: [NP102]}\n")
    os.chdir(inner)
    assert call("lint", "..").code == 1


def test_show_files(shop: Path, call: Call) -> None:
    result = call("lint", "deploy", "--show-files")
    assert (result.code, result.out) == (
        0,
        "read deploy/shop.yaml\nread deploy/policies/api.yaml\nskipped deploy/values.yaml\n",
    )


def test_what_a_server_would_refuse(shop: Path, call: Call) -> None:
    (shop / "deploy" / "policies" / "api.yaml").write_text(POLICY.replace("from:", "fom:"))
    result = call("lint", "deploy")
    assert (result.code, result.out) == (3, "")
    assert 'unknown field; did you mean "from"?' in result.err
    assert call("lint", "nowhere").code == 3


def test_a_mistake_that_a_rule_knows_is_a_finding(shop: Path, call: Call) -> None:
    (shop / "deploy" / "policies" / "api.yaml").write_text(BY_ID["NP005"].bad)
    result = call("lint", "deploy")
    assert result.code == 1
    assert "NP005 error" in result.out
    assert "error:" not in result.err
    # Switched off it is still no manifest.
    assert call("lint", "deploy", "--ignore", "NP005").code == 3


@pytest.mark.parametrize(
    "flags", ["--select NP9", "--ignore=", "--explain E501", "-o html", "--fail-on warning"]
)
def test_wrong_flags(shop: Path, call: Call, flags: str) -> None:
    assert call("lint", *flags.split()).code == 2


def test_explain(call: Call) -> None:
    result = call("lint", "--explain", "NP102")
    assert result.code == 0
    assert result.out.startswith("## NP102: a peer that matches no pod\n")


def test_what_is_ignored_and_is_no_rule_is_reported(shop: Path, call: Call) -> None:
    (shop / "deploy" / "policies" / "api.yaml").write_text(POLICY + "# policyd: ignore NP999\n" + "---\n")
    assert "api.yaml:9: there is no rule NP999 to ignore" in call("lint", "deploy").err


async def test_the_cluster_as_it_is(tmp_path: Path) -> None:
    """Complete, with its workloads: what selects nothing selects nothing."""
    emulator = Emulator(kinds={kind.path: kind.name for kind in ASKED})
    objects = [each for each in yaml.safe_load_all(SHOP + "---\n" + POLICY) if each]
    slip = yaml.safe_load(BY_ID["NP101"].bad)
    slip["metadata"]["name"] = "slip"
    far = yaml.safe_load(POLICY.replace("wbe", "batch"))
    far["metadata"]["name"] = "far"
    for kind in ASKED:
        found = [o for o in (*objects, slip, far) if o["kind"] == kind.name]
        emulator.put(kind.path, *found)
    async with emulator.serve():
        write_kubeconfig(tmp_path / "config", emulator.url)
        line = ("lint", "--live", "--kubeconfig", tmp_path / "config", "-o", "json")
        result = await asyncio.to_thread(lambda: finish(start(*line)))
    assert result.code == 1, result.err
    printed = json.loads(result.out)
    assert printed["world"] == "complete"
    said = {(f["object"]["name"], f["rule"], f["severity"]) for f in printed["findings"]}
    assert said == {("api", "NP102", "warn"), ("far", "NP102", "warn"), ("slip", "NP101", "warn")}
    assert {(f["file"], f["line"]) for f in printed["findings"]} == {("", 0)}


@pytest.mark.parametrize(
    "flags", ["--live deploy", "--live --fix", "--context c", "--git HEAD deploy", "--bundle b --fix"]
)
def test_flags_that_do_not_go_together(shop: Path, call: Call, flags: str) -> None:
    assert call("lint", *flags.split()).code == 2


def test_a_revision_and_a_bundle_are_read(
    shop: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (shop / ".git").rmdir()
    who = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "a")):
        subprocess.run(
            ["git", *words], check=True, env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        )
    (shop / "deploy" / "policies" / "api.yaml").unlink()
    found = call("lint", "--git", "HEAD:deploy")
    assert found.code == 1
    assert found.out.startswith("HEAD:deploy/policies/api.yaml:7:14: NP102 warn")
    assert call("lint", "--git", "nothing").code == 4
    objects = [*yaml.safe_load_all(SHOP), yaml.safe_load(POLICY)]
    (shop / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    with tarfile.open(shop / "bundle.tar.gz", "w:gz") as bundle:
        bundle.add("objects.json", "policyd-n1/objects.json")
    found = call("lint", "--bundle", "bundle.tar.gz")
    assert (found.code, found.out.count("NP102")) == (1, 1)
    assert call("lint", "--bundle", "objects.json").code == 3


def test_what_is_broken_is_not_skipped(shop: Path, call: Call) -> None:
    (shop / "deploy" / "policies" / "api.yaml").write_text(POLICY + "  egress: [\n")
    result = call("lint", "deploy")
    assert (result.code, result.out) == (3, "")
    assert "deploy/policies/api.yaml:9:1: error: not valid YAML" in result.err
    (shop / "deploy" / "policies" / "api.yaml").write_text(POLICY)
    (shop / "deploy" / "patch.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '*'}\n"
    )
    result = call("lint", "deploy")  # a patch, which no server would take
    assert result.code == 1
    assert "error:" not in result.err
    assert "the world is partial (deploy/patch.yaml holds what an API server would refuse)" in result.err


def test_the_hook_and_the_action_call_what_there_is(call: Call) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["policyd", "lint"]
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    [command] = [step["run"] for step in steps if "policyd lint" in step.get("run", "")]
    flags = [word for word in command.split() if word.startswith("--")]
    assert (
        call(
            "lint", *[x for f in flags for x in (f, {"--output": "github", "--fail-on": "warn"}[f])], "-"
        ).code
        == 0
    )


def test_schema(call: Call) -> None:
    assert json.loads(call("schema", "Findings").out)["title"] == "What policyd lint finds"

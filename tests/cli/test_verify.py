"""`policyd verify`: which rulesets it proves, what it prints of one that differs, and how it ends."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from policyd.lab.namespace import Namespace
from policyd.proof.as_json import schema
from tests.agent.agents import nft, run, running
from tests.cli.calls import SHOP, Call, as_list
from tests.cli.node import manifests, node

__all__ = ["manifests", "node"]

kernel = pytest.mark.kernel
FLAGS = ("--node", "n1")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.json"
    path.write_text(as_list(*SHOP))
    return path


def printed(call: Call, shop: Path) -> str:
    return call("compile", "-f", shop, *FLAGS).out


def archive(path: Path, **files: str) -> Path:
    """A bundle with these files."""
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(f"policyd-n1/{name.replace('_', '.')}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def test_what_is_compiled_is_proved(call: Call, shop: Path) -> None:
    result = call("verify", "-f", shop, *FLAGS)
    assert result.code == 0
    assert result.out.startswith(
        "PROVED: the ruleset that is compiled (table inet policyd of n1) does with every packet what the "
        "policies say\n  2 pods, "
    )
    assert "not covered: " in result.out


def test_a_ruleset_that_differs_is_shown_by_a_packet(call: Call, shop: Path, tmp_path: Path) -> None:
    ruleset = tmp_path / "n1.nft"
    ruleset.write_text(printed(call, shop).replace("tcp dport 8080 ", "tcp dport 8081 "))
    result = call("verify", "-f", shop, *FLAGS, "--ruleset", ruleset)
    assert result.code == 1
    assert re.search(
        r"^DIFFERS: shop/\w+ \(10\.244\.\d\.\d+\) → shop/web \(10\.244\.1\.10\) TCP 8080\n"
        rf"  policies allow: shop/web ingress\[0\] \({re.escape(str(shop))}:\d+\)\n"
        r"  ruleset drops: chain ports-tcp\.8080, rule 2: drop$",
        result.out,
        re.MULTILINE,
    ), result.out
    assert "policies drop: no ingress rule of shop/default-deny, shop/web allows it" in result.out


def test_a_ruleset_from_standard_input(call: Call, shop: Path) -> None:
    script = printed(call, shop)
    assert call("verify", "-f", shop, *FLAGS, "--ruleset", "-", stdin=script).code == 0
    assert call("verify", "-f", "-", *FLAGS, "--ruleset", "-", stdin=script).code == 2


def test_json_follows_its_schema(call: Call, shop: Path, tmp_path: Path) -> None:
    validator = Draft202012Validator(schema())
    proved = json.loads(call("verify", "-f", shop, *FLAGS, "-o", "json").out)
    validator.validate(proved)
    assert (proved["apiVersion"], proved["kind"], proved["proved"]) == ("policyd/v1", "Proof", True)
    file = tmp_path / "n1.nft"
    file.write_text(printed(call, shop).replace("tcp dport 8080 ", "tcp dport 8081 "))
    result = call("verify", "-f", shop, *FLAGS, "--ruleset", file, "-o", "json")
    differs = json.loads(result.out)
    validator.validate(differs)
    assert (result.code, differs["proved"], differs["ruleset"]) == (1, False, "file")
    [found] = [each for each in differs["differences"] if each["packet"]["port"] == 8080]
    assert found["policies"]["verdict"] == "allow"
    assert found["policies"]["file"] == str(shop)
    ruleset = {"verdict": "drop", "table": "inet", "chain": "ports-tcp.8080", "rule": 2, "text": "drop"}
    assert found["ruleset"] == ruleset
    assert json.loads(call("schema", "Proof").out) == schema()


def test_the_table_of_a_bridge_is_proved_and_shown(call: Call, shop: Path, tmp_path: Path) -> None:
    """With the ports of its pods; and what differs in it is told by the frame and the rule."""
    pods = {
        "shop/web": {"interface": "veth1", "bridge": "cni0"},
        "shop/db": {"interface": "veth2", "bridge": "cni0"},
    }
    attached = tmp_path / "n1.json"
    attached.write_text(json.dumps({"pods": pods, "bridges": ["cni0"], "ports": ["veth1", "veth2"]}))
    flags = ("-f", shop, *FLAGS, "--attachments", attached)
    proved = call("verify", *flags)
    assert proved.code == 0
    assert "(table inet policyd and table bridge policyd of n1)" in proved.out
    file = tmp_path / "n1.nft"
    beside = call("compile", *flags).out.partition("table bridge policyd {")
    file.write_text("".join((*beside[:2], re.sub(r"(?m)^\t\toifname vmap .*$", "", beside[2]))))
    assert "hears4" in beside[2]
    found = call("verify", *flags, "--ruleset", file)
    assert found.code == 1
    assert "policies drop: NP-161: policies do not allow the receiver to hear it from that port" in found.out
    assert "ruleset allows: table bridge, chain forward, rule 1: ether type" in found.out
    answer = json.loads(call("verify", *flags, "--ruleset", file, "-o", "json").out)
    Draft202012Validator(schema()).validate(answer)
    assert {each["ruleset"]["table"] for each in answer["differences"]} == {"bridge"}


def test_other_settings_are_another_meaning(call: Call, shop: Path, tmp_path: Path) -> None:
    ruleset = tmp_path / "n1.nft"
    ruleset.write_text(printed(call, shop))
    result = call("verify", "-f", shop, *FLAGS, "--ruleset", ruleset, "--hairpin", "evaluate")
    assert result.code == 1
    assert "[through a Service]" in result.out
    assert call("verify", "-f", shop, *FLAGS, "--hairpin", "evaluate").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("table inet policyd {", "not a script of policyd's"),
        ("", "not a script of policyd's"),
        ('{"nftables": []}', "there is no table inet policyd in it"),
        ("{", "no listing of nft"),
        ("\xff", "not a script of policyd's"),
    ],
)
def test_what_is_no_ruleset(call: Call, shop: Path, tmp_path: Path, text: str, said: str) -> None:
    ruleset = tmp_path / "bad"
    ruleset.write_text(text)
    result = call("verify", "-f", shop, *FLAGS, "--ruleset", ruleset)
    assert (result.code, result.out) == (3, "")
    assert said in result.err


@pytest.mark.parametrize(
    "flags",
    ["--kernel --ruleset x", "--bundle x -f y", "--bundle x --live", "--node nobody", "-o yaml"],
)
def test_wrong_flags(call: Call, shop: Path, flags: str) -> None:
    given = flags.split()
    files = () if "--bundle" in given else ("-f", shop)
    assert call("verify", *files, *given).code == 2


def test_a_bundle_is_proved_with_the_settings_of_its_agent(call: Call, shop: Path, tmp_path: Path) -> None:
    """And with the policies that were quarantined, which then allow nothing."""
    script = call("compile", "-f", shop, *FLAGS, "--hairpin", "evaluate", "--no-sources").out
    state = {"settings": {"node": "n1", "hairpin": "evaluate", "manifests": "/x"}, "quarantined": {}}
    files = {"objects_json": as_list(*SHOP), "ruleset_nft": script}
    good = archive(tmp_path / "good", **files, state_json=json.dumps(state))
    result = call("verify", "--bundle", good)
    assert (result.code, result.out.split(" (")[0]) == (0, "PROVED: the ruleset in the bundle")
    state["quarantined"] = {"shop/web": "for a reason"}
    bad = archive(tmp_path / "bad", **files, state_json=json.dumps(state))
    result = call("verify", "--bundle", bad)
    assert result.code == 1
    assert "policies drop: no ingress rule of shop/default-deny, shop/web allows it" in result.out


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"objects_json": "{"},
        {"objects_json": as_list(*SHOP)},
        {"objects_json": as_list(*SHOP), "kernel_json": "[]", "state_json": '{"settings": {"node": "n1"}}'},
        {"objects_json": as_list(*SHOP), "ruleset_nft": "", "state_json": '{"settings": {"hairpin": 1}}'},
        {"objects_json": as_list(*SHOP), "ruleset_nft": "", "state_json": '{"settings": []}'},
    ],
)
def test_what_is_no_bundle(call: Call, tmp_path: Path, files: dict[str, str]) -> None:
    result = call("verify", "--bundle", archive(tmp_path / "bundle", **files))
    assert (result.code, result.out) == (3, "")
    assert "Traceback" not in result.err


def test_what_is_no_archive(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    for content in (b"", b"\x1f\x8b", b"no archive", archive(tmp_path / "x", a="b").read_bytes()[:40]):
        path.write_bytes(content)
        assert call("verify", "--bundle", path).code == 3


@kernel
def test_the_ruleset_in_the_kernel(node: Namespace, manifests: Path) -> None:
    """As an agent has brought it into force, bridges and all; and when somebody has changed it."""
    flags = ("-f", str(manifests), "--node", "n1", "--kernel")
    with running(node, manifests):
        bundle = manifests.parent / "bundle.tar.gz"
        run(node, "support-bundle", "-o", str(bundle))
        done = run(node, "verify", "--bundle", str(bundle))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "table bridge policyd" in done.stdout
    nft(node, "delete", "table", "bridge", "policyd")
    with node.entered():
        compiled = run(node, "compile", "-f", str(manifests), "--node", "n1").stdout
        subprocess.run(["nft", "-f", "-"], input=compiled, text=True, check=True)
    done = run(node, "verify", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    nft(node, "insert", "rule", "inet", "policyd", "forward", "accept")
    done = run(node, "verify", *flags)
    assert done.returncode == 1
    assert "chain forward, rule 1: accept" in done.stdout
    nft(node, "insert", "rule", "inet", "policyd", "forward", "ip", "dscp", "1", "accept")
    done = run(node, "verify", *flags)
    assert (done.returncode, "NOT PROVED: chain forward, rule 1" in done.stdout) == (1, True)
    nft(node, "delete", "table", "inet", "policyd")
    done = run(node, "verify", *flags)
    assert (done.returncode, "no rule is about it" in done.stdout) == (1, True)

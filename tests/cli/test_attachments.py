"""`--attachments`: what an agent makes that knows its pods' interfaces; and mistakes have places."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from policyd.cluster.attachments import (
    Attachments,
    attachments_json,
    decode_attachments,
    load_attachments,
)
from policyd.cluster.attachments_schema import schema
from policyd.errors import BadInput, Exit
from policyd.lab.namespace import Namespace
from policyd_compiler.ir import Attachment
from tests.agent.agents import run, running
from tests.agent.asking import ask
from tests.cli.calls import ROOT, SHOP, Call, Result, as_list, finish, start
from tests.cli.node import manifests, node
from tests.support.waiting import until
from tests.watcher.emulator import KINDS, Emulator
from tests.watcher.server import write_kubeconfig

__all__ = ["manifests", "node"]

BRIDGED = Attachments(
    {
        "shop/web": Attachment("veth1", "cni0", 0x02_00_00_00_00_10),
        "shop/db": Attachment("veth2", "cni0"),
    },
    ("cni0",),
    ("veth1", "veth2", "veth3"),
    ("eth1",),
    (8472,),
)
ROUTED = Attachments({"shop/web": Attachment("veth1")})

names = st.from_regex(r"\A(?!lo\Z|\.\Z|\.\.\Z)[A-Za-z0-9_.@-]{1,15}\Z")
attachments = st.builds(
    lambda pods, bridges, ports, tunnels: Attachments(
        pods, tuple(sorted(bridges)), tuple(sorted(ports)), (), tuple(sorted(tunnels))
    ),
    st.dictionaries(
        st.text(max_size=9),
        st.builds(Attachment, names, names | st.just(""), st.integers(0, 2**48 - 1) | st.none()),
        max_size=3,
    ),
    st.sets(names, max_size=3),
    st.sets(names, max_size=3),
    st.sets(st.integers(1, 65535), max_size=3),
)


def write(directory: Path, value: Attachments) -> Path:
    file = directory / "attachments.json"
    file.write_text(json.dumps(attachments_json(value)))
    return file


@given(attachments)
def test_what_is_written_is_read_and_keeps_to_its_schema(value: Attachments) -> None:
    written = json.loads(json.dumps(attachments_json(value)))
    assert list(Draft202012Validator(schema()).iter_errors(written)) == []
    assert decode_attachments(written, "f") == value


def test_the_schema_is_printed(call: Call) -> None:
    result = call("schema", "attachments")
    assert (result.code, json.loads(result.out)) == (0, schema())
    Draft202012Validator.check_schema(schema())


def test_the_example_of_the_documentation_is_read() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0]
    found = load_attachments(example.encode(), "f")
    assert found.pods["shop/web"] == Attachment("veth1", "cni0", 0x02_00_00_00_00_01)
    assert {key for key in attachments_json(found) if f"| `{key}` |" in page} == set(json.loads(example))


MISTAKES = [
    ([], "an object with bridges, others, pods, ports, shared, tunnels is expected"),
    ({"links": []}, "an object with bridges, others, pods, ports, shared, tunnels is expected"),
    ({"pods": []}, "pods: an object by namespace/name is expected"),
    ({"pods": {"x/a": "veth1"}}, "pods.x/a: an object with bridge, interface, mac is expected"),
    ({"pods": {"x/a": {}}}, "pods.x/a.interface: no name of an interface: None"),
    ({"pods": {"x/a": {"interface": "veth*"}}}, "pods.x/a.interface: no name of an interface: 'veth*'"),
    (
        {"pods": {"x/a": {"interface": "v", "bridge": "a b"}}},
        "pods.x/a.bridge: no name of an interface: 'a b'",
    ),
    ({"pods": {"x/a": {"interface": "v", "mac": "02:00"}}}, "pods.x/a.mac: six bytes such as"),
    ({"pods": {"x\n": {}}}, "pods.x\\n.interface: no name"),
    ({"ports": "veth1"}, "ports: a list of names is expected"),
    ({"bridges": ["lo"]}, "bridges: no name of an interface: 'lo'"),
    ({"tunnels": [True]}, "tunnels: a list of UDP ports is expected"),
    ({"tunnels": [65536]}, "tunnels: a list of UDP ports is expected"),
    ({"ports": ["veth1"], "others": ["veth1"]}, "others: veth1 leads to a pod"),
    ({"pods": {"x/a": {"interface": "v"}}, "others": ["v"]}, "others: v leads to a pod"),
]


@pytest.mark.parametrize(("value", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_place(value: object, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode_attachments(value, "f")
    assert str(caught.value).startswith(f"f: error: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "f:1:1: error: no JSON: Expecting value"),
        (b'{"pods": {},\n  "ports": [}', "f:2:13: error: no JSON: Expecting value"),
        (b"\xff", "f: error: no JSON: "),
        (b"[" * 100_000, "f: error: no JSON: "),
    ],
)
def test_what_is_no_json_is_named_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_attachments(text, "f")
    assert str(caught.value).startswith(said)


def test_a_name_that_is_given_twice_counts_once() -> None:
    assert decode_attachments({"ports": ["b", "a", "b"]}, "f").ports == ("a", "b")


def compile_shop(directory: Path, *flags: object, stdin: Any = None) -> Result:
    file = directory / "shop.json"
    file.write_text(as_list(*SHOP))
    return finish(start("compile", "-f", file, *flags, stdin=stdin))


def test_pods_are_bound_to_their_interfaces(tmp_path: Path) -> None:
    """NP-162: and on a bridge by a table of its own."""
    plain = compile_shop(tmp_path, "--node", "n1").out
    assert "veth1" not in plain
    bridged = compile_shop(tmp_path, "--node", "n1", "--attachments", write(tmp_path, BRIDGED))
    assert (bridged.code, bridged.err) == (0, "")
    assert '"veth1" . 10.244.1.10' in bridged.out.partition("table bridge policyd {")[2]
    routed = compile_shop(tmp_path, "--node", "n1", "--attachments", write(tmp_path, ROUTED))
    assert '"veth1" . 10.244.1.10' in routed.out
    assert "table bridge" not in routed.out


def test_it_is_read_of_standard_input(tmp_path: Path) -> None:
    file = write(tmp_path, ROUTED)
    named = compile_shop(tmp_path, "--node", "n1", "--attachments", file)
    with file.open() as stream:
        assert compile_shop(tmp_path, "--node", "n1", "--attachments", "-", stdin=stream) == named


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--all-nodes", "--output-dir", "out"), Exit.USAGE, "about the interfaces of one node"),
        (("--node", "n1", "-f", "-"), Exit.USAGE, "standard input can be read once"),
        (
            ("--node", "n1", "--attachments", "none.json"),
            Exit.BAD_INPUT,
            "none.json: error: there is",
        ),
        (("--node", "n1", "--attachments", "."), Exit.BAD_INPUT, ".: error: a directory, not a file"),
        (("--node", "n1", "--attachments", ""), Exit.BAD_INPUT, "names no file"),
        (("--node", "n1", "--attachments", "/dev/null"), Exit.BAD_INPUT, "a device, not a file"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, flags: tuple[str, ...], code: Exit, said: str) -> None:
    result = compile_shop(tmp_path, "--attachments", "-", *flags)
    assert (result.code, result.out, said in result.err) == (code, "", True), result.err


def test_those_of_another_node_are_reported(tmp_path: Path) -> None:
    result = compile_shop(tmp_path, "--node", "n2", "--attachments", write(tmp_path, ROUTED))
    assert result.code == 0
    assert "warning: --attachments names no pod of node n2: is it of another node?" in result.err


def test_json_says_what_it_cannot_say(tmp_path: Path) -> None:
    """nft 1.0.6 has no type in JSON for the target of a neighbour advertisement."""
    file = write(tmp_path, BRIDGED)
    result = compile_shop(tmp_path, "--node", "n1", "--attachments", file, "-o", "json")
    assert (result.code, result.out, "take -o nft" in result.err) == (Exit.USAGE, "", True)
    routed = compile_shop(tmp_path, "--node", "n1", "--attachments", write(tmp_path, ROUTED), "-o", "json")
    assert routed.code == 0
    assert json.loads(routed.out)["nftables"]


@pytest.mark.kernel
@pytest.mark.parametrize("value", [BRIDGED, ROUTED, replace(BRIDGED, bridges=())])
def test_the_kernel_takes_it(tmp_path: Path, value: Attachments) -> None:
    result = compile_shop(tmp_path, "--node", "n1", "--attachments", write(tmp_path, value), "--check")
    assert (result.code, result.err) == (0, "policyd: n1: ok, the kernel takes the ruleset\n")


@pytest.mark.kernel
async def test_live_has_them_of_the_agent_of_the_node_it_compiles_for(
    node: Namespace, manifests: Path, tmp_path: Path
) -> None:
    emulator = Emulator()
    for path, kind in KINDS.items():
        emulator.put(path, *(manifest for manifest in SHOP if manifest["kind"] == kind))
    flags = ("--pod-interfaces", "cni0,veth*")
    with running(node, manifests, *flags):
        until(lambda: ask(node, "/readyz")[0] == 200)
        told = ask(node, "/debug/attachments")[1]
        assert json.loads(told)["bridges"] == ["cni0"]
        file = tmp_path / "told.json"
        file.write_text(told)
        shop = tmp_path / "shop.json"
        shop.write_text(as_list(*SHOP))
        found = {}
        async with emulator.serve():
            write_kubeconfig(tmp_path / "config", emulator.url)
            for name in ("n1", "n2"):
                command = ("compile", "--live", "--kubeconfig", tmp_path / "config", "--node", name)
                found[name] = await asyncio.to_thread(lambda args: finish(start(*args)), command)
        read = run(
            node,
            "compile",
            "-f",
            str(shop),
            "--node",
            "n1",
            "--no-sources",
            *flags,
            "--attachments",
            str(file),
        )
    assert found["n1"].out == read.stdout
    assert "table bridge policyd" in found["n1"].out
    assert "table bridge policyd" not in found["n2"].out

"""policyd doctor looks at everything, says how to fix what is wrong, and what it could not see."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from policyd.cli.doctor import exit_code
from policyd.config import load_settings
from policyd.doctor.api_line import api_line
from policyd.doctor.node_lines import Line, State, node_lines
from policyd.doctor.schemas import examination_schema
from policyd.lab.namespace import Namespace
from policyd.netlink.links import Link, Way
from policyd.node.facts import BRIDGE4, FORWARD4, Connections
from tests.agent.agents import command, nft, run, running
from tests.cli.calls import Call
from tests.cli.node import manifests, node
from tests.cluster.control_plane import ControlPlane
from tests.node.made import BRIDGE, PORTS, UPLINK, facts
from tests.support.setting_back import setting_back
from tests.support.waiting import until

__all__ = ["manifests", "node"]

kernel = pytest.mark.kernel

TOPICS = [
    *("policyd", "kernel", "modules", "backend", "nft", "ruleset", "ports", "elements", "table"),
    *("forwarding", "bridges", "interfaces", "engines", "flowtables", "connections", "network"),
    *("bindings", "agent", "state", "api server"),
]
HOLDS = (
    "generation 1, which isolates 2 addresses of pods and binds 4 to interfaces, "
    "4 of them to ports of bridges"
)


def lines_of(text: str) -> list[tuple[str, str, str]]:
    """State, name and text of each line."""
    return [(line[:6].strip(), line[8:19].strip(), line[21:]) for line in text.splitlines()]


def states(text: str) -> dict[str, str]:
    return {name: state for state, name, _ in lines_of(text)}


@kernel
def test_a_node_on_which_all_is_well(node: Namespace, manifests: Path, tmp_path: Path) -> None:
    with running(node, manifests, "--state-dir", str(tmp_path / "state")):
        until((tmp_path / "state" / "policyd.nft").exists)
        done = run(node, "doctor")  # which has the other settings of the agent
    assert [name for _, name, _ in lines_of(done.stdout)] == TOPICS
    assert {name: state for name, state in states(done.stdout).items() if state != "ok"} == {}
    assert (done.returncode, done.stderr) == (0, "")
    said = {name: text for _, name, text in lines_of(done.stdout)}
    assert said["table"] == f"table inet policyd and table bridge policyd: {HOLDS}"
    assert said["bindings"] == "of this node's pods 2 to ports of bridges"
    assert said["bridges"] == "rules see what pods on cni0 send each other"
    assert said["state"].endswith("holds generation 1, for after a reboot")


@kernel
def test_before_anything_is_installed_nothing_is_wrong_that_need_not_be(node: Namespace) -> None:
    done = run(node, "doctor")
    wrong = {name: state for name, state in states(done.stdout).items() if state != "ok"}
    assert (done.returncode, wrong) == (0, {"table": "warn", "agent": "warn"})


@kernel
def test_what_is_wrong_is_reported_with_what_to_do(node: Namespace, manifests: Path) -> None:
    with running(node, manifests) as agent:
        agent.kill()
    node.set_sysctls({BRIDGE4: "0", FORWARD4: "0"})
    node.ip(["link set cni0 type bridge nf_call_iptables 0"])  # the agent may have set it
    nft(node, "add", "table", "ip", "calico")
    nft(node, "add", "rule", "inet", "policyd", "input", "counter")
    done = run(node, "doctor")
    assert done.returncode == 1
    wrong = {name: (state, text) for state, name, text in lines_of(done.stdout) if state != "ok"}
    assert {name: state for name, (state, _) in wrong.items()} == {
        "table": "FAIL", "forwarding": "warn", "bridges": "FAIL", "engines": "warn", "agent": "FAIL",
    }  # fmt: skip
    assert f"`sysctl -w {BRIDGE4}=1`" in wrong["bridges"][1]
    assert "Calico" in wrong["engines"][1]
    assert "`policyd run` starts one" in wrong["agent"][1]


@kernel
def test_programs_get_the_same(node: Namespace) -> None:
    told = json.loads(run(node, "doctor", "-o", "json").stdout)
    Draft202012Validator(examination_schema()).validate(told)
    assert (told["apiVersion"], told["kind"]) == ("policyd/v1", "Examination")
    assert [line["name"] for line in told["lines"]] == [
        name for name in TOPICS if name != "bindings"
    ]  # no agent
    assert set(told["lines"][0]) == {"name", "state", "text"}


@kernel
def test_without_privileges_it_says_what_it_could_not_see(node: Namespace, unprivileged: list[str]) -> None:
    done = node.run(unprivileged + command("doctor", "--pod-interfaces", "cni0"))
    assert "Traceback" not in done.stderr
    unseen = [name for name, state in states(done.stdout).items() if state == "unseen"]
    assert unseen == ["nft", "ruleset", "ports", "elements", "table", "engines", "flowtables", "connections"]
    assert (done.returncode, states(done.stdout)["bridges"]) == (4, "ok")
    node.set_sysctls({BRIDGE4: "0"})
    done = node.run(unprivileged + command("doctor", "--pod-interfaces", "cni0"))
    assert (done.returncode, states(done.stdout)["bridges"]) == (1, "FAIL")


@kernel
def test_an_agent_that_does_not_enforce_is_reported_and_nothing_twice(
    node: Namespace, manifests: Path
) -> None:
    node.set_sysctls({BRIDGE4: "0"})
    with setting_back(node), running(node, manifests):
        until(lambda: "bridge-netfilter-off" in run(node, "status").stdout)
        done = run(node, "doctor")
    states_of_agent = [state for state, name, _ in lines_of(done.stdout) if name == "agent"]
    assert [state for state in states_of_agent if state != "warn"] == ["FAIL"]
    assert done.stdout.count("cni0 send each other") == 1


@kernel
def test_a_container_without_the_capability_is_reported(node: Namespace) -> None:
    """As root, but without CAP_NET_ADMIN: nobody else could see more."""
    lacking = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", "--"]
    done = node.run(lacking + command("doctor"))
    [text] = [text for state, name, text in lines_of(done.stdout) if (state, name) == ("FAIL", "nft")]
    assert (done.returncode, "CAP_NET_ADMIN" in text) == (1, True)


@pytest.mark.parametrize(
    ("found", "code"), [((), 0), (("ok", "warn"), 0), (("ok", "unseen"), 4), (("unseen", "FAIL"), 1)]
)
def test_the_exit_code_says_whether_something_is_wrong(found: tuple[State, ...], code: int) -> None:
    assert exit_code(tuple(Line("x", state, "") for state in found)) == code


def test_a_bridge_of_somebody_unknown_is_a_question() -> None:
    [line] = [line for line in node_lines(facts({}, bridge4="0"), ()) if line.name == "bridges"]
    assert (line.state, "cni0" in line.text, line.text.endswith("are these pods?")) == ("warn", True, True)
    [line] = [line for line in node_lines(facts({}), ()) if line.name == "bridges"]
    assert line.state == "ok"


def test_a_full_table_of_connections_is_a_warning() -> None:
    for tracked, state in ((899, "ok"), (900, "warn"), (1000, "warn")):
        full = replace(facts({}), connections=Connections(tracked, 1000))
        assert [line.state for line in node_lines(full, ()) if line.name == "connections"] == [state]


def test_a_second_engine_that_is_meant_is_no_warning() -> None:
    node = replace(facts({}), engines={"Calico": "table ip calico"})
    for meant, state in (((), "warn"), (("Calico",), "ok")):
        [line] = [line for line in node_lines(node, (), meant) if line.name == "engines"]
        assert (line.state, "Calico enforces policies here, too" in line.text) == (state, True)


def test_many_interfaces_are_counted() -> None:
    links = [Link(number, f"cali{number}", "veth") for number in range(10, 30)]
    ways = {f"10.0.0.{link.index}": Way(link.index) for link in links}
    [line] = [
        line
        for line in node_lines(facts(ways, [*links, BRIDGE, *PORTS, UPLINK]), ())
        if line.name == "interfaces"
    ]
    named = "pods are behind cali10, cali11, cali12, cali13 and 16 more"
    assert line.text == f"{named}; routed, each behind a link of its own: cali*"


def ask_api(environ: dict[str, str], **flags: str) -> Line:
    return asyncio.run(api_line(load_settings(flags, {}).settings, environ))


def test_an_api_server_is_asked_only_where_one_is_configured(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("not for us")
    assert ask_api({"HOME": str(tmp_path)}).text == "none is configured"
    assert ask_api({"KUBECONFIG": "/none"}, manifests=str(tmp_path)).text == "none is configured"


def test_an_api_server_that_cannot_be_reached_is_reported(tmp_path: Path) -> None:
    assert ask_api({}, kubeconfig=str(tmp_path / "none")).state == "FAIL"
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    found = ask_api({}, kubeconfig=str(config))
    assert found.state == "FAIL"
    assert found.text.startswith("cannot connect to 127.0.0.1 port 1: connection refused; ")


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.mark.cluster
def test_an_api_server_that_answers_and_one_that_does_not_let_us_read(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    good = ask_api({}, kubeconfig=str(control_plane.kubeconfig))
    assert (good.state, good.text) == ("ok", "it answers, and lists Namespace, NetworkPolicy, Node, Pod")
    inside = ask_api({}, kubeconfig=str(control_plane.kubeconfig), placement="auto")
    listed = "EndpointSlice, Namespace, NetworkPolicy, Node, Pod, Service"
    assert (inside.state, inside.text) == ("ok", f"it answers, and lists {listed}")
    control_plane.kubectl("create", "serviceaccount", "nobody")
    token = control_plane.kubectl("create", "token", "nobody").stdout.strip()
    config = json.loads(control_plane.kubectl("config", "view", "--raw", "-o", "json").stdout)
    for given, said in (
        (token, "does not list ClusterNetworkPolicy (403), Namespace (403)"),
        ("nonsense", "does not know us (401)"),
    ):
        config["users"][0]["user"] = {"token": given}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        found = ask_api({}, kubeconfig=str(path))
        assert (found.state, said in found.text) == ("FAIL", True), found


def test_wrong_settings_are_reported(call: Call) -> None:
    result = call("doctor", "--table", "1x")
    assert (result.code, result.out) == (2, "")

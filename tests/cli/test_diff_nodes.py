"""`policyd diff --cost` and `--flows`: what a change means for nodes."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from policyd.cli.conntrack_text import read_listing
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import NodePlan, PodPlan
from policyd.netlink.conntrack import Conntrack, Flow
from tests.agent.talk import Echo, Talk
from tests.cases.form import ingress, namespace, pod, pods
from tests.cli.answers import answer
from tests.cli.calls import POLICYD, SHOP, Call, as_list, finish, node, start
from tests.oracle import Manifest
from tests.support.waiting import until

#: shop/db lets shop/api in at 5432; then nobody.
OPEN = ingress("shop", "db", {"from": [pods(pod="api")], "ports": [{"port": 5432}]}, name="open")
WEB, DB, API = "10.244.1.10", "10.244.1.11", "10.244.2.10"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path / "old.json", *SHOP, OPEN)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return written(tmp_path / "new.json", *SHOP)


def written(path: Path, *objects: Manifest) -> Path:
    path.write_text(as_list(*objects))
    return path


def line(protocol: str, source: str, target: str, port: int, backend: str = "", to: int = 0) -> str:
    """As `conntrack -L` prints it; what answers may be a backend of a Service."""
    return (
        f"{protocol} 431999 ESTABLISHED src={source} dst={target} sport=40000 dport={port} "
        f"src={backend or target} dst={source} sport={to or port} dport=40000 [ASSURED] mark=0 use=1"
    )


FLOWS = "\n".join(
    (
        line("tcp      6", API, DB, 5432),
        line("ipv4     2 tcp      6", API, "10.96.0.7", 80, DB, 5432),
        line("tcp      6", API, DB, 9999),
        line("tcp      6", API, WEB, 8080),
        line("tcp      6", "192.0.2.77", "192.0.2.78", 22),
        f"icmp     1 29 src={WEB} dst={DB} type=8 code=0 id=7 src={DB} dst={WEB} type=0 code=0 id=7 mark=0",
    )
)


def test_live_connections_that_a_change_cuts_are_counted(call: Call, old: Path, new: Path) -> None:
    """Behind a Service the backend counts; what was denied before is not cut by the change."""
    found = answer(call, "diff", old, new, "--flows", "-", stdin=FLOWS, code=1)["flows"]
    assert found == {
        "read": 6,
        "judged": 5,
        "deniedBefore": 2,
        "cut": [
            {"from": "shop/pod/api", "to": "shop/pod/db", "protocol": "TCP", "port": 5432, "connections": 2}
        ],
    }
    text = call("diff", old, new, "--flows", "-", stdin=FLOWS).out
    assert "2 of 5 live connections of these pods would be cut; 2 more are denied already\n" in text
    assert "  2 × shop/pod/api → shop/pod/db  TCP 5432\n" in text
    assert answer(call, "diff", new, old, "--flows", "-", stdin=FLOWS, code=1)["flows"]["cut"] == []


def test_what_is_no_connection_is_told(call: Call, old: Path, new: Path) -> None:
    mixed = f"{FLOWS}\nconntrack v1.4.7 (conntrack-tools): 6 flow entries have been shown.\n"
    done = call("diff", old, new, "--flows", "-", stdin=mixed)
    assert (done.code, "-:7:1: warning: 1 lines are no connections" in done.err) == (1, True)
    done = call("diff", old, new, "--flows", "-", stdin="nothing of the kind\n")
    assert (done.code, done.out) == (3, "")
    assert call("diff", old, new, "--flows", "-", "-o", "github", stdin=FLOWS).code == 2


#: Nothing of a namespace is tracked until a rule asks for its connections.
TRACKED = "table inet tracked { chain seen { type filter hook forward priority 0; ct state new accept; }; }"


@pytest.mark.kernel
def test_live_connections_are_read_from_the_kernel_of_the_node(call: Call, tmp_path: Path) -> None:
    """Real ones, of both families: those of a pod that is let in no more, and of one that still is."""
    plans = (
        PodPlan("shop/db", (DB, "fd00::1:11")),
        PodPlan("shop/api", ("10.244.1.12", "fd00::1:12")),
        PodPlan("shop/web", (WEB, "fd00::1:10")),
    )
    objects = [node("n1"), namespace("shop"), *(pod(plan.name, *plan.addresses) for plan in plans)]

    def db(*names: str) -> Manifest:
        return ingress("shop", "db", {"from": [pods(pod=name) for name in names]}, name="db")

    old = written(tmp_path / "old.json", *objects, db("api", "web"))
    new = written(tmp_path / "new.json", *objects, db("web"))
    with Lab([NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), plans)]) as lab, ExitStack() as stack:
        assert lab.nodes["n1"].run(["nft", "-f", "-"], TRACKED).returncode == 0
        for address in plans[0].addresses:
            stack.enter_context(closing(Echo(lab.pods["shop/db"].namespace, address, 5432)))
            for source in ("shop/api", "shop/web"):
                talk = Talk(lab.pods[source].namespace, socket.SOCK_STREAM, address, 5432)
                stack.enter_context(closing(talk))
                until(lambda talk=talk: len(talk.answered) > 3)  # type: ignore[misc]
        with lab.nodes["n1"].entered():
            found = answer(call, "diff", old, new, "--flows", "kernel", code=1)["flows"]
    kinds = [{"from": "shop/pod/api", "to": "shop/pod/db", "protocol": "TCP", "port": 5432, "connections": 2}]
    assert (found["judged"] >= 4, found["deniedBefore"], found["cut"]) == (True, 0, kinds)


@pytest.mark.kernel
def test_a_machine_that_tracks_nothing_of_these_pods_is_told(call: Call, old: Path, new: Path) -> None:
    with closing(Namespace("elsewhere")) as elsewhere, elsewhere.entered():
        done = call("diff", old, new, "--flows", "kernel")
    assert (done.code, "is it their node?" in done.err) == (1, True)
    assert "0 of 0 live connections" in done.out


@pytest.mark.kernel
def test_without_privilege_a_kernel_lists_no_connections(
    old: Path, new: Path, unprivileged: list[str]
) -> None:
    done = finish(start("diff", old, new, "--flows", "kernel", program=[*unprivileged, *POLICYD]))
    assert (done.code, done.out) == (4, "")
    assert "the kernel does not list its connections (Operation not permitted)" in done.err
    assert "CAP_NET_ADMIN" in done.err


def test_what_is_no_linux_lists_no_connections(
    call: Call, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    done = call("diff", old, new, "--flows", "kernel")
    assert (done.code, done.out, "this is no Linux" in done.err) == (4, "", True)


@pytest.mark.kernel
@pytest.mark.parametrize("form", [(), ("-o", "extended")])
def test_the_listing_of_a_kernel_is_read_as_the_kernel_says_it(form: tuple[str, ...]) -> None:
    made = Namespace("node")
    try:
        lines = (
            f"-A -p udp -s 10.7.7.1 -d {DB} --sport 20000 --dport 53 --timeout 600",
            f"-A -p tcp -s 10.7.7.2 -d {DB} --sport 20000 --dport 80 --state ESTABLISHED --timeout 600",
            (
                f"-A -p udp -s 10.7.7.3 -d 10.96.0.1 -r {DB} -q 10.7.7.3 --sport 20001 --dport 80 "
                "--reply-port-src 8080 --reply-port-dst 20001 --timeout 600"
            ),
            "-A -p udp -s fd00::9 -d fd00::b --sport 20000 --dport 53 --timeout 600",
        )
        done = made.run(["conntrack", "--load-file", "-"], "\n".join(lines) + "\n")
        assert done.returncode == 0, done.stderr
        printed = "".join(
            made.run(["conntrack", "-L", "-f", family, *form]).stdout for family in ("ipv4", "ipv6")
        )
        with made.entered():
            kernel = listed()
    finally:
        made.close()
    found = read_listing(printed)
    assert (found.odd, len(found.flows)) == ((), len(lines))
    assert sorted(map(seen, found.flows)) == sorted(map(seen, kernel))


def listed() -> list[Flow]:
    conntrack = Conntrack()
    try:
        return conntrack.list({4: {int(ip_address(DB))}, 6: {int(ip_address("fd00::b"))}})
    finally:
        conntrack.close()


def seen(flow: Flow) -> tuple[object, ...]:
    return flow.family, flow.protocol, flow.source, flow.source_port, flow.destination, flow.port


def test_the_cost_of_a_change_is_counted_for_each_node(call: Call, old: Path, new: Path) -> None:
    """The node of the isolated pod makes a swap; the other one, which does not judge it, does nothing."""
    first, other = answer(call, "diff", old, new, "--cost", code=1)["cost"]
    assert (first["node"], first["way"], other["node"], other["way"]) == ("n1", "swap", "n2", "nothing")
    for field in ("chains", "rules", "elements"):
        grown = first["new"][field] - first["old"][field]
        assert first["added"][field] - first["removed"][field] == grown
    assert first["milliseconds"] > 0
    assert other["milliseconds"] == 0
    text = call("diff", old, new, "--cost", "--node", "n1", "-o", "md").out
    assert text.count("node n1: ") == 1
    assert "a swap: " in text


def test_a_peer_that_comes_costs_an_element(call: Call, old: Path, tmp_path: Path) -> None:
    """Another pod of the same labels, on another node."""
    more: Manifest = json.loads(json.dumps(pod("shop/api", "10.244.2.11", node="n2")))
    more["metadata"]["name"] = "api-2"
    wider = written(tmp_path / "wider.json", *SHOP, OPEN, more)
    [found] = answer(call, "diff", old, wider, "--cost", "--node", "n1", code=1)["cost"]
    assert found["way"] == "elements"
    assert (found["added"]["elements"] > 0, found["removed"]["elements"]) == (True, 0)


def test_the_cost_needs_nodes(call: Call, old: Path, new: Path) -> None:
    assert call("diff", old, new, "--cost", "--node", "n3").code == 2
    assert call("diff", old, new, "--node", "n1").code == 2

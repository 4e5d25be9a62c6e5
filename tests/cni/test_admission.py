"""Who may start, as a function of what was asked, known and brought into force."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from policyd.cni.admission import BIND_SECONDS, Answer, Wait, decide
from policyd.cni.request import Request, Unreadable, read_request
from policyd.kube.objects import Pod
from policyd.node.attach import Hint, KnownPod
from policyd.node.starting import Starting

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.9/24"}, {"address": "fd00::9/64"}],
}
UID = "0dd1a3b4-1111-2222-3333-444455556666"
ADDRESSES = frozenset({(4, 10 << 24 | 9), (6, 0xFD << 120 | 9)})
KNOWN = KnownPod(UID, ADDRESSES, "veth1")


def written(
    arguments: str = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID={UID}",
) -> bytes:
    config = json.dumps({"name": "cbr0", "prevResult": RESULT})
    lines = "CNI_COMMAND=ADD\nCNI_CONTAINERID=0a1b\nCNI_IFNAME=eth0\nCNI_NETNS=/x"
    return f"{lines}\nCNI_ARGS={arguments}\nWAIT_SECONDS=30\n\n{config}".encode()


ASKED = read_request(written())


def judged(
    request: Request = ASKED,
    *,
    known: KnownPod | None = KNOWN,
    in_force: KnownPod | None = KNOWN,
    enforcing: bool = True,
    waited: float = 0.0,
) -> Answer | Wait:
    held = ({"shop/web": in_force} if in_force else {}) if enforcing else None
    return decide(request, {"shop/web": known} if known else {}, held, "", waited)


def test_a_request_is_what_the_plugin_writes() -> None:
    assert (ASKED.command, ASKED.container, ASKED.interface) == ("ADD", "0a1b", "eth0")
    assert (ASKED.pod, ASKED.uid, ASKED.wait_seconds) == ("shop/web", UID, 30)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\n\n{}", b"\n\n{}", b"CNI_IFNAME=eth0\nWAIT_SECONDS=x\n\n{}", b"WAIT_SECONDS=1\n\n{}",
     *(b"CNI_IFNAME=eth0\nWAIT_SECONDS=1\n\n" + body for body in (b"[]", b"[" * 100_000))],
)  # fmt: skip
def test_anything_else_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_request(data)


def test_a_pod_may_start_when_the_ruleset_in_force_holds_it() -> None:
    assert judged() == Answer()
    other = KnownPod(UID, frozenset({(4, 7)}), "veth1")
    waits = [
        judged(enforcing=False), judged(known=None, in_force=None), judged(in_force=None),
        judged(in_force=other), judged(known=other, in_force=other), judged(known=other),
        judged(known=replace(KNOWN, uid="before"), in_force=replace(KNOWN, uid="before")),
        judged(in_force=replace(KNOWN, uid="before")), judged(known=replace(KNOWN, uid="before")),
        judged(in_force=replace(KNOWN, addresses=frozenset({(4, 10 << 24 | 9)}))),
    ]  # fmt: skip
    assert [type(found) for found in waits] == [Wait] * len(waits)


def test_only_an_address_that_is_news_is_to_be_believed() -> None:
    other = replace(KNOWN, addresses=frozenset({(4, 7)}))
    found = judged(known=other)
    assert isinstance(found, Wait)
    assert found.start == Hint(UID, 10 << 24 | 9, 0xFD << 120 | 9, ("veth1",), netns="/x")
    for found in (
        judged(in_force=None),
        judged(known=None),
        judged(replace(ASKED, command="CHECK"), known=other),
    ):
        assert isinstance(found, Wait)
        assert found.start is None


def test_an_interface_that_cannot_be_found_holds_nobody_for_long() -> None:
    """Without it other pods of the node are closed to this one's address, not open."""
    loose = replace(KNOWN, interface=None)
    assert isinstance(judged(in_force=loose), Wait)
    assert judged(in_force=loose, waited=BIND_SECONDS) == Answer()
    bare = replace(ASKED, result={**ASKED.result, "result": {"ips": RESULT["ips"]}})
    assert judged(bare, in_force=loose) == Answer()


def test_what_waits_for_too_long_is_refused_with_the_reason() -> None:
    found = judged(known=None, waited=30.0)
    assert isinstance(found, Answer)
    assert (found.code, "has not reported this pod" in found.text) == (11, True)
    assert isinstance(judged(known=None, waited=29.9), Wait)
    assert judged(waited=30.0) == Answer()


def test_a_static_pod_has_another_uid_at_the_api_server() -> None:
    static = replace(
        ASKED, uid="5f2b4a0c9d8e7f605142334455667788", result=json.loads(json.dumps(ASKED.result))
    )
    assert judged(static) == Answer()


def test_what_is_no_pods_first_network_is_nobodys_business() -> None:
    for request in (
        read_request(written("")),
        read_request(written("K8S_POD_NAME=x")),
        replace(ASKED, interface="net1"),
    ):
        assert judged(request, known=None, enforcing=False) == Answer()


@pytest.mark.parametrize("result", [None, {}, {"ips": []}, {"ips": [{"address": "x"}]}, [], "x"])
def test_a_result_without_an_address_is_refused(result: object) -> None:
    found = judged(replace(ASKED, result={**ASKED.result, "result": result}))
    assert isinstance(found, Answer)
    assert found.code == 7


def test_an_answer_is_one_line() -> None:
    assert Answer().line() == "ok\n"
    assert Answer(11, 'a\n"b"\\ \x00 c').line() == "refuse 11 a b c\n"
    assert len(Answer(11, "x" * 10_000).line()) < 4096  # written at once, whatever else is in the pipe


def pod(name: str, v4: int | None, uid: str = "") -> Pod:
    return Pod("shop", name, uid or name, (), "n1", False, False, False, "", v4, None, ())


def placed(starting: Starting, *pods: Pod) -> dict[str, int | None]:
    return {key: found.v4 for key, found in starting.placed({p.name: p for p in pods}).items()}


def test_what_the_runtime_says_holds_until_the_api_server_says_something_new() -> None:
    starting = Starting()
    starting.add("a", pod("a", 5), Hint("a", 6, None))
    for same in (pod("a", 5), pod("a", None), pod("a", 6)):
        starting.see("a", same)
        assert placed(starting, same) == {"a": 6}
    starting.see("a", pod("a", 7))
    assert placed(starting, pod("a", 7)) == {"a": 7}


@pytest.mark.parametrize("other", [pod("a", 5, "b"), None, replace(pod("a", 5), terminal=True)])
def test_it_is_forgotten_with_the_pod(other: Pod | None) -> None:
    starting = Starting()
    starting.add("a", pod("a", 5), Hint("a", 6, None))
    starting.see("a", other)
    assert starting.hint("a") is None


def test_an_address_is_the_pods_that_had_it_last() -> None:
    """After a reboot each may have what another's status still claims."""
    starting = Starting()
    starting.add("a", pod("a", 5), Hint("a", 6, None))
    assert placed(starting, pod("a", 5), pod("b", 6)) == {"a": 6, "b": None}
    starting.add("b", pod("b", 6), Hint("b", 5, None))
    assert placed(starting, pod("a", 5), pod("b", 6)) == {"a": 6, "b": 5}
    starting.add(
        "c", pod("c", None), Hint("c", 6, None)
    )  # the first has failed, and its address was given away
    assert placed(starting, pod("a", 5), pod("b", 6), pod("c", None)) == {"a": None, "b": 5, "c": 6}

"""`policyd reach --open` and `--hops`: what is open to whoever comes, and who is reached by way of others."""

from __future__ import annotations

import pytest

from tests.cli.answers import answer
from tests.cli.calls import ROOT, Call, as_list
from tests.oracle import Manifest


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the contract."""
    monkeypatch.chdir(ROOT / "tests" / "fixtures" / "questions")


def test_exposure_and_hops(call: Call) -> None:
    lines = call("reach", "-f", "old", "--open").out.splitlines()
    assert lines[:4] == [
        "open to every pod, and any address:",
        "  guest/shell  all  no policy isolates it",
        "open to every pod of the cluster:",
        "  shop/web  8080  shop/web ingress[0] (old/policies.yaml:12)",
    ]
    lines = call("reach", "-f", "old", "--from", "guest/shell", "--hops", "2").out.splitlines()
    assert lines == [
        "1  guest/shell → shop/web (8080)",
        "2  guest/shell → shop/web (8080) → shop/db (5432)",
        "not reached within 2: 0 of 3 endpoints",
    ]


def test_exposure_is_of_whom_and_of_which_ports_was_asked(call: Call) -> None:
    found = answer(call, "reach", "-f", "old", "--open")
    assert [each["id"] for each in found["endpoints"]] == [
        "guest/pod/shell",
        "shop/deploy/web",
        "shop/sts/db",
    ]
    assert found["unselected"] == ["guest/pod/shell"]
    [shell, web] = found["exposed"]
    assert (shell["endpoint"], shell["to"], shell["rules"]) == ("guest/pod/shell", "everybody", [])
    assert (web["endpoint"], web["to"], web["allowed"]) == ("shop/deploy/web", "pods", {"TCP": "8080"})
    [rule] = web["rules"]
    assert (rule["policy"], rule["rule"], rule["line"]) == ("shop/web", "ingress[0]", 12)
    for asked in (("--to", "shop/db"), ("--to", "shop/web", "--port", "8081")):
        assert answer(call, "reach", "-f", "old", "--open", *asked)["exposed"] == []
    lines = call("reach", "-f", "old", "--open", "--to", "shop/db").out.splitlines()
    assert lines[:2] == [
        "nothing is open to every pod or to every address",
        "isolated in both directions: 0 of 1 endpoints",
    ]


def test_what_is_published_is_told_in_every_form(call: Call) -> None:
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    asked = ("reach", "-f", "old", "-f", "-", "--open")
    found = answer(call, *asked, stdin=as_list(service))
    [published] = found["published"]
    assert (published["by"], published["service"]) == ("NodePort shop/front", "svc/shop/front:80")
    assert (published["endpoint"], published["ports"]) == ("shop/deploy/web", {"TCP": "8080"})
    assert (published["senders"], published["outside"]) == (["guest/pod/shell"], True)
    for form in ("list", "md"):
        assert "svc/shop/front:80" in call(*asked, "-o", form, stdin=as_list(service)).out
    closed = answer(call, *asked, "--port", "80", stdin=as_list(service))
    assert closed["published"] == []


def test_each_way_is_a_chain_of_connections_that_are_allowed(call: Call) -> None:
    found = answer(call, "reach", "-f", "old", "--from", "guest/shell", "--hops", "2")
    assert (found["from"], found["most"], found["unreached"]) == (["guest/pod/shell"], 2, [])
    ways = [(each["to"], each["hops"], each["connections"]) for each in found["reached"]]
    first = {"from": "guest/pod/shell", "to": "shop/deploy/web", "allowed": {"TCP": "8080"}}
    second = {"from": "shop/deploy/web", "to": "shop/sts/db", "allowed": {"TCP": "5432"}}
    assert ways == [("shop/deploy/web", 1, [first]), ("shop/sts/db", 2, [first, second])]
    found = answer(call, "reach", "-f", "old", "--from", "guest/shell", "--hops", "1")
    assert found["unreached"] == ["shop/sts/db"]

"""A pod's start is held until its rules are in force: real plugins, a real agent, real packets."""

from __future__ import annotations

import json
import time

import pytest

from tests.cni.bed import PORT, Bed, address_of, bed, needs_plugins
from tests.cni.runtime import Refused
from tests.support.waiting import until

__all__ = ["bed"]
pytestmark = [pytest.mark.kernel, needs_plugins]


def test_a_pod_starts_when_its_rules_are_in_force(bed: Bed) -> None:
    """Nothing more is waited for: the first packet that is allowed arrives, none that is denied does."""
    bed.install()
    with bed.agent():
        friend, _ = bed.started("friend")
        other, _ = bed.started("other")
        sandbox = bed.sandbox("web")
        start = bed.start(sandbox)
        until(bed.asked)
        time.sleep(0.3)
        assert not start.done()  # the API server has not told of it
        bed.say("web")
        address = address_of(start.result())
        bed.servers.listen(sandbox.namespace, "tcp", address, PORT)
        assert bed.reaches(friend, address)
        assert not bed.reaches(other, address)
        assert bed.asked() == []


def test_a_pod_that_replaced_another_of_its_name_waits_for_its_own_labels(bed: Bed) -> None:
    """A StatefulSet's: what is known of the one before it says nothing about this one."""
    bed.install()
    with bed.agent():
        bed.say("web", uid="old", app="other")
        start = bed.start(bed.sandbox("web", uid="new"))
        until(bed.asked)
        time.sleep(0.3)
        assert not start.done()
        bed.say("web", uid="new")
        start.result()


def test_without_an_agent_no_pod_starts_unless_that_is_set(bed: Bed) -> None:
    bed.install(waitSeconds=1)
    sandbox = bed.sandbox("web")
    with pytest.raises(Refused) as refused:
        bed.runtime.start(sandbox)
    assert refused.value.code == 11
    bed.install(waitSeconds=1, unanswered="pass")
    bed.runtime.start(sandbox)
    bed.runtime.stop(sandbox)


def test_an_agent_that_cannot_say_yes_says_why(bed: Bed) -> None:
    bed.install(waitSeconds=1, unanswered="pass")
    with bed.agent(), pytest.raises(Refused) as refused:
        bed.runtime.start(bed.sandbox("web"))
    assert refused.value.code == 11
    assert "shop/web" in refused.value.msg
    assert "has not reported this pod" in refused.value.msg


def test_another_agent_answers_what_one_that_was_killed_was_asked(bed: Bed) -> None:
    bed.install()
    with bed.agent() as agent:
        start = bed.start(bed.sandbox("web"))
        until(bed.asked)
        agent.kill()
    bed.say("web")
    time.sleep(0.3)
    assert not start.done()
    with bed.agent():
        start.result()


def test_what_is_no_pod_is_not_held(bed: Bed) -> None:
    """As `ctr run --cni` and podman start containers: no policy is about them."""
    bed.install()
    with bed.agent():
        sandbox = bed.sandbox("web")
        network, plugins = bed.runtime.network()
        result = json.loads(bed.runtime.call("ADD", network, plugins[0], sandbox))
        bare = type(sandbox)(sandbox.namespace, sandbox.container, "/", "")
        assert json.loads(bed.runtime.call("ADD", network, plugins[-1], bare, result)) == result


def test_check_asks_whether_the_rules_are_still_in_force(bed: Bed) -> None:
    bed.install(waitSeconds=1)
    with bed.agent():
        bed.say("web")
        sandbox = bed.sandbox("web")
        bed.runtime.start(sandbox)
        bed.runtime.check(sandbox)
        (bed.manifests / "web.yaml").unlink()
        until(lambda: _refuses(bed, sandbox))
    with pytest.raises(Refused):
        bed.runtime.check(sandbox)


def _refuses(bed: Bed, sandbox: object) -> bool:
    try:
        bed.runtime.check(sandbox)  # type: ignore[arg-type]
    except Refused:
        return True
    return False


def test_after_a_reboot_pods_wait_for_rules_with_their_new_addresses(bed: Bed) -> None:
    """The kernel is empty, and the API server tells the addresses of before, which others have now."""
    bed.install()
    state = ("--state-dir", str(bed.directory / "state"))
    with bed.agent(*state):
        before = {name: bed.started(name) for name in ("friend", "other", "web")}
        for name, (_, address) in before.items():
            bed.say(name, address=address)
    bed.reboot()
    turned = {name: bed.sandbox(name) for name in ("web", "friend", "other")}
    starts = {}
    for name, sandbox in turned.items():
        starts[name] = bed.start(sandbox)
        until(lambda: len(bed.asked()) == len(starts))  # in this order, so that each has another's address
    time.sleep(0.3)
    assert not any(start.done() for start in starts.values())
    with bed.agent(*state):
        now = {name: address_of(start.result()) for name, start in starts.items()}
        assert now["web"] in {before["friend"][1], before["other"][1]}
        bed.servers.listen(turned["web"].namespace, "tcp", now["web"], PORT)
        assert bed.reaches(turned["friend"].namespace, now["web"])
        assert not bed.reaches(turned["other"].namespace, now["web"])
        # The kubelet tells one after the other.
        for name, address in now.items():
            bed.say(name, address=address)
            assert bed.reaches(turned["friend"].namespace, now["web"])
            assert not bed.reaches(turned["other"].namespace, now["web"])


@pytest.mark.parametrize("way", ["conflist", "drop-in"])
def test_pods_that_start_without_asking_are_a_condition(bed: Bed, way: str) -> None:
    """As where the runtime's libcni is older than drop-ins, or reads another directory."""
    where = ("--cni-conf-dir", str(bed.runtime.configurations), "--cni-bin-dir", str(bed.runtime.programs))
    flags = ("--cni-plugin", way, *where, "--cni-cache", str(bed.runtime.results))
    with bed.agent(*flags) as agent:
        until(lambda: agent.says("policyd-cni is in the network's chain"))
        bed.started("friend")  # which asks
        assert "starts-unasked" not in bed.conditions()
        bed.runtime.reads_drop_ins = False
        stranger = bed.sandbox("web")
        bed.say("web")
        bed.runtime.stale = way == "conflist"
        bed.runtime.start(stranger)
        until(lambda: "starts-unasked" in bed.conditions())
        bed.runtime.reads_drop_ins, bed.runtime.stale = True, False
        bed.started("other")
        assert "starts-unasked" not in bed.conditions()


def test_a_network_that_is_installed_again_at_each_boot_lets_nobody_start_before_the_agent(bed: Bed) -> None:
    """Flannel's and Calico's installers write their list again, before policyd runs."""
    where = ("--cni-conf-dir", str(bed.runtime.configurations), "--cni-bin-dir", str(bed.runtime.programs))
    as_installed = bed.list.read_text()
    with bed.agent("--cni-plugin", "copy", *where) as agent:
        until(lambda: agent.says("policyd-cni is in the network's chain"))
        bed.started("web")
    bed.reboot()
    bed.list.write_text(as_installed)
    start = bed.start(bed.sandbox("web"))
    until(bed.asked)
    time.sleep(0.3)
    assert not start.done()
    with bed.agent("--cni-plugin", "copy", *where):
        start.result()


def test_the_question_of_a_plugin_that_was_killed_is_forgotten(bed: Bed) -> None:
    bed.install(waitSeconds=1)
    (bed.run_dir / "cni" / "asked" / "c9-eth0.7").mkdir(parents=True)
    with bed.agent():
        until(lambda: not bed.asked())

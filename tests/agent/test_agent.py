"""The agent as a process, on a real kernel: it follows, keeps, repairs, and leaves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, Agent, nft, policy, run, running, write
from tests.support.waiting import until

pytestmark = pytest.mark.kernel


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", WORLD)
    write(made, "web.yaml", policy("web", "web", 80))
    return made


def table(namespace: Namespace) -> str:
    return nft(namespace, "list", "table", "inet", "policyd")


def test_an_edit_is_followed(namespace: Namespace, directory: Path) -> None:
    """NP-047, NP-123."""
    with running(namespace, directory) as agent:
        assert "tcp dport 80 return" in table(namespace)
        write(directory, "web.yaml", policy("web", "web", 443))
        until(lambda: "tcp dport 443 return" in table(namespace))
        until(lambda: "tcp dport 80 return" not in table(namespace))  # swept
        (directory / "web.yaml").unlink()
        until(lambda: "tcp dport 443 return" not in table(namespace))
        assert len(agent.says("ruleset in force")) == 3


def test_a_broken_file_keeps_what_it_said_and_others_go_on(namespace: Namespace, directory: Path) -> None:
    with running(namespace, directory) as agent:
        write(directory, "web.yaml", "spec: {{ nothing\n")
        until(lambda: agent.says("a broken file is kept"))
        write(directory, "db.yaml", policy("db", "db", 5432))
        until(lambda: "tcp dport 5432 return" in table(namespace))
        assert "tcp dport 80 return" in table(namespace)
        [line] = agent.says("a broken file is kept")
        assert line["file"] == "web.yaml"
        told = agent.says("a manifest is not valid")
        assert any("web.yaml:1" in str(line["place"]) and line["reason"] for line in told)


def test_a_file_that_was_never_good_closes_what_it_selects(namespace: Namespace, directory: Path) -> None:
    """A port that is none matches nothing; the pods are isolated all the same (decisions 8)."""
    write(directory, "web.yaml", policy("web", "web", 80).replace("80", "80000"))
    with running(namespace, directory) as agent:
        assert agent.says("a broken file counts only as far as it is understood")
        assert 'drop comment "ingress isolated by shop/web"' in table(namespace)
        assert "tcp dport" not in table(namespace).replace("tcp dport 443", "")


@pytest.mark.parametrize(
    "change",
    [
        "insert rule inet policyd forward counter accept",
        "add rule inet policyd forward tcp dport 1 drop",
        "flush chain inet policyd forward",
        "delete table inet policyd",
        "add chain inet policyd foreign { type filter hook input priority 7; }",
        "add table inet policyd { flags dormant; }",
        "flush ruleset",
    ],
)
def test_what_somebody_changes_is_repaired(namespace: Namespace, directory: Path, change: str) -> None:
    with running(namespace, directory, "--verify-interval", "600") as agent:
        before = without_handles(table(namespace))
        nft(namespace, *change.split(" "))
        until(lambda: agent.says("somebody changed the ruleset"))
        until(lambda: without_handles(table(namespace)) == before)


def without_handles(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "generation" not in line)


def test_a_removed_element_is_repaired(namespace: Namespace, directory: Path) -> None:
    with running(namespace, directory, "--verify-interval", "600"):
        before = without_handles(table(namespace))
        name = next(word for word in before.split() if word.startswith("ingress4-"))
        nft(namespace, "delete", "element", "inet", "policyd", name, "{", "10.0.0.1", "}")
        # What was put beside meanwhile may be listed in another order.
        until(lambda: sorted(without_handles(table(namespace)).splitlines()) == sorted(before.splitlines()))


def test_other_tables_are_left_alone(namespace: Namespace, directory: Path) -> None:
    nft(namespace, "add", "table", "ip", "policyd")
    nft(namespace, "add", "chain", "inet", "other", "x") if nft(
        namespace, "add", "table", "inet", "other"
    ) else None
    with running(namespace, directory):
        run(namespace, "cleanup")
        assert nft(namespace, "list", "tables").splitlines()[:2] == ["table ip policyd", "table inet other"]


def test_a_killed_agent_leaves_a_whole_ruleset_and_a_restart_continues(
    namespace: Namespace, directory: Path
) -> None:
    with running(namespace, directory) as agent:
        write(directory, "web.yaml", policy("web", "web", 81))
        until(lambda: "tcp dport 81 return" in table(namespace))
        agent.kill(signal.SIGKILL)
    held = table(namespace)
    assert "tcp dport 81 return" in held
    assert 'comment "generation 2"' in held
    with running(namespace, directory) as successor:
        [line] = successor.says("ruleset in force")
        assert line["generation"] == 2


def test_stopped_it_leaves_the_ruleset(namespace: Namespace, directory: Path) -> None:
    """NP-109."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(namespace, directory) as agent:
            assert agent.kill(number) == 0
            assert agent.says("agent stopped; the ruleset stays in force")
        assert "tcp dport 80 return" in table(namespace)


def test_cleanup_removes_the_table_once_the_agent_is_gone(namespace: Namespace, directory: Path) -> None:
    with running(namespace, directory):
        refused = run(namespace, "cleanup")
        assert refused.returncode == 4
        assert "already enforces table inet policyd" in refused.stderr
    assert run(namespace, "cleanup").returncode == 0
    assert nft(namespace, "list", "tables") == ""
    assert run(namespace, "cleanup").returncode == 0


def test_a_second_agent_refuses(namespace: Namespace, directory: Path) -> None:
    with running(namespace, directory):
        second = Agent(namespace, directory)
        assert second.process.wait(20) == 4


def test_broken_at_start_the_ruleset_from_before_stays(namespace: Namespace, directory: Path) -> None:
    with running(namespace, directory) as agent:
        agent.kill()
    before = table(namespace)
    write(directory, "web.yaml", "{{ nothing\n")
    agent = Agent(namespace, directory)
    try:
        until(lambda: agent.says("the ruleset from before stays in force"))
        assert table(namespace) == before
        write(directory, "web.yaml", policy("web", "web", 82))
        until(lambda: "tcp dport 82 return" in table(namespace))
    finally:
        agent.kill()


def test_without_a_directory_it_says_so(namespace: Namespace, tmp_path: Path) -> None:
    done = run(namespace, "run", "--manifests", str(tmp_path / "none"), "--node", "n1")
    assert (done.returncode, "is not a directory" in done.stderr) == (3, True)

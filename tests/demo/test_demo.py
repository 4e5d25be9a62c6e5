"""The demonstration as a newcomer meets it: what it shows, what it returns, what it says when it cannot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policyd.applier.worker import LIBRARY
from policyd.demo.scene import MANIFESTS
from tests.demo.processes import COMMAND, OTHER, demonstration

pytestmark = pytest.mark.kernel

WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
#: Those that an ordinary user has in a user namespace of its own, and to map the user that tests run as.
AS_USER = ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", "--")
USER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--")


def run(tmp_path: Path, *command: str, **kwargs: Any) -> tuple[int, str, str]:
    """Run a demonstration to its end, and see that nothing is left."""
    with demonstration(tmp_path, command, **kwargs) as demo:
        result = demo.finish()
        assert demo.leftovers() == []
    return result


def test_every_connection_is_as_expected_and_a_pipe_gets_plain_text(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, *COMMAND)
    assert (code, err) == (0, "")
    assert "Without policyd, all 82 connections are answered." in out
    assert "All 164 connections were as expected" in out
    assert "The first connection changed " in out
    assert out.count("*") == 3, "two changed pairs, and the legend"
    assert out.count("82 of 82 as expected") == 2
    assert [c for c in out if not (c.isprintable() or c == "\n")] == []
    shown = out.partition("Next, try")[0].splitlines()
    assert [line for line in shown if len(line) >= 80] == []


def test_the_root_of_a_user_namespace_is_enough(tmp_path: Path) -> None:
    if subprocess.run((*AS_USER, *USER_NAMESPACE, "true"), capture_output=True, check=False).returncode:
        pytest.skip("the kernel allows no unprivileged user namespaces")
    code, out, err = run(tmp_path, *AS_USER, *USER_NAMESPACE, *COMMAND)
    assert (code, err) == (0, "")
    assert "All 164 connections were as expected" in out


def test_policies_that_do_not_do_what_was_expected_are_found(tmp_path: Path) -> None:
    """One that allows too little, one that allows too much, and one that the agent complains of."""
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    replace(manifests / "api.yaml", "port: http", "port: 9001")
    replace(manifests / "db.yaml", "[Ingress, Egress]", "[Ingress]")
    replace(manifests / "web.yaml", "203.0.113.0/24]", "203.0.113.7/24]")
    code, out, err = run(tmp_path, sys.executable, "-c", OTHER, str(manifests))
    assert (code, err) == (1, "")
    first, _, second = out.partition("api.yaml is saved again")
    assert row(first, "shop/web") == "-! - - - yes"
    assert row(second, "shop/web") == "yes* - - - yes"
    assert row(first, "shop/db") == "yes! - - yes!"
    assert "of 82 as expected; the others are marked with !" in first
    assert "connections were not as expected, marked with ! above" in second
    assert "shop/web to api:9000 over IPv4: not answered, but should be" in second
    assert "web.yaml:10" in second.partition("The agent said")[2]


def test_without_privileges_it_says_what_is_missing(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, *WITHOUT_PRIVILEGES, *COMMAND)
    assert code == 4
    assert "expected" not in out
    assert err.startswith("policyd: error: the kernel does not let this process make network namespaces: run")
    assert err.count("\n") == 1


@pytest.mark.parametrize("program", ["ip", "setpriv"])
def test_a_program_that_is_missing_is_named(program: str, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in {"ip", "setpriv"} - {program}:
        (programs / name).symlink_to(shutil.which(name) or "")
    code, _, err = run(tmp_path, *COMMAND, variables={"PATH": str(programs)})
    assert (code, err.count("\n")) == (4, 1)
    assert err.startswith(f"policyd: error: there is no program `{program}`")


def test_why_the_agent_does_not_start_is_said(tmp_path: Path) -> None:
    """Without nft, of which a mount namespace of its own hides the program and the library."""
    hide = f"mount --bind /dev/null {shutil.which('nft')} && mount -t tmpfs none {LIBRARY}"
    code, out, err = run(tmp_path, "unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh", *COMMAND)
    assert (code, err.count("\n")) == (4, 1)
    assert err.startswith("policyd: error: the agent ended with code 4: there is no program nft")
    assert "expected" not in out


def test_a_full_output_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, err = run(tmp_path, *COMMAND, stdout=full)
    assert (code, err) == (4, "policyd: error: No space left on device\n")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def row(text: str, source: str) -> str:
    """The cells of a source's first row."""
    [line, *_] = [line for line in text.splitlines() if line.startswith(f"  {source} ")]
    return " ".join(line.split()[1:])

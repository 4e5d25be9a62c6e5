"""`policyd run` refuses what cannot be before it starts, in a line that says where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answers import answer
from tests.cli.calls import Call


@pytest.mark.parametrize("variable", ["", "POLICYD_MANIFESTS"])
def test_a_directory_of_manifests_that_is_none_is_refused(
    variable: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    nope = str(tmp_path / "nope")
    if variable:
        monkeypatch.setenv(variable, nope)
    result = call("run", "--node", "n1", *(() if variable else ("--manifests", nope)))
    assert (result.code, result.out) == (3, "")
    place = variable or "--manifests"
    assert result.err.splitlines()[0] == f"{place}: error: manifests: {nope} is not a directory"
    assert "agent started" not in result.err


@pytest.mark.parametrize(
    ("flags", "settings", "code"),
    [
        (("--table", "flush"), "", 2),
        (("--pod-interfaces", "averyveryverylonginterfacename"), "", 2),
        ((), "table: flush", 3),
        ((), "pod_interfaces: ['veth*', 'a b']", 3),
    ],
)
def test_names_that_the_kernel_would_refuse_are_refused_at_the_start(
    flags: tuple[str, ...], settings: str, code: int, tmp_path: Path, call: Call
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(settings)
    result = call("run", "--node", "n1", "--config", path, *flags)
    assert (result.code, result.out) == (code, "")
    assert result.err.endswith("policyd: 1 error\n")


def test_settings_follow_their_schema(call: Call) -> None:
    plain = answer(call, "config", "--node", "n1")
    told = answer(call, "config", "--node", "n1", "--origin")
    assert (told["settings"]["node"], told["origins"]["node"]) == ("n1", "flag")
    assert told["settings"] == plain["settings"]


def test_a_misspelt_variable_is_a_warning_of_every_command(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICYD_DNEY", "reject")
    result = call("config", "show")
    assert result.code == 0
    assert result.err == (
        "policyd: environment: warning: 'POLICYD_DNEY' is no setting and means nothing; "
        "did you mean POLICYD_DENY?\n"
    )

"""What the kernel says: the JSON does what the script does; `--check` asks, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policyd.applier import program
from policyd.cli import compile as compile_command
from policyd.cli.kernel_check import check
from policyd.errors import EnvironmentRefused
from policyd.pipeline import Build, build
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.json_printer import print_replace_json
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options, table_mistake
from tests.cli.calls import POLICYD, SHOP, Call, as_list, finish, start
from tests.routes import compile_stored
from tests.worlds import Case, recorded_cases, written_cases

pytestmark = pytest.mark.kernel

CASES = (*recorded_cases(), *written_cases())
#: Everything that the options can add to a ruleset.
FULL = Options(pod_interfaces=("cni0", "veth*"), deny="reject", hairpin="evaluate")
# Loaded twice, as a ruleset takes the place of its predecessor.
LOAD = "nft $1 -f $2 && nft $1 -f $2 && nft -j list table inet policyd"


def load(path: Path, *flags: str) -> str:
    """What a network namespace of its own lists after it has loaded a file."""
    command = ["unshare", "--net", "sh", "-c", LOAD, "sh", " ".join(flags), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def compare(table: Table, directory: Path) -> None:
    (directory / "script").write_text(print_replace(table))
    (directory / "json").write_text(print_replace_json(table))
    script, commands = load(directory / "script"), load(directory / "json", "-j")
    assert objects(commands) == objects(script)
    # Parsed, as the order of rules in a chain must be the same, too.
    assert parse_listing(commands, table.name) == parse_listing(script, table.name)


def objects(listing: str) -> list[str]:
    """Every object of a listing, without the numbers that the kernel gives out in the order of arrival."""
    values = [value for item in json.loads(listing)["nftables"] for value in item.values()]
    for value in values:
        value.pop("handle", None)
    return sorted(json.dumps(value, sort_keys=True) for value in values)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_json_does_what_the_script_does(case: Case, tmp_path: Path) -> None:
    compare(compile_stored(case.objects, "n1").table, tmp_path)


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.id)
def test_the_json_does_what_the_script_does_with_every_option(case: Case, tmp_path: Path) -> None:
    compare(compile_stored(case.objects, "n1", FULL).table, tmp_path)


def test_a_ruleset_that_is_fine_is_said_to_be(call: Call) -> None:
    plain = call("compile", "-f", "-", "--node", "n1", stdin=as_list(*SHOP))
    checked = call("compile", "-f", "-", "--node", "n1", "--check", stdin=as_list(*SHOP))
    assert (checked.code, checked.out) == (0, plain.out)
    assert checked.err == "policyd: n1: ok, the kernel takes the ruleset\n"


def build_refused(*arguments: Any) -> Build:
    """What is compiled, under a name that nft does not take: `set` is a word of its own."""
    built = build(*arguments)
    return replace(built, table=replace(built.table, name="set"))


def test_a_ruleset_that_the_kernel_refuses_is_a_finding(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_command, "build", build_refused)
    arguments = ("compile", "-f", "-", "--check")
    refused = call(*arguments, "--node", "n1", stdin=as_list(*SHOP))
    assert (refused.code, refused.out) == (1, "")
    assert "ruleset of n1:1:16: error: syntax error, unexpected set" in refused.err
    files = call(*arguments, "--all-nodes", "--output-dir", tmp_path, stdin=as_list(*SHOP))
    assert files.code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--pod-interfaces", "lxc*,lxc_health"),
        ("--pod-interfaces", "veth*,veth1*,eth0,eth0*,cni0"),
        ("--pod-interfaces", "a,a@b,A.1,-x,_*,fifteen-letter_,fourteen-lett*"),
        ("--table", "a" * 64),
        ("--table", "T.1_-x"),
        ("--table", "inet-policyd"),
    ],
)
def test_settings_that_pass_are_taken_by_the_kernel(flag: str, value: str, call: Call) -> None:
    checked = call("compile", "-f", "-", "--node", "n1", "--check", f"{flag}={value}", stdin=as_list(*SHOP))
    assert (checked.code, checked.err) == (0, "policyd: n1: ok, the kernel takes the ruleset\n")


@pytest.mark.parametrize("name", ["", "1", "a b", "ä", "-a", "inet", "table", "flush"])
def test_nft_refuses_as_a_table_what_settings_refuse(name: str) -> None:
    done = subprocess.run(
        ["unshare", "--net", "nft", "--check", "--file", "-"],
        input=f"add table inet {name}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert table_mistake(name) is not None


def test_a_refused_line_is_reported_with_the_policies_that_it_serves() -> None:
    script = """\
add table inet t
table inet t {
\tset ranges4-1 {
\t\ttype ipv4_addr
\t\tflags interval
\t\telements = {
\t\t\t10.0.0.0/8, 10.0.0.0/33,
\t\t}
\t}
\tchain in4-2 {
\t\tip saddr @nobody drop
\t}
}
"""
    owners = {"ranges4-1": frozenset({"x/b", "x/a"}), "in4-2": frozenset[str]()}
    first, *_ = told = check("n1", script, owners)
    assert (first.file, first.line, first.severity) == ("ruleset of n1", 7, "error")
    assert first.text.endswith(": set ranges4-1: 10.0.0.0/8, 10.0.0.0/33, (for x/a, x/b)")
    only_chain = check("n1", script.replace("/33", "/24").replace("10.0.0.0/8, ", ""), owners)
    assert [d.text for d in only_chain] == ["No such file or directory: chain in4-2: ip saddr @nobody drop"]
    assert len(told) >= 1


def test_to_check_changes_nothing() -> None:
    """Where it is asked without a namespace of its own, too: `nft -c` commits nothing."""
    script = 'nft add table inet policyd; nft list ruleset; "$@" >/dev/null; nft list ruleset'
    process = start(
        *("compile", "-f", "-", "--node", "n1", "--check"),
        program=("unshare", "--net", "sh", "-c", script, "sh", *POLICYD),
        stdin=subprocess.PIPE,
    )
    out, err = process.communicate(as_list(*SHOP), timeout=60)
    assert out == "table inet policyd {\n}\n" * 2
    assert err == "policyd: n1: ok, the kernel takes the ruleset\n"


def test_without_nft_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(EnvironmentRefused, match="there is no nft program to check with: install nftables"):
        check("n1", "", {})


def test_without_permission_nobody_can_be_asked(tmp_path: Path) -> None:
    """A root that may do nothing, as in many containers."""
    path = tmp_path / "shop.json"
    path.write_text(as_list(*SHOP))
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    result = finish(start("compile", "-f", path, "--node", "n1", "--check", program=(*powerless, *POLICYD)))
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith("policyd: error: the kernel cannot be asked (")
    assert "Traceback" not in result.err


AS_NOBODY = """\
import os, sys
from policyd.cli.kernel_check import check
script = sys.stdin.read()
try:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
except OSError:
    sys.exit("nobody is not somebody here")
print(check("n1", script, {}))
"""


def test_an_ordinary_user_can_ask_in_a_user_namespace() -> None:
    process = start(program=(sys.executable, "-c", AS_NOBODY), stdin=subprocess.PIPE)
    out, err = process.communicate(print_replace(compile_stored(list(SHOP), "n1").table), timeout=60)
    if "nobody is not somebody here" in err or "be root, or allow unprivileged user namespaces" in err:
        pytest.skip(err)  # in a user namespace of its own, or where the kernel allows none
    assert (out, err) == ("()\n", "")

"""What nft writes when it fails, recorded from nft 1.0.6, becomes an exception that says where."""

from __future__ import annotations

import pytest

from policyd.applier.backend import NftRefused, NftUnavailable, read_errors, says_absent, statement_at
from policyd.errors import EnvironmentRefused, Exit

SCRIPT = "add table inet t\n\tadd rule inet t c jump none\nadd chain inet t d\n"
BLOCK = """\
table inet t {
\tset s {
\t\ttype ipv4_addr
\t\telements = {
\t\t\t10.0.0.1,
\t\t}
\t}
\tchain c { }
\tchain c {
\t\tip saddr @s drop
\t}
}
add set inet t s { type ipv4_addr; elements = {
\t10.0.0.2,
}; }
add chain inet t d
"""
KERNEL = """\
/dev/stdin:2:24-27: Error: Could not process rule: No such file or directory
add rule inet t c jump none
                       ^^^^
/dev/stdin:3:1-18: Error: Could not process rule: File exists
add chain inet t d
^^^^^^^^^^^^^^^^^^
"""


def refused(errors: str) -> NftRefused:
    found = read_errors(errors, SCRIPT)
    assert isinstance(found, NftRefused)
    return found


def test_first_error_is_reported_with_its_line_and_statement() -> None:
    error = refused(KERNEL)
    assert (error.line, error.statement) == (2, "add rule inet t c jump none")
    assert error.reason == "Could not process rule: No such file or directory"
    assert error.message == KERNEL.partition("Error: ")[2].partition("\n/dev")[0]
    assert str(error) == (
        "nft refused line 2 (add rule inet t c jump none): Could not process rule: No such file or directory"
    )


@pytest.mark.parametrize(
    ("errors", "line", "reason"),
    [
        (
            "internal:0:0-0: Error: Could not process rule: File exists\n\n",
            0,
            "Could not process rule: File exists",
        ),
        ("/proc/self/fd/4:3:1-3: Error: syntax error\nx\n^\n", 3, "syntax error"),
        ("Error: conflicting intervals specified\n", 0, "conflicting intervals specified"),
        (
            "netlink: Error: Could not process rule: Message too long\n",
            0,
            "Could not process rule: Message too long",
        ),
        ("/dev/stdin:9:1-3: Error: syntax error\n", 9, "syntax error"),
        ("something else\n", 0, "something else"),
        ("", 0, "nft failed and did not say why"),
    ],
)
def test_errors_of_any_form_are_read(errors: str, line: int, reason: str) -> None:
    error = refused(errors)
    assert (error.line, error.reason) == (line, reason)


@pytest.mark.parametrize(
    ("line", "statement"),
    [
        (0, ""),
        (1, "table inet t {"),
        (2, "set s {"),
        (5, "set s: 10.0.0.1,"),
        (10, "chain c: ip saddr @s drop"),
        (14, "add set inet t s { type ipv4_addr; elements: 10.0.0.2,"),
        (16, "add chain inet t d"),
        (99, ""),
    ],
)
def test_statement_says_the_chain_or_set_around_it(line: int, statement: str) -> None:
    assert statement_at(BLOCK, line) == statement


def test_long_statement_is_cut_for_people() -> None:
    error = NftRefused("no", 1, "x" * 1000)
    assert len(str(error)) < 300
    assert len(error.statement) == 1000


@pytest.mark.parametrize(
    "errors",
    [
        "/dev/stdin:1:1-16: Error: Could not process rule: Operation not permitted\nadd table inet t\n^^^^\n",
        "netlink: Error: cache initialization failed: Operation not permitted\n",
        "Operation not permitted (you must be root)\n",
    ],
)
def test_missing_permission_is_no_refusal(errors: str) -> None:
    found = read_errors(errors, SCRIPT)
    assert isinstance(found, NftUnavailable)
    assert "CAP_NET_ADMIN" in str(found)


def test_words_of_a_script_are_no_missing_permission() -> None:
    echoed = 'add rule inet t none drop comment "Operation not permitted"'
    error = refused(
        f"/dev/stdin:1:17-20: Error: Could not process rule: No such file or directory\n{echoed}\n"
    )
    assert error.line == 1


def test_absence_is_distinguished_from_other_failures() -> None:
    guess = "Error: No such file or directory; did you mean table ‘tt’ in family inet?\nlist table inet t\n"
    assert says_absent("Error: No such file or directory\nlist table inet t\n               ^\n")
    assert says_absent(guess)
    assert not says_absent("netlink: Error: cache initialization failed: Operation not permitted\n")
    assert not says_absent("")


def test_all_are_of_the_environment() -> None:
    assert issubclass(NftRefused, EnvironmentRefused)
    assert NftUnavailable.exit_code == Exit.ENVIRONMENT


@pytest.mark.parametrize("line", ["9" * 5000, "9" * 30, "999999999"])
def test_a_line_that_no_script_has_is_no_place(line: str) -> None:
    error = refused(f"/dev/stdin:{line}:1-3: Error: syntax error\n")
    assert error.reason.endswith("Error: syntax error") or error.reason == "syntax error"
    assert error.statement == ""

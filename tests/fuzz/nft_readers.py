"""Readers of what nft writes, and of scripts for nft: a listing, an error, a script, the saved ruleset."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

from policyd.applier.backend import NftRefused, read_errors, says_absent
from policyd.saved_state import BadState, load_state
from policyd_compiler.nft.ast import (
    Continue,
    Counter,
    CounterName,
    CounterRef,
    Limit,
    Log,
    Rule,
    Table,
    TableFamily,
)
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace, print_table
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options
from policyd_compiler.plan import differences, plan
from tests.applier.expressions import every_rule, table
from tests.cases.form import ingress, pods
from tests.fakes.fake_nft import FakeNft
from tests.fuzz.mutations import JSON, WORDS
from tests.fuzz.readers import ATTACHMENTS, OBJECTS
from tests.fuzz.target import Target
from tests.oracle import Manifest
from tests.routes import compile_attached, compile_world

REFUSED = b"""\
/dev/stdin:2:24-27: Error: Could not process rule: No such file or directory
add rule inet t c jump none
                       ^^^^
/dev/stdin:3:1-18: Error: Could not process rule: File exists
add chain inet t d
^^^^^^^^^^^^^^^^^^
"""
ERRORS = (
    REFUSED,
    b"internal:0:0-0: Error: Could not process rule: File exists\n\n",
    b"netlink: Error: cache initialization failed: Operation not permitted\n",
    "Error: No such file or directory; did you mean table ‘tt’ in family inet?\n".encode(),
)


def tables() -> tuple[Table, ...]:
    """Rulesets with every kind of thing in them."""
    strict = Options("policyd", ("cni0", "veth*"), "exempt", "evaluate", "reject")
    worlds: tuple[tuple[list[Manifest], Options], ...] = (
        (list(OBJECTS), Options()),
        (list(OBJECTS), strict),
        ([], Options()),
    )
    return tuple(stamp(compile_world(world, "n1", options).table, 7) for world, options in worlds)


def everything(family: TableFamily) -> Table:
    """A table of ours in name, with every expression and statement that there is."""
    done = (CounterRef(CounterName("hits")), Limit(10, "second"), Log("denied: ", 7, 64, 1))
    rules = [*every_rule(family), Rule(Continue(), statements=done)]
    return replace(table(family, rules), name=tables()[0].name, counters=(Counter(CounterName("hits")),))


def listing(held: Table) -> bytes:
    """What nft would list."""
    nft = FakeNft()
    asyncio.run(nft.run(print_replace(held)))
    text = asyncio.run(nft.list_table(held.name, held.family))
    assert text is not None
    return text.encode()


def listing_reader(_directory: Path) -> Target:
    """A listing; whatever it holds, there is a way from there to what is wanted."""
    wanted = tables()[0]

    def read(text: bytes) -> str:
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return "no text"
        try:
            actual = parse_listing(decoded, wanted.name)
        except ForeignContent as error:
            return error.things[0]
        except ValueError as error:
            return str(error)
        for step in plan(actual, wanted).steps:
            assert step.kind == "replace" or step.script
        if actual is None:
            return "no table"
        return (*differences(actual, wanted), "as wanted")[0]

    return Target("listing", read, tuple(map(listing, (*tables(), everything("inet")))), JSON)


def beside() -> Table:
    """A ruleset whose pods are on a bridge, with the table in family bridge."""
    closed = [*OBJECTS, ingress("x", "a", {"from": [pods(app="web")], "ports": [{"port": 53}]}, name="r")]
    built = compile_attached(closed, "n1", ATTACHMENTS, Options(pod_interfaces=("cni0", "veth*")))
    return stamp(built.table, 7)


def bridge_listing_reader(_directory: Path) -> Target:
    """A listing of the table beside; whatever it holds, there is a way from there to what is wanted."""
    wanted = beside()
    assert wanted.bridge is not None

    def read(text: bytes) -> str:
        try:
            actual = parse_listing(text.decode(), wanted.name, "bridge")
        except UnicodeDecodeError:
            return "no text"
        except ForeignContent as error:
            return error.things[0]
        except ValueError as error:
            return str(error)
        held = replace(wanted, bridge=actual)
        for step in plan(held, wanted).steps:
            assert step.script
        return (*differences(held, wanted), "as wanted")[0]

    bare = tuple(replace(chain, rules=()) for chain in wanted.bridge.chains)
    good = (wanted.bridge, replace(wanted.bridge, chains=bare), everything("bridge"))
    return Target("listing-bridge", read, tuple(map(listing, good)), JSON)


def error_reader(_directory: Path) -> Target:
    """What nft wrote about a script."""
    script = print_replace(tables()[0])

    def read(text: bytes) -> str:
        errors = text.decode("utf-8", "replace")
        says_absent(errors)
        found = read_errors(errors, script)
        assert str(found)
        return str(found)

    return Target("errors", read, ERRORS, WORDS)


def script_reader(_directory: Path) -> Target:
    """A script, as the fake kernel runs it: on a table of ours."""
    first, second, _ = tables()
    foundation = FakeNft()
    asyncio.run(foundation.run(print_replace(first)))
    whole = print_replace(second).encode()
    steps = [step.script.encode() for step in plan(first, stamp(second, 8)).steps]

    def read(text: bytes) -> str:
        try:
            run(foundation, text.decode("utf-8", "replace"))
        except NftRefused as refused:
            return refused.reason
        return "done"

    return Target(
        "script",
        read,
        (*steps, *(print_table(one).encode() for one in (second, everything("bridge"))), whole),
        WORDS,
    )


def run(nft: FakeNft, script: str) -> None:
    """Let the fake judge a script; it waits for nothing, so no event loop is needed."""
    task = nft.check(script)
    try:
        task.send(None)
    except StopIteration:
        return
    raise AssertionError("the fake waits for something")


def state_reader(directory: Path) -> Target:
    """A state file: as it is if it begins as one, and otherwise under a head with the right checksum."""
    path = directory / "policyd.nft"
    bodies = [print_replace(table).encode() for table in tables()]

    def read(text: bytes) -> str:
        path.write_bytes(text if text.startswith(b"# policyd state") else headed(text))
        path.chmod(0o600)
        try:
            saved = load_state(path, "n1", "policyd")
        except BadState as error:
            return str(error)
        assert saved is not None
        printed = print_replace(saved.table)
        again = parse_replace(printed)
        assert print_replace(again) == printed
        return "a ruleset"

    return Target("state", read, (*bodies, *map(headed, bodies)), WORDS)


def headed(body: bytes) -> bytes:
    """The body as a state file of the node n1."""
    digest = hashlib.sha256(b"n1\n" + body).hexdigest()
    return f"# policyd state 1\n# node n1\n# sha256 {digest}\n".encode() + body

"""docs/operations.md says what the agent tells of itself: all of it, and nothing that it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import yaml

from policyd.agent.node_watch import LOOK_SECONDS
from policyd.agent.reporting.conditions import NAMES, STALE_SECONDS
from policyd.agent.reporting.http import StatusProvider, private, public
from policyd.agent_api import AgentState
from policyd.config import Settings, load_settings
from policyd.errors import Exit
from policyd.netlink.claim import queue_of
from policyd.obs.log import Recent
from policyd.obs.metrics import Metrics
from policyd.saved_state import state_file
from policyd.watcher.failure import Reason
from policyd.watcher.transport import SERVICE_ACCOUNT
from tests.deploy.rendering import CHART, ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
DEFAULTS = load_settings({}, {}).settings
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
CODE = re.compile(r"`([^`\n]+)`")


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, as cells."""
    section = re.split(rf"^##+ {heading}\n", PAGE, flags=re.MULTILINE)[1]
    lines = re.split(r"^##", section, flags=re.MULTILINE)[0].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    assert len(table) > 2, heading
    return [[cell.strip() for cell in row] for row in table[2:]]


def named(heading: str) -> list[str]:
    """What is named, as code, in the first cells of a table."""
    return [name for row in rows(heading) for name in CODE.findall(row[0])]


def test_every_endpoint_is_on_the_page() -> None:
    nobody = cast(StatusProvider, None)  # nobody is asked: only the paths are looked at
    assert sorted(named("HTTP endpoints")) == sorted(private(nobody))
    public_rows = [row[0] for row in rows("HTTP endpoints") if "root" not in row[1]]
    assert sorted(name for cell in public_rows for name in CODE.findall(cell)) == sorted(public(nobody))


def test_every_condition_is_on_the_page() -> None:
    assert sorted(named("Conditions")) == sorted(NAMES)


def metrics() -> Iterator[str]:
    """As the page writes them: the names that Prometheus shows, with their labels."""
    registry = Metrics().registry
    for family in registry.collect():
        end = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = ",".join(getattr(registry._names_to_collectors[family.name], "_labelnames", ()))
        yield f"{family.name}{end}" + (f"{{{labels}}}" if labels else "")


def test_every_metric_is_on_the_page_with_its_labels_and_type() -> None:
    types = {family.name: family.type for family in Metrics().registry.collect()}
    assert sorted(named("Metrics")) == sorted(metrics())
    for name, kind, *_ in rows("Metrics"):
        plain = re.sub(r"_total$|_info$", "", name.strip("`").partition("{")[0])
        assert kind == types[plain], name


def test_every_reason_for_the_end_of_a_watch_is_on_the_page() -> None:
    assert named("Why watches end") == list(get_args(Reason))


def test_every_alert_is_on_the_page() -> None:
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    assert named("Alerts") == [rule["alert"] for group in groups for rule in group["rules"]]


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of policyd, by its place."""
    for path in sorted((ROOT / "policyd").rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def log_events(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """The events that a module logs, each with those fields that stand next to its name."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Dict) or not names_event(node):
                continue
            assert None not in node.keys, f"line {node.lineno}: the fields of a line stand in one place"
            fields = {
                key.value: value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            match fields.pop("event", None):
                case ast.Constant(value=str(event)):
                    yield event, set(map(str, fields))
                case ast.Name(id=parameter):
                    at = [argument.arg for argument in function.args.args].index(parameter)
                    for event in given(tree, function.name, at - 1):
                        yield event, set(map(str, fields))
                case other:
                    raise AssertionError(f"line {node.lineno}: the name of an event is a word, not {other}")


def names_event(node: ast.Dict) -> bool:
    """Whether this is what a log line bears."""
    return any(isinstance(key, ast.Constant) and key.value == "event" for key in node.keys)


def given(tree: ast.Module, method: str, at: int) -> Iterator[str]:
    """What a module passes to a method of its own at a place, where it says so in a word."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name == method:
                argument = arguments[at]
                assert isinstance(argument, ast.Constant), ast.dump(node)
                yield str(argument.value)
            case _:
                pass


def test_every_log_event_is_on_the_page_with_its_fields() -> None:
    found = [item for _, tree in modules() for item in log_events(tree)]
    assert len(found) > 20
    assert sorted(named("Log")) == sorted({event for event, _ in found})
    documented = {(CODE.findall(row[0])[0], frozenset(CODE.findall(row[2]))) for row in rows("Log")}
    assert {(event, frozenset(fields)) for event, fields in found} == documented


def test_every_log_line_is_a_constant_sentence_with_an_event() -> None:
    for place, tree in modules():
        for node in ast.walk(tree):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log" | "LOG"), name), args) if name in LEVELS:
                    sentence = args[name == "log" :]
                    assert len(sentence) == 1, f"{place}:{node.lineno}"
                    assert not isinstance(sentence[0], ast.JoinedStr), f"{place}:{node.lineno}"
                    assert "extra" in {keyword.arg for keyword in node.keywords}, f"{place}:{node.lineno}"
                case _:
                    pass


def test_every_exit_code_of_the_agent_is_on_the_page() -> None:
    codes = [int(code) for row in rows("How the agent ends") for code in re.findall(r"\d+", row[0])]
    assert codes == sorted(map(int, Exit))


def test_files_and_numbers_on_the_page_are_those_of_the_code() -> None:
    files = named("Files")
    assert str(state_file(Path("/var/lib/policyd"), DEFAULTS.table)) in files
    assert str(SERVICE_ACCOUNT) in files
    assert f"netfilter queue {queue_of(DEFAULTS.table)}" in files
    assert str(DEFAULTS.socket()) in files
    assert f"`{DEFAULTS.listen}`" in PAGE
    assert f"the last {Recent().lines.maxlen} lines" in PAGE
    assert (STALE_SECONDS, LOOK_SECONDS) == (180, 10)
    assert "no message about this kind for three minutes" in PAGE
    assert "The node is looked at every ten seconds" in PAGE


def test_settings_that_the_page_names_exist() -> None:
    words = {word for word in CODE.findall(PAGE) if re.fullmatch(r"[a-z]+_[a-z_]+", word)}
    others = {word for word in words if word.startswith("policyd_")} | {
        "br_netfilter",
        "nf_tables_bridge",
        "nf_conntrack_netlink",
    }
    assert words - others <= {*Settings.model_fields, *AgentState.model_fields}
    assert "state_dir" in words


def test_links_of_the_page_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link

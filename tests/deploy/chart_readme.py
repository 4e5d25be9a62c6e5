"""README.md of the chart: how it is installed, and every value with its default and what it is for.

What a value is for stands above it in values.yaml; of the agent's settings, in the agent's own model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from policyd.config import load_settings
from tests.deploy.rendering import CHART, settings_schema

README = CHART / "README.md"
#: Values that hold whatever Kubernetes takes there: their default is one row.
WHOLE = frozenset({"resources", "tolerations"})
SETTINGS = "settings"


def readme_text() -> str:
    """What belongs into the README."""
    values = "".join(_row(*row) for row in rows())
    settings = "".join(_row(f"{SETTINGS}.{name}", *rest) for name, *rest in settings_rows())
    return README.read_text().partition(MARK)[0] + f"{MARK}{VALUES}{values}{AGENT}{settings}"


MARK = "<!-- Made from values.yaml by `make manifests`; change that. -->\n"
VALUES = """
## Values

| value | default | what it is for |
|---|---|---|
"""
AGENT = """
## Settings of the agent

Each is a flag of `policyd run`, too. A default in parentheses is the agent's own: the chart sets nothing.

| value | default | what it is for |
|---|---|---|
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Every value but the settings: its name, its default, and the comment above it."""
    text = (CHART / "values.yaml").read_text()
    return _rows(yaml.compose(text), text.splitlines(), "")


def _rows(mapping: Any, lines: list[str], prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, value in mapping.value:
        name = prefix + key.value
        if isinstance(value, yaml.MappingNode) and value.value and name not in WHOLE:
            if name != SETTINGS:
                yield from _rows(value, lines, f"{name}.")
            continue
        yield name, _default(yaml.safe_load(yaml.serialize(value))), _above(lines, key.start_mark.line)


def settings_rows() -> Iterator[tuple[str, str, str]]:
    """Every setting that is a value: its name, its default, and what the agent's model says of it."""
    ours = yaml.safe_load((CHART / "values.yaml").read_text())[SETTINGS]
    own = load_settings({}, {}).settings
    for name, schema in settings_schema()["properties"].items():
        default = _default(ours[name]) if name in ours else f"({_default(getattr(own, name))})"
        choices = ", ".join(f"`{choice}`" for choice in schema.get("enum", ()))
        yield name, default, f"{schema['description']}{f' ({choices})' if choices else ''}"


def _above(lines: list[str], line: int) -> str:
    """The comment right above a line, as one line."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        found.insert(0, lines[line].lstrip()[2:])
    return " ".join(found)


def _default(value: Any) -> str:
    """A default as JSON."""
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)}`"


def _row(name: str, default: str, text: str) -> str:
    return f"| `{name}` | {default} | {text.replace('|', chr(92) + '|')} |\n"

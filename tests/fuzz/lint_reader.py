"""Readers of what people write for `policyd lint`: manifests with comments, and `.policyd.yaml`."""

from __future__ import annotations

import json
from pathlib import Path

from policyd.errors import BadInput
from policyd.kube.reading import ReadingOptions
from policyd.lint.examples import SHOP
from policyd.lint.fix import fix
from policyd.lint.gather import Input, gather, left_over
from policyd.lint.judge import judge
from policyd.lint.render import PRINTERS, print_sarif, print_text
from policyd.lint.settings import read_settings
from policyd.lint.table import RULES
from tests.fuzz.mutations import YAML
from tests.fuzz.target import Target

SETTINGS = b"""\
lint:
  select: [NP1, NP204]
  extend: NP203, NP3
  ignore: [NP107]
  exclude: ["tests/*"]
  world: complete  # no others
  fail-on: error
  baseline: true
"""
IGNORED = (
    RULES[0]
    .bad.replace("  egress:", "  # policyd: ignore NP001, NP102 as it is\n  egress:")
    .replace("namespace: shop}", 'namespace: shop, annotations: {policyd.io/lint-ignore: "NP102 why"}}')
)


def lint_reader(_directory: Path) -> Target:
    """Policies beside the shop: all rules, all that is printed, and the edits."""

    def read(text: bytes) -> str:
        inputs = (Input("shop.yaml", SHOP.encode(), found=True), Input("p.yaml", text, found=True))
        gathered = gather(inputs, ReadingOptions())
        report = judge(gathered.subjects, gathered.seen(), gathered.texts)
        for printed in (
            *(p(report) for p in PRINTERS.values()),
            print_sarif(report, "1"),
            print_text(report),
        ):
            printed.encode()
        assert len(print_text(report).splitlines()) == len(report.findings)
        edits = [f.suggestion.edit for f in report.findings if f.suggestion and f.suggestion.edit]
        for edit in (each for each in edits if each.file == "p.yaml"):
            fixed = fix("p.yaml", text, [edit])
            assert (fixed.text == text) == (not fixed.made)
        left = left_over(gathered.diagnostics, report)
        found = ",".join(sorted({f.rule for f in report.findings}))
        return f"{report.world} {found} {left[0].text if left else ''}"

    good = (*(rule.bad.encode() for rule in RULES), IGNORED.encode(), json.dumps({"kind": "List"}).encode())
    return Target("lint", read, good, YAML)


def lint_settings_reader(_directory: Path) -> Target:
    """`.policyd.yaml`."""

    def read(text: bytes) -> str:
        try:
            return str(read_settings(text, "f"))
        except BadInput as error:
            said = error.diagnostics
        assert all(str(each).isprintable() for each in said)
        return said[0].text

    return Target("lint-settings", read, (SETTINGS, b"lint: {ignore: [NP102]}\n"), YAML)

"""What a text is that is no manifest, or not only: a template, or what kubectl and helm say beside manifests.

Asked only of texts with mistakes in them: one sentence about the cause stands for all that follows from it.
"""

from __future__ import annotations

import re

from policyd.manifests.places import Flaw, Place

HELM = "this is a Helm template, not a manifest; pipe the output of `helm template` in"
WORKFLOW = "${{ }} is for a CI system, as in a GitHub workflow: this is not a manifest"

#: `{{ … }}` as Go's templates have it, and not behind a dollar.
_HELM = re.compile(rb"(?<!\$)\{\{-?\s*(?:[.$/(\"`]|[a-z]+[\s.(])")
#: A line with which GitHub's workflows and actions, or Azure's pipelines, have something begin.
_WORKFLOW = re.compile(rb"(?m)^[\"']?(?:on|jobs|runs|steps|stages)[\"']?:")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: A mark where a document begins, or before the line that ends one: joined files of Windows editors.
_MARK_BETWEEN = re.compile(
    rb"(?m)(^(?:---|\.\.\.)[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*)\xef\xbb\xbf|^\xef\xbb\xbf(?=---(?:\s|\Z))"
)
_WARNING = (
    "this line is a warning of kubectl's and no part of a manifest: "
    "keep its standard error out of the file (2>&1)"
)
_ERROR = (
    "this line is an error of kubectl's or helm's and no part of a manifest: "
    "what it should have written may be missing"
)
_INSTALL = "this is what `helm install` says around the manifests: `helm template` prints them alone"
_JOINED = "a byte order mark inside a document: were two files joined here without a `---` between them?"
#: What stands at the beginning of a line → what it is.
_CAUSES = (
    (re.compile(rb"(?m)^Warning: "), _WARNING),
    (
        re.compile(
            rb"(?m)^(?:Error from server|[Ee]rror: |Unable to connect to the server|The connection to)"
        ),
        _ERROR,
    ),
    (
        re.compile(rb"(?m)^(?:NAME: [^\n]*\nLAST DEPLOYED: |HOOKS:\r?\n|MANIFEST:\r?\n|NOTES:\r?\n)"),
        _INSTALL,
    ),
    (re.compile(rb"(?<=\n)\xef\xbb\xbf"), _JOINED),
)


def without_marks(text: bytes) -> bytes:
    """The text without byte order marks at the beginning of documents, which kubectl passes over."""
    if _BYTE_ORDER_MARK not in text:
        return text
    return _MARK_BETWEEN.sub(lambda match: match[1] or b"", text.removeprefix(_BYTE_ORDER_MARK))


def find_template(text: bytes) -> Flaw | None:
    """Say that the text is a template, if it is: nothing in it is meant as it stands."""
    match = _HELM.search(text)
    return None if match is None else Flaw(byte_place(text, match.start()), HELM)


def find_cause(text: bytes) -> Flaw | None:
    """Say what stands in the text that is no part of a manifest, and why; None if nothing known does."""
    if b"${{" in text and _WORKFLOW.search(text) is not None:
        return Flaw(Place(1, 1), WORKFLOW)
    found = [(match.start(), sentence) for pattern, sentence in _CAUSES if (match := pattern.search(text))]
    if not found:
        return None
    start, sentence = min(found)
    return Flaw(byte_place(text, start), sentence)


def byte_place(text: bytes, offset: int) -> Place:
    """The line and column of an offset."""
    return Place(text.count(b"\n", 0, offset) + 1, offset - text.rfind(b"\n", 0, offset))

"""Faults of pictures, pages and files: they say other than what is so, or let a name be more than text."""

from __future__ import annotations

from tests.faults.fault import Fault

PAGE = "docs/questions.md"
FORMATS = "tests/cli/test_reach_formats.py"

RENDER = (
    Fault(
        "what is not known is asserted to be denied",
        PAGE,
        "policyd/render/assertions_file.py",
        'return "unknown" if judged.possible.allows(protocol, stretch.number) else "denied"',
        'return "denied"',
        f"{FORMATS}::test_the_present_state_is_held_by_policyd_test",
    ),
    Fault(
        "a group may only what all of it may",
        PAGE,
        "policyd/render/groups.py",
        "known.allowed | each.judged.allowed",
        "known.allowed & each.judged.allowed",
        f"{FORMATS}::test_namespaces_and_labels_stand_for_what_is_in_them",
    ),
    Fault(
        "who lets one in lets all in",
        PAGE,
        "policyd/ask/exposure.py",
        "reduce(and_, (row.allowed for row in rows), EVERYTHING)",
        "max((row.allowed for row in rows), key=bool)",
        "tests/render/test_svg.py::test_only_what_lets_all_others_in_is_wide_open",
    ),
    Fault(
        "what closes is drawn as what opens",
        PAGE,
        "policyd/render/compared.py",
        '"opened" if pair in opened else "closed"',
        '"closed" if pair in opened else "opened"',
        "tests/render/test_compared.py::test_cells_say_what_opens_and_what_closes",
    ),
    Fault(
        "a name ends the data of a page",
        PAGE,
        "policyd/render/html.py",
        'text.replace("<", "\\\\u003c")',
        "text",
        "tests/render/test_html.py::test_text_of_manifests_cannot_end_its_block",
    ),
    Fault(
        "a note is markup of a picture",
        PAGE,
        "policyd/render/svg.py",
        '<text class="quiet" x="12" y="{y:.0f}">{escape(printable(text))}</text>',
        '<text class="quiet" x="12" y="{y:.0f}">{printable(text)}</text>',
        "tests/render/test_compared.py::test_notes_stay_text",
    ),
)

"""The colours of pictures and pages. Nothing is told by colour alone: marks and words say the same. Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: What each is for → its colour. `all` and `opened` are those that warn.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "text": "#1f2328",
    "quiet": "#59636e",
    "line": "#d1d9e0",
    "none": "#f2f5f8",
    "itself": "#dde3ea",
    "all": "#f6b45f",
    "on-all": "#3b2300",
    "some": "#b4e3c4",
    "on-some": "#0b3d20",
    "unknown": "#e2dbf8",
    "on-unknown": "#3b2a70",
    "wide": "#9a4b00",
    "mark": "#2f9e5b",
    "focus": "#0969da",
    "both": "#cf222e",
    "on-both": "#ffffff",
    "kept": "#e6ebf0",
    "on-kept": "#59636e",
    "faint": "#aab4c0",
    "opened": "#cf222e",
    "on-opened": "#ffffff",
    "closed": "#1a7f37",
    "on-closed": "#ffffff",
}
DARK: Mapping[str, str] = {
    "paper": "#0d1117",
    "text": "#e6edf3",
    "quiet": "#9198a1",
    "line": "#3d444d",
    "none": "#1a212a",
    "itself": "#323b46",
    "all": "#a35c05",
    "on-all": "#fff4e0",
    "some": "#1c5a34",
    "on-some": "#dbf6e4",
    "unknown": "#40377a",
    "on-unknown": "#ece7ff",
    "wide": "#ffb25c",
    "mark": "#3fb950",
    "focus": "#58a6ff",
    "both": "#ff6a69",
    "on-both": "#2b0505",
    "kept": "#262e38",
    "on-kept": "#9198a1",
    "faint": "#566170",
    "opened": "#ff6a69",
    "on-opened": "#2b0505",
    "closed": "#3fb950",
    "on-closed": "#04260f",
}

"""Ids that a path holds only with care."""

from typing import Final

PLAIN: Final = (
    *("a/b", "100%", "user?x=1#f", "a b", "jos\u00e9", "\U0001f469", "a+b", "a;b", "x/progress"),
    *("%2e%2e", "...", "/", "//", "\\", "a\\b", "?", "#", ";", "%", "%00", "%2F", "&", "=", ":"),
    *("completions", "completions/y", "a.", ".a", "..a", "x/.../y", "@", "'", '"', "<b>", "|"),
    *("a\u00a0b", "\u0645\u06cc\u200c\u0631\u0648\u0645", "\U0001f9d8\u200d\u2640\ufe0f"),
    *("jose\u0301", "\ufffd", "http://a.example/b", "mailto:a@b.example", "a" * 255),
    "\U0001f469" * 255,
)
"""That percent-encoding is enough for."""

STEPS: Final = (".", "..", "a/../b", "../a", "a/.", "a\\..\\b", "./")
"""That hold a step of a path: to a browser, or to a proxy that undoes the percent-encoding."""

MARKED: Final = ("~", "~Li4", "~~", "~/")
LONG_WAY: Final = ("x/completions/y", "x/completions", "/completions/", "a/completions/..")
ODD_IDS: Final = (*PLAIN, *STEPS, *MARKED, *LONG_WAY)

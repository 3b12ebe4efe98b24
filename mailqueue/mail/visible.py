"""Make text from outside safe to show, to log and to store, with nothing hidden in it.

What would not be seen, or would move the cursor or turn the direction of writing, is written as an
escape. A backslash stays as it is, so this is for reading, not for undoing.
"""

from __future__ import annotations

import re

# C0 (but for tab), DEL, C1, line separators, bidirectional marks and overrides, lone surrogates.
_HIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return `text` with its control and other hidden characters as `\x1b` or `\u202e`; a tab stays."""
    if text.isprintable():
        return text
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

"""A reply: all that a server said in answer to one command, as a value that travels to the history.

Nothing that was said is lost: the enhanced code moves from the first line to `enhanced`, and the
rest stays in `lines`, later lines that repeat the code included; only what cannot be shown
(control characters, octets that are not UTF-8) is written as an escape.

RFC 5321 4.2 (replies), RFC 2034 and 3463 (enhanced codes), RFC 6531 3.7.4.2 (UTF-8 in replies).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailqueue.errors import ParseError
from mailqueue.mail.codes import EnhancedCode, parse_enhanced
from mailqueue.mail.visible import visible

_STORED_LINE = re.compile(r"([0-9]{3})(?:([ -])(.*))?", re.DOTALL)


def decode_line(raw: bytes) -> str:
    r"""Return one line of a reply as text that is safe to show and to store.

    UTF-8 is taken where it is valid; other octets become `\xff`, and characters that would not be
    seen or would move the cursor (NUL, ESC, line separators, bidirectional overrides) `\x1b`,
    `\u202e`. A tab stays. A backslash is left as it is, so this is for reading, not for undoing.
    """
    return visible(raw.decode("utf-8", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class Reply:
    """All that a server said in answer to one command.

    Make one with `from_lines` (from the wire), `from_text` (from the store), or by hand for what
    no server said: `Reply(550, ("no such user",), BAD_MAILBOX)`, without line breaks in the lines.

    Attributes:
        code: the three digits, 200 to 599 from a server that follows RFC 5321.
        lines: the text of each line after code and separator, at least one, maybe empty; the first
            without the enhanced code that stands in `enhanced`.
        enhanced: the code the first line began with when its class is the first digit of `code`
            (RFC 2034 4); None when there was none.
    """

    code: int
    lines: tuple[str, ...]
    enhanced: EnhancedCode | None = None

    @classmethod
    def from_lines(cls, code: int, raw: Sequence[bytes]) -> Reply:
        """Return the reply made of the octets that came after `250-` or `250 ` on each line, without CRLF."""
        return _build(code, [decode_line(line) for line in raw] or [""])

    @classmethod
    def from_text(cls, text: str) -> Reply:
        """Return the reply that `to_wire` wrote as `text`; a closing line break is allowed.

        Raises:
            ParseError: `text` is not a reply: a line without three digits, digits that change from
                line to line, or a last line that says there is more.
        """
        lines = text.removesuffix("\n").split("\n")
        found = [_STORED_LINE.fullmatch(line.removesuffix("\r")) for line in lines]
        if not all(found) or len({match[1] for match in found if match}) != 1:
            raise ParseError(f"not a reply: {text[:200]!r}")
        matches = [match for match in found if match]
        if matches[-1][2] == "-" or any(match[2] != "-" for match in matches[:-1]):
            raise ParseError(f"a reply that does not end at its last line: {text[:200]!r}")
        return _build(int(matches[0][1]), [match[3] or "" for match in matches])

    @property
    def text(self) -> str:
        """What was said, for people: the lines joined by newlines, repeated enhanced codes left out."""
        return "\n".join(self._without_repeats())

    @property
    def positive(self) -> bool:
        """Whether the command was done (2yz)."""
        return 200 <= self.code < 300

    @property
    def intermediate(self) -> bool:
        """Whether the server waits for more (3yz)."""
        return 300 <= self.code < 400

    @property
    def transient(self) -> bool:
        """Whether it failed and may pass (4yz)."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """Whether it failed for good (5yz)."""
        return 500 <= self.code < 600

    def to_wire(self) -> str:
        r"""Return the reply as a server sends it, with `\n` between the lines: the form that is stored."""
        first = " ".join(filter(None, (self.enhanced and str(self.enhanced), self.lines[0])))
        texts = (first, *self.lines[1:])
        more = [f"{self.code:03d}-{line}\n" for line in texts[:-1]]
        last = f"{self.code:03d} {texts[-1]}" if texts[-1] else f"{self.code:03d}"
        return "".join(more) + last

    def __str__(self) -> str:
        words = [f"{self.code:03d}", str(self.enhanced) if self.enhanced else "", *self._without_repeats()]
        return " ".join(filter(None, words))

    def _without_repeats(self) -> Sequence[str]:
        if self.enhanced is None or len(self.lines) == 1:
            return self.lines
        code = str(self.enhanced)
        return [self.lines[0], *(_without(code, line) for line in self.lines[1:])]


def _without(code: str, line: str) -> str:
    if line == code:
        return ""
    return line.removeprefix(code + " ")


def _build(code: int, lines: list[str]) -> Reply:
    word, _, rest = lines[0].partition(" ")
    enhanced = parse_enhanced(word) if word[1:2] == "." and word[-1].isdigit() else None
    if enhanced is not None and enhanced.cls == code // 100:
        lines[0] = rest
        return Reply(code, tuple(lines), enhanced)
    return Reply(code, tuple(lines))

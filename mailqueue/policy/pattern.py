"""Regular expressions that people write: whether one can be run on what strangers send.

The rule: what a pattern may cost is bounded before it is stored. A search tries ways to match, one
after the other; a pattern is refused when there can be more than `MAX_WAYS` of them in the longest
text that is looked at. Endless repeats of what is itself a choice or a repeat, which make it
exponential, are refused outright.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any

from mailqueue.errors import SettingError

MAX_TEXT = 512
"""Characters of a reply that are looked at."""
MAX_PATTERN = 1000
"""Characters that a pattern may have."""
MAX_WAYS = (MAX_TEXT + 1) ** 3
"""Ways to match that a search may have to try: two of `*` or `+`, wherever it begins."""
MAX_NESTED = 8
"""How often something may be repeated that holds a choice or a repeat itself."""

_SIMPLE = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "RANGE", "NEGATE"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_SHORTER = "write e.g. '.{0,40}' for '.*'"


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern that people wrote, for texts in any case.

    Raises:
        SettingError: it is no regular expression, or may take too long.
    """
    if not pattern or len(pattern) > MAX_PATTERN:
        raise SettingError(f"pattern: must have 1 to {MAX_PATTERN} characters, not {len(pattern)}")
    try:
        made = re.compile(pattern, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingError(f"pattern {pattern!r} is no regular expression: {error}") from None
    if ways(pattern) > MAX_WAYS:
        raise SettingError(
            f"pattern {pattern!r} could take too long on a long reply: too many repeats and choices; "
            f"{_SHORTER}"
        )
    if made.search(""):
        raise SettingError(f"pattern {pattern!r} matches every reply: say what it looks for")
    return made


def ways(pattern: str) -> int:
    """Return an upper bound of the ways that a search in `MAX_TEXT` characters may try.

    Raises:
        SettingError: the pattern holds what nobody can bound.
    """
    parser: Any = import_module("re._parser")  # what re.compile itself reads patterns with
    return MAX_TEXT * _sequence(parser.parse(pattern, re.IGNORECASE), pattern)


def _sequence(items: Iterable[tuple[Any, Any]], pattern: str) -> int:
    found = 1
    for operation, argument in items:
        found *= _one(str(operation), argument, pattern)
    return found


def _one(operation: str, argument: Any, pattern: str) -> int:  # noqa: ANN401 - a node as re has it
    if operation in _SIMPLE:
        return 1
    if operation == "SUBPATTERN":
        return _sequence(argument[3], pattern)
    if operation == "ATOMIC_GROUP":
        return _sequence(argument, pattern)
    if operation == "BRANCH":
        return sum(_sequence(branch, pattern) for branch in argument[1])
    if operation in ("ASSERT", "ASSERT_NOT"):
        return _sequence(argument[1], pattern)
    if operation in _REPEATS:
        least, most, body = argument
        return _repeat(least, most, body, pattern)
    raise SettingError(f"pattern {pattern!r}: references to groups are not possible here")


def _repeat(least: int, most: int, body: Iterable[tuple[Any, Any]], pattern: str) -> int:
    least, most = min(int(least), MAX_TEXT), min(int(most), MAX_TEXT)
    within = _sequence(body, pattern)
    if within == 1:
        return most - least + 1
    if most > MAX_NESTED:
        raise SettingError(
            f"pattern {pattern!r} could take too long: what is repeated without end must not hold a choice "
            f"or a repeat itself; {_SHORTER}"
        )
    return sum(within**times for times in range(least, most + 1))


_GROUP = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|[()]")
_PLAIN = re.compile(r"[a-z0-9 <>@:;,/'\"=_-]+")
_OPTIONAL = re.compile(r".(?:[?*]|\{[^}]*\})")


def literal(pattern: str) -> str:
    """Return characters that every match of a lower-case pattern holds; '' where none can be told.

    A text without them need not be searched, which is most of what a search costs.
    """
    outside, depth, end = "", 0, 0
    for found in _GROUP.finditer(pattern):
        if depth == 0:
            outside += pattern[end : found.start()]
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        outside, end = outside + "\0", found.end()
    outside += pattern[end:]
    if "|" in outside:
        return ""
    return max(_PLAIN.findall(_OPTIONAL.sub("\0", outside)), key=len, default="")

"""What the text of a reply says about it: the operator's own rules, and those in replies.toml.

The rule: the first rule that matches counts, own ones first. A text is looked at as one line in lower
case, without mail addresses, which sender and recipient choose, and never beyond `MAX_TEXT`
characters, so that no server can make it dear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path

from mailqueue.errors import SettingError
from mailqueue.mail.reply import Reply
from mailqueue.model.attempt import Category
from mailqueue.model.rules import ReplyRule
from mailqueue.policy.pattern import MAX_TEXT, compiled, literal

_ADDRESS = re.compile(r"[^\s<>()\[\]:;,/=?&\"']+@[^\s<>()\[\]:;,/=?&\"']+")
_READ = 4 * MAX_TEXT  # characters that are looked through for addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """A rule that comes with mailqueue; its fields are those of replies.toml."""

    name: str
    patterns: tuple[str, ...]
    category: Category
    note: str
    source: str
    code: str = "*"
    permanent: bool | None = None


def text_of(reply: Reply) -> str:
    """Return a reply as rules see it: one line, in lower case, each mail address as '@'."""
    text = " ".join(str(reply)[:_READ].lower().split())
    if "@" in text:
        text = _ADDRESS.sub("@", text)
    return text[:MAX_TEXT]


@cache
def shipped() -> tuple[TextRule, ...]:
    """Return the rules that come with mailqueue, in the order in which they are asked."""
    import tomllib

    text = (Path(__file__).parent / "replies.toml").read_text(encoding="utf-8")
    return tuple(
        TextRule(**{**rule, "category": Category(rule["category"]), "patterns": tuple(rule["patterns"])})
        for rule in tomllib.loads(text)["rule"]
    )


@cache
def _tests() -> tuple[tuple[TextRule, tuple[tuple[str, str], ...]], ...]:
    """Return each shipped rule with its patterns, and with what a text must hold to be searched at all."""
    return tuple((rule, tuple((literal(each), each) for each in rule.patterns)) for rule in shipped())


_compiled = cache(re.compile)  # texts are in lower case, and so are the shipped patterns


def find_own(reply: Reply, rules: Sequence[ReplyRule]) -> ReplyRule | None:
    """Return the first own rule that matches. None: none does.

    A pattern that cannot be used, stored by another hand, matches nothing.
    """
    code, text = str(reply.code), text_of(reply)
    for rule in rules:
        if rule.code is None or fnmatchcase(code, rule.code):
            try:
                if compiled(rule.pattern).search(text):
                    return rule
            except SettingError:
                continue
    return None


def find_shipped(reply: Reply) -> TextRule | None:
    """Return the first shipped rule that matches. None: none does."""
    return _find(str(reply.code), text_of(reply))


@lru_cache(maxsize=1024)
def _find(code: str, text: str) -> TextRule | None:
    for rule, tests in _tests():
        for part, pattern in tests:
            if part in text and _compiled(pattern).search(text) and fnmatchcase(code, rule.code):
                return rule
    return None

"""Find the addresses in a header field such as To: a lexer and a reader of address lists.

It finds the text of each address with white space, comments and display names gone; whether that
text is an address is for `mailqueue.mail.address.parse` to say. One pass, no recursion: a hostile
field costs time in proportion to its length.

RFC 5322 3.2 (tokens), 3.4 (address lists, groups), 4.4 (obsolete routes and white space).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import NamedTuple

from mailqueue.errors import AddressError

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<quoted>"(?:[^"\\]|\\.)*+")
      | (?P<literal>\[[^\[\]\\]*\])
      | (?P<special>[<>:;,@.()])
      | (?P<word>[^ \t"\[\]<>:;,@.()\\]+)""",
    re.VERBOSE | re.DOTALL,
)
_ENDS = {"", ",", ";", ":"}  # the empty one is the end of the field
_PARENTHESIS = re.compile(r"[()]|\\.", re.DOTALL)


# One mailbox as nearly all fields have it: a name and <address>, or a bare address; no comment, no group.
_BARE = r"[^\s\"(),.:;<>@\[\\\]]+(?:\.[^\s\"(),.:;<>@\[\\\]]+)*+@[A-Za-z0-9.-]++"
_NAME = r"""(?:"[^"\\]*+"|[^"(),:;<>@\[\\\]]*+)"""
_WHITE = r"[ \t\r\n]*+"
_PLAIN_MAILBOX = re.compile(rf"{_WHITE}(?:{_NAME}{_WHITE}<({_BARE})>|({_BARE})){_WHITE}(?:,|\Z)")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def read_list(value: str) -> list[str]:
    """Return the text of each address in the field value `value`.

    Raises:
        AddressError: something stands where it cannot; the text says what and at which position,
            counted in characters of the unfolded value, from 1.
    """
    return _read_plain(value) or list(_read_any(_FOLD.sub("", value.strip(" \t\r\n"))))


def _read_plain(value: str) -> list[str]:
    """Return the addresses of a field that has only plain mailboxes; none if it has anything else."""
    found = []
    at = 0
    while at < len(value):
        mailbox = _PLAIN_MAILBOX.match(value, at)
        if mailbox is None:
            return []
        found.append(mailbox[1] or mailbox[2])
        at = mailbox.end()
    return found


def _read_any(value: str) -> Iterator[str]:
    element: list[_Token] = []
    in_group = in_angle = False
    for token in [*_tokens(value), _Token("special", "", len(value))]:
        if token.kind == "special" and token.text in _ENDS and not (in_angle and token.text):
            in_group = yield from _end_of_element(element, token, in_group)
            element = []
        else:
            in_angle = token.text == "<" or (in_angle and token.text != ">")
            element.append(token)


def _end_of_element(element: list[_Token], end: _Token, in_group: bool) -> Generator[str, None, bool]:
    """Yield what the element holds, and return whether a group is open after it."""
    if end.text == ":":
        _check_group_name(element, end, in_group)
        return True
    yield from _address_in(element)
    if end.text == ";" and not in_group:
        raise _fault(end, "a ; outside of a group: addresses are separated by commas")
    return in_group and end.text != ";"


def _tokens(value: str) -> Iterator[_Token]:
    """Cut into words, quoted strings, literals and special characters; drop spaces and comments."""
    at = 0
    while at < len(value):
        found = _TOKEN.match(value, at)
        if found is None:
            raise AddressError(f"{value[at]!r} at position {at + 1} is not closed or has no place here")
        kind = found.lastgroup or ""
        if found[0] == "(":
            at = _end_of_comment(value, at)
            continue
        if kind != "space":
            yield _Token(kind, found[0], at)
        at = found.end()


def _end_of_comment(value: str, start: int) -> int:
    depth = 0
    for found in _PARENTHESIS.finditer(value, start):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise AddressError(f"the comment that begins at position {start + 1} is not closed")


def _check_group_name(element: list[_Token], colon: _Token, in_group: bool) -> None:
    if in_group:
        raise _fault(colon, "a : inside of a group")
    if not element or any(token.text in {"<", ">", "@"} for token in element):
        raise _fault(colon, "a : that does not follow the name of a group")


def _address_in(element: list[_Token]) -> Iterator[str]:
    """Yield the address of one element of the list: none for an empty one (RFC 5322 4.4)."""
    if not element:
        return
    texts = [token.text for token in element]
    opened = texts.index("<") if "<" in texts else None
    if opened is None:
        yield _spell(element)
    elif element[-1].text != ">":
        text = "a < that no > follows" if ">" not in texts else "something after the >"
        raise _fault(element[opened], text)
    else:
        yield _spell(_without_route(element[opened + 1 : -1], element[opened]))


def _without_route(inner: list[_Token], angle: _Token) -> list[_Token]:
    """Drop the route of `<@a,@b:user@c>`, which is to be ignored (RFC 5321 appendix C)."""
    if inner and inner[0].text == "@":
        colon = next((i for i, token in enumerate(inner) if token.text == ":"), None)
        if colon is None:
            raise _fault(angle, "a source route without an address")
        inner = inner[colon + 1 :]
    if not inner:
        raise _fault(angle, "an empty <>")
    return inner


def _spell(tokens: list[_Token]) -> str:
    """Return an address without the white space and comments that stood between its parts."""
    for before, after in pairwise(tokens):
        if after.text in {"<", ">", ",", ":"} or (
            before.text not in {".", "@"} and after.text not in {".", "@"}
        ):
            raise _fault(after, f"{after.text[:60]!r} where an address should end or go on")
    return "".join(token.text for token in tokens)


def _fault(token: _Token, text: str) -> AddressError:
    return AddressError(f"position {token.at + 1}: {text}")

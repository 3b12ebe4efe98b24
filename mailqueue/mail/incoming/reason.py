"""Find in the text of a bounce why each recipient's mail was not delivered.

RFC 3463 (status codes), RFC 5321 4.2 (replies).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from mailqueue.mail import dsn
from mailqueue.mail.codes import SUCCESS, EnhancedCode, find_enhanced
from mailqueue.mail.fields import clean
from mailqueue.mail.incoming.meanings import meaning
from mailqueue.mail.scan import ADDRESS, addresses

_REPLY = re.compile(
    r"(?<![0-9A-Za-z.:/_,-])([45][0-9]{2})(?:[ -]|: ?)"
    r"(?!(?:hours?|minutes?|seconds?|days?|k?bytes?|[km]b|messages?|times|attempts)\b)(?=\S)",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:\bhost|while talking to|remote (?:server|host|mta)|\bmx) \(?"
    r"([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){1,10})",
    re.IGNORECASE,
)
_REPLY_LINE = re.compile(
    r"[ \t>]{0,20}(?:received[ \t]{1,3})?(?:<<<|<-|<--|said:|:)?[ \t]{0,8}[45][0-9]{2}([ -])(?=\S)",
    re.IGNORECASE,
)
_STATUS_LINE = re.compile(r"[^A-Za-z0-9]{0,20}[245]\.[0-9]\.[0-9]{1,2}\b(?!\.)")
_NO_RECIPIENT = re.compile(r"[ \t]{0,20}(?:to|subject|from)[ \t]{0,3}:", re.IGNORECASE)
_AT_THE_END = re.compile(rf"{ADDRESS}[>\"'\])]{{0,3}}[ \t:.,]{{0,3}}$")
_LABEL = re.compile(
    r"(?:reason|grund|error(?: message)?|motif|motivo|退信原因)[ \t]{0,3}[:：][ \t]{0,10}", re.IGNORECASE
)
_LEADING = re.compile(rf"[ \t>*|•-]{{0,20}}[<\"'\[(]{{0,3}}(?:SMTP:|mailto:)?{ADDRESS}", re.IGNORECASE)
_RULE = re.compile(r"[ \t]*[-=*_]{3}")
_AROUND = " \t<>\"':;,.[]()-"
_CLASSES = {dsn.Action.FAILED: 5, dsn.Action.DELAYED: 4}
_MOST_LINES = 12
_MOST_PLACES = 20
_LONGEST = 2000


class _Around(NamedTuple):
    """What the whole text says, for a recipient of whom nothing is said in particular."""

    host: re.Match[str] | None
    meaning: tuple[int, int] | None


_NOTHING = _Around(None, None)


def reports(recipients: Sequence[str], words: str, action: dsn.Action) -> Iterator[dsn.RecipientReport]:
    """Yield what became of each of the recipients that a text is about."""
    lines = words.split("\n")
    places = _places(lines)
    reply, telling = _told_in_general(lines), _telling_line(lines)
    around = _Around(_HOST.search(words), meaning(" ".join(words.split())))
    for address in recipients:
        told = _told_of(lines, places.get(address.lower(), ()))
        alone = not told or len(recipients) == 1
        if alone and not _has_code(told):
            told = reply or told or telling
        yield _report(address, told[:_LONGEST], around if alone else _NOTHING, action)


def _has_code(text: str) -> bool:
    return bool(_REPLY.search(text) or find_enhanced(text))


def _places(lines: Sequence[str]) -> dict[str, list[int]]:
    """Return on which lines each address, in lower case, stands."""
    places: dict[str, list[int]] = {}
    for at, line in enumerate(lines):
        for address in addresses(line):
            places.setdefault(address.lower(), []).append(at)
    return places


def _told_of(lines: Sequence[str], places: Sequence[int]) -> str:
    """Return what stands with an address and below it: where a code is, else where it begins a line."""

    def rank(at: int) -> tuple[bool, bool]:
        return not _LEADING.match(lines[at]), bool(_NO_RECIPIENT.match(lines[at]))

    ranked = sorted(places[:_MOST_PLACES], key=rank)
    told = [_paragraph(lines, at) for at in ranked]
    return next(filter(_has_code, told), next(filter(None, told), ""))


def _paragraph(lines: Sequence[str], at: int) -> str:
    """Return the reason that stands on the line of an address and below it, or after an empty line."""
    found = [_beside(lines[at]), *_up_to_blank(lines, at + 1, _indent(lines[at]))]
    after = at + len(found)
    while not "".join(found) or found[-1].endswith(":"):
        after = next((n for n in range(after, min(after + 4, len(lines))) if lines[n].strip()), len(lines))
        more = list(_up_to_blank(lines, after))
        if not more:
            break
        found += more
        after += len(more)
    return " ".join(filter(None, found))


def _beside(line: str) -> str:
    """Return what the line of an address says of it: all, unless the address is all it has, or begins it."""
    if _REPLY.search(line) and not _LEADING.match(line):
        return line.strip(" \t")
    leading = _LEADING.match(line)
    if leading:
        rest = line[leading.end() :].lstrip(_AROUND).rstrip(" \t")
        return rest.rstrip(")]") if "(" not in rest and "[" not in rest else rest
    return "" if _AT_THE_END.search(line) else line.strip(" \t>")


def _up_to_blank(lines: Sequence[str], begin: int, indent: int = 99) -> Iterator[str]:
    """Yield the lines from `begin` that go on with one reason: up to a blank one, a rule, another address."""
    reply_goes_on = True
    for line in islice(lines, begin, begin + _MOST_LINES):
        another = _LEADING.match(line) and _indent(line) <= indent
        reply = _REPLY_LINE.match(line)
        if not line.strip() or another or _RULE.match(line) or (reply and not reply_goes_on):
            return
        reply_goes_on = not reply or reply[1] == "-"
        yield line.strip(" \t>")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _told_in_general(lines: Sequence[str]) -> str:
    """Return the first reply of a server in the text, or a status: at the beginning of a line if one is."""
    for pattern in (_REPLY_LINE, _STATUS_LINE):
        for at, line in enumerate(lines):
            if pattern.match(line):
                return " ".join(_up_to_blank(lines, at))
    for at, line in enumerate(lines):
        if _REPLY.search(line):
            return " ".join(_up_to_blank(lines, at))
    return ""


def _telling_line(lines: Sequence[str]) -> str:
    """Return the first line whose words mean something."""
    return next(filter(meaning, lines), "").strip(" \t>")


def _report(address: str, told: str, around: _Around, action: dsn.Action) -> dsn.RecipientReport:
    told = _LABEL.sub("", told, count=1) if _LABEL.match(told) else told
    reply = _REPLY.search(told)
    diagnostic = dsn.said(told[reply.start() :]) if reply else None
    if diagnostic is None and clean(told):
        diagnostic = dsn.Typed("unknown", told)
    host = _HOST.search(told) or around.host
    return dsn.RecipientReport(
        final_recipient=dsn.mailbox(address),
        action=action,
        status=_status(told, around.meaning, action),
        remote_mta=dsn.host(host[1]) if host else None,
        diagnostic=diagnostic,
    )


def _status(told: str, around: tuple[int, int] | None, action: dsn.Action) -> EnhancedCode:
    """Return the code in the reason; else what its words mean, or those around it, in the reply's class."""
    code = find_enhanced(told)
    if code is not None:
        return code
    if action is dsn.Action.DELIVERED:
        return SUCCESS
    reply = _REPLY.search(told)
    subject, detail = meaning(told) or around or (0, 0)
    return EnhancedCode(int(reply[1][0]) if reply else _CLASSES[action], subject, detail)

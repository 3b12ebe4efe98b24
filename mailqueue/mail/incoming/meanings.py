"""What words in the text of a bounce mean where it gives no code: subject and detail of a status.

RFC 3463 3 (the codes).
"""

from __future__ import annotations

import re


def meaning(text: str) -> tuple[int, int] | None:
    """Return subject and detail of the status that the words of `text` stand for; None: they say nothing."""
    return next((code for code, words in _MEANINGS if words.search(text)), None)


def _means(subject: int, detail: int, *words: str) -> tuple[tuple[int, int], re.Pattern[str]]:
    return (subject, detail), re.compile("|".join(words), re.IGNORECASE)


_WHO = "user|mailbox|recipient|account|address|alias|userid|local-?part|person|name|group"

# The first that matches stands, so what is more exact comes first.
_MEANINGS = (
    _means(
        *(2, 2),
        r"quota|mailbox (?:is )?full|full mailbox|too (?:much mail|full)",
        r"exceed\w* .{0,30}(?:size|storage|limit)|mailbox .{0,30}(?:exceed|size limit)",
    ),
    _means(
        *(2, 1),
        r"(?:account|mailbox|user|address).{0,40}(?:disabled|inactive|suspended|deactivated|closed|locked)",
    ),
    _means(
        *(1, 2),
        r"(?:host|domain|name server).{0,30}(?:unknown|not found|not exist|couldn't be found|unroutable)",
        r"(?:unknown|no such|find any|unrouteable|illegal|invalid|nonexistent) (?:host|domain|mail domain)",
        r"destination computer was not found",
    ),
    _means(
        *(1, 1),
        rf"(?:{_WHO}).{{0,60}}(?:unknown|no longer|doesn'?t|invalid)",
        rf"(?:{_WHO}).{{0,60}}not (?:be )?(?:found|recogni[sz]ed|listed|known|exist)",
        rf"(?:unknown|no such|invalid|unrouteable|non-?existent) (?:{_WHO}|local)",
        r"no mailbox here|not (?:listed|our customer)|receiver not found|no valid recipients|unknown$",
        r"doesn't have a .{1,60}account|宛先|存在しません|不存在|не существует",
        r"existiert nicht|unbekannt|inconnu|desconocid|sconosciut",
    ),
    _means(
        *(3, 4),
        r"(?:message|mail).{0,30}(?:too (?:large|big)|exceeds .{0,30}(?:size|maximum))|too large|size limit",
    ),
    _means(*(4, 6), r"too many hops|hop count|mail loop|loops back|routing loop"),
    _means(
        *(7, 1),
        r"spam|blocked|blacklist|block list|policy|denied|prohibit|virus|reject",
        r"not (?:allowed|permitted|authori[sz]ed)",
    ),
    _means(
        *(4, 7),
        r"timed? ?out|expired|too (?:long|old)|retry time(?:out)? exceeded|giving up",
        r"(?:delivery|retry|queue) period|could not be delivered for",
    ),
    _means(
        *(4, 1),
        r"connection (?:refused|failed)|no answer|not respond|unreachable|couldn't connect",
        r"unable to connect|establish an? .{0,20}connection",
    ),
)

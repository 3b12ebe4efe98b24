"""Tell what a message is that is neither a bounce nor a complaint, by its form and by its header.

RFC 8098 (receipts), RFC 3834 (automatic answers), RFC 5546 (calendars), RFC 2919 and 2369 (lists).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailqueue.mail.incoming.model import Kind
from mailqueue.mail.mime import Part
from mailqueue.mail.origin import is_list_mail, readable

Judgement = tuple[Kind, str]

_OWN_REPORTS = (
    "delivery-status",
    "global-delivery-status",
    "disposition-notification",
    "feedback-report",
    "",
)
_RECEIPT_SUBJECT = re.compile(
    r"^(?:read|not read|gelesen|ungelesen|lu|non lu|leído|no leído|letto|lido|gelezen|läst|lest|læst"
    r"|przeczytan[eoay]|прочитано|開封済み|已读|(?:return|read) receipt|disposition notification)\b *[:：(]",
    re.IGNORECASE,
)
_AUTO_SUBJECT = re.compile(
    r"^\W*(?:auto(?:matic|mated|matische|-|_| )*(?: ?(?:reply|response|antwort|answer|responder))\b|auto:"
    r"|out[- ]of[- ](?:the[- ])?office|(?:away|absent|vacation|holiday|abwesen\w*|urlaub\w*)\b"
    r"|automatische? (?:antwort|antwoord)|réponse automatique|absence\b|respuesta automática"
    r"|resposta automática|risposta automatica|fuori (?:sede|ufficio)|autosvar|automatiske?t? svar"
    r"|automaattinen vastaus|odpowiedź automatyczna|automatická odpověď|автоответ|автоматический ответ"
    r"|自動(?:返信|応答)|自动(?:回复|答复))",
    re.IGNORECASE,
)
_AUTO_FIELDS = (
    *("x-autoreply", "x-autorespond", "x-autoresponder"),
    *("x-mail-autoreply", "x-vacation", "x-auto-response"),
)
_AUTO_PRECEDENCE = re.compile(r"auto[-_ ]?reply", re.IGNORECASE)
_CHALLENGE_FIELDS = (
    *("x-tmda-fingerprint", "x-boxtrapper", "x-boxtrapper-queue"),
    *("x-asg-challenge", "x-spamarrest-noauth", "x-challenge"),
)
_CHALLENGE_SUBJECT = re.compile(
    r"^\W*(?:re: *)?(?:"
    r"(?:please )?(?:confirm|verify)\b.{0,40}(?:your (?:message|mail|e-?mail)|delivery|sender|#|\()"
    r"|sender (?:address )?(?:verification|confirmation)|verification required"
    r"|your (?:message|e-?mail) .{0,60}(?:requires|awaits|needs) (?:verification|confirmation)"
    r"|message .{0,30}quarantined until|boxtrapper|spam ?arrest)",
    re.IGNORECASE,
)


def by_form(message: Part, parts: Sequence[Part]) -> Judgement | None:
    """Return what the form of a message says beyond doubt; None if it says nothing."""
    kind = message.parameters.get("report-type", "").lower()
    types = {part.type for part in parts}
    if "message/disposition-notification" in types or kind == "disposition-notification":
        return Kind.RECEIPT, "it has a part of type message/disposition-notification, or is called so"
    if message.type == "multipart/report" and kind not in _OWN_REPORTS:
        return Kind.REPORT, f"it is a report of another type, {kind[:60]!r}"
    for part in parts:
        if part.type == "text/calendar" and part.parameters.get("method", "").lower() in ("reply", "counter"):
            return Kind.CALENDAR, "it answers an invitation"
    if any(message.value(name) is not None for name in _CHALLENGE_FIELDS):
        return Kind.CHALLENGE, "its header is that of a filter which wants an answer"
    if _CHALLENGE_SUBJECT.search(readable(message, "subject")):
        return Kind.CHALLENGE, "its subject wants the sender to confirm something"
    if _RECEIPT_SUBJECT.search(readable(message, "subject")):
        return Kind.RECEIPT, "its subject is that of a receipt"
    if is_answering_machine(message):
        return Kind.AUTO_REPLY, "its header or subject says that a program answers for someone"
    return None


def is_answering_machine(message: Part) -> bool:
    """Return whether a message says that a program answers, not only as bounces say it: Auto-Submitted."""
    if any(message.value(name) is not None for name in _AUTO_FIELDS):
        return True
    precedence = message.value("precedence") or message.value("x-precedence") or ""
    return bool(_AUTO_PRECEDENCE.match(precedence) or _AUTO_SUBJECT.match(readable(message, "subject")))


def by_header(message: Part, sender: str | None) -> Judgement:
    """Return what a message is by its header alone."""
    submitted = (message.value("auto-submitted") or "no").split(";")[0].split("(")[0].strip(" ").lower()
    if is_list_mail(message) or re.match(r"list|bulk", message.value("precedence") or "", re.IGNORECASE):
        return Kind.LIST, "it is sent to many: its header has List- fields, or says so by its precedence"
    if submitted != "no":
        return Kind.AUTO_REPLY, f"Auto-Submitted is {submitted[:60]!r} (RFC 3834 5)"
    path = message.value("return-path") if sender is None else sender
    if path is not None and path.strip(" <>") == "":
        return Kind.AUTO_REPLY, "its return path is the null one, and it is no report that is known"
    return Kind.ORDINARY, f"it is {message.type}, and nothing says that it tells of a delivery"

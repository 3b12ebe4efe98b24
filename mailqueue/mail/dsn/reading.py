"""Read the text of a delivery-status part as a `Report`.

What `writing.write` wrote is read as an equal `Report`; what real writers get wrong is forgiven,
and told in a list of faults.

RFC 3464 2 (the fields), RFC 6533 3 (addresses of type utf-8), RFC 3463 (status codes).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailqueue.errors import ParseError
from mailqueue.mail.codes import ENHANCED_IN_TEXT, EnhancedCode, find_enhanced
from mailqueue.mail.dates import read_date
from mailqueue.mail.dsn.model import (
    MESSAGE_FIELDS,
    RECIPIENT_FIELDS,
    Action,
    Extensions,
    RecipientReport,
    Report,
    Typed,
)
from mailqueue.mail.fields import Field, clean, is_of_mime, read_groups, unfold, unfold_reply
from mailqueue.mail.xtext import decode_utf8

_MESSAGE_NAMES = frozenset(name.lower() for name in MESSAGE_FIELDS)
_RECIPIENT_NAMES = frozenset(name.lower() for name in RECIPIENT_FIELDS)
_NAMES = _MESSAGE_NAMES | _RECIPIENT_NAMES
_ADDRESS_NAMES = frozenset({"original-recipient", "final-recipient"})
_OPENERS = frozenset({"original-recipient", "final-recipient", "action", "status"})
_TYPED = re.compile(r"\s*([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})\s*;(.*)", re.DOTALL)
_LOOSE_STATUS = re.compile(r"\W*([245])(?:[.,] ?([0-9]{1,3}))?(?:[.,] ?[0-9]{1,3})?(?![0-9])")
_REPLY = re.compile(r"([245])[0-9]{2}(?![0-9])")
_WORD = re.compile(r"[a-z]+")
_X400 = re.compile(r"(?:c|a|p|o|s|g|i|cn|ou[1-4]?|admd|prmd|dda[^=]*)=", re.IGNORECASE)
_UNTYPED = re.compile(r"(rfc822|utf-8|smtp|local|x400)(?: *[:,] *| +)(?=\S)(.*)", re.IGNORECASE | re.DOTALL)
_EXTENSION = re.compile(r"[!-9;-~]{1,70}")
_ACTIONS = {
    **{action.value: action for action in Action},
    "failure": Action.FAILED,
    "fail": Action.FAILED,
    "bounced": Action.FAILED,
    "rejected": Action.FAILED,
    "expired": Action.FAILED,
    "permanent": Action.FAILED,
    "undeliverable": Action.FAILED,
    "delay": Action.DELAYED,
    "deferred": Action.DELAYED,
    "transient": Action.DELAYED,
    "success": Action.DELIVERED,
    "expand": Action.EXPANDED,
}
_BY_CLASS = {2: Action.DELIVERED, 4: Action.DELAYED, 5: Action.FAILED}
_BY_ACTION = {Action.FAILED: EnhancedCode(5, 0, 0), Action.DELAYED: EnhancedCode(4, 0, 0)}


def read(text: str, failed: Sequence[str] = ()) -> tuple[Report, tuple[str, ...]]:
    r"""Return the report that the text of a delivery-status part holds, and what was wrong with it.

    Args:
        text: with `\n` at the line ends.
        failed: whom it is about, for a report that names no recipient itself.

    Raises:
        ParseError: it says nothing about any recipient.
    """
    faults: list[str] = []
    message, blocks = _split(read_groups(_at_the_margin(text)))
    recipients = []
    for number, block in enumerate(blocks, 1):
        known = failed[number - 1] if len(blocks) == len(failed) else ""
        found = _recipient(block, known, f"recipient {number}", faults)
        if found:
            recipients.append(found)
    if not recipients:
        raise ParseError("; ".join(["a delivery report that names no recipient", *faults[:3]]))
    return _report(message, tuple(recipients), faults), tuple(faults)


def _at_the_margin(text: str) -> str:
    """Return the text with no line indented, where every field is: then they are no continuations."""
    if re.search(r"^[!-9;-~]+[ \t]*:", text, re.MULTILINE):
        return text
    return re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)


def _split(groups: list[list[Field]]) -> tuple[list[Field], list[list[Field]]]:
    """Return the fields about the message, and those about each recipient.

    Blank lines decide, except where they are missing: a field that every recipient has only once
    begins a new recipient, and the fields before the first one are about the message. Where there
    are too many, so that a group names no recipient and repeats nothing, it belongs to the one before.
    """
    message: list[Field] = []
    blocks: list[list[Field]] = []
    for number, group in enumerate(groups):
        block: list[Field] = []
        seen: set[str] = set()
        for field in group:
            name = field.name.lower()
            if name in _MESSAGE_NAMES or (not block and number == 0 and name not in _RECIPIENT_NAMES):
                message.append(field)
                continue
            if name in _OPENERS and name in seen:
                blocks.append(block)
                block, seen = [], set()
            seen.add(name)
            block.append(field)
        if blocks and _goes_on(blocks[-1], seen):
            blocks[-1] += block
        elif seen & _RECIPIENT_NAMES:
            blocks.append(block)
        else:
            message += block
    return message, blocks


def _goes_on(before: list[Field], names: set[str]) -> bool:
    if not names & _RECIPIENT_NAMES or names & _ADDRESS_NAMES:
        # An address alone, and then the same recipient by the other of its addresses.
        return (
            bool(names)
            and names <= _ADDRESS_NAMES
            and {field.name.lower() for field in before} <= _ADDRESS_NAMES
        )
    return names.isdisjoint(field.name.lower() for field in before)


def _report(fields: list[Field], recipients: tuple[RecipientReport, ...], faults: list[str]) -> Report:
    known = _first_of_each(fields)
    reporting = _typed(known, "reporting-mta", "dns")
    if reporting is None:
        faults.append("Reporting-MTA is missing (RFC 3464 2.2.2)")
    return Report(
        reporting_mta=reporting,
        recipients=recipients,
        original_envelope_id=_text(known, "original-envelope-id"),
        dsn_gateway=_typed(known, "dsn-gateway", "dns"),
        received_from_mta=_typed(known, "received-from-mta", "dns"),
        arrival_date=_date(known, "arrival-date", "the message", faults),
        future_release_request=_text(known, "future-release-request"),
        extensions=_extensions(fields),
    )


def _recipient(fields: list[Field], otherwise: str, place: str, faults: list[str]) -> RecipientReport | None:
    known = _first_of_each(fields)
    final, original = _address(known, "final-recipient"), _address(known, "original-recipient")
    address = final or original or _address(known, "x-actual-recipient") or _address_of(otherwise)
    if final is None:
        faults.append(f"{place}: Final-Recipient is missing (RFC 3464 2.3.2)")
    if address is None:
        faults.append(f"{place}: no address")
        return None
    diagnostic = _diagnostic(known)
    action, status = _verdict(known, diagnostic, place, faults)
    if action is None or status is None:
        faults.append(f"{place}: neither Action nor Status says what was done")
        return None
    return RecipientReport(
        final_recipient=address,
        original_recipient=original,
        action=action,
        status=status,
        status_comment=_status_comment(known),
        remote_mta=_typed(known, "remote-mta", "dns"),
        diagnostic=diagnostic,
        last_attempt=_date(known, "last-attempt-date", place, faults),
        final_log_id=_text(known, "final-log-id"),
        will_retry_until=_date(known, "will-retry-until", place, faults),
        extensions=_extensions(fields),
    )


def _verdict(
    known: dict[str, str], diagnostic: Typed | None, place: str, faults: list[str]
) -> tuple[Action | None, EnhancedCode | None]:
    """Return action and status; one that is missing is taken from the other, or from the diagnostic."""
    action = _action(known)
    status = find_enhanced(known.get("status", "")) or _loose_code(known.get("status", ""))
    if status is None:
        faults.append(f"{place}: Status is missing or is no code (RFC 3464 2.3.4)")
        status = _code_of(diagnostic) or (_BY_ACTION.get(action, EnhancedCode(2, 0, 0)) if action else None)
    if action is None:
        faults.append(f"{place}: Action is missing or unknown (RFC 3464 2.3.3)")
        action = _BY_CLASS[status.cls] if status else None
    return action, status


def _action(known: dict[str, str]) -> Action | None:
    word = _WORD.search(unfold(known.get("action", "")).lower())
    return _ACTIONS.get(word[0]) if word else None


def _loose_code(text: str) -> EnhancedCode | None:
    """Return what a status that is none may mean: `5`, `5.1`, `5.x.x`, or a reply code."""
    found = _LOOSE_STATUS.match(text) or _REPLY.match(text.strip(" \t#"))
    if found is None:
        return None
    subject = found[2] if found.re is _LOOSE_STATUS else None
    return EnhancedCode(int(found[1]), int(subject or 0), 0)


def _code_of(diagnostic: Typed | None) -> EnhancedCode | None:
    if diagnostic is None:
        return None
    reply = _REPLY.match(diagnostic.value)
    return find_enhanced(diagnostic.value) or (EnhancedCode(int(reply[1]), 0, 0) if reply else None)


def _status_comment(known: dict[str, str]) -> str | None:
    text = unfold(known.get("status", ""))
    found = ENHANCED_IN_TEXT.search(text)
    rest = text[found.end() :].strip(" ") if found else ""
    if rest.startswith("("):
        rest = rest[1:].removesuffix(")")
    return re.sub(r"\\(.)", r"\1", rest) or None


def _diagnostic(known: dict[str, str]) -> Typed | None:
    text = unfold_reply(known.get("diagnostic-code", ""))
    return _typed_of(text, "smtp" if _REPLY.match(text) else "unknown")


def _typed(known: dict[str, str], name: str, default: str) -> Typed | None:
    return _typed_of(unfold(known.get(name, "")), default)


def _address(known: dict[str, str], name: str) -> Typed | None:
    text = unfold(known.get(name, ""))
    if _X400.match(text):
        return _typed_of(f"x400;{text}", "x400")
    found = None if _TYPED.match(text) else _UNTYPED.match(text)
    typed = _typed_of(f"{found[1]};{found[2]}" if found else text, "rfc822")
    return None if typed is None or typed.value.replace(" ", "") in ("", "<>") else typed


def _typed_of(text: str, default: str) -> Typed | None:
    found = _TYPED.match(text)
    kind, value = (found[1].lower(), found[2]) if found else (default, text.lstrip("; "))
    if kind == "utf-8":
        value = " ".join(map(_unescaped, value.split(" ")))
    return Typed(kind, value) if clean(value) else None


def _unescaped(word: str) -> str:
    """Return what an escaped form of RFC 6533 3 stands for; the plain form stays as it is."""
    try:
        return decode_utf8(word) if "\\x{" in word else word
    except ParseError:
        return word


def _address_of(text: str) -> Typed | None:
    return _typed_of(f"rfc822;{text}", "rfc822")


def _text(known: dict[str, str], name: str) -> str | None:
    return unfold(known.get(name, "")) or None


def _date(known: dict[str, str], name: str, place: str, faults: list[str]) -> int | None:
    if name not in known:
        return None
    found = read_date(unfold(known[name]))
    if found is None:
        faults.append(f"{place}: {name.title()} is no date (RFC 5322 3.3)")
    return found


def _first_of_each(fields: list[Field]) -> dict[str, str]:
    """Return the raw value of each field by its name in lower case; the first of several stands."""
    known: dict[str, str] = {}
    for field in fields:
        known.setdefault(field.name.lower(), field.raw)
    return known


def _extensions(fields: list[Field]) -> Extensions:
    return tuple(
        (field.name, unfold(field.raw))
        for field in fields
        if not is_of_mime(field.name)
        and field.name.lower() not in _NAMES
        and _EXTENSION.fullmatch(field.name)
    )

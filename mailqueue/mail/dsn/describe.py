"""The part of a notice that people read: what happened, what was said, what happens next.

It is written for someone who did not expect it and knows nothing about mail servers; what the
server said stands in it word for word. Times are UTC.

RFC 3464 2 (b), RFC 6522 3 (the first part), RFC 3834 3.1.5 (the subject).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mailqueue.errors import AddressError
from mailqueue.mail import codes
from mailqueue.mail.address import parse as parse_address
from mailqueue.mail.dates import readable
from mailqueue.mail.dsn.draft import Draft, Returned, Story
from mailqueue.mail.dsn.model import Action, RecipientReport
from mailqueue.mail.fields import clean

_WIDTH = 76
_MOST_REPLY_LINES = 20
_MOST_TIMES = 8
_LONGEST_SUBJECT = 200
_ORDER = (Action.FAILED, Action.DELAYED, Action.DELIVERED, Action.RELAYED, Action.EXPANDED)
_NOT_DELIVERED = (Action.FAILED, Action.DELAYED)
_LABELS = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Delayed, still trying",
    Action.DELIVERED: "Delivered",
    Action.RELAYED: "Handed on",
    Action.EXPANDED: "Delivered to a list",
}
_OPENINGS = {
    Action.FAILED: "Your message was NOT delivered to {whom}. It will not be tried again.",
    Action.DELAYED: "Your message has not been delivered to {whom} yet. It is still being tried; "
    "you do not need to do anything.",
    Action.DELIVERED: "Your message was delivered to {whom}.",
    Action.RELAYED: "Your message for {whom} was handed to a mail server that does not report "
    "deliveries. You will hear of it again only if that fails.",
    Action.EXPANDED: "Your message was delivered to {whom}, and sent on from there to several others.",
}
_HELP = (
    "If you need help, please pass this notice on to whoever looks after your mail: what is attached "
    "to it says more exactly what happened."
)
_RETURNED = {
    Returned.FULL: "Your message is attached.",
    Returned.HEADER: "The header of your message is attached.",
    Returned.TOO_LARGE: "Your message is larger than {size}, so only its header is attached.",
    Returned.UNFIT: "Your message has lines that cannot be sent back inside another message, so only its "
    "header is attached.",
    Returned.NOTHING: "",
}


def headline(draft: Draft) -> str:
    """Return the subject of a notice: the gravest thing it tells, then the original's subject."""
    recipients = draft.report.recipients
    gravest = next(action for action in _ORDER if any(found.action is action for found in recipients))
    about = clean(draft.original_subject or "")
    if not about:
        about = f"your message to {_shown(recipients[0])}"
        about += f" and {len(recipients) - 1} more" if len(recipients) > 1 else ""
    return f"{_LABELS[gravest]}: {_shortened(about)}"


def describe(draft: Draft) -> str:
    """Return the text for people, lines ended by LF and mostly of at most 76 characters.

    It says who writes, about which message, and then, for each thing that happened, to whom, what
    the server said, what that means, and what happens next; at the end what is attached.
    """
    paragraphs = [_opening(draft)]
    for action in _ORDER:
        paragraphs += _section(draft, action)
    failed = any(recipient.action is Action.FAILED for recipient in draft.report.recipients)
    returned = _RETURNED[draft.returned].format(size=f"{draft.largest_original // 1024} KiB")
    paragraphs += [_wrap(closing) for closing in (_HELP if failed else "", returned) if closing]
    return "\n\n".join(paragraphs) + "\n"


def _opening(draft: Draft) -> str:
    mta, arrival = draft.report.reporting_mta, draft.report.arrival_date
    where = f" at {mta.value}" if mta else ""
    lines = [_wrap(f"This is an automatic notice from the mail system{where} about your message:"), ""]
    lines.append(f"    Subject:    {_shortened(clean(draft.original_subject or '')) or '(none)'}")
    if arrival is not None:
        lines.append(f"    Submitted:  {readable(arrival)}")
    if draft.original_message_id:
        lines.append(f"    Message-ID: {clean(draft.original_message_id)}")
    return "\n".join(lines)


def _section(draft: Draft, action: Action) -> Iterator[str]:
    """Yield the paragraphs about one action; recipients with the same story share one."""
    stories = draft.stories or (Story(),) * len(draft.report.recipients)
    groups: dict[tuple[str, ...], list[str]] = {}
    for recipient, story in zip(draft.report.recipients, stories, strict=True):
        if recipient.action is action:
            groups.setdefault(tuple(_told(recipient, story)), []).append(_shown(recipient))
    if groups:
        count = sum(map(len, groups.values()))
        yield _wrap(_OPENINGS[action].format(whom="this address" if count == 1 else "these addresses"))
    for told, addresses in groups.items():
        yield "\n".join([*(f"  {address}" for address in addresses), *told])


def _told(recipient: RecipientReport, story: Story) -> Iterator[str]:
    yield from _reason(recipient)
    if recipient.last_attempt is not None:
        yield from _indented(
            _last_attempt(recipient.action, readable(recipient.last_attempt), story.attempts)
        )
    if recipient.action is Action.DELAYED:
        yield from _future(recipient, story)
    if story.may_have_arrived and recipient.action in _NOT_DELIVERED:
        yield from _indented(
            "It may have arrived all the same: a server once took the whole message, and then the "
            "connection was lost before it answered. Please ask before you send it again."
        )


def _last_attempt(action: Action, when: str, attempts: int | None) -> str:
    if action not in _NOT_DELIVERED:
        return f"{'Handed on' if action is Action.RELAYED else 'Delivered'}: {when}"
    if attempts and attempts > 1:
        return f"Tried {attempts} times, last: {when}"
    return f"Tried: {when}"


def _reason(recipient: RecipientReport) -> Iterator[str]:
    if recipient.diagnostic is not None:
        who = f"The mail server {recipient.remote_mta.value}" if recipient.remote_mta else "This mail system"
        yield from _indented(f"{who} said:")
        lines = recipient.diagnostic.value.split("\n")
        for line in lines[:_MOST_REPLY_LINES]:
            yield from _indented(line, "        ")
        if len(lines) > _MOST_REPLY_LINES:
            yield from _indented("(the rest is in the attached delivery report)", "        ")
    if recipient.action is Action.FAILED or (recipient.action is Action.DELAYED and not recipient.diagnostic):
        yield from _indented(f"That means: {codes.describe(recipient.status)}")
    if recipient.status_comment is not None:
        yield from _indented(f"What went wrong: {recipient.status_comment}")


def _future(recipient: RecipientReport, story: Story) -> Iterator[str]:
    times = [readable(at) for at in story.next_attempts[:_MOST_TIMES]]
    if times:
        yield "    It is tried again at"
        yield from (f"        {time}" for time in times)
    if recipient.will_retry_until is not None:
        until = readable(recipient.will_retry_until)
        start = "and so on," if times else "It is tried again,"
        yield from _indented(
            f"{start} until {until}. If it cannot be delivered by then, you get one more notice."
        )


def _shown(recipient: RecipientReport) -> str:
    """Return the address as the sender knows it, and the one it became if that is another."""
    final = _readable(recipient.final_recipient.value)
    if recipient.original_recipient is None:
        return final
    original = _readable(recipient.original_recipient.value)
    return original if original.lower() == final.lower() else f"{original} (which became {final})"


def _readable(address: str) -> str:
    """Return an address as people write it, its domain not in A-labels."""
    try:
        return parse_address(address).unicode if "xn--" in address.lower() else address
    except AddressError:
        return address


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SUBJECT else text[:_LONGEST_SUBJECT].rstrip(" ") + " ..."


def _wrap(text: str) -> str:
    return "\n".join(_indented(text, ""))


def _indented(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )

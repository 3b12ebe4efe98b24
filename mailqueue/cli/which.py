"""What says which messages are meant: an option for every filter.

The rule: what is typed is read before the queue is opened, so that a typing error changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailqueue.clock import SystemClock
from mailqueue.errors import AddressError, SettingError

if TYPE_CHECKING:
    from mailqueue.model.filters import Order

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    ("account", "--account", "NAME", "Of this account."),
    (
        "sender",
        "--from",
        "ADDRESS|@DOMAIN",
        "With this envelope sender, or one of this domain.",
    ),
    ("recipient", "--to", "ADDRESS|@DOMAIN", "To this recipient, or to one of this domain."),
    ("subject", "--subject", "TEXT", "With this in the subject."),
    ("hold", "--hold", "yes|no", "On hold, or not."),
    ("transport", "--transport", "NAME", "That names this transport itself; '' leaves it to the routes."),
    (
        "submitted",
        "--submitted",
        "TIMES",
        "Submitted then, such as '<-1h' or '>2026-01-31 <2026-02-28'.",
    ),
    ("next_attempt", "--next-attempt", "TIMES", "Due then."),
    ("retired", "--retired", "TIMES", "Done then; of the history."),
    ("category", "--category", "NAME", "Whose last answer was of this kind, such as greylisted."),
    ("state", "--state", "NAME", "In this state."),
    ("event", "--event", "NAME", "To which this has happened, such as held or delayed."),
    ("message_id", "--message-id", "TEXT", "With this Message-ID."),
    ("fromid", "--fromid", "TEXT", "With this in its return address."),
    ("text", "--text", "TEXT", "With this in the header or in a part that is text. Slow."),
    ("priority", "--priority", "NAME", "Of this priority."),
    ("destination", "--destination", "NAME", "That waits for this destination in trouble."),
)


def filters(command: F) -> F:
    """Give a verb an option for every filter; what was typed comes as keywords, None where it was not."""
    for name, option, metavar, help in reversed(_OPTIONS):
        command = click.option(option, name, metavar=metavar, help=help, type=_reader(name))(command)
    return command


def _reader(name: str) -> Callable[[str], object]:
    def reads(text: str) -> object:
        from mailqueue.model import wanted

        try:
            return wanted.read(name, text, SystemClock().now())
        except (SettingError, AddressError) as error:
            raise click.BadParameter(str(error)) from None

    return reads


def order(text: str) -> Order:
    """Return the order that was typed."""
    from mailqueue.model.filters import Order

    try:
        return Order.parse(text)
    except SettingError as error:
        raise click.BadParameter(str(error)) from None

"""The message that a report is about, as far as the report returns it: its header, or all of it.

RFC 6522 4 (header of the original), RFC 6533 6 (the UTF-8 kinds), RFC 5322 3.6.4 (Message-ID).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from mailqueue.mail.fields import Field, read_groups, unfold
from mailqueue.mail.mime import MAX_HEADER, Part

MAX_ORIGINAL_FIELDS = 1000
"""Header fields of the original message that are kept."""

_FULL_TYPES = frozenset({"message/rfc822", "message/global"})
_HEADER_TYPES = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})
_USUAL = frozenset({"from", "to", "subject", "date", "message-id", "received", "return-path", "mime-version"})
_SURE = frozenset({"received", "return-path", "message-id", "mime-version"})
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")
_WORD = re.compile(r"[^<>\s]{1,996}@[^<>\s]{1,996}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What a report returns of the message that it is about."""

    headers: tuple[tuple[str, str], ...] = ()
    """Its header fields, (name, unfolded value); empty if they are not returned."""
    full: bool = False
    """Whether the whole message is returned, not only its header."""

    def values(self, name: str) -> list[str]:
        """Return the values of the fields called `name` (in lower case), in their order."""
        return [value for found, value in self.headers if found.lower() == name]

    @property
    def names(self) -> list[str]:
        """The names of its fields, in lower case."""
        return [name.lower() for name, _ in self.headers]

    @property
    def message_id(self) -> str | None:
        """The Message-ID with its brackets; None: not returned."""
        return next((read_message_id(value) for value in self.values("message-id")), None)


def read_message_id(value: str) -> str | None:
    """Return the identifier in the value of a Message-ID, with its brackets; None if there is none."""
    found = _MESSAGE_ID.search(value[:2000])
    if found:
        return found[0]
    word = _WORD.fullmatch(value[:2000].strip(" "))
    return f"<{word[0]}>" if word else None


def is_returned(part: Part) -> bool:
    """Return whether a part has the type of a returned message, or of its header."""
    return part.type in _FULL_TYPES or part.type in _HEADER_TYPES


def find_original(parts: Sequence[Part]) -> Original:
    """Return the original among the parts of a report: by its type, else because it begins as mail does."""
    typed = [
        Original(headers=read_header(part.text(MAX_HEADER)), full=part.type in _FULL_TYPES)
        for part in filter(is_returned, parts)
    ]
    others = (Original(headers=read_header(part.text(MAX_HEADER))) for part in parts[1:])
    usual = (found for found in typed if not _USUAL.isdisjoint(found.names))
    begun_so = (found for found in others if looks_like_mail(found.names))
    return next(chain(usual, typed, begun_so), Original())


def read_header(text: str) -> tuple[tuple[str, str], ...]:
    r"""Return the fields of the header that `text` begins with; `\n` ends its lines."""
    block, _, _ = text.lstrip("\n").partition("\n\n")
    fields: list[Field] = [field for group in read_groups(block) for field in group]
    return tuple((field.name, unfold(field.raw)) for field in fields[:MAX_ORIGINAL_FIELDS])


def looks_like_mail(names: Sequence[str]) -> bool:
    """Return whether fields of these names (in lower case) are a message's, not what a text says of one."""
    return len(_USUAL.intersection(names)) >= 3 and not _SURE.isdisjoint(names)

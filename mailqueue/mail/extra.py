"""Extra data: what an application has travel along with a message, a text for each key.

It is given by the application, or by header fields `X-Mailqueue-Extra-Key: value`, which go no further than
the queue. (Mox calls them `X-Mox-Extra-Key`, which is read alike.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mailqueue.mail.header import Field, decode_words
from mailqueue.mail.visible import visible

PREFIXES = ("x-mailqueue-extra-", "x-mox-extra-")
"""What the names of such fields begin with, in lower case."""

MOST_KEYS = 50
"""Keys that a message may have."""

LONGEST_KEY = 100
"""Characters that a key may have."""

LONGEST = 16_384
"""Characters that all keys and values together may have."""


def is_extra(name: str) -> bool:
    """Return whether a field carries extra data, by its name in lower case."""
    return name.startswith(PREFIXES)


def read_fields(fields: Iterable[Field], faults: list[str]) -> dict[str, str]:
    """Return what the header fields say; keys are as they stand there.

    A field without a key, and a key that stands there twice, is noted in `faults`.
    """
    found: dict[str, str] = {}
    for field in fields:
        if not is_extra(field.name):
            continue
        key = field.title[field.name.rindex("-extra-") + len("-extra-") :]
        if not key:
            faults.append(f"header line {field.number}: {field.title} names no key")
        elif key in found:
            faults.append(f"header line {field.number}: extra {key!r} stands there twice")
        else:
            found[key] = decode_words(field.value)
    return found


def merged(
    of_header: Mapping[str, str], given: Mapping[str, str] | None, faults: list[str]
) -> dict[str, str]:
    """Return what travels along: what an application gives, and what only the header says.

    What cannot be is noted in `faults`.

    Raises:
        TypeError: what is given is no mapping of texts.
    """
    if given is not None and not _is_mapping(given):
        raise TypeError("extra is a mapping of str to str")
    extra = {**of_header, **(given or {})}
    if extra:
        _check(extra, faults)
    return extra


def _is_mapping(given: object) -> bool:
    return isinstance(given, Mapping) and all(
        isinstance(each, str) for pair in given.items() for each in pair
    )


def _check(extra: Mapping[str, str], faults: list[str]) -> None:
    for key, value in extra.items():
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            faults.append(
                f"extra {visible(key[:40])!r}: a key must be 1 to {LONGEST_KEY} printable characters"
            )
        if "\0" in value or not _is_text(value):
            faults.append(f"extra {visible(key[:40])!r}: the value must be text, without NUL")
    if len(extra) > MOST_KEYS:
        faults.append(f"extra: must have at most {MOST_KEYS} keys, not {len(extra)}")
    length = sum(len(each) for pair in extra.items() for each in pair)
    if length > LONGEST:
        faults.append(f"extra: must have at most {LONGEST:,} characters in all, not {length:,}")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a surrogate alone
        return False
    return True

"""Cursors of pages: where a list was left, as text that says nothing and is taken back only whole."""

from __future__ import annotations

import base64
import json
from zlib import crc32

from mailqueue.errors import SettingError
from mailqueue.model.filters import Order
from mailqueue.store.filters import Place, is_place

_LISTS = {False: "queue", True: "history"}


def encode(place: Place, order: Order, *, retired: bool) -> str:
    """Return the cursor for what follows `place` in that order of the history, or of the queue."""
    body = json.dumps([_LISTS[retired], str(order), *place], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(crc32(body).to_bytes(4) + body).rstrip(b"=").decode()


def decode(cursor: str, order: Order, *, retired: bool) -> Place:
    """Return the place that a cursor stands for.

    Raises:
        SettingError: it is none, or one of another list or order.
    """
    try:
        octets = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        given, by, *place = json.loads(octets[4:])
        whole = int.from_bytes(octets[:4]) == crc32(octets[4:])
    except (ValueError, TypeError):
        whole = False
    if whole and (given, by) != (_LISTS[retired], str(order)):
        raise SettingError(
            f"after {cursor!r}: a cursor of the {given} by {by}, and this is the {_LISTS[retired]} by {order}"
        )
    if not whole or not is_place(place, order):
        raise SettingError(f"after {cursor!r}: not a cursor; take `next` of the page before, as it is")
    return tuple(place)

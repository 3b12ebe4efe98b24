"""Content on its way from the store to the network.

The rule: content that is small is read whole, once for all recipients; large content is read piece by
piece as the network takes it, so that memory does not grow with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mailqueue.model.message import Claimed
from mailqueue.store.base import Store

WHOLE = 2**20
"""Octets up to which content is read whole."""

_ONE_ROW = 256 * 2**10
_KEPT = 16


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Content of a claimed message, as `net.session` takes it."""

    size: int
    data: bytes | None
    """None: it comes in chunks."""
    content_id: int
    store: Store

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the octets, each piece read when it is asked for."""
        number = 0
        while True:
            piece = self.store.read(lambda reader, n=number: reader.content_chunk(self.content_id, n))  # type: ignore[misc]
            if piece is None:
                return
            yield piece
            number += 1


class Contents:
    """Opens content, and keeps the last few that were small: recipients of one come in a row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def __call__(self, message: Claimed) -> StoredContent:
        """Return the content of a message. Raises NotFound where it is gone."""
        data = self._whole(message) if message.size <= WHOLE else None
        return StoredContent(message.size, data, message.content_id, self._store)

    def _whole(self, message: Claimed) -> bytes:
        data = self._kept.get(message.content_id)
        if data is None:
            ask = self._store.look if message.size <= _ONE_ROW else self._store.read
            data = ask(lambda reader: reader.content(message.content_id))
            self._kept[message.content_id] = data
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return data

"""Content on its way from the store to the network.

The rule: content that is small is read whole, once for all recipients, and what is claimed together is
read together; large content is read piece by piece as the network takes it, so that memory does not
grow with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mailqueue.errors import StoreError
from mailqueue.model.message import Claimed
from mailqueue.store.base import Store

WHOLE = 2**20
"""Octets up to which content is read whole."""

_ONE_ROW = 256 * 2**10
_TOGETHER = 16 * 2**10  # octets up to which content is read with that of others
_KEPT = 8 * 2**20  # octets of all contents that are kept


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
    """Opens content, and keeps what was read last: recipients of one come in a row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._octets = 0

    def read_ahead(self, messages: Iterable[Claimed]) -> None:
        """Read the small contents of messages that have been claimed, by one question for all of them.

        What cannot be read now is read when it is opened.
        """
        wanted = {each.content_id for each in messages if each.size <= _TOGETHER} - self._kept.keys()
        if not wanted:
            return
        with suppress(StoreError):
            for content_id, data in self._store.look(lambda reader: reader.contents(list(wanted))).items():
                self._keep(content_id, data)

    def __call__(self, message: Claimed) -> StoredContent:
        """Return the content of a message. Raises NotFound where it is gone."""
        data = self._whole(message) if message.size <= WHOLE else None
        return StoredContent(message.size, data, message.content_id, self._store)

    def _whole(self, message: Claimed) -> bytes:
        data = self._kept.get(message.content_id)
        if data is None:
            ask = self._store.look if message.size <= _ONE_ROW else self._store.read
            data = ask(lambda reader: reader.content(message.content_id))
            self._keep(message.content_id, data)
        return data

    def _keep(self, content_id: int, data: bytes) -> None:
        self._kept[content_id] = data
        self._octets += len(data)
        while self._octets > _KEPT and len(self._kept) > 1:
            self._octets -= len(self._kept.popitem(last=False)[1])

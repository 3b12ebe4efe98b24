"""Content made 7-bit, for servers that do not offer 8BITMIME.

The rule: one content at a time is converted in an engine, once for all that wait for it, and what is
large goes to a temporary file, so that memory does not grow with it.

RFC 6152 3.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator

from mailqueue.mail.rewrite import seven_bit
from mailqueue.net.session import Content

_IN_MEMORY = 256 * 2**10  # octets
_KEPT = 16  # contents in memory
_CHUNK = 256 * 2**10


class SevenBit:
    """Content that was made 7-bit, as `net.session` takes it.

    Attributes:
        size: octets.
        data: all of them. None: they come in `chunks`, from a file that ends with this object.
    """

    __slots__ = ("__weakref__", "_file", "data", "size")

    def __init__(self, octets: bytes) -> None:
        self.size = len(octets)
        self.data = octets if len(octets) <= _IN_MEMORY else None
        self._file = -1
        if self.data is None:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as this object is there
            weakref.finalize(self, file.close)
            file.write(octets)
            file.flush()
            self._file = file.fileno()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the octets, each piece read when it is asked for."""
        for start in range(0, self.size, _CHUNK):
            yield os.pread(self._file, _CHUNK, start)


class Converter:
    """Makes content 7-bit, and keeps what is small or still being sent."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[int, SevenBit | str] = OrderedDict()
        self._being_sent: weakref.WeakValueDictionary[int, SevenBit] = weakref.WeakValueDictionary()

    async def __call__(self, content_id: int, content: Content) -> SevenBit | str:
        """Return content made 7-bit, or the reason why it cannot be."""
        async with self._turn:
            found = self._kept.get(content_id) or self._being_sent.get(content_id)
            if found is None:
                octets = content.data
                if octets is None:
                    octets = b"".join([chunk async for chunk in content.chunks()])
                found = await asyncio.to_thread(_made, octets)
                self._keep(content_id, found)
            return found

    def _keep(self, content_id: int, found: SevenBit | str) -> None:
        if isinstance(found, SevenBit) and found.data is None:
            self._being_sent[content_id] = found
            return
        self._kept[content_id] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def _made(octets: bytes) -> SevenBit | str:
    made = seven_bit(octets)
    return made.reason if made.octets is None else SevenBit(made.octets)

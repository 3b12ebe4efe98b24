"""Content is made 7-bit once for all who wait for it, and large content does not stay in memory."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from mailqueue.engine.convert import Converter, SevenBit

HEAD = b"From: a@example.org\r\n\r\n"
SMALL = HEAD + "Grüße\r\n".encode()
LARGE = HEAD + "Grüße an alle, die das lesen.\r\n".encode() * 20_000
SIGNED = b"DKIM-Signature: v=1\r\n" + SMALL


@dataclass
class Stored:
    """Content that comes in chunks, and counts how often it was read."""

    octets: bytes
    read: int = 0
    data: None = None

    @property
    def size(self) -> int:
        return len(self.octets)

    async def chunks(self) -> AsyncIterator[bytes]:
        self.read += 1
        for start in range(0, self.size, 1000):
            yield self.octets[start : start + 1000]


async def octets_of(made: SevenBit | str) -> bytes:
    assert isinstance(made, SevenBit)
    return b"".join([chunk async for chunk in made.chunks()]) if made.data is None else made.data


def open_files() -> int:
    return sum(
        "(deleted)" in os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
    )


def test_all_who_wait_for_a_content_get_the_same():
    async def story() -> None:
        convert, stored = Converter(), Stored(LARGE)
        made = await asyncio.gather(*(convert(1, stored) for _ in range(5)))
        assert {id(each) for each in made} == {id(made[0])}
        assert stored.read == 1
        octets = await octets_of(made[0])
        assert octets.isascii()
        assert len(octets) == made[0].size

    asyncio.run(story())


def test_small_content_and_refusals_are_kept_for_the_next():
    async def story() -> None:
        convert, good, signed = Converter(), Stored(SMALL), Stored(SIGNED)
        for _ in range(3):
            assert (await octets_of(await convert(1, good))).isascii()
            assert "DKIM-Signature" in str(await convert(2, signed))
        assert (good.read, signed.read) == (1, 1)
        for number in range(3, 30):
            await convert(number, Stored(SMALL))
        await convert(1, good)
        assert good.read == 2, "but only a few"

    asyncio.run(story())


def test_large_content_is_in_a_file_that_goes_when_it_has_been_sent():
    async def story() -> None:
        convert, stored, before = Converter(), Stored(LARGE), open_files()
        made = await convert(1, stored)
        assert isinstance(made, SevenBit)
        assert made.data is None
        assert open_files() == before + 1
        del made
        await asyncio.sleep(0.1)  # the loop, too, lets go of it
        gc.collect()
        assert open_files() == before
        await convert(1, stored)
        assert stored.read == 2

    asyncio.run(story())

"""Connections at once over all destinations: who may have one, and what is lost (nothing)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailqueue.engine.slots import Slots
from mailqueue.model.lane import Priority

INTERACTIVE, NORMAL, BULK = Priority


class Hall:
    """Connections that are asked for by name, and given back when a test says so."""

    def __init__(self, total: int) -> None:
        self.rooms_made = 0
        self.slots = Slots(total, self._make_room)
        self.having: list[str] = []
        self._back: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _make_room(self) -> None:
        self.rooms_made += 1

    async def ask(self, name: str, priority: Priority = NORMAL, *, troubled: bool = False) -> bool:
        """Ask for a connection; return whether it is had at once."""
        self._back[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._have(name, priority, troubled))
        await settled()
        return name in self.having

    async def _have(self, name: str, priority: Priority, troubled: bool) -> None:
        async with self.slots.one(priority, troubled=troubled):
            self.having.append(name)
            try:
                await self._back[name].wait()
            finally:
                self.having.remove(name)

    async def give_back(self, name: str) -> list[str]:
        """Give a connection back; return who has one that had none before."""
        before = set(self.having)
        self._back[name].set()
        await self._tasks[name]
        await settled()
        return [each for each in self.having if each not in before]

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


Scene = Callable[[Hall], Awaitable[None]]


def play(total: int, scene: Scene) -> None:
    async def main() -> None:
        hall = Hall(total)
        await scene(hall)
        await hall.close()

    asyncio.run(main())


def test_there_are_no_more_connections_than_there_may_be():
    async def scene(hall: Hall) -> None:
        assert [await hall.ask(name) for name in "abc"] == [True, True, False]
        assert hall.slots.wanted
        assert hall.rooms_made == 1, "an idle connection may end for it"
        assert await hall.give_back("a") == ["c"]
        assert not hall.slots.wanted

    play(2, scene)


def test_who_waits_longest_is_the_next():
    async def scene(hall: Hall) -> None:
        for name in "abcd":
            await hall.ask(name)
        assert await hall.give_back("a") == ["b"]
        assert await hall.give_back("b") == ["c"]
        await hall.ask("e")
        assert await hall.give_back("c") == ["d"]
        assert await hall.give_back("d") == ["e"]

    play(1, scene)


def test_interactive_mail_goes_before_those_who_wait():
    async def scene(hall: Hall) -> None:
        for name, priority in (("a", NORMAL), ("bulk", BULK), ("normal", NORMAL), ("code", INTERACTIVE)):
            await hall.ask(name, priority)
        assert await hall.give_back("a") == ["code"]
        assert await hall.give_back("code") == ["normal"]
        assert await hall.give_back("normal") == ["bulk"]

    play(1, scene)


def test_some_connections_are_kept_for_interactive_mail():
    async def scene(hall: Hall) -> None:
        had = [await hall.ask(str(number), BULK) for number in range(20)]
        assert had.count(True) == 18
        assert await hall.ask("code", INTERACTIVE)
        assert await hall.ask("another code", INTERACTIVE)
        assert not await hall.ask("a third", INTERACTIVE)
        assert await hall.give_back("0") == ["a third"], "it goes before the bulk that waits"
        assert await hall.give_back("1") == [], "this one is kept for the next code"
        assert await hall.give_back("2") == [], "... and this one"
        assert await hall.give_back("3") == ["18"]

    play(20, scene)


def test_destinations_in_trouble_have_half_of_all_connections():
    async def scene(hall: Hall) -> None:
        assert [await hall.ask(name, troubled=True) for name in "abc"] == [True, True, False]
        assert [await hall.ask(name) for name in "xyz"] == [True, True, False]
        assert await hall.give_back("x") == ["z"], "the half of those in trouble is in use"
        assert await hall.give_back("a") == ["c"]

    play(4, scene)


def test_interactive_mail_for_a_destination_in_trouble_has_no_more_than_that_half():
    async def scene(hall: Hall) -> None:
        assert [await hall.ask(name, troubled=True) for name in "ab"] == [True, True]
        assert not await hall.ask("code", INTERACTIVE, troubled=True)
        assert await hall.ask("x")
        assert await hall.give_back("a") == ["code"]

    play(4, scene)


def test_a_destination_in_trouble_has_its_turn_among_the_others():
    """However many the others are: its one message tells whether it is well again."""

    async def scene(hall: Hall) -> None:
        for name in "ab":
            await hall.ask(name)
        await hall.ask("troubled", troubled=True)
        for name in "cdef":
            await hall.ask(name)
        assert await hall.give_back("a") == ["troubled"]

    play(2, scene)


def test_even_a_single_connection_serves_those_in_trouble():
    async def scene(hall: Hall) -> None:
        assert await hall.ask("a", troubled=True)

    play(1, scene)


# --- cancellation --------------------------------------------------------------------------------
def test_who_is_cancelled_while_waiting_leaves_the_line():
    async def scene(hall: Hall) -> None:
        for name in "abc":
            await hall.ask(name)
        hall.cancel("b")
        assert await hall.give_back("a") == ["c"]
        assert not hall.slots.wanted

    play(1, scene)


@pytest.mark.parametrize("settles", [True, False])
def test_who_is_cancelled_while_having_one_gives_it_back(settles):
    async def scene(hall: Hall) -> None:
        for name in "ab":
            await hall.ask(name)
        hall.cancel("a")
        if settles:
            await settled()
        assert await hall.ask("c") is False
        await settled()
        assert "b" in hall.having

    play(1, scene)


def test_who_is_cancelled_in_the_moment_of_getting_one_hands_it_on():
    async def scene(hall: Hall) -> None:
        for name in "abc":
            await hall.ask(name)
        hall._back["a"].set()
        while "a" in hall.having:
            await asyncio.sleep(0)
        hall.cancel("b")  # it has been given one, and has not woken yet
        await settled()
        assert hall.having == ["c"]

    play(1, scene)


def test_who_is_cancelled_right_before_one_is_free_is_passed_over():
    async def scene(hall: Hall) -> None:
        for name in "abc":
            await hall.ask(name)
        hall._back["a"].set()
        hall.cancel("b")
        await hall._tasks["a"]  # its end comes before b's, and must not stumble over it
        await settled()
        assert hall.having == ["c"]

    play(1, scene)


moves = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "give", "cancel", "settle"]),
        st.sampled_from(list(Priority)),
        st.booleans(),
        st.integers(0, 10**6),
    ),
    max_size=60,
)


@given(st.integers(1, 24), moves)
@settings(deadline=None)
def test_whatever_happens_no_connection_is_lost_and_none_is_made(total, script):
    async def scene(hall: Hall) -> None:
        for number, (what, priority, troubled, chosen) in enumerate(script):
            names = list(hall._tasks)
            match what:
                case "ask":
                    await hall.ask(str(number), priority, troubled=troubled)
                case "give" if hall.having:
                    hall._back[hall.having[chosen % len(hall.having)]].set()
                case "cancel" if names:
                    hall.cancel(names[chosen % len(names)])
                case "settle":
                    await settled()
            assert len(hall.having) <= total
        await hall.close()
        await settled()
        for number in range(total):
            assert await hall.ask(f"last {number}", INTERACTIVE), "all of them are free again"
        assert not await hall.ask("one too many", INTERACTIVE)
        with suppress(asyncio.CancelledError):
            await hall.close()

    play(total, scene)

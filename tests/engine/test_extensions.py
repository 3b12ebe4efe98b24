"""What a server offers: LIMITS splits transactions and connections, CHUNKING carries large content."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest
from support.receiver import EXTENSIONS, Receiver
from support.smtp_server import PIPELINING, Peer, Script, taking
from support.stage import MAIL, ServerAt, Stage

LARGE = MAIL + b".and so on\r\n" * 50_000
CHUNKING = (*PIPELINING, "CHUNKING")


def limited(limits: str, **more: object) -> Receiver:
    return Receiver(extensions=(*EXTENSIONS, f"LIMITS {limits}"), **more)  # type: ignore[arg-type]


def transactions(receiver: Receiver) -> dict[int, list[list[str]]]:
    """Return the recipients of each transaction of each connection."""
    found: dict[int, list[list[str]]] = defaultdict(list)
    for message in receiver.messages:
        found[message.connection].append([to.partition(".")[0] for to in message.recipients])
    return dict(found)


# --- LIMITS (RFC 9422) ---------------------------------------------------------------------------
def test_recipients_beyond_rcptmax_follow_in_further_transactions_on_the_same_connection(stage: Stage):
    with limited("RCPTMAX=3") as receiver:
        stage.relay(receiver.port)
        messages = stage.submit(*(f"r{number}@a.example" for number in range(7)), "unknown@a.example")
        stage.deliver()
    assert transactions(receiver) == {1: [["r0@a", "r1@a", "r2@a"], ["r3@a", "r4@a", "r5@a"], ["r6@a"]]}
    assert [stage.state(each) for each in messages] == ["delivered"] * 7 + ["failed"]
    assert {stage.show(each).attempts for each in messages} == {1}
    assert stage.attempt(messages[-1]).enhanced == "5.1.1"


def test_server_that_says_more_than_it_takes_splits_further(stage: Stage):
    with limited("RCPTMAX=4", max_recipients=3) as receiver:
        stage.relay(receiver.port)
        stage.submit(*(f"r{number}@a.example" for number in range(6)))
        stage.deliver()
    assert transactions(receiver) == {1: [["r0@a", "r1@a", "r2@a"], ["r3@a", "r4@a", "r5@a"]]}


def test_connection_that_has_carried_mailmax_transactions_is_followed_by_another(stage: Stage):
    with limited("MAILMAX=2 RCPTMAX=2", close_after=2) as receiver:
        stage.relay(receiver.port)
        messages = stage.submit(*(f"r{number}@a.example" for number in range(9)))
        stage.deliver(connections=1)
    two = [2, 2]
    assert [[len(to) for to in each] for each in transactions(receiver).values()] == [two, two, [1]]
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert {stage.show(each).attempts for each in messages} == {1}
    assert receiver.commands.count("QUIT") == 3


def test_kept_connection_is_left_when_it_has_carried_mailmax_transactions(stage: Stage):
    with limited("MAILMAX=2", close_after=2) as receiver:
        stage.relay(receiver.port)
        messages = [stage.submit(f"r{number}@d{number}.example")[0] for number in range(5)]
        stage.deliver(connections=1)
    assert [len(each) for each in transactions(receiver).values()] == [2, 2, 1]
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert receiver.commands.count("QUIT") == 3


def test_kept_connection_goes_on_elsewhere_with_what_it_may_not_carry(stage: Stage):
    with limited("MAILMAX=2 RCPTMAX=2", close_after=2) as receiver:
        stage.relay(receiver.port)
        stage.submit("one@a.example")
        stage.submit(*(f"r{number}@a.example" for number in range(4)))
        stage.deliver(connections=1)
    assert transactions(receiver) == {1: [["one@a"], ["r0@a", "r1@a"]], 2: [["r2@a", "r3@a"]]}
    assert receiver.commands.count("QUIT") == 2


def test_connection_has_no_more_domains_than_rcptdomainmax(stage: Stage):
    with limited("RCPTDOMAINMAX=1") as receiver:
        stage.relay(receiver.port)
        messages = stage.submit("one@a.example", "two@b.example", "three@a.example")
        later = stage.submit("four@b.example")
        stage.deliver(connections=1)
    for each in transactions(receiver).values():
        assert len({to.partition("@")[2] for transaction in each for to in transaction}) == 1
    assert ["one@a", "three@a"] in transactions(receiver)[1]
    assert {stage.state(each) for each in messages + later} == {"delivered"}
    assert {stage.show(each).attempts for each in messages + later} == {1}


@pytest.mark.parametrize("limits", ["RCPTMAX=0", "RCPTMAX=many MAILMAX", "MAILMAX=1000000"])
def test_limit_that_is_none_is_no_limit(stage: Stage, limits: str):
    with limited(limits) as receiver:
        stage.relay(receiver.port)
        stage.submit("r0@a.example", "r1@a.example")
        stage.submit("r2@a.example")
        stage.deliver(connections=1)
    assert sorted(transactions(receiver)[1]) == [["r0@a", "r1@a"], ["r2@a"]]


def closing_at_the_second(peer: Peer) -> None:
    peer.greets(*PIPELINING, "LIMITS RCPTMAX=1")
    peer.takes()
    peer.hears("MAIL")
    peer.says("421 4.3.2 Shutting down")


def test_those_who_had_no_turn_wait_with_the_one_whose_turn_was_lost(stage: Stage):
    with ServerAt("127.0.0.1", 0, closing_at_the_second) as server:
        stage.relay(server.port)
        messages = stage.submit(*(f"r{number}@a.example" for number in range(4)))
        stage.deliver()
        assert [stage.state(each) for each in messages] == ["delivered", "queued", "queued", "queued"]
        assert {stage.attempt(each).code for each in messages[1:]} == {421}
        assert len(server.peers) == 1


def test_second_connection_that_is_not_had_leaves_the_rest_for_later(stage: Stage):
    def once(peer: Peer) -> None:
        taking(1, extensions=(*PIPELINING, "LIMITS MAILMAX=1 RCPTMAX=1"))(peer)

    def busy(peer: Peer) -> None:
        peer.says("421 4.7.0 Too many connections from you")
        peer.hears_end()

    with ServerAt("127.0.0.1", 0, once, busy) as server:
        stage.relay(server.port)
        one, two = stage.submit("r0@a.example", "r1@a.example")
        stage.deliver()
        assert (stage.state(one), stage.state(two)) == ("delivered", "queued")
        assert stage.attempt(two).code == 421


# --- CHUNKING (RFC 3030) -------------------------------------------------------------------------
def chunks(final: str | None, *, extensions: tuple[str, ...] = CHUNKING) -> Script:
    """Return a script that takes content in chunks, says `final` and closes; None: it says nothing."""

    def script(peer: Peer) -> None:
        peer.greets(*extensions)
        for command in ("MAIL", "RCPT"):
            peer.hears(command)
            peer.says("250 ok")
        peer.hears_chunks()
        if final is not None:
            peer.says(final)
            peer.hears("QUIT")

    return script


@pytest.mark.parametrize("lines", [10_000, 200_000], ids=["read whole", "read as it is sent"])
def test_large_content_arrives_in_chunks_as_it_is(stage: Stage, lines: int):
    with ServerAt("127.0.0.1", 0, chunks("250 2.0.0 taken")) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com", content=MAIL + b".and so on\r\n" * lines)
        stored = stage.queue.dump(message)
        stage.deliver()
    assert server.peers[0].contents == [stored]
    assert (stage.state(message), stage.attempt(message).size) == ("delivered", len(stored))


def refusing_the_first_chunk(reply: str) -> Script:
    def script(peer: Peer) -> None:
        peer.greets("CHUNKING")
        for command in ("MAIL", "RCPT"):
            peer.hears(command)
            peer.says("250 ok")
        peer.hears_chunk()
        peer.says(reply)
        if not reply.startswith("421"):
            peer.hears("QUIT")
            peer.says("221 bye")

    return script


@pytest.mark.parametrize(
    ("reply", "state", "category"),
    [
        ("552 5.3.4 Too large", "failed", "too_large"),
        ("552", "failed", "too_large"),
        ("452 4.3.1 Disk full", "queued", "system"),
        ("421 4.3.2 Shutting down", "queued", "system"),
    ],
)
def test_refused_chunk_is_judged_as_an_answer_to_the_content(
    stage: Stage, reply: str, state: str, category: str
):
    with ServerAt("127.0.0.1", 0, refusing_the_first_chunk(reply)) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com", content=LARGE)
        stage.deliver()
    attempt = stage.attempt(message)
    assert (stage.state(message), attempt.category, attempt.code) == (state, category, int(reply[:3]))


def test_connection_lost_after_the_last_chunk_leaves_the_message_uncertain(stage: Stage):
    with ServerAt("127.0.0.1", 0, chunks(None), chunks("250 2.0.0 taken")) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com", content=LARGE)
        stage.deliver()
        assert stage.outcomes(message) == ["uncertain"]
        stage.deliver(timedelta(hours=1))
        assert stage.outcomes(message) == ["uncertain", "delivered"]
    assert len(server.peers) == 2

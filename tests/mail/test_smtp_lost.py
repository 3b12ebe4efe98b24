"""A connection lost at every octet of a session leaves facts that agree with what happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_play import CONTENT, PIPELINING, Play, envelope, hello

from mailqueue.mail.smtp import Cause, Ready, TransactionDone

HELLO = "\r\n".join(hello(PIPELINING)) + "\r\n"
# What the server sends at each of its turns, in a session of two transactions.
PIPELINED = [
    b"220-server.example\r\n220 ESMTP\r\n",
    HELLO.encode(),
    b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n354 go\r\n",
    b"250 2.0.0 queued\r\n",
    b"250 2.1.0 ok\r\n550 5.1.1 no\r\n450 4.2.1 later\r\n554 5.5.1 no valid recipients\r\n",
    b"221 bye\r\n",
]
STEPWISE = [
    b"220 hi\r\n",
    b"250 server.example\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"452 4.5.3 too many\r\n",
    b"354 go\r\n",
    b"250 taken\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"354 go\r\n",
    b"451-4.3.0 not\r\n451 4.3.0 now\r\n",
    b"221 bye\r\n",
]
RECIPIENTS = ("b@x.example", "c@x.example")


def play_all(turns: list[bytes], pieces=lambda turn: [turn]) -> Play:
    """Play a session of two transactions and QUIT; the machine is served as far as `turns` go."""
    play = Play()
    for turn in turns:
        for piece in pieces(turn):
            play.gets(piece)
            if play.client.usable and play.is_ready:
                if len(play.results) < 2:
                    play.starts(*RECIPIENTS)
                else:
                    play.client.quit()
                    play.take()
    return play


def cut(turns: list[bytes], octets: int) -> list[bytes]:
    """Return the turns as far as the first `octets` octets."""
    kept = []
    for turn in turns:
        kept.append(turn[:octets])
        octets -= len(kept[-1])
    return [turn for turn in kept if turn]


def complete_replies(octets: bytes) -> list[int]:
    """Return the codes of the replies that are whole: a second reader, simple and slow."""
    lines = octets.split(b"\r\n")[:-1]
    return [int(line[:3]) for line in lines if line[3:4] != b"-"]


@pytest.mark.parametrize("turns", [PIPELINED, STEPWISE], ids=["pipelined", "stepwise"])
def test_connection_lost_at_every_octet_leaves_facts_that_agree(turns):
    for octets in range(sum(map(len, turns)) + 1):
        served = cut(turns, octets)
        play = play_all(served)
        dots = play.sent.count(b"\r\n.\r\n")
        play.eof()
        check_facts(play, complete_replies(b"".join(served)), dots)
        quitted = play.sent.endswith(b"QUIT\r\n")
        assert (play.lost is None) == quitted
        assert play.lost is None or play.lost.cause is Cause.CLOSED


def check_facts(play: Play, codes: list[int], dots: int) -> None:
    """Compare the results with the replies that came whole and the dots that went out."""
    told = [reply.code for result in play.results for reply in replies_of(result)]
    session = 2
    assert told == codes[session : session + len(told)], "no reply is told that did not come, none is lost"
    assert sum(result.final_dot_sent for result in play.results) == dots
    for result in play.results:
        assert len(result.rcpt) == len(RECIPIENTS)
        assert (result.final is None) or result.final_dot_sent
        assert (result.content_octets > 0) == result.final_dot_sent
    if play.results and not play.ended:
        assert play.results[-1].lost is None


def replies_of(result):
    return [reply for reply in (result.mail, *result.rcpt, result.data, result.final) if reply is not None]


def test_whole_session_has_the_facts_of_both_transactions():
    play = play_all(PIPELINED)
    assert play.lost is None
    first, second = play.results
    assert [reply.code for reply in replies_of(first)] == [250, 250, 550, 354, 250]
    assert [reply.code for reply in replies_of(second)] == [250, 550, 450, 554]
    play = play_all(STEPWISE)
    assert play.lost is None
    first, second = play.results
    assert [reply.code for reply in replies_of(first)] == [250, 250, 452, 354, 250]
    assert [reply.code for reply in replies_of(second)] == [250, 250, 250, 354, 451]


@given(st.sampled_from([PIPELINED, STEPWISE]), st.data())
def test_replies_in_pieces_of_any_size_give_the_same_events(turns, data):
    def pieces(turn):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(turn)), max_size=6)))
        return [turn[a:b] for a, b in zip([0, *cuts], [*cuts, len(turn)], strict=True)]

    whole, split = play_all(turns), play_all(turns, pieces)
    assert split.events == whole.events
    assert split.sent == whole.sent


@given(
    st.lists(
        st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"421 x\r\n", b"2", b"\r\n"]),
        max_size=9,
    )
)
def test_no_server_makes_us_believe_that_a_message_went_that_did_not(replies):
    play = Play.ready(*PIPELINING)
    play.starts(*RECIPIENTS)
    for reply in replies:
        play.gets(reply)
    play.eof()
    (result,) = play.results
    wrote_content = CONTENT.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n" in play.sent
    assert result.final_dot_sent == wrote_content
    if result.final is not None:
        assert wrote_content
        assert any(reply is not None and reply.positive for reply in result.rcpt)
    assert [type(event) for event in play.events].count(TransactionDone) == 1


def test_every_octet_of_a_server_that_says_too_much_is_safe():
    """More of everything, at every place: the machine ends, and tells nothing that is not so."""
    stream = b"".join(PIPELINED)
    for octets in range(len(stream)):
        play = Play()
        play.gets(stream[:octets])
        if play.client.usable and Ready() in play.events:
            play.client.start(envelope())
            play.take()
        play.gets(stream[octets:])
        play.eof()
        assert play.ended
        assert all(result.final is None or result.final_dot_sent for result in play.results)

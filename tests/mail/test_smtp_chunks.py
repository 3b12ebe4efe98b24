"""Content in chunks (BDAT, RFC 3030): what goes out when, and what a refusal anywhere leaves behind."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_contents import contents, expected, pieces
from support.smtp_play import PIPELINING, Play, envelope

from mailqueue.mail.smtp import MAX_UNANSWERED, BodyWanted, Cause, Phase, TransactionDone
from mailqueue.mail.smtp.stuffing import Chunks

STEPWISE = ("CHUNKING",)
PIPELINED = (*PIPELINING, "CHUNKING")
BLOCK = b"." * 98 + b"\r\n"


class Chunked(Play):
    """A play whose content comes in blocks, sent when a test says so."""

    def act(self, events) -> None:
        self.events += events

    def starts(self, *recipients: str, **more) -> str:
        self.client.start(envelope(*recipients, **more), in_blocks=True)
        return self.take()

    def block(self, block: bytes = BLOCK) -> str:
        self.client.send_body(block)
        return self.take()

    def ends(self) -> str:
        self.client.end_body()
        return self.take()

    def at_body(self) -> "Chunked":
        """Go on to where content is wanted, with one recipient."""
        self.starts()
        self.says("250 ok")
        self.says("250 ok")
        assert self.client.wants_body
        return self


@pytest.fixture(params=[PIPELINED, STEPWISE], ids=["pipelined", "stepwise"])
def extensions(request):
    return request.param


# --- what goes out ----------------------------------------------------------------------------


def test_content_follows_the_recipients_at_once_and_its_end_follows_the_last_answer():
    play = Chunked.ready(*PIPELINED)
    assert play.starts("b@x.example", "c@x.example").endswith("RCPT TO:<c@x.example>\r\n"), "no DATA"
    assert play.says("250 ok", "550 no") == ""
    assert play.events == []
    play.says("250 ok")
    assert [type(event) for event in play.events] == [BodyWanted]
    assert play.block(b"Subject: x\r\n\r\n.dot\r\n") == "BDAT 18\r\nSubject: x\r\n\r\n.dot"
    assert play.block(b"more\r\n") == "BDAT 6\r\n\r\nmore"
    assert play.client.phase is Phase.BDAT
    assert not play.client.takes_end
    play.says("250 18 octets", "250 6 octets")
    assert play.ends() == "BDAT 2 LAST\r\n\r\n"
    assert play.client.phase is Phase.FINAL
    play.says("250 2.0.0 queued")
    result = play.result
    assert [reply.code for reply in (result.mail, *result.rcpt, result.final)] == [250, 550, 250, 250]
    assert (result.data, result.final_dot_sent, result.content_octets, result.lost) == (None, True, 26, None)
    assert play.starts().startswith("MAIL FROM:")


def test_server_that_does_not_pipeline_gets_one_chunk_at_a_time():
    play = Chunked.ready(*STEPWISE).at_body()
    play.block()
    assert not play.client.takes_block
    with pytest.raises(RuntimeError, match="content"):
        play.block()
    play.says("250 ok")
    play.block()
    with pytest.raises(RuntimeError, match="content"):
        play.ends()
    play.says("250 ok")
    assert play.ends() == "BDAT 2 LAST\r\n\r\n"


def test_chunks_without_an_answer_are_few():
    play = Chunked.ready(*PIPELINED).at_body()
    sent = 0
    while play.client.takes_block:
        play.block()
        sent += 1
    assert sent == MAX_UNANSWERED
    play.says("250 ok", "250 ok")
    play.block()
    play.block()
    assert not play.client.takes_block


@pytest.mark.parametrize(
    ("extensions", "in_blocks"), [(PIPELINED, False), (PIPELINING, True), ((), True), (STEPWISE, False)]
)
def test_small_content_and_servers_without_chunking_have_data(extensions, in_blocks):
    play = Chunked.ready(*extensions)
    play.client.start(envelope(), in_blocks=in_blocks)
    for line in ("250 ok", "250 ok", "354 go"):
        play.take()
        play.says(line)
    assert b"DATA\r\n" in play.sent
    assert play.block(b".") == ".."
    assert play.ends() == "\r\n.\r\n"


def test_no_content_goes_where_no_recipient_was_taken(extensions):
    play = Chunked.ready(*extensions)
    play.starts()
    play.says("250 ok")
    play.says("550 5.1.1 no")
    assert play.result.rcpt[0].code == 550
    assert b"BDAT" not in play.sent
    assert play.starts().startswith("RSET\r\n")


def test_transcript_has_the_sizes_of_the_chunks_and_none_of_their_octets():
    play = Chunked.ready(*PIPELINED).at_body()
    play.block()
    play.says("250 2.0.0 98 octets")
    play.ends()
    play.says("554 5.7.1 spam")
    assert play.client.transcript().split("\n")[-4:] == [
        "C: BDAT 98",
        "S: 250 2.0.0 98 octets",
        "C: BDAT 2 LAST",
        "S: 554 5.7.1 spam",
    ]


# --- the octets -------------------------------------------------------------------------------


def received(wire: bytes) -> bytes:
    """Return the content as a server has it that counts what BDAT says."""
    content, last = b"", False
    while wire:
        assert not last
        command, _, wire = wire.partition(b"\r\n")
        verb, size, *last = command.split()
        assert verb == b"BDAT"
        content, wire = content + wire[: int(size)], wire[int(size) :]
    assert last == [b"LAST"]
    return content


def by_data(blocks: list[bytes]) -> bytes:
    play = Play.ready(content=b"".join(blocks))
    play.starts()
    for line in ("250 ok", "250 ok", "354 go"):
        said = play.says(line)
    lines = said.encode("latin-1").split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])


@given(contents.filter(bytes.isascii), st.data())
def test_the_same_message_arrives_by_data_and_by_chunks(content, data):
    blocks = pieces(data, content)
    play = Chunked.ready(*STEPWISE).at_body()
    before = len(play.sent)
    for block in blocks:
        if play.block(block):
            play.says("250 ok")
    play.ends()
    assert received(play.sent[before:]) == by_data(blocks) == expected(content)


@given(st.lists(st.sampled_from([b"", b"a", b".", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\xff"]), max_size=8))
def test_last_chunk_is_a_line_end_and_nothing_else(blocks):
    chunks = Chunks()
    before = b"".join(map(chunks.feed, blocks))
    last = chunks.finish()
    assert before + last == expected(b"".join(blocks))
    assert last in (b"\r\n", b"\r\n\r\n") or not b"".join(blocks)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["552 5.3.4 too much", "452 4.3.1 disk full"])
def test_refused_chunk_ends_the_transaction_and_keeps_the_connection(extensions, refusal):
    play = Chunked.ready(*extensions).at_body()
    play.block()
    play.says(refusal)
    assert not play.client.wants_body
    result = play.result
    assert str(result.final) == refusal
    assert (result.final_dot_sent, result.lost) == (False, None)
    assert b"LAST" not in play.sent
    for call in (play.block, play.ends):
        with pytest.raises(RuntimeError, match="content"):
            call()
    said = play.starts()
    assert said.startswith("RSET\r\n"), "what the server keeps of it is not known (RFC 3030 2)"
    said += play.says("250 reset")
    assert "MAIL FROM:" in said
    play.says("250 ok")
    play.says("250 ok")
    play.block()
    play.says("250 ok")
    play.ends()
    play.says("250 taken")
    assert play.results[1].final.code == 250


@pytest.mark.parametrize("others", ["250 ok", "503 5.5.1 after an error", "552 5.3.4 too much"])
def test_answers_to_chunks_under_way_are_waited_for_after_a_refusal(others):
    play = Chunked.ready(*PIPELINED).at_body()
    for _ in range(4):
        play.block()
    play.says("250 ok", "552 5.3.4 too much")
    assert not play.client.wants_body
    assert not play.client.usable
    assert not play.results
    play.says(others)
    assert not play.results
    play.says(others)
    assert str(play.result.final) == "552 5.3.4 too much", "the first is the reason"
    assert not play.result.final_dot_sent
    assert play.client.usable


@pytest.mark.parametrize("final", ["554 5.7.1 spam", "451 4.3.0 later"])
def test_refused_last_chunk_is_the_answer_and_is_reset_too(extensions, final):
    play = Chunked.ready(*extensions).at_body()
    play.block()
    play.says("250 ok")
    play.ends()
    play.says(final)
    assert str(play.result.final) == final
    assert play.result.final_dot_sent
    assert play.starts().startswith("RSET\r\n")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_421_to_a_chunk_ends_the_session_without_doubt(before):
    play = Chunked.ready(*PIPELINED).at_body()
    for _ in range(3):
        play.block()
    play.says(*["250 ok"] * before, "421 4.3.2 closing", "250 ok")
    assert (play.lost.phase, play.lost.cause, play.lost.reply.code) == (Phase.BDAT, Cause.CLOSING, 421)
    assert (play.result.final.code, play.result.final_dot_sent) == (421, False)
    assert play.result.lost == play.lost


@pytest.mark.parametrize("reply", ["354 go on", "250 ok", "220 hi", "nonsense"])
def test_reply_out_of_place_among_chunks_ends_the_session(reply):
    play = Chunked.ready(*PIPELINED).at_body()
    if reply == "354 go on":
        play.block()
    play.says(reply)
    assert play.lost.cause is Cause.PROTOCOL
    assert play.result.final is None
    assert not play.result.final_dot_sent


def test_3yz_to_the_last_chunk_leaves_the_message_in_doubt():
    play = Chunked.ready(*PIPELINED).at_body()
    play.ends()
    play.says("354 go on")
    assert play.lost.cause is Cause.PROTOCOL
    assert (play.result.final, play.result.final_dot_sent) == (None, True)


def test_final_chunk_kept_back_leaves_no_doubt():
    play = Chunked.ready(*PIPELINED).at_body()
    play.block()
    play.says("250 ok")
    play.act(play.client.give_up(Cause.WITHHELD, "no heartbeat"))
    assert play.take() == ""
    assert (play.result.final_dot_sent, play.result.lost.phase) == (False, Phase.BODY)


# --- a connection lost anywhere ---------------------------------------------------------------

SERVED = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 one\r\n250-two\r\n250 two\r\n250 2.0.0 queued\r\n"
TURNS = SERVED.splitlines(keepends=True)


@given(st.sampled_from([PIPELINED, STEPWISE]), st.lists(st.integers(0, len(SERVED)), max_size=6))
def test_replies_in_pieces_of_any_size_give_the_same_result(extensions, cuts):
    bounds = [0, *sorted(cuts), len(SERVED)]
    whole = play_through(extensions, TURNS)
    split = play_through(extensions, TURNS, bounds)
    assert split.events == whole.events
    assert whole.result.final.code == 250


def play_through(extensions, lines: list[bytes], bounds=()) -> Chunked:
    """Let the server say its lines, cut at `bounds` too, and send two blocks as soon as that may be."""
    play = Chunked.ready(*extensions)
    play.starts()
    blocks, at = 2, 0
    for line in lines:
        cuts = [0, *(bound - at for bound in bounds if 0 < bound - at < len(line)), len(line)]
        at += len(line)
        for start, end in pairwise(cuts):
            play.gets(line[start:end])
        while blocks and play.client.takes_block:
            play.block()
            blocks -= 1
        if not blocks and play.client.takes_end:
            play.ends()
    return play


@pytest.mark.parametrize("octets", range(len(SERVED) + 1))
def test_connection_lost_at_every_octet_leaves_facts_that_agree(extensions, octets):
    play = play_through(extensions, SERVED[:octets].splitlines(keepends=True))
    play.eof()
    result = play.result
    assert result.final_dot_sent == (b"LAST" in play.sent) == (octets >= SERVED.index(b"250 2.0.0"))
    assert (result.final is not None) == (octets == len(SERVED))
    assert (result.lost is None) == (octets == len(SERVED))
    assert result.lost is None or result.lost.cause is Cause.CLOSED


@given(
    st.lists(
        st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"421 x\r\n", b"2", b"\r\n"]),
        max_size=9,
    )
)
def test_no_server_makes_us_believe_that_a_message_went_that_did_not(replies):
    play = play_through(PIPELINED, replies)
    play.eof()
    assert [type(event) for event in play.events].count(TransactionDone) == 1
    assert play.result.final_dot_sent == (b"LAST" in play.sent)
    if play.result.final is not None and play.result.final.positive:
        assert play.result.final_dot_sent
        assert play.result.rcpt[0].positive

"""One transaction after the other, with servers that pipeline and servers that do not."""

import pytest
from support.smtp_play import CONTENT, PIPELINING, Play, envelope, hello

from mailqueue.mail.smtp import BodyWanted, Cause, Phase, TransactionDone

STUFFED = "Subject: hello\r\n\r\n..a dot\r\nand no line end\r\n.\r\n"


def codes_of(result) -> tuple[int | None, ...]:
    """Codes of MAIL, each RCPT, DATA, final."""
    replies = (result.mail, *result.rcpt, result.data, result.final)
    return tuple(reply.code if reply is not None else None for reply in replies)


def test_pipelining_server_gets_the_envelope_in_one_piece():
    play = Play.ready(*PIPELINING)
    assert play.starts("b@x.example", "c@x.example", eight_bit=True) == (
        f"MAIL FROM:<a@sender.example> SIZE={len(CONTENT)} BODY=8BITMIME\r\n"
        "RCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"
    )
    assert play.client.phase is Phase.MAIL
    assert play.says("250 2.1.0 ok", "250 2.1.5 ok") == ""
    assert play.client.phase is Phase.RCPT
    assert play.says("250 2.1.5 ok", "354 go on") == STUFFED
    assert play.client.phase is Phase.FINAL
    play.says("250 2.0.0 queued as 1")
    assert [type(event) for event in play.events] == [BodyWanted, TransactionDone]
    assert codes_of(play.result) == (250, 250, 250, 354, 250)
    assert str(play.result.final) == "250 2.0.0 queued as 1"
    assert play.result.final_dot_sent
    assert play.result.content_octets == len(CONTENT)
    assert play.result.lost is None
    assert play.result.lacks is None
    assert play.client.usable


def test_other_server_gets_one_command_at_a_time():
    play = Play.ready()
    assert play.starts("b@x.example", "c@x.example") == "MAIL FROM:<a@sender.example>\r\n"
    assert play.says("250 ok") == "RCPT TO:<b@x.example>\r\n"
    assert play.says("550 no") == "RCPT TO:<c@x.example>\r\n"
    assert play.says("251 will forward") == "DATA\r\n"
    assert play.client.phase is Phase.DATA
    assert play.says("354 go on") == STUFFED
    play.says("250 taken")
    assert codes_of(play.result) == (250, 550, 251, 354, 250)


def test_session_serves_many_transactions():
    play = Play.ready(*PIPELINING)
    for _ in range(5):
        assert play.starts().startswith("MAIL ")
        play.says("250 ok", "250 ok", "354 go")
        play.says("250 ok")
    assert [codes_of(result) for result in play.results] == [(250, 250, 354, 250)] * 5


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        pytest.param(
            ["450 4.2.1 later", "503 what", "503 what", "503 what"], (450, 503, 503, 503, None), id="sender"
        ),
        pytest.param(
            ["550 5.7.1 no", "250 ok", "250 ok", "554 none"], (550, 250, 250, 554, None), id="sender, rcpt ok"
        ),
        pytest.param(
            ["250 ok", "550 5.1.1 who", "451 4.7.1 later", "503 none"],
            (250, 550, 451, 503, None),
            id="all recipients",
        ),
        pytest.param(["250 ok", "250 ok", "250 ok", "451 full"], (250, 250, 250, 451, None), id="data"),
    ],
)
def test_early_error_in_a_pipelined_group_is_told_and_the_session_goes_on(replies, expected):
    play = Play.ready(*PIPELINING)
    play.starts("b@x.example", "c@x.example")
    assert play.says(*replies) == ""
    assert codes_of(play.result) == expected
    assert not play.result.final_dot_sent
    assert play.result.lost is None
    assert play.client.usable


def test_transaction_left_in_the_middle_is_reset_before_the_next():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "550 no", "554 no valid recipients")
    said = play.starts("c@x.example")
    assert said.startswith("RSET\r\nMAIL FROM:")
    assert play.client.phase is Phase.RSET
    play.says("250 reset", "250 ok", "250 ok", "354 go")
    play.says("250 taken")
    assert codes_of(play.results[1]) == (250, 250, 354, 250)
    assert play.starts().startswith("MAIL FROM:"), "nothing is left to reset"


def test_reset_comes_first_without_pipelining_too():
    play = Play.ready()
    play.starts()
    play.says("250 ok")
    play.says("550 no")
    assert codes_of(play.result) == (250, 550, None, None), "without recipients DATA is not said"
    assert play.starts() == "RSET\r\n"
    assert play.says("250 reset").startswith("MAIL FROM:")


def test_refused_sender_leaves_nothing_to_reset():
    play = Play.ready()
    play.starts()
    play.says("550 no")
    assert codes_of(play.result) == (550, None, None, None)
    assert play.starts().startswith("MAIL FROM:")


def test_refused_reset_ends_the_session_before_the_message_is_named():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "550 no", "554 no")
    play.starts()
    play.says("500 what")
    assert (play.lost.phase, play.lost.cause) == (Phase.RSET, Cause.PROTOCOL)
    assert codes_of(play.results[1]) == (None, None, None, None)


@pytest.mark.parametrize("final", ["250 ok", "554 5.5.1 no valid recipients", "451 hm"])
@pytest.mark.parametrize("mail", ["250 ok", "550 no"])
def test_data_taken_though_all_recipients_were_refused_gets_the_lone_dot(mail, final):
    """RFC 2920 3.1: the client must then send a single dot."""
    play = Play.ready(*PIPELINING)
    play.starts("b@x.example", "c@x.example")
    assert play.says(mail, "550 no", "452 too many", "354 go on") == ".\r\n"
    assert not play.results
    play.says(final)
    assert codes_of(play.result) == (int(mail[:3]), 550, 452, 354, None), "it answers no message"
    assert not play.result.final_dot_sent
    assert play.client.usable
    assert play.starts().startswith("MAIL FROM:"), "the server has ended the transaction itself"


def test_data_taken_though_the_sender_was_refused_gets_no_content():
    play = Play.ready(*PIPELINING)
    play.starts()
    assert play.says("550 no", "250 ok", "354 go on") == ".\r\n"
    play.says("250 thanks for nothing")
    assert not play.result.final_dot_sent
    assert play.result.final is None


def test_too_many_recipients_are_told_apart():
    play = Play.ready(*PIPELINING)
    play.starts(*(f"r{n}@x.example" for n in range(5)))
    play.says("250 ok", "250 ok", "550 5.1.1 who", "250 ok", "452 4.5.3 too many", "552 too many", "354 go")
    play.says("250 taken")
    assert codes_of(play.result) == (250, 250, 550, 250, 452, 552, 354, 250)
    rest = play.starts("r3@x.example", "r4@x.example")
    assert rest.startswith("MAIL FROM:"), "the rest follows without a new connection"


@pytest.mark.parametrize(
    ("before", "phase"),
    [
        ([], Phase.MAIL),
        (["250 ok"], Phase.RCPT),
        (["250 ok", "250 ok"], Phase.RCPT),
        (["250 ok", "250 ok", "550 no"], Phase.DATA),
        (["250 ok", "250 ok", "550 no", "354 go"], Phase.FINAL),
    ],
)
@pytest.mark.parametrize("extensions", [PIPELINING, ()])
def test_421_at_any_point_ends_the_session_and_is_kept_where_it_was_said(extensions, before, phase):
    play = Play.ready(*extensions)
    play.starts("b@x.example", "c@x.example")
    for line in before:
        play.says(line)
    play.gets(b"421 4.3.2 shutting down\r\n250 and more\r\nnonsense")
    assert (play.lost.phase, play.lost.cause, play.lost.reply.code) == (phase, Cause.CLOSING, 421)
    assert play.result.lost == play.lost
    said = [code for code in codes_of(play.result) if code is not None]
    assert said == [*(int(line[:3]) for line in before), 421]
    assert play.result.final_dot_sent is (phase is Phase.FINAL)


@pytest.mark.parametrize(
    ("replies", "phase"),
    [
        (["354 go"], Phase.MAIL),
        (["250 ok", "354 go"], Phase.RCPT),
        (["250 ok", "250 ok", "250 ok"], Phase.DATA),
        (["250 ok", "250 ok", "250 ok", "354 go"], Phase.DATA),
        (["250 ok", "250 ok", "221 bye"], Phase.DATA),
    ],
)
def test_answers_out_of_step_end_the_session(replies, phase):
    """One reply too many or too few, and no recipient's answer can be believed any more."""
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says(*replies)
    assert (play.lost.phase, play.lost.cause) == (phase, Cause.PROTOCOL)
    assert not play.result.final_dot_sent
    assert b"Subject" not in play.sent


@pytest.mark.parametrize("extra", ["250 queued already", "354 go on", "220 hi"])
def test_reply_before_the_content_is_an_answer_to_nothing(extra):
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "250 ok", "354 go", extra)
    assert play.lost.cause is Cause.PROTOCOL
    assert play.result.final is None


def test_3yz_to_the_final_dot_leaves_the_message_in_doubt():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "250 ok", "354 go")
    play.says("354 go on")
    assert play.lost.cause is Cause.PROTOCOL
    assert play.result.final is None
    assert play.result.final_dot_sent


def test_reply_too_many_after_the_final_one_spares_the_message():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "250 ok", "354 go")
    play.says("250 taken", "250 taken twice")
    assert codes_of(play.result) == (250, 250, 354, 250)
    assert play.result.lost is None
    assert (play.lost.phase, play.lost.cause) == (Phase.IDLE, Cause.PROTOCOL)


def test_refusal_in_the_middle_of_the_content_is_kept():
    play = Play.ready(*PIPELINING)
    client = play.client
    play.starts()
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.phase is Phase.BODY
    client.send_body(CONTENT)
    play.take()
    play.says("552 5.3.4 too much")
    assert play.result.final.code == 552
    assert not play.result.final_dot_sent
    assert play.result.content_octets == len(CONTENT)
    assert (play.lost.phase, play.lost.cause) == (Phase.BODY, Cause.PROTOCOL)
    with pytest.raises(RuntimeError):
        client.send_body(b"more")


def test_421_in_the_middle_of_the_content_is_no_answer_to_it():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.says("421 bye")
    assert play.result.final is None
    assert (play.lost.phase, play.lost.cause, play.lost.reply.code) == (Phase.BODY, Cause.CLOSING, 421)


def test_giving_up_before_the_final_dot_leaves_no_doubt():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.client.send_body(CONTENT)
    play.act(play.client.give_up(Cause.WITHHELD, "no heartbeat"))
    assert play.take() == "", "what was not sent yet is not sent any more"
    assert not play.result.final_dot_sent
    assert play.result.lost.cause is Cause.WITHHELD


def test_timeout_after_the_final_dot_leaves_doubt():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.says("250 ok", "250 ok", "354 go")
    play.act(play.client.give_up(Cause.TIMEOUT, "no reply within 600 s"))
    assert play.result.final_dot_sent
    assert play.result.final is None
    assert (play.result.lost.phase, play.result.lost.cause) == (Phase.FINAL, Cause.TIMEOUT)


def test_driver_errors_are_named():
    play = Play.ready(*PIPELINING)
    for call in (play.client.end_body, lambda: play.client.send_body(b"x")):
        with pytest.raises(RuntimeError, match="content"):
            call()
    play.starts()
    with pytest.raises(RuntimeError, match="transaction"):
        play.client.start(envelope())
    with pytest.raises(RuntimeError, match="QUIT"):
        play.client.quit()
    fresh = Play()
    with pytest.raises(RuntimeError):
        fresh.client.start(envelope())
    fresh.says("220 hi")
    fresh.says(*hello([]))
    fresh.client.start(envelope())

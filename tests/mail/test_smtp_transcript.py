"""The transcript of a failure: commands and replies, never the content, never too much."""

from support.smtp_play import PIPELINING, Play, hello

from mailqueue.mail.smtp import MAX_TRANSCRIPT, Cause


def test_transcript_has_commands_and_replies_of_the_transaction_and_no_content():
    play = Play.ready(*PIPELINING, content=b"Subject: secret\r\n")
    play.starts("b@x.example", size=17)
    play.says("250 2.1.0 ok", "250-2.1.5 ok", "250 2.1.5 fine", "354 go")
    play.says("554 5.7.1 no")
    assert play.client.transcript().split("\n") == [
        "C: MAIL FROM:<a@sender.example> SIZE=17",
        "C: RCPT TO:<b@x.example>",
        "C: DATA",
        "S: 250 2.1.0 ok",
        "S: 250-2.1.5 ok",
        "S: 250 2.1.5 fine",
        "S: 354 go",
        "[content: 17 octets, and the final dot]",
        "S: 554 5.7.1 no",
    ]
    play.starts()
    assert "554" not in play.client.transcript(), "each transaction has its own"


def test_transcript_of_a_session_that_failed_begins_at_the_greeting():
    play = Play(starttls=True)
    play.says("220 hi\0")
    play.says(*hello(["STARTTLS"]))
    play.says("454 no")
    assert play.client.transcript().split("\n") == [
        "S: 220 hi\\x00",
        "C: EHLO client.example",
        "S: 250-server.example",
        "S: 250 STARTTLS",
        "C: STARTTLS",
        "S: 454 no",
        "[the server refused (at starttls)]",
    ]


def test_transcript_says_how_far_the_content_went():
    play = Play.ready(*PIPELINING)
    play.starts()
    play.client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    play.client.send_body(b"12345")
    play.act(play.client.give_up(Cause.ABORTED, "stopped"))
    assert play.client.transcript().split("\n")[-2:] == ["[content: 5 octets]", "[stopped (at body)]"]


def test_long_transcript_keeps_its_beginning_and_its_end():
    play = Play.ready(*PIPELINING)
    play.starts(*(f"recipient-{n}@x.example" for n in range(1000)))
    play.says("250 ok", *(["550 no such user"] * 999), "250 €" + "é" * 30_000, "421 enough")
    text = play.client.transcript()
    assert len(text.encode()) <= MAX_TRANSCRIPT
    assert text.startswith("C: MAIL FROM:")
    assert text.endswith("S: 421 enough\n[the server closes the connection (at data)]")
    assert "lines left out]" in text

"""How a session begins and ends: greeting, EHLO, HELO, STARTTLS, QUIT."""

import pytest
from support.smtp_play import PIPELINING, Play, hello

from mailqueue.mail.smtp import Capabilities, Cause, Client, Phase, Ready, TlsWanted


def test_session_stands_after_greeting_and_ehlo():
    play = Play()
    assert play.client.phase is Phase.GREETING
    assert play.says("220-server.example ESMTP", "220 no spam") == "EHLO client.example\r\n"
    assert play.client.phase is Phase.EHLO
    assert not play.client.usable
    assert play.says(*hello(PIPELINING)) == ""
    assert play.events == [Ready()]
    assert play.client.phase is Phase.IDLE
    assert play.client.usable
    assert play.client.capabilities == Capabilities(
        pipelining=True, size=0, eight_bit=True, enhanced=True, smtputf8=False, dsn=False, starttls=False
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["server.example"], Capabilities()),
        (["PIPELINING"], Capabilities()),  # the first line is a greeting
        (
            ["x", "pipelining", "Size 1000", "SmtpUtf8"],
            Capabilities(pipelining=True, size=1000, smtputf8=True),
        ),
        (["x", "SIZE"], Capabilities(size=0)),
        (["x", "SIZE 10MB", "DSN"], Capabilities(size=0, dsn=True)),
        (["x", "SIZE " + "9" * 5000], Capabilities(size=0)),
        (["x", "SIZE ٣"], Capabilities(size=0)),
        (["x", "SIZE 5", "SIZE 7"], Capabilities(size=5)),
        (["x", "STARTTLS", "", " 8BITMIME "], Capabilities(starttls=True, eight_bit=True)),
        (["x", "PIPELININGS", "XDSN", "AUTH=LOGIN"], Capabilities()),
    ],
)
def test_capabilities_are_read_as_servers_write_them(lines, expected):
    assert Capabilities.from_lines(lines) == expected


@pytest.mark.parametrize("refusal", ["500 what?", "501 no", "502 5.5.1 not here", "550 no EHLO", "554 no"])
def test_server_that_refuses_ehlo_is_asked_with_helo(refusal):
    play = Play()
    play.says("220 old")
    assert play.says(refusal) == "HELO client.example\r\n"
    assert play.client.phase is Phase.HELO
    play.says("250 old")
    assert play.is_ready
    assert play.client.capabilities == Capabilities()


@pytest.mark.parametrize("greeting", ["450 later", "554 no service here", "554-no", "521 no mail"])
def test_refusing_greeting_ends_the_session_with_the_reply_and_quit(greeting):
    play = Play()
    said = play.says(greeting) or play.says("554 really")
    assert said == "QUIT\r\n"
    assert play.lost.phase is Phase.GREETING
    assert play.lost.cause is Cause.REFUSED
    assert play.lost.reply.code == int(greeting[:3])


@pytest.mark.parametrize(
    ("lines", "phase", "cause"),
    [
        (["220 hi", "450 wait"], Phase.EHLO, Cause.REFUSED),
        (["220 hi", "521 5.3.2 no mail here"], Phase.EHLO, Cause.REFUSED),
        (["220 hi", "500 what", "550 go away"], Phase.HELO, Cause.REFUSED),
        (["220 hi", "354 go on"], Phase.EHLO, Cause.PROTOCOL),
        (["354 go on"], Phase.GREETING, Cause.PROTOCOL),
        (["421 too busy"], Phase.GREETING, Cause.CLOSING),
        (["220 hi", "421 too busy"], Phase.EHLO, Cause.CLOSING),
        (["220 hi", "502 what", "421 too busy"], Phase.HELO, Cause.CLOSING),
    ],
)
def test_session_that_does_not_come_to_stand_says_where_and_why(lines, phase, cause):
    play = Play()
    for line in lines:
        play.says(line)
    assert not play.is_ready
    assert (play.lost.phase, play.lost.cause) == (phase, cause)
    assert play.lost.reply.code == int(lines[-1][:3])
    assert str(play.lost.reply) in str(play.lost)


def test_starttls_is_taken_up_and_capabilities_are_asked_again():
    play = Play(starttls=True)
    play.says("220 hi")
    assert play.says(*hello([*PIPELINING, "STARTTLS"])) == "STARTTLS\r\n"
    assert play.client.phase is Phase.STARTTLS
    assert not play.is_ready
    assert play.says("220 2.0.0 go ahead") == ""
    assert play.events == [TlsWanted()]
    assert play.client.phase is Phase.TLS
    assert play.client.capabilities == Capabilities(), "what was offered in the clear is forgotten"
    play.client.tls_established()
    assert play.take() == "EHLO client.example\r\n"
    play.says(*hello(["SIZE 99", "STARTTLS"]))
    assert play.is_ready
    assert play.client.encrypted
    assert play.client.capabilities == Capabilities(size=99, starttls=True), "no second STARTTLS"


def test_starttls_is_left_alone_when_not_wanted():
    play = Play.ready("STARTTLS")
    assert play.client.usable
    assert b"STARTTLS" not in play.sent


def test_starttls_refused_ends_the_session_at_starttls():
    play = Play(starttls=True)
    play.says("220 hi")
    play.says(*hello(["STARTTLS"]))
    assert play.says("454 4.7.0 TLS not available") == "QUIT\r\n"
    assert (play.lost.phase, play.lost.cause, play.lost.reply.code) == (Phase.STARTTLS, Cause.REFUSED, 454)


@pytest.mark.parametrize("injected", [b"250 evil\r\n", b"2", b"\r\n", b"\0", b"250-evil\r\n250 SIZE 1\r\n"])
@pytest.mark.parametrize("at_once", [True, False])
def test_plaintext_injected_behind_starttls_ends_the_session(injected, at_once):
    """CVE-2011-0411: what comes in the clear after the go-ahead must not be read as said under TLS."""
    play = Play(starttls=True)
    play.says("220 hi")
    play.says(*hello(["STARTTLS"]))
    if at_once:
        play.gets(b"220 go\r\n" + injected)
    else:
        play.gets(b"220 go\r\n")
        play.gets(injected)
    assert (play.lost.phase, play.lost.cause) == (Phase.TLS, Cause.PROTOCOL)
    with pytest.raises(RuntimeError):
        play.client.tls_established()


def test_handshake_out_of_turn_is_an_error_of_the_driver():
    with pytest.raises(RuntimeError, match="handshake"):
        Play.ready().client.tls_established()


def test_reply_before_its_command_ends_the_session():
    """A server that answers what it has not heard is out of step, or somebody else."""
    play = Play()
    play.says("220 hi", "250 server.example")
    assert not play.is_ready
    assert (play.lost.phase, play.lost.cause) == (Phase.EHLO, Cause.PROTOCOL)
    play = Play()
    play.gets(b"220 hi\r\n2")
    assert (play.lost.phase, play.lost.cause) == (Phase.EHLO, Cause.PROTOCOL)


def test_quit_ends_in_peace():
    for answer in ["221 bye", "250 bye", "421 bye", "500 what"]:
        play = Play.ready()
        play.client.quit()
        assert play.take() == "QUIT\r\n"
        assert play.client.phase is Phase.QUIT
        play.says(answer)
        assert play.lost is None
    play = Play.ready()
    play.client.quit()
    play.eof()
    assert play.lost is None


def test_idle_server_that_says_421_or_closes_makes_the_session_unusable():
    play = Play.ready()
    play.says("421 4.4.2 idle too long")
    assert (play.lost.phase, play.lost.cause, play.lost.reply.code) == (Phase.IDLE, Cause.CLOSING, 421)
    play = Play.ready()
    play.eof()
    assert (play.lost.phase, play.lost.cause) == (Phase.IDLE, Cause.CLOSED)


def test_idle_server_that_speaks_makes_the_session_unusable():
    play = Play.ready()
    play.says("250 surprise")
    assert (play.lost.phase, play.lost.cause) == (Phase.IDLE, Cause.PROTOCOL)
    play = Play.ready()
    play.gets(b"42")
    assert not play.ended
    assert not play.client.usable
    with pytest.raises(RuntimeError):
        play.starts()


def test_after_the_end_nothing_more_happens():
    play = Play()
    play.says("421 bye")
    told = list(play.events)
    assert play.says("220 hello again", "250 x", "garbage") == ""
    play.eof()
    play.act(play.client.give_up(Cause.ABORTED, "again"))
    assert play.events == told
    with pytest.raises(RuntimeError):
        play.client.quit()


@pytest.mark.parametrize("name", ["", "a b", "a\r\nMAIL FROM:<>", "bücher.example", "a\0"])
def test_our_own_name_must_fit_in_a_command(name):
    with pytest.raises(ValueError, match="EHLO"):
        Client(name, starttls=False)

"""AUTH in the SMTP machine: which mechanism, what is said, and what is never shown (RFC 4954)."""

import itertools
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_play import PIPELINING, Play, hello

from mailqueue.mail.sasl import Credentials, Mechanism
from mailqueue.mail.smtp import Capabilities, Cause, Client, Login, Phase, Ready, TlsWanted

USER, SECRET = "user@sender.example", "pencil-pencil"
PLAIN = b64encode(f"\0{USER}\0{SECRET}".encode()).decode()
CHALLENGE = b64encode(b"<1896.697170952@postoffice.example>").decode()
EVERYTHING = "AUTH LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256"


def login(mechanism: str | None = None, *, clear: bool = False, password: str = SECRET) -> Login:
    return Login(
        credentials=Credentials(username=USER, password=password),
        nonce="rOprNGfwEbeRWgbNEkqO",
        mechanism=None if mechanism is None else Mechanism(mechanism),
        clear=clear,
    )


def under_tls(*extensions: str, mechanism: str | None = None, password: str = SECRET) -> Play:
    """Return a play under TLS from the first octet, up to the first command after EHLO."""
    play = Play()
    play.client = Client(
        "client.example", starttls=False, tls_first=True, login=login(mechanism, password=password)
    )
    play.client.tls_established()
    play.says("220 hello")
    play.sent = b""
    play.says(*hello((*PIPELINING, *extensions)))
    return play


def said(play: Play) -> list[str]:
    return play.sent.decode().splitlines()


def assert_nothing_shown(play: Play) -> None:
    secrets = {SECRET, b64encode(SECRET.encode()).decode(), PLAIN, CHALLENGE}
    shown = play.client.transcript() + (repr(play.lost) + str(play.lost) if play.ended else "")
    assert [secret for secret in secrets if secret in shown] == []


def test_plain_goes_with_the_command_and_the_session_stands():
    play = under_tls("AUTH PLAIN LOGIN")
    assert said(play) == [f"AUTH PLAIN {PLAIN}"]
    assert play.client.phase is Phase.AUTH
    assert not play.is_ready
    assert not play.client.usable
    assert play.says("235 2.7.0 welcome") == ""
    assert play.events == [Ready()]
    assert play.client.usable
    assert play.client.capabilities.auth == ("PLAIN", "LOGIN")
    assert play.client.transcript().splitlines()[-2:] == ["C: AUTH PLAIN ***", "S: 235 2.7.0 welcome"]
    assert_nothing_shown(play)
    assert play.starts().startswith("MAIL FROM:<a@sender.example>")


def test_login_answers_two_questions():
    play = under_tls("AUTH LOGIN")
    assert said(play) == ["AUTH LOGIN"]
    assert play.says("334 VXNlcm5hbWU6") == b64encode(USER.encode()).decode() + "\r\n"
    assert play.says("334 UGFzc3dvcmQ6") == b64encode(SECRET.encode()).decode() + "\r\n"
    play.says("235 2.7.0 welcome")
    assert play.is_ready
    assert play.client.transcript().splitlines()[-6:] == [
        "C: AUTH LOGIN",
        "S: 334 ***",
        "C: ***",
        "S: 334 ***",
        "C: ***",
        "S: 235 2.7.0 welcome",
    ]
    assert_nothing_shown(play)


def test_cram_md5_answers_the_challenge():
    play = under_tls("AUTH PLAIN CRAM-MD5")
    assert said(play) == ["AUTH CRAM-MD5"]
    play.says(f"334 {CHALLENGE}")
    play.says("235 2.7.0 welcome")
    assert play.is_ready
    assert_nothing_shown(play)


def test_best_mechanism_is_taken():
    play = under_tls(EVERYTHING)
    bare = b64encode(f"n,,n={USER},r=rOprNGfwEbeRWgbNEkqO".encode()).decode()
    assert said(play) == [f"AUTH SCRAM-SHA-256 {bare}"]


def test_mechanism_that_was_asked_for_is_taken():
    assert said(under_tls(EVERYTHING, mechanism="LOGIN")) == ["AUTH LOGIN"]


def test_long_response_waits_to_be_asked_for():
    secret = "x" * 500
    play = under_tls("AUTH PLAIN", password=secret)
    assert said(play) == ["AUTH PLAIN"]
    assert play.says("334 ") == b64encode(f"\0{USER}\0{secret}".encode()).decode() + "\r\n"
    play.says("235 ok")
    assert play.is_ready


@pytest.mark.parametrize(
    "refusal", ["535 5.7.8 no", "534 5.7.9 weak", "454 4.7.0 later", "538 5.7.11 tls", "550 no", "500 what"]
)
def test_refused_password_ends_the_session_and_the_reply_is_kept(refusal):
    play = under_tls("AUTH PLAIN")
    assert play.says(refusal) == "QUIT\r\n"
    lost = play.lost
    assert (lost.phase, lost.cause, lost.reply.to_wire()) == (Phase.AUTH, Cause.AUTH, refusal)
    assert lost.reason == "the server refused authentication by PLAIN"
    assert not play.is_ready
    assert_nothing_shown(play)


def test_server_that_repeats_the_password_does_not_bring_it_into_the_history():
    for echo in (PLAIN, SECRET, b64encode(SECRET.encode()).decode()):
        play = under_tls("AUTH PLAIN")
        play.says(f"501-5.5.2 cannot read {echo}", f"501 5.5.2 in {echo}!")
        assert play.lost.reply.lines == ("cannot read ***", "5.5.2 in ***!")
        assert_nothing_shown(play)


@pytest.mark.parametrize("extensions", [(), ("AUTH",), ("AUTH GSSAPI",), ("AUTH=PLAIN",)])
def test_server_without_a_mechanism_of_ours_gets_no_mail(extensions):
    play = under_tls(*extensions)
    assert said(play) == ["QUIT"]
    assert (play.lost.phase, play.lost.cause, play.lost.reply) == (Phase.AUTH, Cause.AUTH, None)
    assert "the server offers" in play.lost.reason


def test_server_that_knows_no_ehlo_gets_no_mail():
    play = Play()
    play.client = Client("client.example", starttls=False, login=login())
    play.says("220 old")
    play.says("500 what")
    assert play.says("250 old") == "QUIT\r\n"
    assert play.lost.cause is Cause.AUTH


def in_the_clear(login: Login, *extensions: str) -> Play:
    play = Play()
    play.client = Client("client.example", starttls=False, login=login)
    play.says("220 hello")
    play.sent = b""
    play.says(*hello(extensions))
    return play


def test_password_is_not_told_in_the_clear():
    for mechanism in (None, "PLAIN", "LOGIN"):
        play = in_the_clear(login(mechanism), "AUTH PLAIN LOGIN")
        assert said(play) == ["QUIT"]
        assert "not told in the clear" in play.lost.reason
    play = in_the_clear(login(clear=True), "AUTH PLAIN LOGIN")  # nobody said this very mechanism
    assert said(play) == ["QUIT"]
    assert said(in_the_clear(login("PLAIN", clear=True), "AUTH PLAIN")) == [f"AUTH PLAIN {PLAIN}"]
    assert said(in_the_clear(login(), "AUTH CRAM-MD5")) == ["AUTH CRAM-MD5"]


def test_mechanisms_offered_before_starttls_count_for_nothing():
    play = Play()
    play.client = Client("client.example", starttls=True, must_encrypt=True, login=login())
    play.says("220 hello")
    assert play.says(*hello(["STARTTLS", "AUTH PLAIN"])) == "STARTTLS\r\n"
    play.says("220 go")
    assert play.events == [TlsWanted()]
    play.client.tls_established()
    assert play.take() == "EHLO client.example\r\n"
    assert play.client.capabilities == Capabilities()
    assert play.says(*hello(["AUTH LOGIN"])) == "AUTH LOGIN\r\n"


@pytest.mark.parametrize("answers", [hello([]), hello(["AUTH PLAIN"]), ["500 what", "250 old"]])
def test_where_tls_is_required_a_server_without_starttls_gets_nothing(answers):
    play = Play()
    play.client = Client("client.example", starttls=True, must_encrypt=True, login=login())
    play.says("220 hello")
    if answers[0].startswith("500"):
        play.says(answers[0])
        assert play.says(answers[1]) == "QUIT\r\n"
    else:
        assert play.says(*answers) == "QUIT\r\n"
    assert (play.lost.phase, play.lost.cause) == (Phase.STARTTLS, Cause.TLS)
    assert play.lost.reason == "the server offers no STARTTLS, and TLS is required"
    assert b"AUTH" not in play.sent


def test_server_that_greets_in_the_clear_where_tls_comes_first_gets_nothing():
    play = Play()
    play.client = Client("client.example", starttls=False, tls_first=True)
    assert play.client.phase is Phase.TLS
    assert play.says("220 hello") == ""
    assert (play.lost.phase, play.lost.cause) == (Phase.TLS, Cause.TLS)


def test_challenge_that_is_none_is_broken_off_with_an_asterisk():
    for challenge in ("334 not base64!", "334 YQ", "334 YQ==\xff"):
        play = under_tls("AUTH LOGIN")
        assert play.gets(challenge.encode("latin-1") + b"\r\n") == "*\r\n"
        assert play.says("501 5.7.0 broken off") == "QUIT\r\n"
        assert (play.lost.cause, play.lost.reply) == (Cause.AUTH, None)
        assert play.lost.reason == (
            "authentication by LOGIN: the server's challenge is not base64 (RFC 4954 4)"
        )


@pytest.mark.parametrize("then", ["235 welcome all the same", "334 ", "501 ok", "454 later"])
def test_exchange_that_we_broke_off_never_becomes_a_session(then):
    play = under_tls("AUTH PLAIN")
    assert play.says("334 ") == "*\r\n"
    sent = play.says(then)
    if then == "334 ":
        assert sent == "*\r\n"
        play.says("501 ok")
    assert play.lost.cause is Cause.AUTH
    assert not play.is_ready


def test_success_before_the_server_proved_itself_is_none():
    play = under_tls("AUTH SCRAM-SHA-256")
    assert play.says("235 2.7.0 come in") == "QUIT\r\n"
    assert play.lost.cause is Cause.AUTH
    assert "without proof" in play.lost.reason


def test_421_within_auth_ends_as_everywhere():
    play = under_tls("AUTH PLAIN")
    play.says("421 4.3.2 too many of you")
    assert (play.lost.phase, play.lost.cause) == (Phase.AUTH, Cause.CLOSING)


def test_connection_may_be_lost_at_every_octet_of_auth():
    whole = b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 no\r\n"
    for cut in range(len(whole)):
        play = under_tls("AUTH LOGIN")
        for octet in itertools.islice(whole, cut):
            play.gets(bytes([octet]))
        play.eof()
        assert (play.lost.cause, play.lost.phase) == (Cause.CLOSED, Phase.AUTH)
        assert_nothing_shown(play)


def test_replies_that_run_ahead_of_auth_end_the_session():
    play = under_tls("AUTH LOGIN")
    play.says("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 in")
    assert play.lost.cause is Cause.PROTOCOL
    assert SECRET not in play.sent.decode()
    assert_nothing_shown(play)


REPLIES = (
    "220 go on",
    "250 fine",
    "250-server.example\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN",
    "250-server.example\r\n250 AUTH PLAIN LOGIN CRAM-MD5",
    "334 ",
    "334 UGFzc3dvcmQ6",
    "235 welcome",
    "354 go on",
    "454 not now",
    "500 what",
    "535 no",
)


@given(
    st.lists(st.sampled_from(REPLIES), max_size=8), st.sampled_from(["PLAIN", "LOGIN", None]), st.booleans()
)
def test_whatever_a_server_says_the_password_is_not_told_before_tls(replies, mechanism, must):
    play = Play()
    play.client = Client("client.example", starttls=True, must_encrypt=must, login=login(mechanism))
    for reply in replies:
        play.says(reply)
    told = play.sent.decode()
    assert PLAIN not in told
    assert b64encode(SECRET.encode()).decode() not in told
    assert not (must and play.is_ready)


@given(st.lists(st.sampled_from([*REPLIES, f"334 {CHALLENGE}", "334 cj0xLHM9MSxpPTE="]), max_size=6))
def test_whatever_a_server_says_it_gets_no_mail_without_its_proof_where_scram_was_taken(replies):
    play = under_tls("AUTH SCRAM-SHA-256")
    for reply in replies:
        play.says(reply)
    assert not play.is_ready
    assert_nothing_shown(play)


def test_password_is_in_no_repr_of_a_login():
    assert SECRET not in repr(login())

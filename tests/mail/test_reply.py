"""Replies: nothing a server said is lost, and nothing it said can do harm where it is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.errors import ParseError
from mailqueue.mail.codes import BAD_MAILBOX, POLICY, EnhancedCode
from mailqueue.mail.reply import Reply, decode_line

CODES = st.integers(200, 599)
OCTETS = st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
SAID = st.one_of(
    OCTETS,
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace").replace(b"\n", b"")),
    st.builds(
        "{}.{}.{}{}".format,
        st.integers(1, 6),
        st.integers(0, 1000),
        st.integers(0, 9),
        st.sampled_from(["", " ", "\t", " x", "  "]),
    ).map(str.encode),
)


def test_enhanced_code_is_taken_from_the_first_line():
    reply = Reply.from_lines(550, [b"5.1.1 no such user"])
    assert reply == Reply(550, ("no such user",), BAD_MAILBOX)
    assert str(reply) == "550 5.1.1 no such user"
    assert reply.text == "no such user"


@pytest.mark.parametrize(
    ("code", "said", "why"),
    [
        (550, b"4.1.1 not here", "the class is not the first digit of the code (RFC 2034 4)"),
        (550, b"no such user 5.1.1", "it does not stand at the beginning"),
        (550, b"5.1.1: no such user", "a colon belongs to no code"),
        (550, b"5.1 no such user", "a number is missing"),
        (354, b"3.0.0 go on", "3yz replies have no enhanced code (RFC 2034 3)"),
        (220, b"192.0.2.1 ready", "an IP address in a greeting"),
        (220, b"2.example ESMTP", "a host name"),
        (550, b"#5.1.1 bad address", "an ornament before it"),
        (250, b"", "nothing was said"),
    ],
)
def test_what_is_no_enhanced_code_stays_text(code, said, why):
    reply = Reply.from_lines(code, [said])
    assert reply.enhanced is None, why
    assert reply.lines == (said.decode(),), why


def test_lines_that_repeat_the_code_keep_it_and_people_read_it_once():
    reply = Reply.from_lines(
        550, [b"5.7.1 Refused, see", b"5.7.1 https://help.example", b"5.7.1", b"5.7.10 no"]
    )
    assert reply.enhanced == POLICY
    assert reply.lines == ("Refused, see", "5.7.1 https://help.example", "5.7.1", "5.7.10 no")
    assert reply.text == "Refused, see\nhttps://help.example\n\n5.7.10 no"
    assert str(reply) == "550 5.7.1 Refused, see https://help.example 5.7.10 no"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(250, ("",)), "250"),
        (Reply(250, ("", "x")), "250-\n250 x"),
        (Reply(250, ("x", "")), "250-x\n250"),
        (Reply(250, ("Ok",), EnhancedCode(2, 0, 0)), "250 2.0.0 Ok"),
        (Reply(550, ("",), BAD_MAILBOX), "550 5.1.1"),
        (Reply(550, ("a ", " b"), BAD_MAILBOX), "550-5.1.1 a \n550  b"),
        (Reply(220, ("mx.example ESMTP",)), "220 mx.example ESMTP"),
    ],
)
def test_the_stored_form_is_what_went_over_the_wire(reply, text):
    assert reply.to_wire() == text
    assert Reply.from_text(text) == reply


@given(CODES, st.lists(SAID, max_size=5))
def test_every_reply_from_the_wire_comes_back_from_the_store(code, raw):
    reply = Reply.from_lines(code, raw)
    stored = reply.to_wire()
    assert Reply.from_text(stored) == reply
    assert Reply.from_text(stored + "\n") == reply
    assert Reply.from_text(stored.replace("\n", "\r\n")) == reply


@given(CODES, st.lists(SAID, min_size=1, max_size=5))
def test_nothing_that_was_said_is_lost(code, raw):
    wire = Reply.from_lines(code, raw).to_wire().split("\n")
    last = len(raw) - 1
    said = [f"{code}{'-' if at < last else ' '}{decode_line(line)}" for at, line in enumerate(raw)]
    assert [line.removesuffix(" ") for line in wire] == [line.removesuffix(" ") for line in said]


@given(CODES, st.lists(SAID, max_size=5))
def test_a_reply_in_one_line_is_one_line_without_control_characters(code, raw):
    shown = str(Reply.from_lines(code, raw))
    assert shown.startswith(str(code))
    assert shown.replace("\t", "").splitlines() == [shown.replace("\t", "")]
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown if char != "\t")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("no such user", "no code"),
        ("25 Ok", "two digits"),
        ("2500 Ok", "four digits"),
        ("250_Ok", "a separator that is none"),
        ("250-Ok", "it says that there is more"),
        ("250 Ok\n250 Ok", "the first line ends it"),
        ("250-Ok\n251 Ok", "the code changes"),
        ("250-Ok\n\n250 Ok", "an empty line"),
        ("٢٥٠ Ok", "digits are ASCII digits"),
    ],
)
def test_text_that_is_no_reply_is_refused(text, why):
    with pytest.raises(ParseError):
        Reply.from_text(text)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(250, "positive"), (299, "positive"), (354, "intermediate"), (421, "transient"), (550, "permanent")],
)
def test_the_first_digit_says_what_became_of_the_command(code, kind):
    reply = Reply(code, ("x",))
    assert [
        name for name in ("positive", "intermediate", "transient", "permanent") if getattr(reply, name)
    ] == [kind]


def test_a_code_outside_of_smtp_is_of_no_kind():
    reply = Reply.from_lines(640, [b"what"])
    assert not any((reply.positive, reply.intermediate, reply.transient, reply.permanent))


@pytest.mark.parametrize(
    ("raw", "text", "why"),
    [
        (b"plain", "plain", "ASCII as it is"),
        ("Größe überschritten".encode(), "Größe überschritten", "UTF-8 is read (RFC 6531 3.7.4.2)"),
        (b"Gr\xf6\xdfe", "Gr\\xf6\\xdfe", "Latin-1 is not UTF-8: octet by octet"),
        ("ü".encode() + b"\xfc", "ü\\xfc", "what is valid is read, the rest is not"),
        (b"a\x00b", "a\\x00b", "NUL"),
        (b"\x1b[2J", "\\x1b[2J", "an escape sequence does nothing to a terminal"),
        (b"a\rb\nc", "a\\x0db\\x0ac", "line breaks cannot make a second line of a log"),
        ("a\u2028b\x85c".encode(), "a\\u2028b\\x85c", "nor can those of Unicode"),
        ("\u202egnp.exe".encode(), "\\u202egnp.exe", "text that turns around is shown straight"),
        (b"\x7f", "\\x7f", "DEL"),
        (b"a\tb", "a\tb", "a tab stays"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80", "a lone surrogate is not UTF-8"),
        (b"a\\x00", "a\\x00", "a backslash is not doubled: this is for reading"),
    ],
)
def test_a_line_is_made_safe_to_show(raw, text, why):
    assert decode_line(raw) == text, why


@given(st.binary())
def test_every_line_can_be_stored_as_utf_8(raw):
    assert "\x00" not in decode_line(raw).encode("utf-8").decode("utf-8")

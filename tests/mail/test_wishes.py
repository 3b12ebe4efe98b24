"""What a sender may wish to be told (RFC 3461 4), and what is no wish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.errors import ParseError
from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.wishes import (
    MAX_ENVID,
    MAX_ORCPT,
    envid_value,
    orcpt_value,
    read_envid,
    read_notify,
    read_orcpt,
    read_ret,
    wants,
)
from mailqueue.mail.xtext import decode_utf8, decode_xtext


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ("never", "never"),
        (["NEVER"], "never"),
        ("success", "success"),
        ("delay,failure", "failure,delay"),
        ("DELAY, Failure ,success", "success,failure,delay"),
        (("failure", "failure"), "failure"),
        ({"success"}, "success"),
    ],
)
def test_notify_is_kept_in_one_form(wish, kept):
    assert read_notify(wish) == kept
    assert read_notify(kept) == kept


@pytest.mark.parametrize(
    "wish",
    ["", [], ",", "never,failure", ["success", "never"], "always", "success,", "success;delay", [1], [None]],
)
def test_what_is_no_list_of_notify_is_refused(wish):
    with pytest.raises(ParseError, match=r"^notify: "):
        read_notify(wish)


@pytest.mark.parametrize(
    ("notify", "success", "failure", "delay"),
    [
        (None, False, True, True),  # RFC 3461 4.1, the last paragraph
        ("never", False, False, False),
        ("success", True, False, False),
        ("failure", False, True, False),
        ("delay", False, False, True),
        ("success,delay", True, False, True),
        ("success,failure,delay", True, True, True),
    ],
)
def test_what_the_sender_wants_to_be_told(notify, success, failure, delay):
    assert [wants(notify, what) for what in ("success", "failure", "delay")] == [success, failure, delay]


def test_ret_is_full_or_hdrs():
    assert [read_ret(wish) for wish in ("full", "Hdrs", "FULL")] == ["FULL", "HDRS", "FULL"]
    for wish in ("", "headers", "full "):
        with pytest.raises(ParseError, match=r"^ret: "):
            read_ret(wish)


def test_envid_is_printable_and_at_most_a_hundred_characters_in_the_command():
    for good in ("x", "order 17", "!~" * 50, "+" * 33):
        assert read_envid(good) == good
    for bad in ("", " x", "x ", "a  b", "a\tb", "a\r\nb", "ü", "x" * 101, "+" * 34):
        with pytest.raises(ParseError, match=r"^envid: "):
            read_envid(bad)


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ("bob@example.org", "rfc822;bob@example.org"),
        ("Bob@Example.ORG", "rfc822;Bob@Example.ORG"),  # RFC 3461 5.2.1 (d): letters stay as they are
        ("rfc822;bob@example.org", "rfc822;bob@example.org"),
        ("RFC822;bob@example.org", "rfc822;bob@example.org"),
        ('"a;b"@example.org', 'rfc822;"a;b"@example.org'),
        ("jörg@example.org", "utf-8;jörg@example.org"),
        ("rfc822;jo\u0308rg@example.org", "utf-8;jörg@example.org"),  # decision S9: NFC
        ("utf-8;bob@example.org", "utf-8;bob@example.org"),
        ("x400;/C=de/O=firm/S=bob/", "x400;/C=de/O=firm/S=bob/"),
        ("room 17", "rfc822;room 17"),  # RFC 3461 4.2: not bound to the syntax of its type
    ],
)
def test_original_recipient_is_kept_with_its_type(wish, kept):
    assert read_orcpt(wish) == kept
    assert read_orcpt(kept) == kept


@pytest.mark.parametrize(
    "wish", ["", "rfc822;", " bob@example.org", "a\r\nb@c", "a\0b", "x400;ü", "a  b", "x" * 494, "+" * 165]
)
def test_what_is_no_original_recipient_is_refused(wish):
    with pytest.raises(ParseError, match=r"^orcpt: "):
        read_orcpt(wish)


def _kept(read, wish):
    try:
        return read(wish)
    except ParseError:
        return None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=120))
def test_envid_that_is_taken_comes_back_as_it_was(text):
    kept = _kept(read_envid, text)
    if kept is not None:
        value = envid_value(kept)
        assert len(value) <= MAX_ENVID
        assert decode_xtext(value) == text
        report = dsn.Report(
            reporting_mta=dsn.host("a.example"),
            recipients=(
                dsn.RecipientReport(
                    final_recipient=dsn.mailbox("b@c.example"),
                    action=dsn.Action.RELAYED,
                    status=EnhancedCode(2, 0, 0),
                ),
            ),
            original_envelope_id=kept,
        )
        assert report.original_envelope_id == text


@given(st.text(min_size=1, max_size=200), st.booleans())
def test_original_recipient_that_is_taken_comes_back_as_it_was(text, smtputf8):
    kept = _kept(read_orcpt, text)
    if kept is not None:
        kind, _, address = kept.partition(";")
        value = orcpt_value(kept, smtputf8=smtputf8)
        assert len(value) <= MAX_ORCPT
        assert value.isascii() or smtputf8
        assert " " not in value
        assert "=" not in value
        coded = value.removeprefix(f"{kind};")
        assert (decode_utf8 if kind == "utf-8" else decode_xtext)(coded) == address
        assert dsn.Typed(kind, address).value == address, "a report shows it whole"

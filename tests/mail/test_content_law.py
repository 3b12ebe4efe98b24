"""What holds for every message, however broken."""

import email.policy
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.contents import GOOD, prepare, sent

from mailqueue.mail.lines import longest, to_crlf

LINES = st.sampled_from(
    [
        b"Bcc: a@b.example",
        b"bcc : c@d.example",
        b"Resent-Bcc: e@f.example",
        b" folded",
        b"\tfolded",
        b"no field",
        b"From: a@b.example",
        b"From x@y.example Mon Nov 13 10:00:00 2023",
        b"To: c@d.example",
        b"Date: ",
        b"Message-ID: <a@b>",
        b"Message-ID:",
        b"Date: x",
        b"",
        b"",
        b" ",
        b".",
        b"X: \xff\xc3\xbc",
        b": x",
        b"Subject: =?utf-8?q?=C3=BC?=",
        b"DKIM-Signature: x",
        b"Resent-To: a@b.example",
        b"Content-Type: multipart/mixed; boundary=b",
        b"--b",
        b"--b--",
    ]
)
MESSAGES = st.one_of(
    st.binary(max_size=60),
    st.lists(st.tuples(LINES, st.sampled_from([b"\r\n", b"\n", b"\r", b"\n\r"])), max_size=12).map(
        lambda lines: b"".join(line + end for line, end in lines)
    ),
)


@given(MESSAGES, st.booleans())
def test_a_message_that_was_prepared_needs_no_more_changes(data, strict):
    once = prepare(data, strict)
    again = prepare(once.header + once.body, strict)
    assert (again.changes, again.repairs) == ((), ())
    assert (again.header, again.body, again.message_id) == (once.header, once.body, once.message_id)


@given(MESSAGES)
def test_no_cr_or_lf_stands_alone_in_what_is_sent(data):
    left = sent(data).replace(b"\r\n", b"")
    assert b"\r" not in left
    assert b"\n" not in left


@given(MESSAGES)
def test_header_is_closed_by_the_only_empty_line_in_it(data):
    header = prepare(data).header
    assert header.find(b"\r\n\r\n") == len(header) - 4


@given(MESSAGES)
def test_nobody_can_read_of_blind_copies(data):
    prepared = prepare(data)
    fields = message_from_bytes(prepared.header, policy=email.policy.compat32)
    assert "bcc" not in {name.strip().lower() for name in fields}
    assert "resent-bcc" not in {name.strip().lower() for name in fields}
    top = sent(data).partition(b"\r\n\r\n")[0]
    assert b"bcc" not in top.lower()


@given(MESSAGES)
def test_body_is_what_was_handed_in_but_for_line_ends(data):
    prepared = prepare(b"X: 1\r\n\r\n" + data)
    plain = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert prepared.body == plain.replace(b"\n", b"\r\n")


@given(MESSAGES)
def test_lenient_mode_finds_no_fault_but_what_would_do_harm(data):
    kinds = {
        next(kind for kind in ("a NUL", "a CR without an LF", "would see its Bcc") if kind in fault)
        for fault in prepare(data).faults
    }
    assert ("a NUL" in kinds) == (b"\x00" in data)
    assert "a CR without an LF" not in kinds or b"\r" in data
    assert "would see its Bcc" not in kinds or b"bcc" in data.lower()


@given(MESSAGES)
def test_what_strict_mode_takes_is_sent_unchanged_by_lenient_mode(data):
    lenient, strict = prepare(data), prepare(data, strict=True)
    assert strict.repairs == ()
    assert set(lenient.envelope_faults) <= set(strict.faults)
    if not strict.faults:
        assert lenient.repairs == ()
        assert (lenient.header, lenient.body) == (strict.header, strict.body)


@given(st.binary(max_size=200).map(lambda raw: raw.translate(bytes(range(256)), b"")), st.integers(1, 5))
def test_counts_of_changed_line_ends_are_right(data, times):
    data = data * times
    ends = to_crlf(data)
    assert ends.data.count(b"\r\n") == data.count(b"\r\n") + ends.bare_cr + ends.bare_lf
    assert longest(ends.data) == max(map(len, ends.data.split(b"\r\n")))


def test_body_of_25_mebibytes_is_not_parsed():
    body = (b"x" * 76 + b"\r\n") * 330_000 + b"--b\r\nBcc: a@b.example\r\n"
    prepared = prepare(GOOD + b"\r\n" + body)
    assert prepared.body == body
    assert prepared.changes == ()


@pytest.mark.parametrize(
    "data",
    [
        b"X: 1\n" * 50_000,
        b" x\n" * 300_000,
        b"X: 1\n" + b" x\n" * 300_000 + b"\n",
        b"To: " + b"a@b.example, " * 50_000 + b"\n\n",
        b"From " * 200_000,
        b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\n\n",
        b"Content-Type: multipart/x" + b";boundary" * 100_000 + b"\n\n",
        b"\r" * 500_000,
        b"\n" * 500_000,
    ],
)
def test_a_hostile_message_is_read_in_a_time_that_grows_with_its_length(data):
    """Each would take minutes if the time grew with the square; the suite's time limit is the bound."""
    prepared = prepare(data, strict=True)
    assert len(prepared.header) + len(prepared.body) >= len(data)
    assert sum(map(len, prepared.faults)) < 3 * len(data) + 100_000

"""What is made to hurt a reader costs no more than its size: no recursion, no squares, no endless lists."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailqueue.errors import ParseError
from mailqueue.mail import dsn

MEBIBYTE = 1 << 20
HEAD = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
STATUS = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
RECIPIENT = b"Final-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 5.1.1\n"


def nested(depth: int, inside: bytes) -> bytes:
    """Return a part of multiparts in multiparts, all of them with boundaries of their own."""
    before = b"".join(
        b"Content-Type: multipart/mixed; boundary=n%d\n\n--n%d\n" % (n, n) for n in range(depth)
    )
    return before + inside


def test_multiparts_inside_multiparts_are_looked_into_as_deep_as_any_real_report_is():
    assert dsn.parse(HEAD + nested(5, STATUS + RECIPIENT)).recipients[0].status.cls == 5


@pytest.mark.parametrize("depth", [20, 100_000])
def test_multiparts_nested_without_end_are_refused(depth):
    with pytest.raises(ParseError, match="without a part of type"):
        dsn.parse(HEAD + nested(depth, STATUS + RECIPIENT))


def test_a_message_of_a_million_parts_is_looked_at_for_the_first_hundred_only():
    with pytest.raises(ParseError, match="without a part of type"):
        dsn.parse(HEAD + b"\n\n--b\n" * 1_000_000 + STATUS + RECIPIENT)


def test_multiparts_of_multiparts_do_not_multiply():
    wide = (
        b"Content-Type: multipart/mixed; boundary=c\n\n"
        + b"--c\nContent-Type: multipart/mixed; boundary=d\n\n" * 50
    )
    with pytest.raises(ParseError, match="without a part of type"):
        dsn.parse(HEAD + (wide + b"\n--b\n") * 2_000 + STATUS + RECIPIENT)


@pytest.mark.parametrize(
    "header",
    [
        b"X: " + b"a" * 20 * MEBIBYTE,
        b"X: a\n" * 4_000_000,
        b"X: " + b" " * 20 * MEBIBYTE,
        b"\t" * 20 * MEBIBYTE,
    ],
)
def test_a_header_of_twenty_megabytes_is_refused(header):
    with pytest.raises(ParseError, match="its header is larger than"):
        dsn.parse(header + b"\n" + HEAD + STATUS + RECIPIENT)


@pytest.mark.parametrize(
    "value",
    [
        b"a" * 20 * MEBIBYTE,
        b" " * 20 * MEBIBYTE,
        b"(" * MEBIBYTE,
        b"\\" * MEBIBYTE,
        b"550 " * MEBIBYTE,
        b";" * MEBIBYTE,
    ],
)
@pytest.mark.parametrize("name", [b"X-Long", b"Diagnostic-Code", b"Remote-MTA"])
def test_a_field_of_any_length_is_cut_off_and_the_report_is_read(name, value):
    found = dsn.read(HEAD + STATUS + RECIPIENT + b"%s: smtp; %s\n--b--\n" % (name, value))
    assert str(found.report.recipients[0].status) == "5.1.1"


@pytest.mark.parametrize("line", [b" x\n", b"\t\n x\n", b" 550 x\n", b"x\n", b": x\n", b"  \\x{41}\n"])
def test_a_value_of_a_hundred_thousand_lines_is_read(line):
    status = STATUS + RECIPIENT + b"Diagnostic-Code: smtp; 550-a\n" + line * 100_000
    assert str(dsn.parse(HEAD + status).recipients[0].status) == "5.1.1"


def test_more_recipients_than_a_part_may_have_are_left_out_and_that_is_told():
    found = dsn.read(HEAD + STATUS + (RECIPIENT + b"\n") * 100_000 + b"--b--\n")
    assert len(found.report.recipients) == pytest.approx(MEBIBYTE / (len(RECIPIENT) + 1), rel=0.01)
    assert found.faults[-1] == "only the first 1048576 octets of the delivery status were read"


@pytest.mark.parametrize(
    "value",
    [
        b'multipart/report; boundary="' + b"\\" * 200_000,
        b"multipart/report" + b';a="' * 50_000,
        b"multipart/report; " + b"=" * 200_000,
        b"multipart/report" + b";" * 200_000,
        b"/" * 200_000,
    ],
)
def test_a_content_type_that_goes_on_and_on_is_cut_off_and_its_boundary_guessed(value):
    data = b"Content-Type: " + value + b"\n\n--b\n" + STATUS + RECIPIENT
    if value.startswith(b"/"):
        with pytest.raises(ParseError, match="it is text/plain"):
            dsn.parse(data)
    else:
        assert str(dsn.parse(data).recipients[0].status) == "5.1.1"


@pytest.mark.parametrize(
    "charset", [b"punycode", b"idna", b"unicode_escape", b"zlib", b"utf-16", b"\xff", b"x" * 500]
)
def test_a_charset_that_is_none_does_no_harm(charset):
    text = b"Content-Type: text/plain; charset=" + charset + b"\n\n" + b"a-" * 50_000 + b"\n--b\n"
    assert len(dsn.read(HEAD + text + STATUS + RECIPIENT).report.recipients) == 1


def test_the_text_and_the_header_that_are_kept_are_bounded():
    text = "Content-Type: text/plain; charset=utf-8\n\n" + "grüße\n" * 100_000 + "--b\n"
    original = b"\n--b\nContent-Type: message/rfc822\n\n" + b"X: " + b"y" * 60 + b"\n"
    found = dsn.read(HEAD + text.encode() + STATUS + RECIPIENT + original + b"X: y\n" * 1_000_000)
    assert len(found.text.encode()) <= 64 * 1024
    assert set(found.text.split("\n")) == {"grüße", ""}
    assert len(found.original_headers) == 1000


def test_reading_takes_memory_in_proportion_to_the_report():
    data = (
        HEAD
        + STATUS
        + RECIPIENT
        + b"\n--b\nContent-Type: message/rfc822\n\nX: y\r\n\r\n"
        + b"line\r\n" * MEBIBYTE
    )
    tracemalloc.start()
    try:
        dsn.read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(data) + 4 * MEBIBYTE


def test_a_large_ordinary_message_is_refused_by_its_header_alone():
    data = b"Subject: a\r\n\r\n" + b"line\r\n" * 4 * MEBIBYTE
    tracemalloc.start()
    try:
        with pytest.raises(ParseError):
            dsn.read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


_PIECES = st.sampled_from(
    [
        *(b"\n", b"\r\n", b"\r", b"--b", b"--b--", b"--c", b":", b";", b" ", b"\t", b'"', b"\\", b"(", b"="),
        *(b"\0", b"\xff", b"Content-Type: ", b"multipart/mixed; boundary=c", b"message/delivery-status"),
        *(b"message/rfc822", b"Action: ", b"failed", b"Status: ", b"5.1.1", b"Final-Recipient: "),
        *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"charset=x"),
        *(b"rfc822;a@b", b"utf-8;\\x{41}", b"Diagnostic-Code: smtp;550-a\n 550"),
    ]
)


@given(
    st.lists(_PIECES | st.binary(max_size=5), max_size=60).map(b"".join),
    st.sampled_from([b"", HEAD, HEAD + STATUS]),
)
@settings(max_examples=300, deadline=None)
def test_any_octets_are_read_or_refused_and_what_is_read_can_be_sent_again(octets, head):
    try:
        found = dsn.read(head + octets)
    except ParseError:
        return
    if found.report.reporting_mta is not None:
        notice = dsn.Draft(
            report=found.report,
            sender="a@b",
            to="b@b",
            date=0,
            message_id="<n@b>",
            boundary="-",
            original=octets,
        )
        assert dsn.parse(dsn.compose(notice)) == found.report

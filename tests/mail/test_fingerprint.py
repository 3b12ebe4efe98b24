"""Two submissions with one idempotency key: the same, or something else under the same key."""

from email.message import EmailMessage
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.contents import prepare

from mailqueue.mail.content import to_bytes
from mailqueue.mail.fingerprint import fingerprint

PARTS = ("sender a@sender.example", "recipient b@receiver.example")


def build(
    text: str = "Text\n", *, inside: str | None = None, attachment: bytes = b"\0\1", **fields: str
) -> EmailMessage:
    """An EmailMessage as a program builds it anew for each try: multipart/mixed with alternative."""
    message = EmailMessage()
    message["From"] = "a@sender.example"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    message.add_attachment(attachment, maintype="application", subtype="octet-stream")
    if inside is not None:
        message.add_attachment(build(inside, Subject="inside"))
    return message


def of_bytes(data: bytes, parts: tuple[str, ...] = PARTS) -> bytes:
    prepared = prepare(data)
    return fingerprint(prepared.header, prepared.body, parts)


def of(message: EmailMessage) -> bytes:
    return of_bytes(to_bytes(message))


def test_email_message_built_twice_has_one_fingerprint():
    one, other = to_bytes(build(inside="more\n")), to_bytes(build(inside="more\n"))
    assert one != other, "the email package makes boundaries anew"
    assert of_bytes(one) == of_bytes(other)
    assert len(of_bytes(one)) == 32


def test_date_and_message_id_are_not_seen():
    plain = of(build())
    assert of(build(Date="Mon, 13 Nov 2023 10:00:00 +0000", Message_ID="<1@sender.example>")) == plain
    assert of(build(Date="Tue, 14 Nov 2023 10:00:00 +0000", Message_ID="<2@sender.example>")) == plain


def test_line_ends_are_not_seen():
    data = to_bytes(build())
    assert of_bytes(data.replace(b"\r\n", b"\n")) == of_bytes(data)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (build("Another text\n"), "the text"),
        (build("Text \n"), "a space at the end of a line"),
        (build(attachment=b"\0\2"), "an octet of the attachment"),
        (build(Subject="x"), "a field"),
        (build(Resent_Date="Mon, 13 Nov 2023 10:00:00 +0000"), "another date"),
        (build(X_Date="Mon, 13 Nov 2023 10:00:00 +0000"), "a field with Date in its name"),
        (build(inside="more\n"), "one attachment more"),
        (build("--=====\n"), "a line that looks like a boundary"),
        (build("--===============1234567890123456789==\n"), "a line that looks like one of Python's"),
        (build('Content-Type: multipart/mixed; boundary="x"\n'), "text that looks like a part's header"),
    ],
)
def test_changed_message_has_another_fingerprint(changed, why):
    assert of(changed) != of(build()), why


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("--=====1\n", "--=====2\n", "lines that look like boundaries"),
        ("boundary=one\n", "boundary=two\n", "text that names boundaries"),
        ("Date: today\n", "Date: tomorrow\n", "text that looks like a Date"),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n",
            "a source text",
        ),
    ],
)
def test_texts_that_differ_in_what_only_looks_left_out_differ(one, other, why):
    assert of(build(one)) != of(build(other)), why


def test_message_inside_differs_when_its_text_or_its_date_does():
    assert of(build(inside="more\n")) != of(build(inside="less\n"))
    data = to_bytes(build(inside="more\n"))
    assert of_bytes(data.replace(b"Subject: inside", b"Date: today")) != of_bytes(
        data.replace(b"Subject: inside", b"Date: later")
    )


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((*PARTS, "recipient c@receiver.example"), "a recipient more"),
        (PARTS[:1], "a recipient less"),
        (("sender a@sender.example", "recipient c@receiver.example"), "another recipient"),
        (tuple(reversed(PARTS)), "another order"),
        (("".join(PARTS),), "joined"),
        (("sender a@sender.examplerecipient", " b@receiver.example"), "cut elsewhere"),
        ((*PARTS, ""), "an empty part more"),
        ((), "no envelope"),
    ],
)
def test_envelope_and_options_count(parts, why):
    data = to_bytes(build())
    assert of_bytes(data, parts) != of_bytes(data), why


MULTIPART = (
    b"From: a@sender.example\r\nContent-Type: multipart/mixed; boundary=%(out)s\r\n\r\n"
    b'preamble\r\n--%(out)s\r\nContent-Type: multipart/alternative;\r\n\tBoundary="%(in)s" \r\n\r\n'
    b"--%(in)s\r\n\r\ntext\r\n--%(in)s  \r\nContent-Type: text/html\r\n\r\n<p>\r\n--%(in)s--\r\n"
    b"--%(out)s\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: x\r\nContent-Type: multipart/digest; boundary=%(deep)s\r\n\r\n"
    b"--%(deep)s\r\n\r\nFrom: x\r\n\r\ny\r\n--%(deep)s--\r\n--%(out)s--\r\nepilogue\r\n"
)
BOUNDARY = st.text("019azAZ", min_size=1, max_size=70)
DIFFERENT = st.lists(BOUNDARY, min_size=3, max_size=3, unique=True)


def multipart(names: list[str]) -> bytes:
    return MULTIPART % dict(zip((b"out", b"in", b"deep"), map(str.encode, names), strict=True))


@given(DIFFERENT, DIFFERENT)
def test_whatever_the_boundaries_are_called_the_fingerprint_is_one(one, other):
    assert of_bytes(multipart(one)) == of_bytes(multipart(other))


def test_boundaries_keep_their_places():
    data = multipart(["out", "in", "deep"])
    changed = [
        data,
        data.replace(b"--in--\r\n", b""),
        data.replace(b"--in--", b"--out--"),
        data.replace(b"--in  \r\n", b"--out\r\n"),
        data.replace(b"--in  \r\n", b"--in\r\n"),
        data.replace(b"--out--", b"--outer--"),
        data.replace(b"--deep--", b"--deep-"),
        data.replace(b"preamble", b"--0"),
        data.replace(b"text\r\n", b"--0\r\n"),
        data.replace(b"text\r\n", b"--0--\r\n"),
    ]
    found = [of_bytes(each) for each in changed]
    assert len(set(found)) == len(found)


LINES = st.lists(
    st.sampled_from(
        [
            b"--a",
            b"--b",
            b"--a--",
            b"--b--",
            b"",
            b"x",
            b"Content-Type: multipart/x; boundary=b",
            b"Content-Type: message/rfc822",
            b"--",
            b"----",
        ]
    ),
    max_size=12,
)


def declared(lines: list[bytes], name: bytes) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=" + name + b"\r\n\r\n" + b"\r\n".join(lines)


@given(LINES, LINES)
def test_messages_with_the_same_boundaries_have_one_fingerprint_only_when_they_are_the_same(one, other):
    first, second = declared(one, b"a"), declared(other, b"a")
    assert (of_bytes(first) == of_bytes(second)) == (first == second)


@given(st.binary(max_size=200))
def test_fingerprint_of_anything_can_be_taken(data):
    assert of_bytes(data) == of_bytes(data)
    assert fingerprint(data, data, ()) == fingerprint(data, data, ())
    assert of_bytes(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b" + data)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" * 50_000,
        b"\r\n--" * 100_000,
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 30_000,
        b"".join(
            b"--%d\r\nContent-Type: multipart/x; boundary=%d\r\n\r\n" % pair
            for pair in pairwise(range(20_000))
        ),
    ],
)
def test_hostile_structure_is_walked_in_a_time_that_grows_with_its_length(body):
    """Each would take minutes if the time grew with the square, or end the recursion Python allows."""
    for name in (b"b", b"0"):
        assert len(of_bytes(b"Content-Type: multipart/mixed; boundary=" + name + b"\r\n\r\n" + body)) == 32

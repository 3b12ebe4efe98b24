"""Messages of many shapes, and what is in one: each leaf part decoded, by Python's email package."""

from __future__ import annotations

import base64
import email
import email.policy
import quopri
import zlib
from email.message import Message

from hypothesis import strategies as st

Leaves = list[tuple[str, bytes]]


def leaves(message: bytes) -> Leaves:
    """Return type and decoded octets of each leaf part, also inside messages that are parts."""
    found = email.message_from_bytes(message, policy=email.policy.compat32)
    return [(part.get_content_type(), _octets(part)) for part in found.walk() if not part.is_multipart()]


def _octets(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def encoded_lines(message: bytes) -> list[bytes]:
    """Return the lines of the parts that are quoted-printable or base64."""
    found = email.message_from_bytes(message, policy=email.policy.compat32)
    bodies = [
        part.get_payload()
        for part in found.walk()
        if part.get("content-transfer-encoding", "").lower() in ("quoted-printable", "base64")
    ]
    return [line.encode() for body in bodies for line in body.split("\r\n")]


TEXTS = st.lists(
    st.sampled_from(
        [
            b"plain text",
            "Grüße aus Köln".encode(),
            "日本語の文章です。".encode() * 9,
            b"Latin-1: Gr\xfc\xdfe",
            b"x" * 998,
            b"long line " * 150,
            b"y" * 3000,
            b"a = b; c=41 =\t",
            b"",
            b".",
            b"From here",
            b"ends in blanks  ",
            b"--not-a-boundary",
            bytes(range(128, 256)),
        ]
    ),
    max_size=6,
).map(b"\r\n".join)


def leaf(text: bytes, kind: str, label: str) -> bytes:
    """Return a part of `text` that is labelled, and encoded if the label says so."""
    if label == "base64":
        text = base64.b64encode(text)  # on one line: too long
    elif label == "quoted-printable":
        text = (
            quopri.encodestring(text.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n").replace(b"=\r\n", b"")
        )
    fields = [f"Content-Type: {kind}" if kind else "", f"Content-Transfer-Encoding: {label}" if label else ""]
    return b"".join(f"{field}\r\n".encode() for field in fields if field) + b"\r\n" + text


LEAVES = st.builds(
    leaf,
    TEXTS,
    st.sampled_from(["", "text/plain", "text/html; charset=utf-8", "application/octet-stream", "image/png"]),
    st.sampled_from(["", "7bit", "8bit", "binary", "8BIT", "base64", "quoted-printable"]),
)


def multipart(parts: list[bytes], number: int, kind: str, label: str, around: bytes) -> bytes:
    """Return a multipart of parts, its boundary made of `number`."""
    boundary = f"=_{number}".encode()
    head = b'Content-Type: multipart/%s; boundary="%s"\r\n' % (kind.encode(), boundary)
    if label:
        head += f"Content-Transfer-Encoding: {label}\r\n".encode()
    inner = b"".join(b"\r\n--%s\r\n%s" % (boundary, part) for part in parts)
    return head + b"\r\n" + around + inner + b"\r\n--%s--\r\n" % boundary + around


def inner_message(part: bytes, subject: bytes) -> bytes:
    """Return a part that is a message with `part` as its content."""
    return b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nSubject: " + subject + b"\r\n" + part


def _grown(parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.builds(
            lambda parts, *more: multipart(parts, zlib.crc32(b"".join(parts)), *more),
            st.lists(parts, min_size=1, max_size=3),
            st.sampled_from(["mixed", "alternative", "related"]),
            st.sampled_from(["", "7bit", "8bit", "binary"]),
            st.sampled_from([b"", b"This is MIME.", "Für Ältere".encode(), b"z" * 2500]),
        ),
        st.builds(inner_message, parts, st.sampled_from([b"Hello", "Grüße".encode(), b"word " * 300])),
    )


PARTS = st.recursive(LEAVES, _grown, max_leaves=6)
MESSAGES = PARTS.map(lambda part: b"From: ann@sender.example\r\nSubject: Hello\r\n" + part)
"""Messages whose parts are labelled right or not, 8-bit or not, with lines that are too long or not."""

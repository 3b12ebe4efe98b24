"""The stored messages are what their index says, and stay so through git."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest
from support import corpus


def test_index_names_every_message_and_no_other():
    index = (corpus.FOLDER / "INDEX.md").read_text()
    listed = [name for name in re.findall(r"^\| ([a-z0-9-]+) \|", index, re.M) if name not in ("name", "---")]
    assert sorted(listed) == corpus.names()
    assert len(listed) >= 40


@pytest.mark.parametrize("name", corpus.names())
def test_message_has_a_sender_and_names_example_domains_only(name: str):
    raw = corpus.read(name)
    assert len(re.findall(rb"^From[ \t]*:", re.split(rb"\r?\n\r?\n", raw)[0], re.M)) == 1
    found = set(re.findall(rb"@(?:[\w-]+\.)*([\w-]+\.(?:com|org|net|de|jp|io))\b", raw[:50_000]))
    assert found <= {b"example.com", b"example.org", b"example.net"}
    assert b"\0" not in raw
    assert not re.search(rb"\r(?!\n)", raw)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("bare-lf", lambda raw: b"\r" not in raw),
        ("python-emailmessage", lambda raw: b"\r" not in raw),
        ("mixed-line-ends", lambda raw: re.search(rb"[^\r]\n.\n", raw) and b"\r\n.\r\n" in raw),
        ("dots", lambda raw: raw.count(b"\r\n.\r\n") == 3 and b"\r\n.hidden" in raw),
        (
            "long-lines",
            lambda raw: {998, 999, 1000, 2048, 2501, 5000} <= {len(x) for x in raw.split(b"\r\n")},
        ),
        ("no-final-newline", lambda raw: not raw.endswith(b"\n")),
        ("empty-body", lambda raw: raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1),
        ("headers-only", lambda raw: b"\r\n\r\n" not in raw and raw.endswith(b"\r\n")),
        ("eai", lambda raw: not raw.partition(b"\r\n\r\n")[0].isascii()),
        ("latin1-eight-bit", lambda raw: b"Ch\xe8re" in raw),
        ("shift-jis", lambda raw: "能".encode("shift_jis") in raw and b"\\" in "能".encode("shift_jis")),
        ("iso-2022-jp", lambda raw: raw.isascii() and b"\x1b$B" in raw),
        ("received-chain", lambda raw: raw.count(b"Received: ") == 24),
        ("long-folded-headers", lambda raw: len(max(raw.split(b"\r\n"), key=len)) > 900),
        ("python-mimetext-legacy", lambda raw: b"Message-ID" not in raw),
        ("php-mail", lambda raw: b"Date:" not in raw),
        ("odd-but-legal-headers", lambda raw: b"kept   \r\n" in raw),
        ("thunderbird-flowed", lambda raw: b"whenever \r\n" in raw and b"\r\n From Saturday" in raw),
    ],
)
def test_message_still_has_what_it_is_there_for(name: str, holds: Callable[[bytes], object]):
    assert holds(corpus.read(name))


def test_large_message_is_the_same_every_time():
    raw = corpus.read(corpus.LARGE)
    assert len(raw) > 14_000_000
    assert hashlib.sha256(raw).digest() == hashlib.sha256(corpus.large_message()).digest()
    assert max(map(len, raw.split(b"\r\n"))) <= 78

"""Real mail: forty writers' messages go through the queue to a real Postfix and arrive as they were written.

What is compared with: the octets as submitted, with LF for every line end (a maildir has LF). What may
differ in the header is in docs/explanation/life-of-a-message.md (ours) and tests/data/mail/INDEX.md
(Postfix's).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support import corpus
from support.mime import leaves
from support.postfix import Postfix

from mailqueue import Engine, Queue

pytestmark = pytest.mark.postfix

BEFORE = (b"return-path", b"x-original-to", b"delivered-to", b"received")
"""Fields that Postfix puts before the header of what it delivers."""
ADDED = (b"date", b"message-id")
"""Fields that submit adds where they are missing."""
REPAIRED = {"long-lines"}
"""Messages with lines of over 998 octets, which become quoted-printable."""
QUOTED_PRINTABLE = b"Content-Transfer-Encoding: quoted-printable"


def in_lf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


def split(octets: bytes) -> tuple[list[bytes], bytes]:
    """Return the unfolded-as-written fields of a message with LF line ends, and its body."""
    if octets.startswith(b"\n"):
        return [], octets[1:]
    block, _, body = octets.partition(b"\n\n")
    fields: list[bytes] = []
    for line in block.split(b"\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += b"\n" + line
        elif line:
            fields.append(line)
    return fields, body


def name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


def without_blank_before_colon(field: bytes) -> bytes:
    head, colon, rest = field.partition(b":")
    return head.rstrip() + colon + rest


@pytest.fixture(scope="module")
def delivered(postfix: Postfix, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    """Send every message through the queue; return (as submitted, as found in the maildir) by name."""
    path: Path = tmp_path_factory.mktemp("real") / "queue.db"
    with Queue(path) as queue:
        ids = {}
        for each in corpus.names():
            submission = queue.submit(
                corpus.read(each), sender="sender@example.org", recipients=["alice@example.org"]
            )
            ids[each] = submission.messages[0].id
        engine = Engine(queue, relay=f"127.0.0.1:{postfix.port}", hostname="mx.example.org")
        asyncio.run(engine.run(once=True))
        states = {each: queue.show(ids[each]) for each in ids}
        assert {each: m.last_error for each, m in states.items() if m.state != "delivered"} == {}
        taken = {each: queued_as(queue.attempts(ids[each])[-1].reply or "") for each in ids}
        assert queue.check_integrity() == []
    return {each: (corpus.read(each), found(postfix, taken[each])) for each in taken}


def queued_as(reply: str) -> bytes:
    """Return Postfix's queue id from its reply to the final dot."""
    return reply.split("queued as ")[1].split()[0].encode()


def found(postfix: Postfix, queue_id: bytes) -> bytes:
    return postfix.wait_for(b" id " + queue_id + b"\n", "alice", timeout=60)


@pytest.mark.parametrize("writer", corpus.names())
def test_body_arrives_octet_for_octet(delivered: dict[str, tuple[bytes, bytes]], writer: str):
    if writer in REPAIRED:
        sent, got = delivered[writer]
        assert [in_lf(octets) for _, octets in leaves(got)] == [in_lf(octets) for _, octets in leaves(sent)]
        return
    sent, got = (split(in_lf(each))[1] for each in delivered[writer])
    assert got == sent or got == sent + b"\n", "only the end of an unended last line is added, by Postfix"


@pytest.mark.parametrize("writer", corpus.names())
def test_header_arrives_but_for_what_is_documented(delivered: dict[str, tuple[bytes, bytes]], writer: str):
    sent, got = (split(in_lf(each))[0] for each in delivered[writer])
    while got and name(got[0]) in BEFORE:
        if name(got[0]) == b"received" and b"mx.example.org" in got[0]:
            got = got[1:]
            break
        got = got[1:]
    gone = {b"bcc", b"resent-bcc", b"return-path"}
    expected = [without_blank_before_colon(field) for field in sent if name(field) not in gone]
    if writer in REPAIRED:
        expected[expected.index(b"Content-Transfer-Encoding: 7bit")] = QUOTED_PRINTABLE
    names = {name(field) for field in expected}
    added = [field for field in got if name(field) in ADDED and name(field) not in names]
    assert [field for field in got if field not in added] == expected

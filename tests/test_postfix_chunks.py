"""Large content goes to a real Postfix in chunks (BDAT), whether it pipelines or not, or refuses one."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from support.postfix import Postfix
from support.stage import Stage, wait_until

pytestmark = pytest.mark.postfix

DOTS = b"\r\n".join([b".", b"..", b".QUIT", b"a.", b"", b".\t.", b"." * 900]) + b"\r\n"


HEAD = b"From: a@example.org\r\nDate: Mon, 6 Jul 2026 11:00:00 +0000\r\nMessage-ID: <%s@example.org>\r\n\r\n"


def letter(name: str, body: bytes) -> bytes:
    return HEAD % name.encode() + body


def lines(size: int) -> bytes:
    """Return so many octets of lines, of which many begin with a dot."""
    drawn = bytes(random.Random(1).choices(b"abcdefgh....    ", k=size))
    return drawn.replace(b"  ", b"\r\n").removesuffix(b"\r\n") + b"\r\n"


BODIES = {"five": lines(5 * 2**20), "dots": DOTS * 300, "open": DOTS * 300 + b".no line end"}


@pytest.fixture(scope="module", params=["", "pipelining"], ids=["pipelining", "stepwise"])
def receiving(request: pytest.FixtureRequest) -> Iterator[Postfix]:
    """A Postfix with PIPELINING and one without."""
    if not request.param:
        yield request.getfixturevalue("postfix")
        return
    request.getfixturevalue("postfix")  # skips where there can be none
    with Postfix({"smtpd_discard_ehlo_keywords": request.param}) as running:
        yield running


@pytest.mark.parametrize("name", BODIES)
def test_large_message_arrives_in_chunks_octet_for_octet(receiving: Postfix, stage: Stage, name: str):
    sent = letter(name, BODIES[name])
    before = connections(receiving)
    stage.relay(receiving.port)
    [message] = stage.submit("alice@example.org", content=sent, sender="sender@example.org")
    stage.deliver()
    assert stage.state(message) == "delivered", stage.attempt(message)
    found = receiving.wait_for(f"<{name}@example.org>".encode())
    assert found.endswith(sent.replace(b"\r\n", b"\n") + b"\n" * (name == "open"))
    wait_until(lambda: len(connections(receiving)) > len(before))
    [commands] = connections(receiving)[len(before) :]
    assert re.search(r" bdat=[2-9]", commands)
    assert " data=" not in commands


def connections(postfix: Postfix) -> list[str]:
    """Return what Postfix says of each connection that had mail and has ended: how many of which commands."""
    return re.findall(r"\]: disconnect from (.* mail=.*)", postfix.log())


def test_message_that_is_refused_in_a_chunk_leaves_the_connection_to_the_next(postfix: Postfix, stage: Stage):
    with Postfix({"message_size_limit": "200000", "smtpd_discard_ehlo_keywords": "size"}) as small:
        stage.relay(small.port)
        [large] = stage.submit("alice@example.org", content=letter("large", lines(2**20)))
        [other] = stage.submit("alice@example.org", content=letter("small", DOTS))
        stage.deliver(connections=1)
        assert (stage.state(large), stage.attempt(large).enhanced) == ("failed", "5.3.4")
        assert stage.state(other) == "delivered"
        small.wait_for(b"<small@example.org>")
        wait_until(lambda: connections(small) != [])
        [commands] = connections(small)
        assert " mail=2 " in commands
        assert " rset=1 " in commands

"""8-bit mail goes as 7-bit to a real Postfix that does not offer 8BITMIME, and says the same there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import corpus
from support.mime import leaves
from support.postfix import Postfix
from support.stage import Stage

pytestmark = pytest.mark.postfix

WRITERS = ["django", "eight-bit-utf8", "latin1-eight-bit", "phpmailer", "python-emailmessage", "shift-jis"]


@pytest.fixture(scope="module")
def seven_bit_only(request: pytest.FixtureRequest) -> Iterator[Postfix]:
    request.getfixturevalue("postfix")  # skips where there can be none
    with Postfix({"smtpd_discard_ehlo_keywords": "8bitmime"}) as running:
        yield running


@pytest.mark.parametrize("writer", WRITERS)
def test_8_bit_mail_arrives_as_7_bit_and_decodes_to_the_same(
    seven_bit_only: Postfix, stage: Stage, writer: str
):
    sent = corpus.read(writer)
    stage.relay(seven_bit_only.port)
    [message] = stage.submit("alice@example.org", content=sent, sender="sender@example.org")
    stage.deliver()
    assert stage.state(message) == "delivered", stage.attempt(message)
    queue_id = (stage.attempt(message).reply or "").split("queued as ")[1].split()[0]
    got = seven_bit_only.wait_for(f" id {queue_id}\n".encode())
    assert not sent.isascii()
    assert got.partition(b"\n\n")[2].isascii()
    assert in_lf(leaves(got)) == in_lf(leaves(sent))


def in_lf(found: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return leaves with LF at line ends, and without those at the end: a maildir's last line has one."""
    return [(kind, octets.replace(b"\r\n", b"\n").rstrip(b"\n")) for kind, octets in found]

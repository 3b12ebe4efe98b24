"""The receiver of the demo, spoken to by Python's own SMTP client."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable

import pytest

from mailqueue.cli.receiver import Receiver


def spoken_to(talk: Callable[[smtplib.SMTP], None]) -> int:
    """Return how many messages the receiver took."""

    def connect(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            talk(client)

    async def main() -> int:
        async with Receiver() as receiver:
            await asyncio.to_thread(connect, receiver.port)
            return receiver.taken

    return asyncio.run(main())


def test_message_is_taken_whatever_dots_are_in_it() -> None:
    def talk(client: smtplib.SMTP) -> None:
        client.ehlo()
        assert client.has_extn("pipelining")
        assert client.sendmail("a@demo.example", ["ann@x.example"], "Subject: x\r\n\r\n.\r\n..\r\n") == {}
        client.sendmail("a@demo.example", ["bob@x.example"], "Subject: y\r\n\r\ny\r\n")

    assert spoken_to(talk) == 2


def test_greylisted_recipient_is_taken_at_the_second_try() -> None:
    def talk(client: smtplib.SMTP) -> None:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            client.sendmail("a@demo.example", ["later@x.example"], "x")
        assert caught.value.recipients["later@x.example"][0] == 451
        client.sendmail("a@demo.example", ["later@x.example"], "x")

    assert spoken_to(talk) == 1


def test_nobody_is_refused_for_good_and_nothing_is_taken() -> None:
    def talk(client: smtplib.SMTP) -> None:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            client.sendmail("a@demo.example", ["nobody@x.example"], "x")
        assert caught.value.recipients["nobody@x.example"][0] == 550
        assert client.docmd("DATA")[0] == 554
        assert client.docmd("TURN")[0] == 502
        assert client.noop()[0] == 250

    assert spoken_to(talk) == 0

"""The receiver that other tests lean on does what it says."""

from __future__ import annotations

import hashlib
import json
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import receiver as module
from support.receiver import DROP, Receiver

MAIL = b"From: a@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n.dots\r\n..\r\nend\r\n"


def send(port: int, *recipients: str, content: bytes = MAIL, sender: str = "a@example.org") -> dict:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        return client.sendmail(sender, list(recipients), content)


def test_message_arrives_byte_for_byte():
    with Receiver() as receiver:
        send(receiver.port, "b@example.org", "c@example.org")
        (message,) = receiver.wait(1)
    assert message.content == MAIL
    assert message.recipients == ["b@example.org", "c@example.org"]
    assert message.sender == "a@example.org"
    assert message.message_id == "<1@example.org>"
    assert message.sender_options.lower() == f"size={len(MAIL)}"


def test_recipients_are_answered_by_their_script():
    with Receiver(at_rcpt={"odd": ["450 4.0.0 One", "451 4.0.0 Two", module.OK_RCPT]}) as receiver:
        refused = send(
            receiver.port, "ok@example.org", "unknown@example.org", "full-7@example.org", "433@example.org"
        )
        codes = {address: reply[0] for address, reply in refused.items()}
        assert codes == {"unknown@example.org": 550, "full-7@example.org": 452, "433@example.org": 433}
        answers = [send(receiver.port, "ok@example.org", "odd@example.org") for _ in range(4)]
        assert [next(iter(answer.values()))[0] if answer else 250 for answer in answers] == [
            450,
            451,
            250,
            250,
        ]


def test_greylisting_takes_the_second_try():
    with Receiver(greylist=True) as receiver:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(receiver.port, "b@example.org")
        assert send(receiver.port, "b@example.org") == {}
        assert len(receiver.messages) == 1


def test_connection_is_dropped_after_the_dot_though_the_message_was_taken():
    with Receiver() as receiver:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(receiver.port, "vanish@example.org")
        assert receiver.wait(1)[0].answered == DROP
        assert send(receiver.port, "vanish@example.org") == {}


def test_connection_and_transaction_limits():
    with Receiver(close_after=2, max_recipients=1, refuse="no@") as receiver:
        with smtplib.SMTP("127.0.0.1", receiver.port, timeout=10) as client:
            client.sendmail("a@example.org", ["b@example.org"], MAIL)
            refused = client.sendmail("a@example.org", ["b@example.org", "c@example.org"], MAIL)
            assert refused["c@example.org"][0] == 452
            assert client.mail("a@example.org")[0] == 421
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(receiver.port, "no@example.org")
        assert receiver.connections == 2


def test_pipelined_messages_are_answered_in_order():
    one = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    with (
        Receiver(final_delay=0.02) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port)) as client,
    ):
        client.settimeout(10)
        client.sendall(b"EHLO x\r\n" + (one + b"One.\r\n.\r\n") * 2 + one + b".\r\nQUIT\r\n")
        said = b""
        while more := client.recv(4096):
            said += more
        codes = [line[:3] for line in said.decode().splitlines() if line[3] == " "]
        assert codes == ["220", "250"] + ["250", "250", "354", "250"] * 3 + ["221"]
        assert [message.content for message in receiver.messages] == [b"One.\r\n", b"One.\r\n", b""]


def test_process_has_the_message_on_disk_before_its_answer(tmp_path: Path):
    log = tmp_path / "log"
    command = [sys.executable, module.__file__, "--log", str(log), "--drop-every", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            send(port, "b@example.org")
            with pytest.raises(smtplib.SMTPServerDisconnected):
                send(port, "c@example.org")
            lines = [json.loads(line) for line in log.read_text().splitlines()]
        finally:
            process.kill()
    assert [line["recipients"] for line in lines] == [["b@example.org"], ["c@example.org"]]
    assert lines[0]["sha256"] == hashlib.sha256(MAIL).hexdigest()
    assert lines[0]["message_id"] == "<1@example.org>"
    assert [line["answered"] for line in lines] == ["250", "DRO"]

"""Wishes for notices on their way: to servers that take them, and heeded by us for others (RFC 3461)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from support.receiver import EXTENSIONS, Receiver
from support.stage import Stage

from mailqueue import Recipient
from mailqueue.mail import dsn

WITHOUT = tuple(word for word in EXTENSIONS if word != "DSN")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "queue.db")
    yield made
    made.close()


def events(stage: Stage, message_id: int) -> list[str]:
    return [event.event.value for event in stage.queue.events(message_id)]


def kinds(stage: Stage, message_id: int) -> list[str]:
    return [notice.kind.value for notice in stage.queue.notices(message_id)]


def said(receiver: Receiver) -> list[str]:
    return [command for command in receiver.commands if command.startswith(("MAIL", "RCPT"))]


def test_a_server_that_takes_wishes_gets_those_of_each_recipient_in_one_transaction(stage: Stage):
    with Receiver() as receiver:
        stage.relay(receiver.port)
        ids = stage.submit(
            Recipient("ann@example.com", notify="success,failure", orcpt="Ann+1@example.com"),
            "bob@example.com",
            Recipient("cid@example.com", notify="never"),
            notify="delay",
            ret="hdrs",
            envid="order 17",
        )
        stage.deliver()
        mail, *rcpt = said(receiver)
    assert mail.endswith(" RET=HDRS ENVID=order+2017")
    assert rcpt == [
        "RCPT TO:<ann@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann+2B1@example.com",
        "RCPT TO:<bob@example.com> NOTIFY=DELAY",
        "RCPT TO:<cid@example.com> NOTIFY=NEVER",
    ]
    assert [kinds(stage, each) for each in ids] == [[], [], []], "that server tells of success"
    assert [events(stage, each) for each in ids] == [["delivered"]] * 3


def test_a_server_without_dsn_gets_no_wish_and_we_tell_of_success(stage: Stage):
    with Receiver(extensions=WITHOUT) as receiver:
        stage.relay(receiver.port)
        ann, bob, cid = stage.submit(
            Recipient("ann@example.com", notify="success", orcpt="Ann@example.com"),
            Recipient("bob@example.com", notify="failure"),
            "cid@example.com",
            ret="full",
            envid="order 17",
        )
        stage.deliver()
        assert [command.partition("> ")[2].partition(" SIZE")[0] for command in said(receiver)[1:]] == [
            ""
        ] * 3
        assert "ENVID" not in "".join(said(receiver))
        assert "RET=" not in "".join(said(receiver))
    assert [kinds(stage, each) for each in (ann, bob, cid)] == [["relayed"], [], []]
    assert events(stage, ann) == ["delivered", "relayed"]
    assert events(stage, bob) == events(stage, cid) == ["delivered"]
    (notice,) = stage.queue.notices(ann)
    assert {event.notice_id for event in stage.queue.events(ann)} == {notice.id}
    report = dsn.parse(notice.content)
    assert report.original_envelope_id == "order 17"
    (recipient,) = report.recipients
    assert (recipient.action, recipient.original_recipient) == ("relayed", dsn.mailbox("Ann@example.com"))
    assert recipient.diagnostic == dsn.said("250 2.0.0 Ok: taken")


def test_relayed_notice_is_mailed_to_the_sender_where_the_account_says_so(stage: Stage):
    stage.queue.accounts.set("default", notices="queue")
    with Receiver(extensions=WITHOUT) as receiver:
        stage.relay(receiver.port)
        stage.submit("ann@example.com", notify="success", sender="shop@example.org")
        stage.deliver()
        stage.deliver()
        _, notice = receiver.wait(2)
    assert (notice.sender, notice.recipients) == ("", ["shop@example.org"])
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert b"Action: relayed" in notice.content
    assert stage.queue.status().queued == 0, "of the notice nothing is told"


def test_mail_with_the_null_return_path_has_nobody_to_tell(stage: Stage):
    with Receiver(extensions=WITHOUT) as receiver:
        stage.relay(receiver.port)
        (message_id,) = stage.submit("ann@example.com", notify="success", sender="")
        stage.deliver()
        receiver.wait(1)
    assert kinds(stage, message_id) == []
    assert events(stage, message_id) == ["delivered", "relayed"]


@pytest.mark.parametrize(
    ("notify", "expected"),
    [(None, ["failed"]), ("failure", ["failed"]), ("success,delay", []), ("never", [])],
)
def test_a_refused_recipient_is_told_of_as_was_wished(stage: Stage, notify: str | None, expected: list[str]):
    with Receiver() as receiver:
        stage.relay(receiver.port)
        (message_id,) = stage.submit("unknown@example.com", notify=notify)
        stage.deliver()
    assert (stage.state(message_id), kinds(stage, message_id)) == ("failed", expected)


@pytest.mark.parametrize(
    ("notify", "expected"),
    [(None, ["delayed"]), ("delay", ["delayed"]), ("success,failure", []), ("never", [])],
)
def test_a_delay_is_told_of_as_was_wished(stage: Stage, notify: str | None, expected: list[str]):
    with Receiver() as receiver:
        stage.relay(receiver.port)
        (message_id,) = stage.submit("full@example.com", notify=notify)
        stage.deliver()
        stage.deliver(timedelta(hours=4, minutes=30))
        stage.deliver(timedelta(hours=4))
    assert (stage.state(message_id), kinds(stage, message_id)) == ("queued", expected)


def test_success_after_an_uncertain_attempt_is_told_once(stage: Stage):
    with Receiver(extensions=WITHOUT) as receiver:
        stage.relay(receiver.port)
        (message_id,) = stage.submit("vanish@example.com", notify="success")
        stage.deliver()
        assert (stage.outcomes(message_id), kinds(stage, message_id)) == (["uncertain"], [])
        stage.deliver(timedelta(minutes=45))
    assert stage.outcomes(message_id) == ["uncertain", "delivered"]
    assert kinds(stage, message_id) == ["relayed"]


def test_wishes_of_a_message_that_waits_are_kept_on_disk(tmp_path: Path):
    before = Stage(tmp_path / "queue.db")
    (message_id,) = before.submit(
        Recipient("jörg@example.com", orcpt="jörg@bücher.example", notify="success")
    )
    before.close()
    stage = Stage(tmp_path / "queue.db")
    with Receiver() as receiver:
        stage.relay(receiver.port)
        stage.deliver()
        assert "NOTIFY=SUCCESS ORCPT=utf-8;jörg@bücher.example" in said(receiver)[1]
    assert stage.state(message_id) == "delivered"
    stage.close()

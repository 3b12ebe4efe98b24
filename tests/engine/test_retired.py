"""What becomes of retired mail that is sent anew, or purged from the history by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage

from mailqueue import AsyncQueue, Recipient
from mailqueue.clock import to_datetime
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.events import EventKind
from mailqueue.model.explain import Purged

DAY = timedelta(days=1)


@pytest.fixture
def refused(stage: Stage, receiver: Receiver) -> Stage:
    """A stage whose receiver knows nobody, and that goes on writing to them."""
    stage.relay(receiver.port)
    stage.queue.accounts.set("default", suppression=False)
    receiver.refuse = "@"
    return stage


def failed(stage: Stage, *recipients: str | Recipient, **more: object) -> list[int]:
    """Submit one content, and have it fail for all."""
    made = stage.queue.submit(more.pop("content", MAIL), recipients=recipients, **more)  # type: ignore[arg-type]
    stage.deliver()
    found = [each.id for each in made.messages]
    assert {stage.state(each) for each in found} == {"failed"}
    return found


def admin(stage: Stage, message: int) -> list[tuple[str | None, str | None, dict[str, object]]]:
    found = [each for each in stage.queue.events(message) if each.event is EventKind.ADMIN]
    return [(each.actor, each.reason, dict(each.data)) for each in found]


def notes(stage: Stage) -> list[tuple[str, str | None, str]]:
    """Return who purged messages and why: actor, reason, data of the events."""
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        return raw.execute(
            "SELECT actor, reason, data FROM mailqueue_event"
            " WHERE message_id IS NULL AND json_extract(data, '$.verb') = 'purge'"
        ).fetchall()


# --- send anew -----------------------------------------------------------------------------------
def test_failed_message_is_sent_anew_and_delivered(refused: Stage, receiver: Receiver) -> None:
    [old] = failed(refused, "ann@example.com", sender="shop@example.org")
    receiver.refuse = None
    done = refused.queue.retired.resend(old, reason="they are back", actor="anna")
    new = done.messages[old]
    assert (done.sent, done.gone, done.refused, done.queued) == (1, 0, 0, ())
    refused.deliver()
    assert (refused.state(old), refused.state(new)) == ("failed", "delivered")
    assert [(each.sender, each.recipients) for each in receiver.messages] == [
        ("shop@example.org", ["ann@example.com"])
    ]
    assert refused.show(new).submission_id != refused.show(old).submission_id
    assert refused.show(new).message_id == refused.show(old).message_id
    told = f"sent anew as message {new}: they are back"
    assert admin(refused, old) == [("python:anna", told, {"verb": "resend", "sent_as": new})]
    told = f"message {old} sent anew: they are back"
    assert admin(refused, new) == [("python:anna", told, {"verb": "resend", "again": old})]


def test_recipients_of_one_submission_that_are_chosen_together_share_a_new_one(refused: Stage) -> None:
    one, two, _, four = failed(refused, *(f"{each}@example.com" for each in "abcd"))
    [other] = failed(refused, "e@example.com")
    made = refused.queue.retired.resend([four, other, one, two]).messages
    assert list(made) == [one, two, four, other]
    together = {refused.show(made[each]).submission_id for each in (one, two, four)}
    assert len(together) == 1
    assert refused.show(made[other]).submission_id not in together
    assert [refused.show(made[each]).recipient for each in (one, two, four)] == [
        "a@example.com",
        "b@example.com",
        "d@example.com",
    ]
    assert [len(refused.queue.submission(each)) for each in together] == [3]


def test_wishes_priority_and_protection_are_the_old_ones_and_the_schedule_is_the_accounts(
    refused: Stage,
) -> None:
    for name in ("slow", "fast"):
        refused.queue.schedules.add(name, "1h*", lifetime=DAY)
    [old] = failed(
        refused,
        Recipient("ann@example.com", notify="success,failure", orcpt="rfc822;ann@example.net"),
        envid="order-17",
        ret="hdrs",
        priority="bulk",
        transport="relay",
        require_tls=False,
        schedule="slow",
        max_attempts=3,
        extra={"order": "17"},
    )
    refused.queue.accounts.set("default", schedule="fast")
    new = refused.show(refused.queue.retired.resend(old).messages[old])
    assert (new.notify, new.orcpt) == ("success,failure", "rfc822;ann@example.net")
    assert (new.envid, new.ret, str(new.priority)) == ("order-17", "HDRS", "bulk")
    assert (new.transport, new.require_tls) == ("relay", False)
    assert (new.schedule, new.max_attempts, new.extra) == ("fast", None, {"order": "17"})


def test_message_that_is_sent_anew_has_a_return_address_of_its_own_or_is_refused(refused: Stage) -> None:
    [old] = failed(refused, "ann@example.com", sender="shop@example.org")
    [full] = failed(refused, "ann@example.com", sender=f"{'x' * 60}@example.org")
    refused.queue.accounts.set("default", fromid=True)
    done = refused.queue.retired.resend([old, full])
    assert refused.show(old).fromid is None
    assert refused.show(done.messages[old]).fromid
    assert (done.sent, done.refused) == (1, 1)


def test_messages_that_were_rerouted_one_by_one_keep_their_ways(refused: Stage) -> None:
    refused.queue.transports.add("other", kind="fail", reply="550 not from here")
    one, two, three = refused.submit(*(f"{each}@example.com" for each in "abc"))
    refused.queue.reroute(two, via="other")
    refused.deliver()
    refused.queue.reroute(all=True, via="")
    made = refused.queue.retired.resend([one, two, three]).messages
    assert [refused.show(made[each]).transport for each in (one, two, three)] == [None, "other", None]
    refused.queue.drop(all=True)
    refused.queue.transports.remove("other")
    [again] = refused.queue.retired.resend(two).messages.values()
    assert refused.show(again).transport is None


def test_message_whose_content_was_purged_is_not_sent_and_says_when_that_was(
    refused: Stage, receiver: Receiver
) -> None:
    receiver.refuse = "ben"
    delivered, kept = refused.submit("ann@example.com", "ben@example.com")
    refused.deliver()
    [gone] = refused.submit("eve@example.com")
    at = to_datetime(refused.clock.now())
    refused.deliver()
    for dry_run in (True, False):
        done = refused.queue.retired.resend(all=True, dry_run=dry_run)
        assert (done.gone, done.gone_at) == (1, {gone: at})
    assert set(done.messages) == {delivered, kept}
    assert admin(refused, gone) == []


def test_large_content_is_written_in_steps_and_goes_out_whole(refused: Stage, receiver: Receiver) -> None:
    content = MAIL + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20_000
    [old] = failed(refused, "ann@example.com", content=content)
    receiver.refuse = None
    [new] = refused.queue.retired.resend(old).messages.values()
    refused.deliver()
    assert refused.state(new) == "delivered"
    assert [each.content for each in receiver.messages] == [refused.queue.dump(old)]
    assert len(receiver.messages[0].content) > 1_400_000


def test_what_is_sent_anew_counts_for_the_quota_and_is_refused_over_it(refused: Stage) -> None:
    olds = [failed(refused, f"{each}@example.com")[0] for each in "abc"]
    refused.queue.accounts.set("default", messages_per_day=2, over_quota="reject")
    done = refused.queue.retired.resend(all=True)
    assert (done.sent, done.refused, list(done.messages)) == (2, 1, olds[:2])
    assert done.refusal is not None
    assert "over its quota" in done.refusal
    [use] = refused.queue.accounts.show("default").usage
    assert use.used == 2
    refused.queue.accounts.set("default", over_quota="hold")
    [new] = refused.queue.retired.resend(olds[2]).messages.values()
    assert refused.show(new).hold


def test_hold_rules_hold_what_is_sent_anew(refused: Stage) -> None:
    [old] = failed(refused, "ann@example.com")
    refused.queue.hold_rules.add(recipient="ann@example.com")
    [new] = refused.queue.retired.resend(old).messages.values()
    assert refused.show(new).hold


def test_notice_that_is_sent_anew_stays_a_notice(refused: Stage, receiver: Receiver) -> None:
    refused.queue.accounts.set("default", notices="queue", messages_per_day=1)
    failed(refused, "ann@example.com", sender="shop@example.org")
    refused.deliver()
    [notice] = refused.queue.retired.list(sender="").items
    done = refused.queue.retired.resend(notice.id)
    assert done.sent == 1, "no quota counts a notice"
    refused.deliver()
    assert refused.state(done.messages[notice.id]) == "failed"
    assert refused.queue.count() == 0, "no notice about a notice"


def test_what_is_still_in_the_queue_is_told_apart_and_not_sent_twice(refused: Stage) -> None:
    [old] = failed(refused, "ann@example.com")
    [waiting] = refused.submit("ben@example.com")
    done = refused.queue.retired.resend([waiting, old])
    assert (list(done.messages), done.queued) == ([old], (waiting,))
    assert refused.queue.retired.resend([]).sent == 0
    assert refused.queue.retired.purge([waiting]) == Purged(messages=0, queued=(waiting,))
    assert refused.state(waiting) == "queued"


def test_sending_all_anew_does_not_send_what_it_has_sent(refused: Stage) -> None:
    olds = failed(refused, *(f"u{number}@example.com" for number in range(250)))
    more = [failed(refused, f"v{number}@example.com")[0] for number in range(3)]
    refused.queue.hold_rules.add()
    told: list[tuple[int, int | None]] = []
    done = refused.queue.retired.resend(
        recipient="@example.com", progress=lambda done, total: told.append((done, total))
    )
    assert list(done.messages) == olds + more
    assert told == [(250, 253), (253, 253)]
    assert refused.queue.count() == 253


# --- purge ---------------------------------------------------------------------------------------
def test_purged_messages_are_gone_with_all_that_was_known_and_one_event_tells(refused: Stage) -> None:
    one, two = failed(refused, "ann@example.com", "ben@example.com")
    [other] = failed(refused, "eve@example.net")
    assert refused.queue.retired.purge(recipient="ann@example.com").messages == 1
    with pytest.raises(NotFound, match="purged"):
        refused.show(one)
    assert refused.queue.dump(two), "it is still needed"
    done = refused.queue.retired.purge(recipient="@example.com", reason="they asked", actor="anna")
    assert done == Purged(messages=1, queued=())
    with pytest.raises(NotFound):
        refused.queue.dump(two)
    assert refused.state(other) == "failed"
    assert notes(refused) == [
        ("python", None, '{"verb": "purge", "messages": 1, "submissions": 0}'),
        ("python:anna", "they asked", '{"verb": "purge", "messages": 1, "submissions": 1}'),
    ]


def test_purging_many_goes_in_steps_and_one_event_counts_them_all(refused: Stage) -> None:
    failed(refused, *(f"u{number}@example.com" for number in range(450)))
    told: list[tuple[int, int | None]] = []
    done = refused.queue.retired.purge(all=True, progress=lambda done, total: told.append((done, total)))
    assert done.messages == 450
    assert told[-1] == (450, None)
    assert len(told) > 2
    assert notes(refused) == [("python", None, '{"verb": "purge", "messages": 450, "submissions": 1}')]
    assert refused.queue.retired.count() == 0


def test_purge_of_large_content_takes_few_messages_at_a_time(refused: Stage) -> None:
    content = MAIL + (b"y" * 70 + b"\r\n") * 40_000
    for each in "abc":
        failed(refused, f"{each}@example.com", content=content)
    told: list[int] = []
    assert refused.queue.retired.purge(all=True, progress=lambda done, _: told.append(done)).messages == 3
    assert told == [2, 3]


# --- both ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["resend", "purge"])
def test_verb_of_the_history_asks_which_messages_are_meant(refused: Stage, verb: str) -> None:
    failed(refused, "ann@example.com")
    call: Callable[..., object] = getattr(refused.queue.retired, verb)
    with pytest.raises(SettingError, match="which messages"):
        call()
    with pytest.raises(NotFound, match="99"):
        call(99)
    with pytest.raises(SettingError, match="look in the queue"):
        call(state="queued")


@pytest.mark.parametrize("verb", ["resend", "purge"])
def test_preview_of_a_verb_of_the_history_changes_nothing(refused: Stage, verb: str) -> None:
    old, _ = failed(refused, "ann@example.com", "ben@example.net")
    found = getattr(refused.queue.retired, verb)(recipient="@example.com", dry_run=True).preview
    assert (found.messages, [each.id for each in found.sample]) == (1, [old])
    assert (refused.queue.retired.count(), refused.queue.count(), admin(refused, old)) == (2, 0, [])


def test_verbs_of_the_history_are_awaited_by_an_async_queue(refused: Stage) -> None:
    [old] = failed(refused, "ann@example.com")

    async def story() -> tuple[int, int]:
        async with AsyncQueue(refused.queue.path) as queue:
            sent = (await queue.retired.resend(old)).sent
            return sent, (await queue.retired.purge(old)).messages

    assert asyncio.run(story()) == (1, 1)

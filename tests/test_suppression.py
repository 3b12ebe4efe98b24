"""Suppression: which mail stops, when it begins to, and what people can do about it."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.bounces import bounce, complaint
from support.clock import ManualTimer
from support.receiver import DROP, OK_RCPT, Receiver
from support.stage import MAIL, Stage

from mailqueue import AsyncQueue
from mailqueue.clock import DAY
from mailqueue.errors import AddressError, NotFound, ParseError, QuotaExceeded, SettingError
from mailqueue.model.suppression import Cause, Finding, Lesson, Suppression

UNKNOWN = "unknown@example.com"


@pytest.fixture
def relayed(stage: Stage, receiver: Receiver) -> Stage:
    stage.relay(receiver.port)
    return stage


def entry(stage: Stage, address: str, account: str = "default") -> Suppression:
    found = stage.queue.suppressions.lookup(address, account=account)
    assert found is not None
    return found


def suppressed(stage: Stage, address: str, account: str = "default") -> bool:
    return stage.queue.suppressions.lookup(address, account=account) is not None


def asked(receiver: Receiver) -> list[str]:
    """Return the recipients that the receiver was asked about."""
    return [each[9:-1] for each in receiver.commands if each.upper().startswith("RCPT TO:<")]


def fail(stage: Stage, address: str, *, after: timedelta | None = None) -> int:
    """Send a message that fails; return its id."""
    [message] = stage.submit(address, max_attempts=1)
    stage.deliver(after)
    assert stage.state(message) in ("failed", "expired")
    return message


def upkeep(stage: Stage) -> None:
    async def story() -> None:
        engine = stage.new_engine(timer=(timer := ManualTimer(stage.clock)))
        running = asyncio.create_task(engine.run())
        while "sweep" not in timer.upkeep:
            await asyncio.sleep(0.005)
        await timer.upkeep["sweep"]()
        engine.stop()
        await running

    asyncio.run(asyncio.wait_for(story(), 20))


# --- how an address comes to be suppressed -------------------------------------------------------
def test_address_that_a_server_does_not_know_is_suppressed_at_once(
    relayed: Stage, receiver: Receiver
) -> None:
    stage = relayed
    message = fail(stage, UNKNOWN)
    found = entry(stage, UNKNOWN)
    assert (found.cause, found.reason, found.message_id) == (
        Cause.CODE,
        "550 5.1.1 No such user here",
        message,
    )
    assert found.evidence is not None
    assert (found.evidence.category, found.evidence.phase) == ("mailbox_unknown", "rcpt")
    assert found.evidence.reply == "550 5.1.1 No such user here"
    assert (found.actor, found.expires_at) == (None, None)
    submission = stage.queue.submit(MAIL, recipients=["Unknown+news@example.com", "ann@example.com"])
    first, second = submission.messages
    assert (first.state, second.state) == ("suppressed", "queued")
    stage.deliver()
    assert stage.state(second.id) == "delivered"
    assert asked(receiver) == [UNKNOWN, "ann@example.com"]
    [event] = stage.queue.events(first.id)
    told = "not sent, as its recipient is suppressed (code: 550 5.1.1 No such user here)"
    assert (event.event, event.reason) == ("suppressed", told)
    shown = stage.show(first.id)
    assert (shown.attempts, shown.last_error) == (0, told)
    assert not stage.queue.notices(first.id), "the Submission says it"
    assert stage.queue.explain(first.id).summary.endswith(f"{told}; it waits for nothing")


@pytest.mark.parametrize("local", ["policy", "full", "550", "spam", "greylist"])
def test_other_refusals_suppress_nobody_at_once(relayed: Stage, local: str) -> None:
    fail(relayed, f"{local}@example.com")
    assert not suppressed(relayed, f"{local}@example.com")


def test_three_messages_that_failed_over_three_days_suppress_an_address(relayed: Stage) -> None:
    stage = relayed
    for after in (None, timedelta(days=1), timedelta(days=1, hours=23)):
        fail(stage, "full@example.com", after=after)
        assert not suppressed(stage, "full@example.com")
    last = fail(stage, "Full@example.com", after=timedelta(hours=1))
    found = entry(stage, "full@example.com")
    assert (found.cause, found.message_id) == (Cause.FAILURES, last)
    assert found.reason == "several messages failed, the last: 452 4.2.2 Mailbox full"
    assert found.evidence is not None
    begin, second, end = found.evidence.failures
    assert (second - begin, end - begin) == (DAY, 3 * DAY)


def test_one_message_that_fails_is_one_failure_however_often_it_was_tried(relayed: Stage) -> None:
    stage = relayed
    [message] = stage.submit("full@example.com")
    for _ in range(40):
        stage.deliver(timedelta(hours=4))
    assert stage.state(message) == "expired"
    assert not suppressed(stage, "full@example.com")


def test_policy_and_content_never_count(relayed: Stage) -> None:
    for _ in range(4):
        for local in ("policy", "spam"):
            fail(relayed, f"{local}@example.com")
        relayed.clock.advance(timedelta(days=2))
    assert not suppressed(relayed, "policy@example.com")
    assert not suppressed(relayed, "spam@example.com")


def test_delivery_between_makes_the_failures_before_it_count_no_more(stage: Stage) -> None:
    full = "452 4.2.2 Mailbox full"
    with Receiver(at_rcpt={"ann": [full, full, OK_RCPT, full, full, full]}) as receiver:
        stage.relay(receiver.port)
        fail(stage, "ann@example.com")
        fail(stage, "ann@example.com", after=timedelta(days=3))
        [message] = stage.submit("ann@example.com")
        stage.deliver(timedelta(days=1))
        assert stage.state(message) == "delivered"
        fail(stage, "ann@example.com", after=timedelta(days=1))
        fail(stage, "ann@example.com", after=timedelta(days=1))
        assert not suppressed(stage, "ann@example.com")
        fail(stage, "ann@example.com", after=timedelta(days=2))
        assert suppressed(stage, "ann@example.com")


def test_trouble_with_the_relay_is_nobodys_fault(stage: Stage) -> None:
    with Receiver(at_rcpt={"ann": [DROP]}) as receiver:
        stage.relay(receiver.port)
        for _ in range(4):
            fail(stage, "ann@example.com")
            stage.clock.advance(timedelta(days=2))
    assert not suppressed(stage, "ann@example.com")


def test_refusal_of_our_own_transport_says_nothing_about_the_address(stage: Stage) -> None:
    stage.queue.transports.add("none", kind="fail", reply="550 5.1.1 No such user")
    fail(stage, "ann@example.com")
    assert not suppressed(stage, "ann@example.com")


def test_accounts_learn_each_for_itself(relayed: Stage) -> None:
    stage = relayed
    stage.queue.accounts.add("shop")
    fail(stage, UNKNOWN)
    [message] = stage.submit(UNKNOWN, account="shop")
    assert stage.state(message) == "queued"
    stage.deliver()
    assert suppressed(stage, UNKNOWN, "shop")


def test_account_without_suppression_learns_nothing_and_sends_to_everybody(relayed: Stage) -> None:
    stage = relayed
    stage.queue.accounts.set("default", suppression=False)
    fail(stage, UNKNOWN)
    assert not suppressed(stage, UNKNOWN)
    stage.queue.suppressions.add("ann@example.com")
    [message] = stage.submit("ann@example.com")
    stage.deliver()
    assert stage.state(message) == "delivered"
    stage.queue.accounts.set("default", suppression=True)
    [message] = stage.submit("ann@example.com")
    assert stage.state(message) == "suppressed"


def test_what_engines_put_there_stays_as_long_as_the_account_says(relayed: Stage) -> None:
    stage = relayed
    stage.queue.accounts.set("default", suppress_for=timedelta(days=30))
    fail(stage, UNKNOWN)
    found = entry(stage, UNKNOWN)
    assert found.expires_at == found.created_at + timedelta(days=30)
    stage.clock.advance(timedelta(days=30))
    assert not suppressed(stage, UNKNOWN)
    fail(stage, UNKNOWN)
    assert entry(stage, UNKNOWN).created_at == found.expires_at, "it is a new one"
    stage.clock.advance(timedelta(days=31))
    upkeep(stage)
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        assert raw.execute("SELECT count(*) FROM mailqueue_suppression").fetchone() == (0,)
    assert stage.queue.accounts.set("default", suppress_for=timedelta(0)).suppress_for is None


def test_failures_are_forgotten_after_half_a_year(relayed: Stage) -> None:
    stage = relayed
    for _ in range(2):
        fail(stage, "full@example.com", after=timedelta(days=2))
    stage.clock.advance(timedelta(days=181))
    upkeep(stage)
    fail(stage, "full@example.com")
    assert not suppressed(stage, "full@example.com")


@pytest.fixture
def sent(relayed: Stage) -> Stage:
    """A stage where mail to Ann and Ben has been delivered."""
    relayed.submit("ann@example.com", "ben@example.com", envid="order-1")
    relayed.deliver()
    return relayed


def test_bounce_that_surely_is_about_the_address_suppresses_it(sent: Stage) -> None:
    came = sent.queue.incoming(bounce("ann@example.com", envid="order-1"))
    found = entry(sent, "ann@example.com")
    assert (found.cause, found.message_id, found.incoming_id) == (Cause.CODE, 1, came.id)
    assert found.evidence is not None
    assert (found.evidence.category, found.evidence.status) == ("mailbox_unknown", "5.1.1")
    assert not suppressed(sent, "ben@example.com")
    assert sent.queue.suppressions.rejudge() == ()


def test_bounce_found_by_what_all_who_got_the_mail_know_is_a_failure(sent: Stage) -> None:
    sent.queue.incoming(bounce("ann@example.com", message_id=sent.show(1).message_id))
    assert not suppressed(sent, "ann@example.com")
    with closing(sqlite3.connect(sent.queue.path)) as raw:
        assert raw.execute("SELECT base, message_id FROM mailqueue_strike").fetchall() == [
            ("ann@example.com", 1)
        ]


def test_complaint_suppresses_at_once(sent: Stage) -> None:
    came = sent.queue.incoming(complaint("ben@example.com", message_id=sent.show(2).message_id))
    found = entry(sent, "ben@example.com")
    assert (found.cause, found.message_id, found.incoming_id, found.evidence) == (
        Cause.COMPLAINT,
        2,
        came.id,
        None,
    )


# --- what stops ----------------------------------------------------------------------------------
def test_waiting_message_retires_when_it_would_be_tried_and_the_sender_is_told(
    relayed: Stage, receiver: Receiver
) -> None:
    stage = relayed
    [message] = stage.submit("greylist@example.com")
    stage.deliver()
    stage.queue.suppressions.add("greylist@example.com", reason="she asked us to")
    explained = stage.queue.explain(message)
    assert explained.blocked_by == "suppression"
    assert explained.earliest_attempt_at is None
    [gate] = [each for each in explained.gates if each.gate == "suppression"]
    assert gate.frees == "mailqueue suppress remove greylist@example.com --account default"
    stage.deliver(timedelta(hours=1))
    assert stage.state(message) == "suppressed"
    assert stage.outcomes(message) == ["deferred"]
    assert asked(receiver) == ["greylist@example.com"]
    event = stage.queue.events(message)[-1]
    assert (event.event, event.reason) == (
        "suppressed",
        "not sent, as its recipient is suppressed (manual: she asked us to)",
    )
    notice = " ".join(stage.notice(message).split())
    assert "she asked us to" in notice
    assert "Status: 5.7.1" in notice
    assert [each.what for each in stage.queue.timeline(message)][-1] == "suppressed"


def test_plan_says_that_mail_would_stop(stage: Stage) -> None:
    stage.queue.suppressions.add("ann@example.com", reason="she asked us to")
    found = stage.queue.plan(sender="anna@example.org", recipient="Ann@example.com", dns=False)
    assert (found.state, found.gates) == ("suppressed", ())
    assert found.summary == "not sent, as its recipient is suppressed (manual: she asked us to)"


def test_message_on_hold_is_looked_at_when_it_is_released(relayed: Stage) -> None:
    stage = relayed
    [message] = stage.submit("ann@example.com")
    stage.queue.hold(message)
    stage.queue.suppressions.add("ann@example.com")
    stage.deliver()
    assert stage.state(message) == "queued"
    stage.queue.release(message)
    stage.deliver()
    assert stage.state(message) == "suppressed"


def test_many_waiting_messages_retire_and_the_others_go(relayed: Stage) -> None:
    stage = relayed
    ids = [message for n in range(60) for message in stage.submit(f"a+{n}@example.com", f"b{n}@example.com")]
    stage.queue.suppressions.add("a@example.com")
    stage.queue.accounts.set("default", notices="none")
    stage.deliver()
    states = [stage.state(each) for each in ids]
    assert (states.count("suppressed"), states.count("delivered")) == (60, 60)


def test_notices_to_the_sender_are_exempt(relayed: Stage, receiver: Receiver) -> None:
    stage = relayed
    stage.queue.accounts.set("default", notices="queue")
    stage.queue.suppressions.add("anna@example.org")
    fail(stage, UNKNOWN)
    stage.deliver()
    assert [each.recipients for each in receiver.wait(1)] == [["anna@example.org"]]


def test_suppressed_mail_counts_for_no_quota(stage: Stage) -> None:
    stage.queue.accounts.set("default", messages_per_day=1, new_recipients_per_day=1)
    stage.queue.suppressions.add("ann@example.com")
    large = MAIL + (b"x" * 76 + b"\r\n") * 20_000
    for content in (MAIL, MAIL, large):
        assert stage.queue.submit(content, recipients=["ann@example.com"]).messages[0].state == "suppressed"
    stage.submit("ann@example.com", "ben@example.com")
    with pytest.raises(QuotaExceeded):
        stage.submit("ann@example.com", "ben@example.com")
    assert [each.used for each in stage.queue.accounts.show("default").usage] == [1, 1]


def test_held_and_suppressed_message_retires_at_submit(stage: Stage) -> None:
    stage.queue.hold_rules.add(recipient="ann@example.com")
    stage.queue.suppressions.add("ann@example.com")
    [message] = stage.submit("ann@example.com")
    assert (stage.state(message), stage.show(message).holds) == ("suppressed", ())


def test_first_submission_comes_again_as_it_was(stage: Stage) -> None:
    stage.queue.suppressions.add("ben@example.com")
    first = stage.queue.submit(MAIL, idempotency_key="order 7")
    stage.queue.suppressions.remove("ben@example.com")
    again = stage.queue.submit(MAIL, idempotency_key="order 7")
    assert (again.id, again.messages[0].state) == (first.id, "suppressed")


def test_message_joins_the_callers_transaction_as_suppressed(stage: Stage) -> None:
    stage.queue.suppressions.add("ben@example.com")
    with closing(sqlite3.connect(stage.queue.path)) as app:
        made = stage.queue.submit(MAIL, connection=app)
        app.commit()
    assert stage.state(made.messages[0].id) == "suppressed"


# --- the list ------------------------------------------------------------------------------------
def test_entries_are_added_looked_up_and_removed(stage: Stage) -> None:
    queue = stage.queue
    made = queue.suppressions.add(
        "Ann.Bee+x@Gmail.com", reason="asked", expires_at=timedelta(days=1), actor="meg"
    )
    assert (made.address, made.base, made.cause, made.actor) == (
        "Ann.Bee+x@gmail.com",
        "annbee@gmail.com",
        Cause.MANUAL,
        "python:meg",
    )
    assert queue.suppressions.lookup("annb.ee@googlemail.com") == made
    stage.clock.advance(timedelta(hours=1))
    again = queue.suppressions.add("annbee@gmail.com", reason="asked again")
    assert (again.id, again.created_at, again.expires_at) == (made.id, made.created_at, None)
    assert queue.suppressions.remove("annbee@gmail.com").suppression == again
    assert queue.suppressions.lookup("annbee@gmail.com") is None
    with pytest.raises(NotFound, match=r"annbee@gmail\.com is not suppressed"):
        queue.suppressions.remove("annbee@gmail.com")


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (AddressError, {"address": "nobody"}),
        (NotFound, {"address": "ann@example.com", "account": "nope"}),
        (SettingError, {"address": "ann@example.com", "expires_at": timedelta(0)}),
        (SettingError, {"address": "ann@example.com", "expires_at": timedelta(days=-1)}),
    ],
)
def test_entry_that_cannot_be_is_refused(
    stage: Stage, error: type[Exception], arguments: dict[str, object]
) -> None:
    with pytest.raises(error):
        stage.queue.suppressions.add(**arguments)  # type: ignore[arg-type]
    assert stage.queue.suppressions.list().items == ()


def test_list_comes_in_pages_by_account_and_address(stage: Stage) -> None:
    queue = stage.queue
    queue.accounts.add("shop")
    names = [f"{name}@example.com" for name in "fbdace"]
    for account in ("shop", "default"):
        for each in names:
            queue.suppressions.add(each, account=account)
    found, after = [], None
    while True:
        page = queue.suppressions.list(limit=5, after=after)
        found += [(each.account, each.address) for each in page.items]
        after = page.next
        if after is None:
            break
    expected = [(account, name) for account in ("default", "shop") for name in sorted(names)]
    assert found == expected
    only = queue.suppressions.list(account="default", limit=6)
    assert ([each.address for each in only.items], only.next) == (sorted(names), None)
    beyond = queue.suppressions.list(limit=2).next
    assert len(queue.suppressions.list(account="shop", after=beyond).items) == 6, "of no other account"
    for limit, after in ((0, None), (1001, None), (5, "nonsense"), (5, "é")):
        with pytest.raises(SettingError):
            queue.suppressions.list(limit=limit, after=after)


def learnt(stage: Stage, finding: Finding, address: str, message_id: int | None = None) -> list[Suppression]:
    """Let the queue learn something from outside, as a report that comes in does."""
    lesson = Lesson(
        account_id=1,
        address=address,
        finding=finding,
        at=stage.clock.now(),
        reason="a report says so",
        message_id=message_id,
    )
    return stage.queue.store.run(lambda transaction: transaction.learn([lesson]))


def test_what_a_person_said_stays_when_a_server_says_it_too(stage: Stage) -> None:
    kept = stage.queue.suppressions.add("ann@example.com", reason="by hand")
    assert learnt(stage, Finding.DEAD, "Ann@example.com") == []
    assert entry(stage, "ann@example.com") == kept
    short = stage.queue.suppressions.add("ann@example.com", expires_at=timedelta(days=1))
    [longer] = learnt(stage, Finding.COMPLAINED, "ann+x@example.com")
    assert (longer.cause, longer.expires_at) == (Cause.COMPLAINT, None)
    assert (longer.id, longer.created_at) == (short.id, short.created_at)


def test_failure_that_no_message_showed_counts_for_nothing(stage: Stage) -> None:
    for number in (None, None, None, 1, 2, 2):
        assert learnt(stage, Finding.FAILED, "ann@example.com", number) == []
        stage.clock.advance(timedelta(days=2))
    [made] = learnt(stage, Finding.FAILED, "ann@example.com", 3)
    assert (made.cause, made.evidence) == (Cause.FAILURES, None)


def test_account_that_goes_takes_its_list_along(stage: Stage) -> None:
    stage.queue.accounts.add("shop")
    stage.queue.suppressions.add("ann@example.com", account="shop")
    stage.queue.accounts.remove("shop")
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        assert raw.execute("SELECT count(*) FROM mailqueue_suppression").fetchone() == (0,)


def test_what_an_entry_has_stopped_is_submitted_anew(relayed: Stage, receiver: Receiver) -> None:
    stage = relayed
    stage.queue.suppressions.add("ann@example.com")
    stage.submit("ann@example.com")
    stage.queue.suppressions.remove("ann@example.com")
    stage.clock.advance(timedelta(minutes=1))
    stage.queue.suppressions.add("ann@example.com")
    [old] = stage.submit("ann@example.com")
    stage.clock.advance(timedelta(days=8))
    upkeep(stage)
    options = {"extra": {"order": "7"}, "envid": "7", "ret": "hdrs", "priority": "bulk"}
    first, _ = stage.submit("Ann+x@example.com", "ben@example.com", notify="failure", **options)
    done = stage.queue.suppressions.remove("ann@example.com", replay=True)
    assert done.replayed is not None
    assert (list(done.replayed.messages), list(done.replayed.gone_at)) == ([first], [old])
    [new] = done.replayed.messages.values()
    found, before = stage.show(new), stage.show(first)
    for name in ("sender", "recipient", "envid", "ret", "priority", "notify", "extra"):
        assert getattr(found, name) == getattr(before, name), name
    stage.deliver()
    assert stage.state(new) == "delivered"
    assert receiver.wait(2)[1].message_id == before.message_id


def test_replay_over_the_quota_is_told(stage: Stage) -> None:
    stage.queue.suppressions.add("ann@example.com")
    ids = stage.submit("ann@example.com") + stage.submit("ann@example.com")
    stage.queue.accounts.set("default", messages_per_day=1)
    done = stage.queue.suppressions.remove("ann@example.com", replay=True)
    assert done.replayed is not None
    assert (list(done.replayed.messages), done.replayed.refused) == (ids[:1], 1)


# --- as CSV --------------------------------------------------------------------------------------
def test_list_goes_out_and_comes_in_elsewhere(stage: Stage, tmp_path: Path) -> None:
    queue = stage.queue
    queue.suppressions.add("ann@example.com", reason='she said "no", twice')
    queue.suppressions.add("ben@bücher.example", expires_at=timedelta(days=1))
    written = io.StringIO()
    assert queue.suppressions.export(written) == 2
    assert written.getvalue().splitlines()[0] == "address,cause,reason,created_at,expires_at"
    queue.accounts.add("shop")
    done = queue.suppressions.import_(io.StringIO(written.getvalue()), account="shop")
    assert (done.read, done.changed, done.faults, done.ignored) == (2, 2, (), ())
    old, new = (queue.suppressions.list(account=each).items for each in ("default", "shop"))
    assert [(each.address, each.reason, each.expires_at) for each in old] == [
        (each.address, each.reason, each.expires_at) for each in new
    ]
    assert {each.cause for each in new} == {Cause.IMPORT}
    again = queue.suppressions.import_(io.StringIO(written.getvalue()))
    assert (again.read, again.changed) == (2, 0)
    assert queue.suppressions.list(account="default").items == old, "what was there stays"


BAD = """\
Email Address ,address,expires_at
1,ann@example.com,
2,nobody,
3,ben@example.com,tomorrow
4,carl@example.com
5,dan@example.com,2020-01-01T00:00:00Z

6,eve@example.com,2030-01-01T00:00:00Z
"""


def test_bad_lines_are_named_and_nothing_is_imported_unless_they_are_skipped(stage: Stage) -> None:
    queue = stage.queue
    with pytest.raises(ParseError) as refused:
        queue.suppressions.import_(BAD.splitlines())
    told = str(refused.value)
    assert told.startswith("nothing was imported: line 3: 'nobody': there is no @; line 4: expires_at")
    assert "line 5: has 2 values, and there are 3 columns" in told
    assert queue.suppressions.list().items == ()
    done = queue.suppressions.import_(BAD.splitlines(), skip_bad=True)
    assert (done.read, done.changed, len(done.faults)) == (2, 2, 3)
    assert done.ignored == ("email address",)
    assert [each.address for each in queue.suppressions.list().items] == [
        "ann@example.com",
        "eve@example.com",
    ]


@pytest.mark.parametrize("text", ["", "email\nann@example.com\n", "\n"])
def test_list_without_a_column_of_addresses_is_refused(stage: Stage, text: str) -> None:
    with pytest.raises(ParseError):
        stage.queue.suppressions.import_(text.splitlines(), skip_bad=True)


def test_long_list_is_imported_in_steps(stage: Stage) -> None:
    lines = ["address", *(f"a{n}@example.com" for n in range(2500))]
    assert stage.queue.suppressions.import_(lines).changed == 2500
    written = io.StringIO()
    assert stage.queue.suppressions.export(written) == 2500


# --- judging again -------------------------------------------------------------------------------
def test_entries_that_new_rules_would_not_make_are_listed_and_removed(relayed: Stage) -> None:
    stage = relayed
    fail(stage, UNKNOWN)
    stage.queue.suppressions.add("ann@example.com")
    assert stage.queue.suppressions.rejudge() == ()
    stage.queue.reply_rules.add("no such user", category="policy", note="they say so to all of us")
    [found] = stage.queue.suppressions.rejudge()
    assert (found.suppression.address, found.removed) == (UNKNOWN, False)
    assert found.reason == "policy says nothing about the address"
    assert suppressed(stage, UNKNOWN)
    [gone] = stage.queue.suppressions.rejudge(account="default", remove=True)
    assert gone.removed
    assert not suppressed(stage, UNKNOWN)
    assert suppressed(stage, "ann@example.com")
    fail(stage, UNKNOWN)
    assert not suppressed(stage, UNKNOWN)


# --- the other face ------------------------------------------------------------------------------
def test_async_queue_has_the_same_verbs(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            await queue.suppressions.import_(["address,reason", "ann@example.com,asked"])
            made = await queue.submit(MAIL, recipients=["ann@example.com", "ben@example.com"])
            assert [each.state for each in made.messages] == ["suppressed", "queued"]
            assert (await queue.suppressions.list()).items[0].reason == "asked"
            await queue.suppressions.remove("ann@example.com")

    asyncio.run(story())

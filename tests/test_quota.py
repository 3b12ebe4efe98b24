"""What an account may send in 24 hours: refused, put on hold, or dropped beyond it, through every door."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import START, ManualClock, ManualTimer
from support.receiver import Receiver
from support.stage import MAIL, Stage, wait_until

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.clock import DAY, HOUR, to_datetime
from mailqueue.errors import Conflict, InvalidSubmission, NotFound, QuotaExceeded, SettingError
from mailqueue.model.account import Quota, QuotaUse

OPENS = datetime(2027, 1, 16, 9, tzinfo=UTC)
"""START is 08:00 sharp: what is sent in that hour counts until the hour after, a day later."""


def limit(queue: Queue, policy: str = "reject", messages: int | None = None, new: int | None = None) -> None:
    queue.accounts.set("default", messages_per_day=messages, new_recipients_per_day=new, over_quota=policy)


def names(count: int, first: int = 1) -> list[str]:
    return [f"c{n}@example.net" for n in range(first, first + count)]


def used(queue: Queue) -> int:
    [found] = queue.accounts.show("default").usage
    return found.used


def states(stage: Stage, messages: list[int]) -> list[str]:
    return [stage.state(message) for message in messages]


def upkeep(stage: Stage) -> None:
    """Let an engine do its upkeep."""

    async def story() -> None:
        engine = stage.new_engine(timer=(timer := ManualTimer(stage.clock)))
        running = asyncio.create_task(engine.run())
        while "sweep" not in timer.upkeep:
            await asyncio.sleep(0.005)
        await timer.upkeep["sweep"]()
        engine.stop()
        await running

    asyncio.run(asyncio.wait_for(story(), 20))


# --- reject -------------------------------------------------------------------------------------
def test_submission_over_the_quota_is_refused_with_when_there_is_room(stage: Stage) -> None:
    limit(stage.queue, messages=3)
    stage.submit(*names(2))
    stage.clock.advance(timedelta(minutes=30))
    with pytest.raises(QuotaExceeded) as refused:
        stage.submit(*names(2, 3))
    error = refused.value
    assert (error.account, error.quota, error.limit, error.used, error.opens_at) == (
        "default",
        "messages",
        3,
        2,
        OPENS,
    )
    assert str(error) == (
        "account 'default' is over its quota of messages in 24 hours: 2 of 3 used, this has 2; "
        "there is room from 2027-01-16 09:00:00Z on"
    )
    assert stage.queue.status().queued == 2
    assert used(stage.queue) == 2
    stage.submit("one-more@example.net")
    stage.clock.advance(START + 25 * HOUR - stage.clock.now() - 1)
    with pytest.raises(QuotaExceeded):
        stage.submit("too-early@example.net")
    stage.clock.advance(1)
    stage.submit(*names(2, 3))


def test_submission_that_never_fits_says_so(stage: Stage) -> None:
    limit(stage.queue, messages=3)
    with pytest.raises(QuotaExceeded, match="this has 4; hand it in in parts") as refused:
        stage.submit(*names(4))
    assert refused.value.opens_at is None


def test_quota_of_new_recipients_counts_those_not_written_to_before(stage: Stage) -> None:
    limit(stage.queue, new=2)
    stage.submit("ann@example.net", "bob@example.net")
    for _ in range(3):
        stage.submit("ann@example.net")
    with pytest.raises(QuotaExceeded, match="quota of new recipients in 24 hours: 2 of 2 used, this has 1"):
        stage.submit("bob@example.net", "carl@example.net")
    stage.clock.advance(25 * HOUR)
    stage.submit("carl@example.net")
    stage.clock.advance(366 * DAY)
    upkeep(stage)
    stage.submit("ann@example.net")
    assert used(stage.queue) == 1, "after a year, she is a stranger again"


def test_other_accounts_have_quotas_of_their_own_or_none(stage: Stage) -> None:
    limit(stage.queue, messages=1)
    stage.queue.accounts.add("shop")
    stage.submit("ann@example.net")
    with pytest.raises(QuotaExceeded):
        stage.submit("ann@example.net")
    stage.submit(*names(50), account="shop")
    assert stage.queue.accounts.show("shop").usage == ()


def test_first_submission_comes_again_though_the_quota_is_full_and_counts_nothing(stage: Stage) -> None:
    limit(stage.queue, messages=1)
    large = MAIL + b"x" * 76 + b"\r\n"
    first = stage.queue.submit(MAIL, idempotency_key="order 7")
    assert stage.queue.submit(MAIL, idempotency_key="order 7").id == first.id
    with pytest.raises(Conflict):
        stage.queue.submit(large, idempotency_key="order 7")
    assert used(stage.queue) == 1


def test_large_message_over_the_quota_leaves_nothing_on_disk(stage: Stage) -> None:
    limit(stage.queue, messages=1)
    large = MAIL + (b"x" * 76 + b"\r\n") * 20_000
    first = stage.queue.submit(large, idempotency_key="film")
    with pytest.raises(QuotaExceeded):
        stage.queue.submit(large)
    assert stage.queue.submit(large, idempotency_key="film").id == first.id
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        assert raw.execute(
            "SELECT count(*) FROM mailqueue_content WHERE submission_id IS NULL"
        ).fetchone() == (
            1,  # of the submission that came again
        )


def test_refused_message_counts_nothing(stage: Stage) -> None:
    limit(stage.queue, messages=5)
    with pytest.raises(InvalidSubmission):
        stage.submit("not an address")
    with pytest.raises(NotFound):
        stage.submit("ann@example.net", schedule="never")
    assert used(stage.queue) == 0


def test_notices_are_exempt(stage: Stage, receiver: Receiver) -> None:
    limit(stage.queue, messages=1)
    stage.queue.accounts.set("default", notices="queue")
    stage.relay(receiver.port)
    [message] = stage.submit("unknown@example.com")
    stage.deliver()
    [notice] = stage.queue.notices(message)
    assert notice.sent_as is not None
    assert used(stage.queue) == 1


def test_many_messages_are_refused_together_and_the_number_of_the_first_is_told(stage: Stage) -> None:
    limit(stage.queue, messages=10)
    items = [{"message": MAIL, "recipients": [each]} for each in names(11)]
    with pytest.raises(QuotaExceeded, match=r"^message 11: account 'default' is over its quota of messages"):
        stage.queue.submit_many(items)
    assert (stage.queue.status().queued, used(stage.queue)) == (0, 0)
    assert len(stage.queue.submit_many(items[:10])) == 10
    assert used(stage.queue) == 10


# --- in the caller's own transaction -------------------------------------------------------------
def test_quota_counts_with_the_callers_transaction_or_not_at_all(stage: Stage) -> None:
    limit(stage.queue, messages=2, new=2)
    with closing(sqlite3.connect(stage.queue.path)) as app:
        app.execute("CREATE TABLE orders (item TEXT)")
        app.execute("INSERT INTO orders VALUES ('teapot')")
        for recipient in names(2):
            stage.queue.submit(MAIL, recipients=[recipient], connection=app)
        with pytest.raises(QuotaExceeded):
            stage.queue.submit(MAIL, connection=app)
        app.rollback()
        assert [each.used for each in stage.queue.accounts.show("default").usage] == [0, 0]
        app.execute("INSERT INTO orders VALUES ('kettle')")
        stage.queue.submit(MAIL, recipients=names(2, 3), connection=app)
        with pytest.raises(QuotaExceeded):
            stage.queue.submit_many([MAIL], connection=app)
        app.commit()
        assert app.execute("SELECT item FROM orders").fetchall() == [("kettle",)]
    assert [each.used for each in stage.queue.accounts.show("default").usage] == [2, 2]
    assert stage.queue.status().queued == 2


def test_callers_at_the_same_time_are_let_in_up_to_the_quota(tmp_path: Path) -> None:
    async def story() -> list[object]:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            await queue.accounts.set("default", messages_per_day=30)
            return await asyncio.gather(
                *(queue.submit(MAIL, recipients=[each]) for each in names(100)), return_exceptions=True
            )

    results = asyncio.run(story())
    assert sum(isinstance(each, QuotaExceeded) for each in results) == 70
    with Queue(tmp_path / "queue.db") as queue:
        assert queue.status().queued == 30
        assert queue.check_integrity() == []


SUBMIT = """
import sys
from mailqueue import Queue
from mailqueue.errors import QuotaExceeded
path, name = sys.argv[1:]
taken = 0
with Queue(path) as queue:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(60):
        try:
            queue.submit(b"From: a@example.org\\r\\n\\r\\n", recipients=[f"{name}{number}@example.net"])
            taken += 1
        except QuotaExceeded:
            pass
print(taken)
"""


def test_processes_that_submit_at_once_keep_to_the_quota_together(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with Queue(path) as queue:
        queue.accounts.set("default", messages_per_day=100, new_recipients_per_day=90)
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SUBMIT, str(path), name], stdin=pipe, stdout=pipe, text=True
            )
            for name in "abc"
        ]
        for each in processes:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        taken = []
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in processes:
            out, _ = each.communicate(timeout=60)
            taken.append(int(out))
        assert sum(taken) == 90
        assert queue.status().queued == 90


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["reject", "hold"]),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 4)), min_size=1, max_size=25),
)
def test_no_24_hours_ever_have_more_than_the_quota(
    policy: str, messages: int, sent: list[tuple[int, int]]
) -> None:
    clock, goes = ManualClock(), []
    with tempfile.TemporaryDirectory() as folder, Queue(f"{folder}/queue.db", clock=clock) as queue:
        limit(queue, policy, messages=messages)
        for pause, count in sent:
            clock.advance(timedelta(minutes=pause))
            try:
                made = queue.submit(MAIL, recipients=names(count))
            except QuotaExceeded as refused:
                if refused.opens_at is None:
                    continue
                clock.advance(refused.opens_at - to_datetime(clock.now()))
                made = queue.submit(MAIL, recipients=names(count))
            for each in queue.submission(made.id):
                holds = queue.show(each.id).holds
                goes.append(holds[0].until if holds else each.submitted_at)
        assert queue.check_integrity() == []
    day = timedelta(hours=24)
    assert max((sum(at <= each < at + day for each in goes) for at in goes), default=0) <= messages


# --- hold ---------------------------------------------------------------------------------------
def test_what_is_over_the_quota_waits_on_hold_and_goes_when_there_is_room(
    stage: Stage, receiver: Receiver
) -> None:
    limit(stage.queue, "hold", messages=2)
    stage.relay(receiver.port)
    sent = stage.submit(*names(5))
    assert [stage.show(each).hold for each in sent] == [False, False, True, True, True]
    [mark] = stage.show(sent[2]).holds
    assert (mark.by, mark.reason, mark.until) == (
        "by the engine",
        "over the quota of messages a day (2)",
        OPENS,
    )
    [use] = stage.queue.accounts.show("default").usage
    assert use == QuotaUse(
        quota=Quota.MESSAGES, limit=2, used=2, waiting=3, opens_at=OPENS + timedelta(hours=25)
    )
    stage.deliver()
    assert states(stage, sent) == ["delivered", "delivered", "queued", "queued", "queued"]
    stage.deliver(timedelta(hours=25))
    assert states(stage, sent) == ["delivered"] * 4 + ["queued"]
    stage.deliver(timedelta(hours=25))
    assert states(stage, sent) == ["delivered"] * 5
    assert [each.event for each in stage.queue.events(sent[4])] == ["held", "released", "delivered"]


def test_engine_at_work_sets_its_alarm_for_the_end_of_a_hold(stage: Stage, receiver: Receiver) -> None:
    limit(stage.queue, "hold", messages=1)
    stage.relay(receiver.port)
    first, second = stage.submit(*names(2))

    async def story() -> None:
        engine = stage.new_engine(timer=(timer := ManualTimer(stage.clock)))
        running = asyncio.create_task(engine.run())
        while timer.armed != START + 25 * HOUR:
            await asyncio.sleep(0.005)
        stage.clock.advance(25 * HOUR)
        timer.ring()
        while stage.state(second) != "delivered":
            await asyncio.sleep(0.005)
        engine.stop()
        await running

    asyncio.run(asyncio.wait_for(story(), 20))
    assert states(stage, [first, second]) == ["delivered"] * 2


def test_explain_and_status_tell_until_when_a_message_waits(stage: Stage, receiver: Receiver) -> None:
    limit(stage.queue, "hold", messages=1)
    stage.relay(receiver.port)
    _, second = stage.submit(*names(2))
    explained = stage.queue.explain(second)
    assert explained.summary == (
        "on hold by the engine (engine: over the quota of messages a day (1)) until 2027-01-16 09:00:00Z"
    )
    assert explained.earliest_attempt_at is None, "no engine is running"
    stage.deliver()
    assert stage.queue.status().next_attempt_at == OPENS
    stage.queue.hold(second, reason="odd")
    hold, *_ = stage.queue.explain(second).gates
    assert (hold.open, hold.until) == (False, None)
    stage.deliver(timedelta(hours=25))
    assert stage.show(second).hold
    stage.queue.release(second)
    stage.deliver()
    assert stage.state(second) == "delivered"


def test_earliest_attempt_of_what_waits_is_the_end_of_its_hold(tmp_path: Path) -> None:
    with Queue(tmp_path / "queue.db", clock=ManualClock()) as queue, Receiver() as receiver:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        limit(queue, "hold", messages=1)
        engine = Engine(queue, timer=ManualTimer(queue.clock))  # type: ignore[arg-type]
        engine.start()
        waits = queue.submit(MAIL, recipients=names(2)).messages[1].id
        explained = queue.explain(waits)
        assert (explained.blocked_by, explained.earliest_attempt_at) == ("hold", OPENS)
        wait_until(lambda: queue.status().queued == 1)
        engine.stop()


def test_message_released_by_hand_goes_at_once(stage: Stage, receiver: Receiver) -> None:
    limit(stage.queue, "hold", messages=1)
    stage.relay(receiver.port)
    sent = stage.submit(*names(3))
    stage.queue.release(sent[1])
    stage.deliver()
    assert states(stage, sent) == ["delivered", "delivered", "queued"]


def test_what_would_wait_for_months_is_refused(stage: Stage) -> None:
    limit(stage.queue, "hold", messages=1)
    stage.submit(*names(50))
    with pytest.raises(QuotaExceeded, match="there is room from 2027-03-"):
        stage.submit(*names(20, 51))
    assert stage.queue.status().queued == 50


# --- drop ---------------------------------------------------------------------------------------
def test_what_is_over_the_quota_is_dropped_and_the_submission_says_so(
    stage: Stage, receiver: Receiver
) -> None:
    limit(stage.queue, "drop", messages=1)
    stage.relay(receiver.port)
    stage.queue.hold_rules.add(recipient="c2@example.net")
    made = stage.queue.submit(MAIL, recipients=names(2), idempotency_key="x")
    assert [each.state.value for each in made.messages] == ["queued", "canceled"]
    again = stage.queue.submit(MAIL, recipients=names(2), idempotency_key="x")
    assert again.messages == made.messages
    dropped = made.messages[1].id
    assert stage.queue.retired.show(dropped).last_error == "over the quota of messages a day (1)"
    assert [each.event for each in stage.queue.events(dropped)] == ["canceled"]
    assert stage.queue.explain(dropped).summary.startswith("canceled at 2027-01-15 08:00:00Z: over the quota")
    stage.deliver()
    assert states(stage, [each.id for each in made.messages]) == ["delivered", "canceled"]
    assert stage.queue.dump(dropped).endswith(b"it is me.\r\n"), "kept for seven days"
    assert used(stage.queue) == 1


def test_submission_of_which_all_is_dropped_wakes_nobody(stage: Stage) -> None:
    limit(stage.queue, "drop", new=1)
    stage.submit("ann@example.net")
    [dropped] = stage.submit("bob@example.net")
    assert stage.state(dropped) == "canceled"
    assert stage.queue.status().queued == 1
    [again] = stage.submit("bob@example.net")
    assert stage.state(again) == "canceled", "he was not written to"


# --- settings -----------------------------------------------------------------------------------
def test_quota_can_be_changed_and_taken_away_and_what_was_counted_stays(stage: Stage) -> None:
    limit(stage.queue, messages=2)
    stage.submit(*names(2))
    assert stage.queue.accounts.set("default", messages_per_day=3).usage[0].opens_at is None
    stage.submit("c3@example.net")
    lowered = stage.queue.accounts.set("default", messages_per_day=1)
    assert lowered.usage == (QuotaUse(quota=Quota.MESSAGES, limit=1, used=3, waiting=0, opens_at=OPENS),)
    free = stage.queue.accounts.set("default", messages_per_day=0)
    assert (free.messages_per_day, free.usage) == (None, ())
    stage.submit(*names(9))
    assert stage.queue.accounts.list()[0].usage == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"messages_per_day": -1}, "messages-per-day: must be 1 to 1000000000, or 0 for no quota, not -1"),
        ({"new_recipients_per_day": 10**10}, "new-recipients-per-day: must be"),
        ({"over_quota": "pray"}, "over-quota: must be one of reject, hold, drop, not 'pray'"),
    ],
)
def test_quota_that_cannot_be_is_refused(queue: Queue, changes: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        queue.accounts.set("default", **changes)  # type: ignore[arg-type]


def test_account_goes_once_nothing_needs_it(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.accounts.add("shop")
    stage.queue.accounts.set("shop", new_recipients_per_day=5000)
    stage.submit(*names(1200), account="shop")
    with pytest.raises(Conflict, match="1200 messages in the queue, which must be done first"):
        stage.queue.accounts.remove("shop")
    stage.deliver()
    stage.queue.accounts.set("shop", retention=timedelta(0))
    upkeep(stage)
    stage.queue.accounts.remove("shop")
    assert [each.name for each in stage.queue.accounts.list()] == ["default"]
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        for table in ("known_recipient", "usage", "lane", "message"):
            assert raw.execute(f"SELECT count(*) FROM mailqueue_{table} WHERE account_id = 2").fetchone() == (
                0,
            )
    with pytest.raises(NotFound):
        stage.submit("ann@example.net", account="shop")
    with pytest.raises(NotFound, match="no account 'shop'"):
        stage.queue.accounts.remove("shop")


def test_account_that_keeps_nothing_leaves_nothing(stage: Stage, receiver: Receiver) -> None:
    stage.queue.accounts.add("private")
    stage.queue.accounts.set(
        "private", notices="queue", retention=timedelta(0), keep_content=timedelta(0), over_quota="drop"
    )
    stage.queue.accounts.set("private", messages_per_day=3)
    stage.relay(receiver.port)
    stage.submit("ann@example.com", "unknown@example.com", account="private")
    stage.submit("bob@example.com", "carl@example.com", account="private")
    stage.deliver()
    stage.deliver()
    assert sum(message.sender == "" for message in receiver.messages) == 1, "the sender was told"
    upkeep(stage)
    with closing(sqlite3.connect(stage.queue.path)) as raw:
        assert raw.execute("SELECT count(message_id) FROM mailqueue_event").fetchone() == (0,)
        for table in ("submission", "message", "content", "chunk", "attempt", "notice", "hold"):
            assert raw.execute(f"SELECT count(*) FROM mailqueue_{table}").fetchone() == (0,), table
    stage.queue.accounts.remove("private")


def test_moments_of_the_manual_clock_are_as_these_tests_say() -> None:
    assert to_datetime(START + 25 * HOUR) == OPENS

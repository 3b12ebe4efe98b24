"""The door for Python: the names that others build on, submit, and lists."""

from __future__ import annotations

import asyncio
import inspect
import io
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage

import mailqueue
from mailqueue import AsyncQueue, Engine, Queue, Recipient
from mailqueue.clock import from_datetime
from mailqueue.errors import (
    Conflict,
    InvalidSubmission,
    NotFound,
    SettingError,
    StoreError,
)
from mailqueue.faces import (
    Accounts,
    HoldRules,
    IncomingMail,
    ReplyRules,
    Retired,
    Routes,
    Schedules,
    SenderDomains,
    Suppressions,
    Transports,
)
from mailqueue.model.lane import Priority

# --- names that stay -----------------------------------------------------------------------------
PINNED = {
    Queue: """
        __init__(self, path, *, migrate=False, busy_timeout=5.0, max_size=52428800, clock=None,
            door='python', actor_name=None)
        actor(self, name=None)
        submit(self, message, *, sender=None, recipients=None, account='default', connection=None,
            idempotency_key=None, schedule=None, strict=None, notify=None, ret=None, envid=None,
            not_before=None, expires_at=None, warn_after=None, max_attempts=None, priority='normal',
            transport=None, require_tls=None, extra=None, actor=None)
        submit_many(self, messages, *, progress=None, connection=None, actor=None)
        list(self, *, limit=50, after=None, sort=None, ids=None, **which)
        count(self, *, ids=None, **which)
        show(self, message_id)
        submission(self, submission_id)
        attempts(self, message_id)
        events(self, message_id)
        follow(self, *events, after=None, wait=True)
        timeline(self, message_id)
        notices(self, message_id)
        dump(self, message_id)
        explain(self, message_id, *, dns=True)
        plan(self, *, sender, recipient, account='default', schedule=None, priority='normal', transport=None,
            require_tls=None, dns=True)
        status(self)
        stats(self, *, hours=24, limit=20)
        changes(self, *, limit=50, after=None)
        hold(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        release(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        fail(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        drop(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        reschedule(self, ids=None, *, at=None, by=None, all=False, reason='', dry_run=False,
            progress=None, actor=None, **which)
        reroute(self, ids=None, *, via, all=False, reason='', dry_run=False, progress=None, actor=None,
            **which)
        require_tls(self, ids=None, *, value, all=False, reason='', dry_run=False, progress=None,
            actor=None, **which)
        incoming(self, raw, *, recipient=None, sender=None, actor=None)
        classify(self, reply, *, phase='rcpt')
        check_integrity(self, *, mend=False, actor=None)
        migrate(self, *, copy=True, actor=None)
        backup(self, target, *, actor=None)
        restore(self, source, *, copy=True, whole_file=False, hold=True, actor=None)
        close(self)
    """,
    HoldRules: """
        __init__(self, queue)
        add(self, *, account=None, sender_domain=None, sender=None, recipient_domain=None, recipient=None,
            until=None, then='release', per_minute=None, reason='', actor=None)
        held(self, rule_id)
        list(self)
        show(self, rule_id)
        remove(self, rule_id, *, release=False, per_minute=None, reason='', actor=None)
    """,
    Transports: """
        __init__(self, queue)
        add(self, name, *, kind, host=None, port=None, tls=None, username=None, password=None, auth=None,
            ca_file=None, allow_private=False, reply=None, default=False,
            reason='', actor=None)
        list(self)
        set(self, name, *, host=None, port=None, tls=None, username=None, password=None, auth=None,
            ca_file=None, allow_private=None, reply=None, default=None,
            reason='', actor=None)
        remove(self, name, *, reason='', actor=None)
    """,
    Routes: """
        __init__(self, queue)
        add(self, transport, *, account=None, sender_domain=None, recipient_domain=None, min_attempts=0,
            position=0, reason='', actor=None)
        list(self)
        remove(self, route_id, *, reason='', actor=None)
    """,
    ReplyRules: """
        __init__(self, queue)
        add(self, pattern, *, category, code=None, permanent=None, position=0, note='', actor=None)
        list(self)
        remove(self, rule_id, *, reason='', actor=None)
    """,
    Schedules: """
        __init__(self, queue)
        add(self, name, delays, *, lifetime, warn_after=None, reason='', actor=None)
        list(self)
        show(self, name)
    """,
    Accounts: """
        __init__(self, queue)
        add(self, name, *, reason='', actor=None)
        list(self)
        show(self, name)
        set(self, name, *, notices=None, schedule=None, retention=None, keep_content=None,
            on_uncertain=None, strict=None, messages_per_day=None, new_recipients_per_day=None,
            over_quota=None, fromid=None, suppression=None, suppress_for=None,
            reason='', actor=None)
        remove(self, name, *, reason='', actor=None)
    """,
    Suppressions: """
        __init__(self, queue)
        list(self, *, account=None, limit=50, after=None)
        add(self, address, *, account='default', reason='', expires_at=None, actor=None)
        lookup(self, address, *, account='default')
        remove(self, address, *, account='default', replay=False, actor=None)
        import_(self, lines, *, account='default', skip_bad=False, actor=None)
        export(self, file, *, account='default')
        rejudge(self, *, account=None, remove=False, actor=None)
    """,
    SenderDomains: """
        __init__(self, queue)
        list(self)
        set(self, name, *, separator, reason='', actor=None)
        remove(self, name, *, reason='', actor=None)
    """,
    Retired: """
        __init__(self, queue)
        list(self, *, limit=50, after=None, sort=None, ids=None, **which)
        count(self, *, ids=None, **which)
        resend(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        purge(self, ids=None, *, all=False, reason='', dry_run=False, progress=None, actor=None, **which)
        show(self, message_id)
    """,
    IncomingMail: """
        __init__(self, queue)
        list(self, *, limit=50, after=None, account=None, matched=None)
        show(self, incoming_id)
    """,
    Engine: """
        __init__(self, queue, *, relay=None, hostname=None, listener=None, connections=20,
            total_connections=None, window=2000, per_lane=400, heartbeat=10.0, dead_after=60.0,
            dot_guard=45.0, drain=10.0, resolver=None, timer=None)
        on(self, *events)
        run(self, *, once=False)
        start(self)
        stop(self)
    """,
}
FACES = (
    "accounts",
    "destinations",
    "hold_rules",
    "reply_rules",
    "retired",
    "incoming_mail",
    "routes",
    "schedules",
    "sender_domains",
    "shaping_rules",
    "suppressions",
    "transports",
    "webhooks",
)


def signature(function: Any) -> str:
    """Return a signature without annotations, enumerated defaults as their text."""
    parameters = []
    for each in inspect.signature(function).parameters.values():
        default = str(each.default) if isinstance(each.default, str) else each.default
        parameters.append(each.replace(annotation=each.empty, default=default))
    return f"{function.__name__}{inspect.Signature(parameters)}"


def test_the_package_has_these_names() -> None:
    assert sorted(mailqueue.__all__) == [
        "AsyncQueue",
        "Engine",
        "Message",
        "Queue",
        "Recipient",
        "Submission",
        "create_schema",
        "schema_sql",
    ]
    assert dir(mailqueue) == sorted(mailqueue.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Quue'"):
        mailqueue.Quue  # noqa: B018


@pytest.mark.parametrize("door", PINNED, ids=lambda door: door.__name__)
def test_public_verbs_and_their_arguments_are_these(door: type) -> None:
    public = [name for name in vars(door) if not name.startswith("_") or name == "__init__"]
    found = [signature(vars(door)[name]) for name in public]
    wanted = " ".join(PINNED[door].split()).replace(") ", ")\n").splitlines()
    assert sorted(found) == sorted(wanted)
    for name in public:
        assert door.__doc__ if name == "__init__" else vars(door)[name].__doc__, f"{name} says nothing"


def test_a_queue_has_these_attributes_and_no_others(queue: Queue) -> None:
    verbs = {name for name in vars(Queue) if not name.startswith("_")}
    attributes = {name for name in vars(queue) if not name.startswith("_")}
    assert attributes == {*FACES, "clock", "max_size", "path", "store"}
    assert verbs.isdisjoint(attributes)


# --- submit --------------------------------------------------------------------------------------
def letter(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in ({"From": "anna@example.org", "To": "ben@example.com"} | headers).items():
        message[name] = value
    message.set_content("Hello\n")
    return message


@pytest.mark.parametrize(
    "form",
    [letter, lambda: letter().as_bytes(), lambda: io.BytesIO(letter().as_bytes())],
    ids=["an e-mail object", "octets", "a binary file"],
)
def test_a_message_may_be_an_object_octets_or_a_file(queue: Queue, form: Any) -> None:
    submission = queue.submit(form())
    [message] = submission.messages
    assert (message.recipient, message.state) == ("ben@example.com", "queued")
    assert queue.dump(message.id).endswith(b"\r\n\r\nHello\r\n")
    assert not submission.replayed


@pytest.mark.parametrize("form", ["From: a@example.org\n\ntext", io.StringIO("text"), 7, None])
def test_anything_else_is_a_mistake_of_the_caller(queue: Queue, form: Any) -> None:
    with pytest.raises(TypeError, match="binary"):
        queue.submit(form, sender="a@example.org", recipients=["b@example.org"])
    assert queue.status().queued == 0


def test_the_envelope_comes_from_the_header_and_bcc_is_not_sent(queue: Queue) -> None:
    mail = letter(To="ben@example.com, ben@EXAMPLE.com", Cc="Carl <carl@example.com>", Bcc="dora@example.com")
    submission = queue.submit(mail)
    assert [each.recipient for each in submission.messages] == [
        "ben@example.com",
        "carl@example.com",
        "dora@example.com",
    ]
    message = queue.show(submission.messages[0].id)
    assert (message.sender, message.account, message.submission_id) == (
        "anna@example.org",
        "default",
        submission.id,
    )
    assert b"dora" not in queue.dump(message.id)


def test_an_envelope_that_is_given_counts_and_the_null_path_too(queue: Queue) -> None:
    for sender in ("", "<>"):
        submission = queue.submit(letter(), sender=sender, recipients=["x@example.net"])
        [message] = queue.submission(submission.id)
        assert (message.sender, message.recipient) == ("", "x@example.net")


def test_addresses_are_kept_in_the_form_of_the_wire(queue: Queue) -> None:
    submission = queue.submit(MAIL, sender="Anna@EXAMPLE.Org", recipients=["jo\u0308rg@Bücher.example"])
    [message] = queue.submission(submission.id)
    assert message.sender == "Anna@example.org"
    assert message.recipient == "jörg@xn--bcher-kva.example"


def test_date_and_message_id_are_added_where_they_are_missing(queue: Queue) -> None:
    submission = queue.submit(MAIL)
    content = queue.dump(submission.messages[0].id)
    assert b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n" in content
    assert f"Message-ID: {submission.message_id}\r\n".encode() in content
    assert submission.message_id.endswith("@example.org>")
    assert queue.show(submission.messages[0].id).message_id == submission.message_id


def test_recipients_are_a_list_and_not_one_string(queue: Queue) -> None:
    with pytest.raises(TypeError, match="not one string"):
        queue.submit(MAIL, recipients="ben@example.com")
    assert queue.submit(MAIL, recipients=(each for each in ["ben@example.com"])).messages


def test_content_is_stored_once_however_many_recipients(queue: Queue) -> None:
    queue.submit(MAIL, recipients=[f"r{number}@example.com" for number in range(100)])
    with closing(sqlite3.connect(queue.path)) as file:
        assert file.execute("SELECT count(*) FROM mailqueue_content").fetchone() == (1,)
        assert file.execute("SELECT count(*) FROM mailqueue_message").fetchone() == (100,)


def test_account_and_schedule_must_exist_and_the_error_names_the_nearest(queue: Queue) -> None:
    queue.accounts.add("shop")
    for wrong, message in (
        ({"account": "shpo"}, "no account 'shpo'; did you mean 'shop'"),
        ({"schedule": "standrd"}, "no schedule 'standrd'; did you mean 'standard'"),
    ):
        with pytest.raises(NotFound, match=message):
            queue.submit(MAIL, **wrong)
    assert queue.status().queued == 0


def test_the_schedule_is_that_of_the_call_else_of_the_account_else_standard(queue: Queue) -> None:
    queue.accounts.add("shop")
    queue.accounts.set("shop", schedule="transactional")
    given = queue.submit(MAIL, account="shop", schedule="otp")
    accounts = queue.submit(MAIL, account="shop")
    standard = queue.submit(MAIL)
    found = [queue.show(each.messages[0].id) for each in (given, accounts, standard)]
    assert [each.schedule for each in found] == ["otp", "transactional", "standard"]
    lifetimes = [each.give_up_at - each.submitted_at for each in found]
    assert lifetimes == [timedelta(minutes=10), timedelta(days=1), timedelta(days=5)]


def test_strict_is_that_of_the_call_else_of_the_account(queue: Queue) -> None:
    long_line = MAIL + b"x" * 2000 + b"\r\n"
    queue.submit(long_line)
    with pytest.raises(InvalidSubmission, match="998"):
        queue.submit(long_line, strict=True)
    queue.accounts.set("default", strict=True)
    with pytest.raises(InvalidSubmission, match="998"):
        queue.submit(long_line)
    queue.submit(long_line, strict=False)


def test_who_submits_is_written_down(tmp_path: Path) -> None:
    for options, actor, expected in (
        ({}, None, "python"),
        ({}, "shop", "python:shop"),
        ({"door": "cli", "actor_name": "anna"}, None, "cli:anna"),
        ({"door": "cli", "actor_name": "anna"}, "ben", "cli:ben"),
    ):
        with Queue(tmp_path / "queue.db", **options) as queue:  # type: ignore[arg-type]
            assert queue.actor(actor) == expected
            queue.submit(MAIL, actor=actor)
            with closing(sqlite3.connect(queue.path)) as file:
                [(found,)] = file.execute(
                    "SELECT actor FROM mailqueue_submission ORDER BY id DESC LIMIT 1"
                ).fetchall()
            assert found == expected


def test_a_submission_is_on_disk_for_whoever_opens_the_file_next(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    submission = Queue(path).submit(MAIL)
    with Queue(path) as other:
        assert other.list().items[0].message_id == submission.message_id


def test_many_threads_submit_at_once(queue: Queue) -> None:
    found: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            found.append(queue.submit(MAIL, recipients=[f"r{number}@example.com"]).messages[0].id)

    in_threads(work, 8)
    assert sorted(found) == list(range(1, 81))
    assert queue.status().queued == 80


def in_threads(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- wishes for notices ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wishes", "faults"),
    [
        ({"notify": "never,success"}, ["notify: never stands alone (RFC 3461 4.1)"]),
        ({"notify": []}, ["notify: '' is not never, nor a list of success, failure and delay"]),
        ({"ret": "body"}, ["ret: 'body' is neither full nor hdrs (RFC 3461 4.3)"]),
        ({"envid": "x" * 101}, ["envid: longer than 100 characters as it goes into MAIL (RFC 3461 4.4)"]),
        ({"envid": "ü"}, ["envid: 'ü' must be printable ASCII characters, at least one"]),
        (
            {
                "recipients": [
                    Recipient("ann@example.net", notify="sometimes", orcpt="a\nb"),
                    Recipient("no address", notify="never"),
                ],
                "ret": "",
            },
            [
                "recipient 1: notify: 'sometimes' is not never, nor a list of success, failure and delay",
                "recipient 1: orcpt: 'a\\nb' is no address that a report can show",
                "recipient 2: ...",
                "ret: '' is neither full nor hdrs (RFC 3461 4.3)",
            ],
        ),
        (
            {"recipients": ["ann@example.net", Recipient("ann@EXAMPLE.net", notify="never")]},
            ["recipient 2: ann@example.net was named before, with other wishes"],
        ),
    ],
)
def test_every_wish_that_cannot_be_is_a_fault(
    queue: Queue, wishes: dict[str, Any], faults: list[str]
) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        queue.submit(MAIL, **wishes)
    found = refused.value.faults
    assert len(found) == len(faults)
    for fault, wanted in zip(found, faults, strict=True):
        assert fault.startswith(wanted.removesuffix("..."))
    assert queue.status().queued == 0


def test_recipient_named_twice_alike_gets_one_message(queue: Queue) -> None:
    named = ["ann@example.net", Recipient("ann@EXAMPLE.net"), Recipient("ann@example.net", notify="delay")]
    assert len(queue.submit(MAIL, recipients=named, notify="delay").messages) == 1


def test_wish_of_a_call_counts_for_recipients_of_the_header(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.submit(MAIL, notify=(word for word in ("failure", "success")), envid="17")
    stage.deliver()
    assert "RCPT TO:<ben@example.com> NOTIFY=SUCCESS,FAILURE" in receiver.commands


# --- the same again ------------------------------------------------------------------------------
def test_the_same_key_with_the_same_message_returns_the_first_submission(queue: Queue) -> None:
    first = queue.submit(letter(), idempotency_key="order-7")
    again = queue.submit(letter(), idempotency_key="order-7")
    assert again == replace(first, replayed=True)
    assert queue.status().queued == 1
    other = queue.submit(letter(), idempotency_key="order-8")
    assert other.id != first.id


@pytest.mark.parametrize(
    "change",
    [
        {"content": letter(Subject="Other")},
        {"recipients": ["other@example.com"]},
        {"sender": "other@example.org"},
        {"schedule": "otp"},
        {"notify": "never"},
        {"recipients": [Recipient("ben@example.com", notify="never")]},
        {"recipients": [Recipient("ben@example.com", orcpt="ben@example.net")]},
        {"ret": "full"},
        {"envid": "17"},
        {"not_before": timedelta(hours=2)},
        {"expires_at": timedelta(hours=2)},
        {"warn_after": timedelta(0)},
        {"max_attempts": 1},
        {"priority": "bulk"},
        {"transport": "relay"},
        {"require_tls": False},
        {"content": letter(**{"TLS-Required": "No"})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_same_key_with_another_message_is_a_conflict(queue: Queue, change: dict[str, Any]) -> None:
    queue.transports.add("relay", kind="relay", host="192.0.2.1")
    first = queue.submit(letter(), idempotency_key="order-7")
    options = {"content": letter(), "idempotency_key": "order-7", **change}
    with pytest.raises(Conflict, match=f"submission {first.id}") as caught:
        queue.submit(options.pop("content"), **options)
    assert "'order-7'" in str(caught.value)
    assert queue.status().queued == 1


def test_the_same_wishes_in_other_words_are_the_same_submission(queue: Queue) -> None:
    one = Recipient("ben@example.com", notify="success,failure", orcpt="ben@example.net")
    same = Recipient("ben@EXAMPLE.com", orcpt="rfc822;ben@example.net")
    first = queue.submit(letter(), recipients=[one], ret="hdrs", idempotency_key="order-7")
    again = queue.submit(
        letter(), recipients=[same], notify=["FAILURE", "Success"], ret="HDRS", idempotency_key="order-7"
    )
    assert again == replace(first, replayed=True)


def test_the_same_options_a_moment_later_are_the_same_submission(stage: Stage) -> None:
    at = datetime(2027, 2, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    options = {"expires_at": timedelta(hours=2), "warn_after": timedelta(hours=1), "priority": "interactive"}
    first = stage.queue.submit(letter(), not_before=timedelta(hours=1), idempotency_key="order-7", **options)
    second = stage.queue.submit(letter(), not_before=at, idempotency_key="order-8")
    stage.clock.advance(timedelta(minutes=1))
    options["priority"] = Priority.INTERACTIVE
    again = stage.queue.submit(letter(), not_before=timedelta(hours=1), idempotency_key="order-7", **options)
    assert again == replace(first, replayed=True)
    again = stage.queue.submit(letter(), not_before=at.astimezone(UTC), idempotency_key="order-8")
    assert again == replace(second, replayed=True)


def test_a_key_belongs_to_its_account(queue: Queue) -> None:
    queue.accounts.add("shop")
    first = queue.submit(letter(), idempotency_key="order-7")
    other = queue.submit(letter(Subject="Other"), idempotency_key="order-7", account="shop")
    assert other.id != first.id


def test_a_key_stands_for_its_submission_when_that_has_retired(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    first = stage.queue.submit(letter(), idempotency_key="order-7")
    stage.deliver()
    assert stage.state(first.messages[0].id) == "delivered"
    assert stage.queue.submit(letter(), idempotency_key="order-7") == replace(first, replayed=True)
    stage.deliver()
    assert len(receiver.messages) == 1


BROKEN = MAIL + b"x" * 999 + b"\n"
REPAIR = "body: lines of over 998 octets, so text/plain became quoted-printable"


def test_repairs_are_told_and_told_again_with_a_known_key(queue: Queue) -> None:
    first = queue.submit(BROKEN, idempotency_key="order-7")
    assert first.repairs == (REPAIR,)
    assert queue.submit(BROKEN, idempotency_key="order-7") == replace(first, replayed=True)
    assert queue.submit(MAIL).repairs == ()


def test_key_that_was_kept_before_repairs_were_is_still_read(stage: Stage) -> None:
    first = stage.queue.submit(MAIL, idempotency_key="order-7")
    with closing(sqlite3.connect(stage.queue.path)) as app:
        [(kept,)] = app.execute("SELECT result FROM mailqueue_idempotency").fetchall()
    assert "repairs" not in kept, "as it was written before"
    assert stage.queue.submit(MAIL, idempotency_key="order-7") == replace(first, replayed=True)


def test_repairs_are_logged_once_by_whatever_way_the_message_comes(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mailqueue.submit")
    stage.queue.submit(MAIL)
    stage.queue.submit(BROKEN, idempotency_key="order-7")
    stage.queue.submit(BROKEN, idempotency_key="order-7")
    stage.queue.submit_many([BROKEN])
    with closing(sqlite3.connect(stage.queue.path)) as app:
        stage.queue.submit(BROKEN, connection=app)
        app.commit()

    async def by_loop() -> None:
        async with AsyncQueue(stage.queue.path) as queue:
            await queue.submit(BROKEN)

    asyncio.run(by_loop())
    lines = [each.getMessage() for each in caplog.records if each.name == "mailqueue.submit"]
    assert lines == [f"submission {number} was repaired: {REPAIR}" for number in (2, 3, 4, 5)]


def test_a_refused_submission_keeps_no_key(queue: Queue) -> None:
    with pytest.raises(InvalidSubmission):
        queue.submit(letter(), recipients=["no address"], idempotency_key="order-7")
    assert not queue.submit(letter(), idempotency_key="order-7").replayed


def test_of_two_threads_with_one_key_one_submits(queue: Queue) -> None:
    found = []
    begin = threading.Barrier(6)

    def work(number: int) -> None:
        begin.wait()
        found.append(queue.submit(letter(), idempotency_key="order-7"))

    in_threads(work, 6)
    assert len({each.id for each in found}) == 1
    assert sorted(each.replayed for each in found) == [False] + [True] * 5
    assert queue.status().queued == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(queue: Queue, key: str) -> None:
    with pytest.raises(InvalidSubmission, match="idempotency key: must have 1 to 255"):
        queue.submit(letter(), idempotency_key=key)


# --- look ----------------------------------------------------------------------------------------
def test_a_list_comes_in_pages_that_new_mail_does_not_disturb(stage: Stage) -> None:
    queue = stage.queue
    messages = stage.submit(*(f"r{number}@example.com" for number in range(5)))
    first = queue.list(limit=2)
    assert first.next is not None
    late = stage.submit("late@example.com")
    second = queue.list(limit=2, after=first.next)
    third = queue.list(limit=2, after=second.next)
    assert third.next is None
    found = [message.id for page in (first, second, third) for message in page.items]
    assert found == messages + late
    assert queue.list().items == queue.list(limit=1000).items


def test_the_history_comes_last_retired_first(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    messages = []
    for number in range(3):
        messages += stage.submit(f"r{number}@example.com")
        stage.deliver(timedelta(seconds=1))
    first = stage.queue.retired.list(limit=2)
    second = stage.queue.retired.list(limit=2, after=first.next)
    assert [each.id for each in (*first.items, *second.items)] == messages[::-1]
    assert second.next is None
    assert stage.queue.list().items == ()


def test_a_list_may_be_of_one_account(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.accounts.add("shop")
    [mine] = stage.submit("ben@example.com", account="shop")
    [other] = stage.submit("ben@example.com")
    assert [each.id for each in stage.queue.list(account="shop").items] == [mine]
    stage.deliver()
    assert [each.id for each in stage.queue.retired.list(account="default").items] == [other]
    for verb in (stage.queue.list, stage.queue.retired.list):
        with pytest.raises(NotFound, match="no account 'shp'; did you mean 'shop'"):
            verb(account="shp")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_size(queue: Queue, limit: int) -> None:
    for verb in (queue.list, queue.retired.list):
        with pytest.raises(SettingError, match="limit: must be 1 to 1000"):
            verb(limit=limit)


@pytest.mark.parametrize("cursor", ["", "x", "1.2.3", "-5", "é", "9" * 30])
def test_a_cursor_that_no_page_gave_is_refused(queue: Queue, cursor: str) -> None:
    for verb in (queue.list, queue.retired.list):
        with pytest.raises(SettingError, match="after"):
            verb(after=cursor)


def test_what_does_not_exist_is_not_found(queue: Queue) -> None:
    verbs = (queue.show, queue.submission, queue.attempts, queue.events, queue.notices, queue.dump)
    for verb in (*verbs, queue.explain, queue.retired.show):
        for number in (7, 0, -1):
            with pytest.raises(NotFound, match=str(number)):
                verb(number)


def test_a_message_in_the_queue_is_not_in_the_history(stage: Stage) -> None:
    [message] = stage.submit("ben@example.com")
    with pytest.raises(NotFound, match="is not retired: it is queued"):
        stage.queue.retired.show(message)


def test_status_tells_how_the_queue_stands(stage: Stage) -> None:
    stage.submit("a@example.com", "b@example.com", "c@example.com")
    stage.queue.hold(1)
    status = stage.queue.status()
    assert (status.queued, status.claimed, status.held) == (3, 0, 1)
    assert (status.engines, status.transport) == ((), False)
    assert status.next_attempt_at == stage.show(2).submitted_at


# --- the rest ------------------------------------------------------------------------------------
def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue = Queue(path)
    assert not path.exists()
    assert queue.status().queued == 0
    assert path.stat().st_mode & 0o777 == 0o600
    queue.close()


def test_a_closed_queue_says_so(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db")
    queue.submit(MAIL)
    queue.close()
    queue.close()
    for use in (queue.status, lambda: queue.submit(MAIL), queue.accounts.list):
        with pytest.raises(StoreError, match="has been closed"):
            use()


@pytest.mark.parametrize("path", [":memory:", ""])
def test_a_queue_is_a_file(path: str) -> None:
    with pytest.raises(StoreError, match="needs a file"):
        Queue(path)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        from_datetime(datetime(2027, 1, 1))
    assert from_datetime(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1_000_000

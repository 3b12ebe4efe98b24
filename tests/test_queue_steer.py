"""Holding and releasing, and what decides about mail: rules, transports, routes, schedules, accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage, wait_until

from mailqueue import Engine, Queue
from mailqueue.engine import manage, verbs
from mailqueue.errors import (
    AddressError,
    Conflict,
    NotFound,
    ScheduleError,
    SettingError,
)
from mailqueue.model.explain import Steered


# --- hold and release ----------------------------------------------------------------------------
def test_hold_and_release_take_an_id_ids_an_account_or_all(stage: Stage) -> None:
    queue = stage.queue
    queue.accounts.add("shop")
    one, two, three = stage.submit("a@example.com", "b@example.com", "c@example.com")
    [mine] = stage.submit("d@example.com", account="shop")
    assert queue.hold(one) == Steered(changed=1, unchanged=0, retired=())
    assert queue.hold([one, two, two]) == Steered(changed=1, unchanged=1, retired=())
    assert queue.hold(account="shop").changed == 1
    assert queue.status().held == 3
    assert queue.release(account="shop").changed == 1
    assert not queue.show(mine).hold
    assert queue.hold(all=True).changed == 2
    assert queue.show(three).hold
    assert queue.release(all=True) == Steered(changed=4, unchanged=0, retired=())
    assert queue.status().held == 0


@pytest.mark.parametrize("verb", ["hold", "release", "reroute", "fail"])
def test_long_run_tells_how_far_it_is(stage: Stage, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "STEP", 2)
    monkeypatch.setattr(verbs, "STEP", 2)
    messages = stage.submit(*(f"b{number}@example.com" for number in range(5)))
    stage.queue.hold(messages)
    if verb == "hold":
        stage.queue.release(messages)
    given = {"via": ""} if verb == "reroute" else {}
    told: list[tuple[int, int | None]] = []
    done = getattr(stage.queue, verb)(messages, progress=lambda *far: told.append(far), **given)
    assert done.changed == 5
    assert told == [(4, 5), (5, 5)]
    told.clear()
    getattr(stage.queue, verb)(messages[:2], progress=lambda *far: told.append(far), **given)
    assert told == [], "a short run is over before anybody asks"


def test_a_bulk_verb_asks_which_messages_are_meant(stage: Stage) -> None:
    [message] = stage.submit("a@example.com")
    for verb in (stage.queue.hold, stage.queue.release):
        with pytest.raises(SettingError, match="which messages"):
            verb()
        assert verb([]).changed == 0
        with pytest.raises(NotFound, match="no account 'x'"):
            verb(account="x")
        with pytest.raises(NotFound, match="99"):
            verb([message, 99])
    assert not stage.show(message).hold
    assert stage.queue.events(message) == []


def test_what_has_retired_is_told_apart(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [done] = stage.submit("a@example.com")
    stage.deliver()
    [waiting] = stage.submit("b@example.com")
    assert stage.queue.hold([done, waiting]) == Steered(changed=1, unchanged=0, retired=(done,))
    assert stage.queue.release([done, waiting]) == Steered(changed=1, unchanged=0, retired=(done,))


def test_who_held_it_and_why_is_seen_and_remembered(stage: Stage) -> None:
    [message] = stage.submit("a@example.com")
    stage.queue.hold(message, reason="looks odd", actor="anna")
    [hold] = stage.show(message).holds
    assert (hold.rule_id, hold.actor, hold.reason) == (None, "python:anna", "looks odd")
    stage.queue.release(message, reason="is fine", actor="ben")
    assert stage.show(message).holds == ()
    told = [(each.event, each.actor, each.reason) for each in stage.queue.events(message)]
    assert told == [("held", "python:anna", "looks odd"), ("released", "python:ben", "is fine")]


def test_releasing_restores_the_schedule(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("greylist@example.com")
    stage.deliver()
    due = stage.show(message).next_attempt_at
    stage.queue.hold(message)
    assert stage.show(message).next_attempt_at == due
    stage.deliver(timedelta(days=1))
    assert len(stage.outcomes(message)) == 1
    stage.queue.release(message)
    stage.deliver()
    assert stage.state(message) == "delivered"


def test_a_message_in_delivery_is_held_after_the_running_attempt(tmp_path: Path, receiver: Receiver) -> None:
    receiver.final_delay = 0.3
    receiver.at_data = {"later": ["451 4.3.0 Not now"]}
    with Queue(tmp_path / "running.db") as queue:
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        engine.start()
        [message] = queue.submit(MAIL, recipients=["later@example.com"]).messages
        receiver.wait(1)
        assert queue.hold(message.id).changed == 1
        assert queue.show(message.id).state == "claimed"
        wait_until(lambda: len(queue.attempts(message.id)) == 1)
        engine.stop()
        assert (queue.show(message.id).state, queue.show(message.id).hold) == ("queued", True)


# --- hold rules ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("criteria", "held"),
    [
        ({}, [True, True, True]),
        ({"recipient_domain": "example.com"}, [True, False, False]),
        ({"recipient_domain": "@EXAMPLE.com"}, [True, False, False]),
        ({"recipient": "b@Example.NET"}, [False, True, False]),
        ({"sender": "ben@example.org"}, [False, False, True]),
        ({"sender_domain": "example.org"}, [True, True, True]),
        ({"sender": "anna@example.org", "recipient_domain": "example.net"}, [False, True, False]),
        ({"account": "shop"}, [False, False, True]),
        ({"account": "default", "recipient": "c@example.net"}, [False, False, False]),
        ({"recipient_domain": "sub.example.com"}, [False, False, False]),
    ],
    ids=str,
)
def test_a_rule_holds_what_matches_it_whether_it_comes_before_or_after(
    stage: Stage, criteria: dict[str, str], held: list[bool]
) -> None:
    stage.queue.accounts.add("shop")

    def mail() -> list[int]:
        return [
            *stage.submit("a@example.com", sender="anna@example.org"),
            *stage.submit("b@example.net", sender="anna@example.org"),
            *stage.submit("c@example.net", sender="ben@example.org", account="shop"),
        ]

    before = mail()
    rule = stage.queue.hold_rules.add(**criteria)
    after = mail()
    for messages in (before, after):
        assert [stage.show(each).hold for each in messages] == held
        assert [[hold.rule_id for hold in stage.show(each).holds] for each in messages] == [
            [rule.id] if each else [] for each in held
        ]
    assert not rule.marking


def test_rules_say_who_made_them_and_why(queue: Queue) -> None:
    made = queue.hold_rules.add(recipient_domain="bücher.example", reason="odd", actor="anna")
    assert (made.recipient_domain, made.reason, made.actor) == (
        "xn--bcher-kva.example",
        "odd",
        "python:anna",
    )
    assert queue.hold_rules.list() == (made,)
    assert queue.hold_rules.show(made.id) == made


@pytest.mark.parametrize(
    ("criteria", "error"),
    [
        ({"account": "nobody"}, NotFound),
        ({"recipient": "no address"}, AddressError),
        ({"sender": ""}, AddressError),
        ({"recipient_domain": "a b"}, AddressError),
        ({"sender_domain": ""}, AddressError),
    ],
)
def test_a_rule_that_cannot_be_is_not_made(queue: Queue, criteria: dict[str, str], error: type) -> None:
    with pytest.raises(error):
        queue.hold_rules.add(**criteria)
    assert queue.hold_rules.list() == ()


def test_removing_a_rule_leaves_what_it_holds_by_marks_that_name_it(stage: Stage) -> None:
    rule = stage.queue.hold_rules.add(reason="odd")
    [message] = stage.submit("a@example.com")
    assert stage.queue.hold_rules.remove(rule.id, actor="ben").id == rule.id
    [mark] = stage.show(message).holds
    assert mark.rule_id is None
    assert mark.reason == f"rule {rule.id}, removed since: odd"
    assert not stage.show(stage.submit("b@example.com")[0]).hold
    for verb in (stage.queue.hold_rules.show, stage.queue.hold_rules.remove):
        with pytest.raises(NotFound, match=f"no hold rule {rule.id}"):
            verb(rule.id)


def test_release_takes_all_marks_and_exempts_from_the_rules_of_that_moment(stage: Stage) -> None:
    stage.queue.hold_rules.add(recipient_domain="example.com")
    stage.queue.hold_rules.add(sender_domain="example.org")
    [message] = stage.submit("a@example.com")
    stage.queue.hold(message)
    assert len(stage.show(message).holds) == 3
    assert stage.queue.release(message).changed == 1
    assert not stage.show(message).hold
    later = stage.queue.hold_rules.add()
    assert [hold.rule_id for hold in stage.show(message).holds] == [later.id]


# --- transports, routes, schedules, accounts -----------------------------------------------------
def test_the_first_transport_takes_all_until_another_is_made_the_default(queue: Queue) -> None:
    first = queue.transports.add("one", kind="relay", host="mail.example.org")
    assert (first.is_default, first.port, first.tls) == (True, 25, "opportunistic")
    queue.transports.add("two", kind="direct")
    assert [each.name for each in queue.transports.list() if each.is_default] == ["one"]
    queue.transports.set("two", default=True)
    assert [each.name for each in queue.transports.list() if each.is_default] == ["two"]
    queue.transports.add("three", kind="fail", reply="550 no", default=True)
    assert [each.name for each in queue.transports.list() if each.is_default] == ["three"]
    with pytest.raises(SettingError, match="make another transport the default"):
        queue.transports.set("three", default=False)
    with pytest.raises(Conflict):
        queue.transports.remove("three")
    for name in ("one", "two", "three"):
        queue.transports.remove(name)
    assert queue.transports.list() == ()


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"kind": "smtp"}, SettingError, "kind: must be one of direct, relay, subm"),
        ({"kind": "relay"}, SettingError, "host: a relay needs"),
        ({"kind": "direct", "host": "x.example"}, SettingError, "host: only relay, submission"),
        ({"kind": "relay", "host": "a b"}, SettingError, "is no host name"),
        ({"kind": "relay", "host": "x", "port": 0}, SettingError, "port: must be 1 to 65535"),
        ({"kind": "relay", "host": "x", "port": 65536}, SettingError, "port: must be 1 to 65535"),
        ({"kind": "relay", "host": "x", "tls": "always"}, SettingError, "tls: must be one of"),
        ({"kind": "relay", "host": "x", "allow_private": True}, SettingError, "allow-private"),
        ({"kind": "fail"}, SettingError, "reply: a fail transport needs"),
        ({"kind": "fail", "reply": "250 ok"}, SettingError, "must be a 4xx or 5xx"),
        ({"kind": "fail", "reply": "no"}, SettingError, "reply"),
        ({"kind": "direct", "reply": "550 no"}, SettingError, "reply: only a fail"),
        ({"name": "a b", "kind": "direct"}, SettingError, "transport name"),
        ({"name": "", "kind": "direct"}, SettingError, "transport name"),
        ({"name": "taken", "kind": "direct"}, Conflict, "taken"),
    ],
    ids=str,
)
def test_a_transport_that_cannot_be_is_refused_by_name(
    queue: Queue, values: dict[str, Any], error: type, told: str
) -> None:
    queue.transports.add("taken", kind="direct")
    with pytest.raises(error, match=told):
        queue.transports.add(**{"name": "new", **values})
    assert [each.name for each in queue.transports.list()] == ["taken"]


def test_a_transport_is_changed_only_in_what_is_given(queue: Queue) -> None:
    made = queue.transports.add("one", kind="relay", host="mail.example.org", port=2525, tls="none")
    changed = queue.transports.set("one", host="other.example.org")
    assert changed == replace(made, host="other.example.org")
    assert queue.transports.list() == (changed,)
    with pytest.raises(SettingError):
        queue.transports.set("one", port=0)
    with pytest.raises(NotFound, match="did you mean 'one'"):
        queue.transports.set("onne", port=1)
    assert queue.transports.list() == (changed,)


def test_routes_are_tried_by_position_and_keep_their_transport(queue: Queue) -> None:
    queue.transports.add("one", kind="direct")
    queue.transports.add("two", kind="direct")
    second = queue.routes.add("two", recipient_domain=".Bücher.example", position=1)
    first = queue.routes.add("two", sender_domain="example.org")
    assert [each.id for each in queue.routes.list()] == [first.id, second.id]
    assert second.recipient_domain == ".xn--bcher-kva.example"
    with pytest.raises(Conflict, match="two"):
        queue.transports.remove("two")
    with pytest.raises(NotFound, match="did you mean"):
        queue.routes.add("twoo")
    with pytest.raises(AddressError):
        queue.routes.add("two", recipient_domain="a b")
    for route in (first, second):
        queue.routes.remove(route.id)
    with pytest.raises(NotFound):
        queue.routes.remove(first.id)
    queue.transports.remove("two")


def test_routes_of_accounts_are_tried_first_then_those_of_domains_then_the_others(queue: Queue) -> None:
    queue.transports.add("out", kind="direct")
    shop = queue.accounts.add("shop")
    made = [
        queue.routes.add("out", position=0),
        queue.routes.add("out", sender_domain="example.org", position=5),
        queue.routes.add("out", recipient_domain="example.net", min_attempts=2, position=4),
        queue.routes.add("out", account="shop", position=9),
        queue.routes.add("out", account="shop", recipient_domain="example.net", position=8),
    ]
    assert [each.id for each in queue.routes.list()] == [5, 4, 3, 2, 1]
    assert [each.account_id for each in made] == [None, None, None, shop.id, shop.id]
    with pytest.raises(NotFound, match="did you mean 'shop'"):
        queue.routes.add("out", account="shopp")
    with pytest.raises(SettingError, match="min-attempts"):
        queue.routes.add("out", min_attempts=-1)
    assert len(queue.routes.list()) == 5


def test_explain_names_the_transport_of_the_next_attempt(queue: Queue) -> None:
    queue.transports.add("out", kind="direct")
    queue.transports.add("special", kind="direct")
    queue.accounts.add("shop")
    queue.routes.add("special", account="shop")
    queue.routes.add("special", min_attempts=1)
    mail = [queue.submit(MAIL, account=name).messages[0].id for name in ("default", "shop")]
    assert [queue.explain(each).transport for each in mail] == ["out", "special"]


def test_schedules_are_made_shown_and_listed(queue: Queue) -> None:
    made = queue.schedules.add("mine", "5m, 1h*", lifetime=timedelta(days=1), warn_after=timedelta(hours=2))
    assert queue.schedules.show("mine") == made
    names = [each.name for each in queue.schedules.list()]
    assert names == ["standard", "transactional", "otp", "reference", "mine"]
    with pytest.raises(NotFound, match="did you mean 'standard'"):
        queue.schedules.show("standrad")
    for name in ("mine", "standard"):
        with pytest.raises(Conflict):
            queue.schedules.add(name, "5m", lifetime=timedelta(days=1))
    with pytest.raises(ScheduleError):
        queue.schedules.add("bad", "often", lifetime=timedelta(days=1))
    for lifetime in (timedelta(0), timedelta(days=-1)):
        with pytest.raises(SettingError, match="lifetime"):
            queue.schedules.add("bad", "5m", lifetime=lifetime)


@pytest.mark.parametrize("length", [timedelta(days=10_000_000), timedelta.max], ids=["long", "longest"])
def test_no_length_of_time_leads_beyond_the_calendar(queue: Queue, length: timedelta) -> None:
    with pytest.raises(SettingError, match="lifetime"):
        queue.schedules.add("bad", "5m*", lifetime=length)
    with pytest.raises(SettingError, match="warn"):
        queue.schedules.add("bad", "5m*", lifetime=timedelta(days=1), warn_after=length)
    with pytest.raises(ScheduleError, match="too long"):
        queue.schedules.add("bad", f"{length.days}d*", lifetime=timedelta(days=1))
    for setting in ("retention", "keep_content"):
        with pytest.raises(SettingError, match=setting.replace("_", "-")):
            queue.accounts.set("default", **{setting: length})


def test_accounts_are_made_shown_and_changed_only_in_what_is_given(queue: Queue) -> None:
    made = queue.accounts.add("shop")
    assert (made.notices, made.schedule, made.strict) == (None, None, False)
    changed = queue.accounts.set("shop", notices="queue", retention=timedelta(days=1))
    assert changed == replace(made, notices="queue", retention=86_400_000_000)
    assert queue.accounts.set("shop", strict=True) == replace(changed, strict=True)
    assert [each.name for each in queue.accounts.list()] == ["default", "shop"]
    assert queue.accounts.show("shop").strict
    with pytest.raises(Conflict):
        queue.accounts.add("shop")
    for name in ("", "a b", "-x", "x" * 65, "a\nb"):
        with pytest.raises(SettingError, match="account name"):
            queue.accounts.add(name)


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"notices": "all"}, SettingError, "notices: must be one of keep, queue, none, not 'all'"),
        ({"schedule": "nope"}, NotFound, "no schedule 'nope'"),
        ({"retention": timedelta(seconds=-1)}, SettingError, "retention: must not be negative"),
        ({"keep_content": timedelta(seconds=-1)}, SettingError, "keep-content: must not be negative"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_changes_nothing(
    queue: Queue, values: dict[str, Any], error: type, told: str
) -> None:
    before = queue.accounts.show("default")
    with pytest.raises(error, match=told):
        queue.accounts.set("default", **values)
    assert queue.accounts.show("default") == before

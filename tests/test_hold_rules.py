"""Whatever is queued or new, and in whatever form addresses are written: a rule holds what it matches.

Each mailbox and domain stands here in several forms that mean the same; what a rule should hold is
told by their numbers alone, without a look at any address.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.stage import MAIL
from support.stored import claim, engine

from mailqueue import Queue
from mailqueue.clock import from_datetime, to_datetime

DOMAINS = [
    ["example.net", "EXAMPLE.net", "Example.NET"],
    ["sub.example.net", "Sub.EXAMPLE.net"],
    [
        "bücher.example",
        "bu\u0308cher.example",
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.Example",
    ],
    ["[192.0.2.1]"],
    ["[IPv6:2001:db8::1]"],
]
LOCAL_PARTS = [["ann"], ["Ann"], ["jos\u00e9", "jose\u0301"], ["jose"]]  # case is the receiver's affair
ACCOUNTS = ["default", "shop"]

numbers = st.tuples(st.integers(0, len(LOCAL_PARTS) - 1), st.integers(0, len(DOMAINS) - 1))
forms = st.integers(0, 9)


def form(same: list[str], which: int) -> str:
    return same[which % len(same)]


@dataclass(frozen=True)
class Mailbox:
    """A mailbox, and in which form it is written."""

    number: tuple[int, int]
    forms: tuple[int, int]

    def __str__(self) -> str:
        local, domain = self.number
        return f"{form(LOCAL_PARTS[local], self.forms[0])}@{form(DOMAINS[domain], self.forms[1])}"


@dataclass(frozen=True)
class Mail:
    """A message; a sender of None is the null one."""

    account: str
    sender: Mailbox | None
    recipient: Mailbox


@dataclass(frozen=True)
class Rule:
    """What a rule asks for. None: anything."""

    account: str | None
    sender: Mailbox | None
    sender_domain: tuple[int, int] | None
    recipient: Mailbox | None
    recipient_domain: tuple[int, int] | None
    ends: bool
    """After an hour."""

    def criteria(self) -> dict[str, str | None]:
        def written(domain: tuple[int, int] | None) -> str | None:
            return None if domain is None else form(DOMAINS[domain[0]], domain[1])

        return {
            "account": self.account,
            "sender": None if self.sender is None else str(self.sender),
            "sender_domain": written(self.sender_domain),
            "recipient": None if self.recipient is None else str(self.recipient),
            "recipient_domain": written(self.recipient_domain),
        }

    def holds(self, mail: Mail) -> bool:
        sender = None if mail.sender is None else mail.sender.number
        recipient = mail.recipient.number
        return (
            (self.account is None or self.account == mail.account)
            and (self.sender is None or self.sender.number == sender)
            and (self.sender_domain is None or (sender is not None and self.sender_domain[0] == sender[1]))
            and (self.recipient is None or self.recipient.number == recipient)
            and (self.recipient_domain is None or self.recipient_domain[0] == recipient[1])
        )


mailboxes = st.builds(Mailbox, numbers, st.tuples(forms, forms))
mails = st.builds(Mail, st.sampled_from(ACCOUNTS), st.none() | mailboxes, mailboxes)
domains = st.tuples(st.integers(0, len(DOMAINS) - 1), forms)


@st.composite
def rules(draw: st.DrawFn, queue: list[Mail]) -> Rule:
    """A rule about one of the messages, so that it often holds some, each address in another form."""
    mail = draw(st.sampled_from(queue))
    other = draw(mails)  # a criterion may come from another message, which the rule then matches rarely
    asked = draw(st.tuples(*[st.sampled_from((None, None, mail, mail, other))] * 5))
    again = draw(st.tuples(forms, forms))

    def mailbox(found: Mailbox | None) -> Mailbox | None:
        return None if found is None else Mailbox(found.number, again)

    def domain(found: Mailbox | None) -> tuple[int, int] | None:
        return None if found is None else (found.number[1], again[1])

    account, sender, sender_domain, recipient, recipient_domain = asked
    return Rule(
        account=None if account is None else account.account,
        sender=None if sender is None else mailbox(sender.sender),
        sender_domain=None if sender_domain is None else domain(sender_domain.sender),
        recipient=None if recipient is None else mailbox(recipient.recipient),
        recipient_domain=None if recipient_domain is None else domain(recipient_domain.recipient),
        ends=draw(st.booleans()),
    )


@st.composite
def queues_with_rules(draw: st.DrawFn) -> tuple[list[Mail], list[Rule]]:
    queue = draw(st.lists(mails, min_size=1, max_size=6))
    return queue, draw(st.lists(rules(queue), min_size=1, max_size=3))


def submit(queue: Queue, mail: Mail) -> int:
    sender = "" if mail.sender is None else str(mail.sender)
    made = queue.submit(MAIL, sender=sender, recipients=[str(mail.recipient)], account=mail.account)
    return made.messages[0].id


def held_by(queue: Queue, message_id: int) -> list[int | None]:
    return sorted(mark.rule_id or 0 for mark in queue.show(message_id).holds)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queues_with_rules())
def test_a_rule_holds_the_same_mail_whether_it_is_queued_or_new(
    drawn: tuple[list[Mail], list[Rule]],
) -> None:
    queued, wanted = drawn
    with tempfile.TemporaryDirectory() as folder, Queue(Path(folder) / "mail.db") as queue:
        queue.accounts.add("shop")
        before = [submit(queue, mail) for mail in queued]
        made = {queue.hold_rules.add(**rule.criteria()).id: rule for rule in wanted}
        after = [submit(queue, mail) for mail in queued]

        should = [sorted(each for each, rule in made.items() if rule.holds(mail)) for mail in queued]
        assert [held_by(queue, each) for each in before] == should
        assert [held_by(queue, each) for each in after] == should
        for each in made:
            assert queue.hold_rules.held(each) == 2 * sum(each in those for those in should)
        stored = {rule.id: rule for rule in queue.hold_rules.list()}
        ids = {name: number for number, name in enumerate(ACCOUNTS, 1)}
        for message_id, those in zip(before, should, strict=True):
            found = queue.show(message_id)
            about = {"account_id": ids[found.account], "sender": found.sender, "recipient": found.recipient}
            assert [each for each, rule in stored.items() if rule.matches(**about)] == those
        assert queue.check_integrity() == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queues_with_rules(), st.booleans())
def test_a_rule_that_has_marked_nothing_yet_keeps_from_delivery_what_it_matches(
    drawn: tuple[list[Mail], list[Rule]], over: bool
) -> None:
    queued, wanted = drawn
    with tempfile.TemporaryDirectory() as folder, Queue(Path(folder) / "mail.db") as queue:
        queue.accounts.add("shop")
        made = [queue.hold_rules.add(**rule.criteria()) for rule in wanted]
        for rule in made:
            queue.hold_rules.remove(rule.id)
        before = {submit(queue, mail): mail for mail in queued}
        now = queue.clock.now()
        later = to_datetime(now) + timedelta(hours=1)
        for rule, asked in zip(made, wanted, strict=True):  # as somebody makes it who dies right after
            new = replace(rule, until=later if asked.ends else None)
            queue.store.run(lambda transaction, new=new: transaction.add_hold_rule(new, now))
        at_work = [rule for rule in wanted if not (over and rule.ends)]
        free = {each for each, mail in before.items() if not any(rule.holds(mail) for rule in at_work)}
        taken = claim(queue.store, engine(queue.store), from_datetime(later) if over else now)
        assert {each.id for each in taken} == free
        assert queue.check_integrity() == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queues_with_rules())
def test_a_rule_whose_time_is_over_holds_nothing_new_and_nobody_need_have_looked(
    drawn: tuple[list[Mail], list[Rule]],
) -> None:
    mails, wanted = drawn
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as folder, Queue(Path(folder) / "mail.db", clock=clock) as queue:
        queue.accounts.add("shop")
        made = {}
        for rule in wanted:
            until = timedelta(hours=1) if rule.ends else None
            made[queue.hold_rules.add(**rule.criteria(), until=until).id] = rule
        for at_work in (made, {each: rule for each, rule in made.items() if not rule.ends}):
            new = [submit(queue, mail) for mail in mails]
            should = [sorted(each for each, rule in at_work.items() if rule.holds(mail)) for mail in mails]
            assert [held_by(queue, each) for each in new] == should
            clock.advance(timedelta(hours=1))
        assert queue.check_integrity() == []

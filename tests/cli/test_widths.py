"""Lists and answers at a terminal of eighty columns, where every name is long."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import LETTER, Command

from mailqueue import Queue
from mailqueue.clock import MINUTE
from mailqueue.model.destination import Destination

COMPANY = "a-rather-long-company-name.example.com"
OTHER = "another-quite-long-company-name.example.net"
SENDER = f"news.and.offers.of.the.week@{COMPANY}"
RECIPIENT = f"someone.with.a.very.long.local.part@{OTHER}"
REASON = "the legal department has asked us to look at each of these before it goes out"
REPLY = "550 5.7.1 not from here, and never will be: the policy of the company forbids it"
HOOK = f"https://hooks.{COMPANY}/events/of/mail"
HOP = f"smtp-outbound-relay.mail.department.of.{COMPANY}"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A queue in which everything has a long name."""
    mailqueue = Command(tmp_path_factory.mktemp("wide") / "queue.db")
    for args in (
        ("transport", "add", "relay-of-the-mail-department", "--host", HOP, "--port", 2525),
        ("transport", "add", "refuse-whatever-comes-here", "--kind", "fail", "--reply", REPLY),
        ("route", "add", "refuse-whatever-comes-here", "--recipient-domain", f".sub.{OTHER}"),
        ("route", "add", "relay-of-the-mail-department", "--sender-domain", COMPANY, "--min-attempts", 3),
        ("schedule", "add", "slow-and-patient", "5m, 15m, 30m, 1h, 2h, 3h, 4h, 5h, 6h*", "--lifetime", "30d"),
        ("account", "add", "department-of-newsletters"),
        ("account", "set", "department-of-newsletters", "--schedule", "slow-and-patient"),
        ("webhook", "set", "--account", "department-of-newsletters", "--url", HOOK, "--new-secret"),
        ("holdrules", "add", "--sender", SENDER, "--recipient", RECIPIENT, "--reason", REASON),
        ("shaping", "add", "--domain", f".{OTHER}", "--per-minute", 100, "--reason", REASON),
        ("replies", "add", "no such (mail)?box|user .* is (not here|gone)", "--category", "mailbox_unknown"),
        ("replies", "add", "greylist", "--category", "greylisted", "--note", REASON),
    ):
        mailqueue(*args)
    to = [f"--to={each}" for each in (RECIPIENT, "ann@example.net", f"bob@sub.{OTHER}")]
    mailqueue("submit", "--sender", SENDER, *to, input=LETTER)
    mailqueue("hold", 2, "--reason", REASON)
    mailqueue("fail", 3, "--reason", REASON)
    trouble(mailqueue.db)
    return mailqueue


def trouble(path: Path) -> None:
    with Queue(path) as queue:
        now = queue.clock.now()
        found = Destination(
            name=f"relay-of-the-mail-department {HOP}:2525",
            failures=3,
            since_at=now,
            blocked_until=now + 5 * MINUTE,
            canary_at=None,
            last_error=REPLY,
        )
        queue.store.run(lambda transaction: transaction.put_destination(found))


LISTS = {
    "list": [" 1 ", " 2 ", "someone.with.", ".example.net"],
    "retired list": [" 3 ", "bob@sub.", "given up by hand"],
    "show 2": [REASON],
    "timeline 2": [REASON],
    "explain 2": [REASON, "mailqueue release 2"],
    "attempts 2": ["no attempt yet"],
    "holdrules list": [" 1 ", REASON, f"sender={SENDER}"],
    "holdrules show 1": [REASON],
    "account list": ["NOTICES", "RETENTION", "PER DAY", "depart"],
    "account show department-of-newsletters": ["slow-and-patient"],
    "destinations list": [REPLY, "relay-of-", "NEXT TRY"],
    "shaping list": [" 1 ", REASON, f".{OTHER}"],
    "shaping show 1": [REASON],
    "webhook endpoints": ["department-of-newsletters", HOOK],
    "transport list": ["KIND", "TLS", "DEFAULT", "relay-o", ".com:2525"],
    "route list": [" 1 ", " 2 ", "3+", COMPANY],
    "schedule show slow-and-patient": ["4h, 5h, 6h*"],
    "status": ["2 held"],
    "schedule list": ["5m, 15m, 30m, 1h, 2h, 3h, 4h, 5h, 6h*"],
    "replies list": [" 1 ", " 2 ", REASON, "user .* is (not here|gone)"],
    "retired resend --all --dry-run": [SENDER, f"bob@sub.{OTHER}"],
    "hold --all --dry-run": [SENDER],
}
"""What each must have in it, whatever is cut or broken elsewhere."""


@pytest.mark.parametrize(("verb", "told"), LISTS.items(), ids=list(LISTS))
def test_answer_fits_eighty_columns_and_ids_and_reasons_can_be_read(
    wide: Command, verb: str, told: list[str]
) -> None:
    answer = wide(*verb.split())
    assert max(map(len, answer.splitlines())) <= 80
    whole = " ".join(answer.split())
    for each in told:
        assert (each in answer) if each.startswith(" ") else (each in whole), answer

"""V11: lists, explain and purging with a history of 10,000,000 messages, against 100,000 in turn.

    python benchmarks/v11_history.py [--quick] [--rounds 3] [--rows N] [--made FOLDER]

The histories are made by plain SQL in the library's own tables, their indexes at the end: 10,000,000 rows
take three minutes and 7 GiB of disk. `--made` keeps them in a folder, and takes those that are there
already. (Purging takes a little away each time.)

A process of its own asks everything of each history in turn: the first and the second page of lists,
filtered and sorted as the title says. What is purged goes in the steps of an engine; the greatest figure is
how long a writer was held at the most.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from common import apart, folder, report, spread

from mailqueue import Queue
from mailqueue.clock import DAY, HOUR, SystemClock
from mailqueue.engine.sweep import PURGE_STEP
from mailqueue.errors import SettingError

ROWS, FEW, QUICK_ROWS = 10_000_000, 100_000, 200_000
AT_ONCE = 250_000
ASKED = 20
"""Times that each question is asked."""
STEPS = 100
"""Steps of purging that are measured."""
SPAN = 33 * DAY
"""Microseconds that the history covers: what is older than 30 days is there to be purged."""

NUMBERS = "WITH RECURSIVE number (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n < :last)"
DOMAIN = "CASE WHEN n % 10 < 6 THEN 'big' || (n % 20) ELSE 'd' || (n * 7919 % 100000) END || '.example'"
STATE = (
    "CASE WHEN n % 100 < 90 THEN 'delivered' WHEN n % 100 < 98 THEN 'failed' WHEN n % 100 < 99 THEN 'expired'"
    " ELSE 'canceled' END"
)
SUBMITTED = "(:begin + n * :apart)"
RETIRED = f"({SUBMITTED} + 1000000 + n * 104729 % 7200000000)"  # within two hours
CONTENT = (
    "'Subject: Your order ' || n || char(13, 10, 13, 10)"
    " || replace(hex(zeroblob(50)), '00', 'It is on its way, and will be there on Monday.' || char(13, 10))"
)
KEPT = f"({STATE} <> 'delivered' AND {RETIRED} > :now - 691200000000)"  # 8 days: one is over

HISTORY = f"""
INSERT INTO mailqueue_content (id, submission_id, size, created_at, purge_at, purged_at, data)
{NUMBERS} SELECT n, n, length({CONTENT}), {SUBMITTED},
    CASE WHEN {KEPT} THEN {RETIRED} + 604800000000 END,
    CASE WHEN NOT {KEPT} THEN {RETIRED} END,
    CASE WHEN {KEPT} THEN CAST({CONTENT} AS BLOB) END
FROM number;

INSERT INTO mailqueue_submission
    (id, account_id, content_id, sender, message_id, subject, eight_bit, utf8_header, actor, submitted_at)
{NUMBERS} SELECT n, 1 + n % 10, n, 'user' || (n % 5000) || '@sender' || (n % 50) || '.example',
    '<' || n || '.' || (n * 7919 % 1000003) || '@sender.example>', 'Your order ' || n, 0, 0, 'python',
    {SUBMITTED}
FROM number;

INSERT INTO mailqueue_message
    (id, submission_id, account_id, recipient, domain, state, attempts, claim, fallback, schedule, give_up_at,
    last_error, retired_at, priority, transport)
{NUMBERS} SELECT n, n, 1 + n % 10, 'user' || (n * 104729 % 3000017) || '@' || {DOMAIN}, {DOMAIN}, {STATE},
    n % 100 < 99, n % 100 < 99, 300000000, 'standard', {SUBMITTED} + 432000000000,
    CASE WHEN n % 100 >= 90 THEN '550 5.1.1 no such user here' END, {RETIRED}, n % 3,
    CASE WHEN n % 50 = 0 THEN 'special' ELSE '' END
FROM number;

INSERT INTO mailqueue_attempt
    (message_id, number, engine_id, started_at, duration, outcome, category, scope, transport, host, address,
    tls, size, code, enhanced, reply)
{NUMBERS} SELECT n, 1, 1, {RETIRED} - 200000, 150000,
    CASE WHEN n % 100 < 90 THEN 'delivered' WHEN n % 100 < 98 THEN 'failed' ELSE 'deferred' END,
    CASE WHEN n % 100 < 90 THEN 'ok' WHEN n % 100 < 98 THEN 'mailbox_unknown' ELSE 'greylisted' END,
    CASE WHEN n % 100 >= 90 THEN 'recipient' END, 'direct', 'mx1.' || {DOMAIN}, '192.0.2.1:25',
    'TLSv1.3', 4096,
    CASE WHEN n % 100 < 90 THEN 250 WHEN n % 100 < 98 THEN 550 ELSE 451 END,
    CASE WHEN n % 100 < 90 THEN '2.0.0' WHEN n % 100 < 98 THEN '5.1.1' ELSE '4.7.1' END,
    CASE WHEN n % 100 < 90 THEN '2.0.0 queued as 4F' ELSE 'no such user here' END
FROM number WHERE n % 100 < 99;

INSERT INTO mailqueue_event (event, message_id, at, reason)
{NUMBERS} SELECT CASE {STATE} WHEN 'expired' THEN 'failed' ELSE {STATE} END, n, {RETIRED},
    CASE WHEN n % 100 >= 90 THEN '550 5.1.1 no such user here' END
FROM number;
"""


def make(database: str, rows: int) -> None:
    """Make a history."""
    now = SystemClock().now()
    with Queue(database) as queue:
        for number in range(2, 11):
            queue.accounts.add(f"account{number}")
        queue.transports.add("special", kind="relay", host="127.0.0.1", port=9)
    with closing(sqlite3.connect(database, isolation_level=None)) as made:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            made.execute(f"PRAGMA {setting}")
        named = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        indexes = made.execute(named).fetchall()
        for name, _ in indexes:
            made.execute(f"DROP INDEX {name}")
        values = {"begin": now - SPAN, "apart": (SPAN - 3 * HOUR) // rows, "now": now}
        for statement in HISTORY.split(";\n")[:-1]:
            for first in range(1, rows + 1, AT_ONCE):
                made.execute(statement, {**values, "first": first, "last": min(rows, first + AT_ONCE - 1)})
        for _, sql in indexes:
            made.execute(sql)
        made.execute("PRAGMA journal_mode = WAL")


# --- what is asked ----------------------------------------------------------------------------
def middle(rows: int) -> int:
    """Return the id of a message that failed, in the midst of the history."""
    return rows // 2 // 100 * 100 + 95


def pages(queue: Queue, rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lists of which a page is asked."""
    found, another = queue.show(middle(rows)), queue.show(middle(rows) + 1)
    yield "all", {}
    yield "an account", {"account": "account7"}
    yield "a recipient", {"recipient": found.recipient}
    yield "a large domain", {"recipient": "@big12.example"}
    yield "a small domain", {"recipient": another.recipient[another.recipient.index("@") :]}
    yield "a sender", {"sender": found.sender}
    yield "a sender's domain", {"sender": "@sender7.example"}
    yield "a Message-ID", {"message_id": found.message_id}
    yield "a submission's", {"ids": [each.id for each in queue.submission(found.submission_id)]}
    yield "a subject", {"subject": f"order {rows - 5}"}
    yield "a subject that nothing has", {"subject": "nowhere"}
    yield "a text", {"text": "nowhere", "state": "failed"}
    for state in ("delivered", "failed", "expired", "canceled"):
        yield state, {"state": state}
    yield "a category", {"category": "greylisted"}
    yield "a category that nothing has", {"category": "tls"}
    yield "an event", {"event": "canceled"}
    yield "a transport", {"transport": "special"}
    yield "a priority", {"priority": "bulk"}
    yield "retired last week", {"retired": ">-8d <-7d"}
    yield "submitted last week", {"submitted": ">-8d <-7d"}
    yield (
        "an account's failures last week",
        {"account": "account6", "state": "failed", "retired": ">-8d <-7d"},
    )
    yield "a domain's failures", {"recipient": "@big5.example", "state": "failed"}
    yield "on hold", {"hold": True}
    for sort in ("retired", "-submitted", "submitted"):
        yield f"all by {sort}", {"sort": sort}
        yield f"an account by {sort}", {"sort": sort, "account": "account7"}
        yield f"failures by {sort}", {"sort": sort, "state": "failed"}
    for sort in ("recipient", "-size"):
        yield f"a sender by {sort}", {"sort": sort, "sender": found.sender}
        yield f"an hour by {sort}", {"sort": sort, "retired": ">-49h <-48h"}
        yield f"all by {sort}", {"sort": sort}


def milliseconds(ask: Callable[[], object]) -> float:
    """Return how long a question takes: the median of many, but of two where it is slow."""
    taken: list[float] = []
    while len(taken) < ASKED and (len(taken) < 2 or sum(taken) < 2000):
        start = time.perf_counter()
        with suppress(SettingError):  # a slow order of too many: how long is it until that is said?
            ask()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def second(queue: Queue, which: dict[str, Any]) -> Callable[[], object]:
    """Return the question for the page after the first."""
    with suppress(SettingError):
        after = queue.retired.list(limit=50, **which).next
        if after is not None:
            return lambda: queue.retired.list(limit=50, after=after, **which)
    return lambda: None


def questions(queue: Queue, rows: int) -> dict[str, float]:
    """Return the milliseconds of each question."""
    one = middle(rows)
    taken = {}
    for name, which in pages(queue, rows):
        taken[f"page of {name}"] = milliseconds(lambda which=which: queue.retired.list(limit=50, **which))  # type: ignore[misc]
        taken[f"second page of {name}"] = milliseconds(second(queue, which))
    for verb in (queue.show, queue.explain, queue.attempts, queue.timeline, queue.notices):
        taken[verb.__name__] = milliseconds(lambda verb=verb: verb(one))  # type: ignore[misc]
    taken["status"] = milliseconds(queue.status)
    taken["list"] = milliseconds(lambda: queue.list(limit=50))
    counts: dict[str, dict[str, Any]] = {
        "an hour's failures of an account": {
            "account": "account6",
            "state": "failed",
            "retired": ">-2d <-47h",
        },
        "an hour": {"retired": ">-2d <-47h"},
        "failures": {"state": "failed"},
        "an account": {"account": "account7"},
        "all": {},
    }
    for name, which in counts.items():
        taken[f"count of {name}"] = milliseconds(lambda which=which: queue.retired.count(**which))  # type: ignore[misc]
    return taken


def purges(queue: Queue) -> dict[str, list[float]]:
    """Return the milliseconds of steps of purging."""
    now = queue.clock.now()
    taken: dict[str, list[float]] = {"purge of the history": [], "purge of content": []}
    for _ in range(STEPS):
        for name, verb in zip(taken, ("purge_history", "purge_content"), strict=True):
            start = time.perf_counter()
            went = queue.store.run(lambda transaction, verb=verb: getattr(transaction, verb)(now, PURGE_STEP))  # type: ignore[misc]
            if went:
                taken[name].append((time.perf_counter() - start) * 1000)
            queue.store.checkpoint()
            time.sleep(0.01)
    return taken


def child(work: dict[str, Any]) -> None:
    if work.pop("make", False):
        make(**work)
        print(json.dumps("made"))
        return
    with Queue(work["database"]) as queue:
        print(json.dumps({"asked": questions(queue, work["rows"]), "purged": purges(queue)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--made", type=Path, help="folder in which the histories stay")
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    rows = QUICK_ROWS if options.quick else options.rows
    found: dict[int, list[dict[str, Any]]] = {FEW: [], rows: []}
    with ExitStack() as stack:
        home = options.made or stack.enter_context(folder("v11"))
        for count in found:
            database = home / f"{count}.db"
            if not database.exists():
                start = time.perf_counter()
                apart(__file__, make=True, database=str(database), rows=count)
                size, taken = database.stat().st_size / 2**30, time.perf_counter() - start
                print(f"made {count:,} rows: {size:.1f} GiB in {taken:.0f} s", flush=True)
        for _ in range(1 if options.quick else options.rounds):
            for count, runs in found.items():
                runs.append(apart(__file__, database=str(home / f"{count}.db"), rows=count))
    tell(found, rows)


def tell(found: dict[int, list[dict[str, Any]]], rows: int) -> None:
    """Print a line for each question, and one for each kind of purging."""
    quick = rows < ROWS
    for name in found[rows][0]["asked"]:
        many, few = ([each["asked"][name] for each in found[count]] for count in (rows, FEW))
        text = f"{spread(many, '.2f')} ms, {spread(few, '.2f')} ms with {FEW:,}"
        report(f"V11 {name}, history of {rows:,}", text, quick=quick)
    for name in found[rows][0]["purged"]:
        many, few = (
            [step for each in found[count] for step in each["purged"][name]] for count in (rows, FEW)
        )
        if many and few:
            text = f"{spread(many, '.1f')} ms a step, {spread(few, '.1f')} ms with {FEW:,}"
            report(f"V11 {name}, history of {rows:,}", text, quick=quick)


if __name__ == "__main__":
    main()

"""What a store costs does not grow with what waits: plans of its statements, and steps they take.

Steps are those of SQLite's virtual machine, counted by its progress handler: the same on every machine.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.stored import (
    ALL,
    IDENTITY,
    NOON,
    at,
    claim,
    delivered,
    engine,
    new,
    recipient,
    rule,
    settle,
    submit,
)

from mailqueue.clock import DAY, to_datetime
from mailqueue.model.attempt import Category
from mailqueue.model.events import EventKind
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Sort, Times
from mailqueue.model.lane import Block, Priority, Room
from mailqueue.model.lifecycle import State
from mailqueue.store import cursors, filters, open_store, queries
from mailqueue.store.base import ClaimRequest, Reader, Store, Transaction
from mailqueue.store.sqlite import SqliteStore

Opener = Callable[..., Store]

# --- plans ------------------------------------------------------------------------------------
ALIASES_OF_SMALL = {
    *(
        "mailqueue_account",
        "mailqueue_transport",
        "mailqueue_schedule",
        "mailqueue_hold_rule",
        "mailqueue_endpoint",
        "mailqueue_sender_domain",
    ),
    *("mailqueue_engine", "mailqueue_reply_rule", "mailqueue_shaping_rule", "route", "account"),
    *("done", "again", "shut", "served", "mailqueue_slot"),  # the rows handed in
    "line",  # accounts whose mail waits
    "waiting",  # counted up to a limit
}
WALKED_WHOLE = {
    "counts": ["mailqueue_message_claimed"],  # what is being delivered at this moment
    "troubled_destinations": ["mailqueue_destination"],  # a list for people of what is, or was, in trouble
    "purge_destinations": ["mailqueue_destination"],
    "largest_domains": ["mailqueue_waiting"],  # a row for each domain and hour, for people
    # before a transport is removed: where mail waits, what is being delivered, and what is on hold
    "count_named_transport": ["lane", "mailqueue_message_claimed", "mailqueue_message_held"],
}
BEFORE_A_LIST = {"read_messages", "read_webhooks"}  # the beginning of a question that code completes


def hot() -> list[str]:
    """Return the names of all statements but those of the integrity check, which reads everything,
    and of the schema's record, which are asked at opening and read tables of a few rows.
    """
    folder = Path(queries.__file__).parent / "sql"
    cold = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("integrity.sql", "schema.sql")]
    left_out = {name for text in cold for name in queries._NAME.findall(text)}
    return sorted(set(queries.names()) - left_out - BEFORE_A_LIST)


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "analyzed"])
def planner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sqlite3.Connection]:
    """A connection of a store with little mail in it; an application may have run ANALYZE."""
    path = tmp_path_factory.mktemp("plans") / "mail.db"
    store = open_store(path)
    submit(store, *(f"b{n}@d{n % 7}.example" for n in range(300)))
    own = engine(store)
    settle(store, *(delivered(each, at(1)) for each in claim(store, own, limit=200)))
    claim(store, own, limit=20)
    store.close()
    if request.param:
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
            raw.execute("INSERT INTO orders DEFAULT VALUES")
            raw.execute("ANALYZE")
            raw.commit()
    again = opened(path)
    again.run(lambda transaction: transaction.settings())
    yield again._connections.writer()
    again.close()


def plan(connection: sqlite3.Connection, statement: str, values: Sequence[object] | None = None) -> list[str]:
    given = [None] * statement.count("?") if values is None else values
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)]


def walks(part: str) -> bool:
    """Whether a part of a plan goes through a whole table of ours that may be large."""
    return (
        part.startswith("SCAN")
        and not any(each in part for each in ("VIRTUAL TABLE", "CONSTANT ROW", "sqlite_sequence", "subquery"))
        and part.split()[1] not in ALIASES_OF_SMALL
    )


@pytest.mark.parametrize("name", hot())
def test_statement_walks_no_table(planner: sqlite3.Connection, name: str) -> None:
    found = [part for part in plan(planner, queries.query(name)) if walks(part)]
    if name in WALKED_WHOLE:
        assert sorted(part.rpartition(" ")[2] for part in found) == WALKED_WHOLE[name]
    else:
        assert found == []


def test_statistics_of_an_application_are_left_alone(planner: sqlite3.Connection) -> None:
    tables = {row[0] for row in planner.execute("SELECT name FROM sqlite_master")}
    if "sqlite_stat1" in tables:
        assert planner.execute("SELECT DISTINCT tbl FROM sqlite_stat1").fetchall() == [("orders",)]


TIMES = Times(after=to_datetime(NOON), before=to_datetime(NOON + DAY))
EVERYTHING = Filter(
    ids=(1, 2),
    submission_id=1,
    account="default",
    sender="a@example.org",
    recipient="b@example.net",
    hold=True,
    submitted=TIMES,
    next_attempt=TIMES,
    retired=TIMES,
    category=Category.DNS,
    event=EventKind.HELD,
    message_id="<1@example.org>",
    priority=Priority.BULK,
    destination="out",
)
DOMAINS = replace(EVERYTHING, sender="@example.org", recipient="@example.net")
ORDERS = [(False, Order(Sort.SUBMITTED)), (True, Order(Sort.RETIRED)), (True, Order(Sort.SUBMITTED))]


@pytest.mark.parametrize(("retired", "order"), ORDERS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("state", [State.CLAIMED, State.FAILED])
@pytest.mark.parametrize("which", [EVERYTHING, DOMAINS])
def test_page_begins_at_its_place_in_an_index_and_goes_on_in_its_order(
    planner: sqlite3.Connection, retired: bool, order: Order, descending: bool, state: State, which: Filter
) -> None:
    way, asked = replace(order, descending=descending), replace(which, state=state)
    place = (NOON, 50) if order.by is Sort.RETIRED else (50,)
    found = filters.sources(asked, way, retired=retired, low=7, after=place)
    assert len(found) == len({each.where for each in found})
    for each in found:
        for built in (each.count(1000), each.rows(asked, way, retired=retired)):
            parts = plan(planner, *built)
            first = next(part for part in parts if not part.startswith("CO-ROUTINE"))
            assert first.startswith("SEARCH") or first == "SCAN message USING INDEX mailqueue_message_claimed"
            assert not any("B-TREE" in part for part in parts)
            assert [part for part in parts if walks(part)] in ([], [first])


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (ALL, "INDEX mailqueue_message_active (submission_id>? AND submission_id<?)"),
        (
            Filter(account="default"),
            "INDEX mailqueue_message_account (account_id=? AND retired_at=? AND rowid>?",
        ),
        (Filter(submission_id=1), "INDEX mailqueue_message_submission (submission_id=? AND rowid>?"),
        (Filter(ids=(1, 2)), "INTEGER PRIMARY KEY (rowid=?)"),
        (Filter(hold=True), "INDEX mailqueue_message_held (id>?"),
        (Filter(sender="a@b"), "INDEX mailqueue_submission_sender (<expr>=? AND sender=? AND rowid>?"),
        (Filter(recipient="a@b"), "INDEX mailqueue_message_recipient (domain=? AND recipient=? AND rowid>?"),
        (Filter(message_id="<1>"), "INDEX mailqueue_submission_message_id (message_id=? AND rowid>?"),
        (Filter(recipient="@b"), "INDEX mailqueue_message_active"),
    ],
)
def test_step_of_a_bulk_change_begins_at_its_place_in_an_index(
    planner: sqlite3.Connection, which: Filter, index: str
) -> None:
    parts = plan(planner, *filters.steps(which, 50, 10, held=False))
    assert index in parts[0]
    assert not any("B-TREE" in part for part in parts)


# --- steps ------------------------------------------------------------------------------------
FILL = """
WITH RECURSIVE n (i) AS (SELECT ? + 1 UNION ALL SELECT i + 1 FROM n WHERE i < ? + ?)
INSERT INTO mailqueue_message (submission_id, account_id, recipient, domain, state, holds, next_attempt_at,
    fallback, schedule, give_up_at, warn_at)
SELECT 1, 1, 'b' || i || '@blocked.example', 'blocked.example', 'queued', ?, ?, 300, 'standard', ?, ? FROM n
"""
RETIRE = """
UPDATE mailqueue_message SET state = 'delivered', next_attempt_at = NULL, retired_at = ? + id
WHERE domain = 'blocked.example'
"""


def filled(path: Path, store: Store, count: int, *, held: bool = False, retired: bool = False) -> None:
    """Put `count` messages at one destination into a queue, behind the backs of everybody."""
    submit(store, recipient("first@blocked.example", due=at(-1)))
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(FILL, (1, 1, count, int(held), NOON, NOON + 5 * DAY, NOON + DAY))
        raw.execute("UPDATE mailqueue_submission SET submitted_at = submitted_at")
        if retired:
            raw.execute(RETIRE, (NOON,))
    submit(store, *(f"c{n}@other{n}.example" for n in range(20)))


def claims(now: int = NOON, **more: object) -> Callable[[Transaction], object]:
    request = ClaimRequest(engine_id=1, now=now, limit=50, per_lane=20, room=(50,) * 3, **more)  # type: ignore[arg-type]
    return lambda transaction: transaction.claim(request)


def settles(transaction: Transaction) -> object:
    taken = transaction.claim(ClaimRequest(engine_id=1, now=NOON, limit=50, per_lane=20, room=(50,) * 3))
    return transaction.settle([delivered(each, at(1)) for each in taken], [])


def puts_back(transaction: Transaction) -> None:
    taken = transaction.claim(ClaimRequest(engine_id=1, now=NOON, limit=50, per_lane=20, room=(50,) * 3))
    transaction.put_back(taken)
    transaction.block([Block(each.lane, at(9), "out") for each in taken])


def holds(transaction: Transaction) -> object:
    return transaction.hold(ALL, actor="x", reason="", now=NOON, after=500, limit=50)


def releases(transaction: Transaction) -> object:
    return transaction.release(ALL, actor="x", reason="", now=NOON, after=500, limit=50)


def holds_of_nobody(transaction: Transaction) -> object:
    return transaction.hold(Filter(account="nobody"), actor="x", reason="", now=NOON, after=0, limit=50)


def holds_of_a_domain(transaction: Transaction) -> object:
    which = Filter(recipient="@nobody.example")
    return transaction.hold(which, actor="x", reason="", now=NOON, after=0, limit=50)


def marks(transaction: Transaction) -> object:
    made = transaction.add_hold_rule(rule(sender="nobody@example.org"), NOON)
    return transaction.mark_rule(made.id, NOON, 50)


def claims_under_a_rule(transaction: Transaction) -> object:
    transaction.add_hold_rule(rule(recipient_domain="blocked.example"), NOON)
    return transaction.claim(ClaimRequest(engine_id=1, now=NOON, limit=50, per_lane=20, room=(50,) * 3))


def registers(transaction: Transaction) -> object:
    return transaction.bury_engine(transaction.register_engine(IDENTITY, NOON), NOON)


CHANGES: dict[str, Callable[[Transaction], object]] = {
    "submit": lambda transaction: transaction.submit(new("b@blocked.example")),
    "claim": claims(),
    "claim past a lane that is full": claims(
        wants=lambda lane: Room(0 if lane.domain == "blocked.example" else 50)
    ),
    "claim past a lane that is blocked": claims(
        wants=lambda lane: Room(0, at(9), "out") if lane.domain == "blocked.example" else Room(50)
    ),
    "put back and block": puts_back,
    "unblock": lambda transaction: transaction.unblock("out", NOON, 50),
    "claim under a rule that is marking": claims_under_a_rule,
    "claim and settle": settles,
    "hold": holds,
    "hold of what nobody has": holds_of_nobody,
    "hold of a domain that nobody has": holds_of_a_domain,
    "release": releases,
    "mark": marks,
    "bury an engine": registers,
    "purge content": lambda transaction: transaction.purge_content(NOON + 9 * DAY, 50),
    "purge messages": lambda transaction: transaction.purge_messages([*range(1, 51)]),
    "purge history": lambda transaction: transaction.purge_history(NOON + 90 * DAY, 50),
}
FILTERS: dict[str, Filter] = {
    "id": Filter(ids=(7, 700)),
    "message-id": Filter(message_id="<nobody@example.org>"),
    "sender": Filter(sender="nobody@example.org"),
    "sender's domain": Filter(sender="@nobody.example"),
    "recipient": Filter(recipient="b700@blocked.example"),
    "recipient's domain": Filter(recipient="@other7.example"),
    "large domain": Filter(recipient="@blocked.example"),
    "account": Filter(account="shop"),
    "claimed": Filter(state=State.CLAIMED),
    "failed": Filter(state=State.FAILED),
    "hold": Filter(hold=True),
    "no hold": Filter(hold=False),
    "subject that nothing has": Filter(subject="nobody"),
    "category that nothing has": Filter(category=Category.DNS),
    "event that nothing has": Filter(event=EventKind.RELAYED),
    "text that nothing has": Filter(text="nobody"),
    "submitted since": Filter(submitted=Times(after=to_datetime(NOON + DAY))),
    "submitted before": Filter(submitted=Times(before=to_datetime(NOON - DAY))),
    "retired since": Filter(retired=Times(after=to_datetime(NOON + DAY))),
    "due before": Filter(next_attempt=Times(before=to_datetime(NOON - DAY))),
}
QUESTIONS: dict[str, Callable[[Reader], object]] = {
    **{
        f"{name} in the queue": lambda reader, w=which: reader.queue(w, limit=50, after=None)
        for name, which in FILTERS.items()
    },
    **{
        f"{name} in the history": lambda reader, w=which: reader.retired(w, limit=50, after=None)
        for name, which in FILTERS.items()
    },
    "newest of the queue": lambda reader: reader.queue(
        ALL, limit=50, after=None, order=Order(Sort.SUBMITTED, descending=True)
    ),
    "first submitted of the history": lambda reader: reader.retired(
        ALL, limit=50, after=None, order=Order(Sort.SUBMITTED)
    ),
    "next due": lambda reader: reader.next_due_at(),
    "owed warnings": lambda reader: reader.owed_warnings(NOON, 50),
    "expired": lambda reader: reader.expired(NOON, 50),
    "first page of the queue": lambda reader: reader.queue(ALL, limit=50, after=None),
    "later page of the queue": lambda reader: reader.queue(
        ALL, limit=50, after=cursors.encode((700,), OLDEST_FIRST, retired=False)
    ),
    "first page of the history": lambda reader: reader.retired(ALL, limit=50, after=None),
    "later page of the history": lambda reader: reader.retired(
        ALL, limit=50, after=cursors.encode((NOON + 700, 700), LAST_RETIRED_FIRST, retired=True)
    ),
    "depth": lambda reader: reader.depth(),
    "changes": lambda reader: reader.changes(limit=50, after=None),
    "largest domains": lambda reader: reader.waiting_by_domain(20),
    "what happened": lambda reader: (reader.tally(0), reader.tally_by_hour(0)),
    "one message": lambda reader: reader.message(1),
}


def steps(store: SqliteStore, work: Callable[[SqliteStore], object], connection: sqlite3.Connection) -> int:
    """Return how many steps `work` takes on `connection`."""
    count = 0

    def one() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(one, 1)
    try:
        work(store)
    finally:
        connection.set_progress_handler(None, 1)
    return count


def steps_of(name: str, store: SqliteStore) -> int:
    if name in CHANGES:
        store.run(lambda transaction: transaction.settings())
        return steps(store, lambda s: s.run(CHANGES[name]), store._connections.writer())
    store.read(QUESTIONS[name])
    return steps(store, lambda s: s.read(QUESTIONS[name]), store._connections._open.idle[-1])


SITUATIONS = ("blocked", "held", "retired")
COUNTS = (6_000, 24_000)  # more than one page looks at


def opened(path: Path) -> SqliteStore:
    return SqliteStore(str(path), create=True, migrate=False, busy_timeout=5.0)


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a closed queue for each situation and count."""
    folder = tmp_path_factory.mktemp("queues")
    for situation in SITUATIONS:
        for count in COUNTS:
            path = folder / f"{situation}-{count}.db"
            store = opened(path)
            engine(store)
            filled(path, store, count, held=situation == "held", retired=situation == "retired")
            store.close()
    return folder


@pytest.mark.parametrize("name", [*CHANGES, *QUESTIONS])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_cost_is_the_same_with_some_thousand_messages_and_with_many_more(
    queues: Path, path: Path, name: str, situation: str
) -> None:
    taken = []
    for count in COUNTS:
        shutil.copy(queues / f"{situation}-{count}.db", path)
        store = opened(path)
        taken.append(steps_of(name, store))
        store.close()
    assert taken[1] <= taken[0] * 1.05 + 20


def test_destinations_with_nothing_to_claim_are_looked_at_a_few_at_a_time(path: Path) -> None:
    store = opened(path)
    engine(store)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
            " INSERT INTO mailqueue_lane (priority, account_id, domain, transport, due_at)"
            " SELECT 1, 1, 'd' || i || '.example', '', ? FROM n",
            (at(-9),),
        )
    submit(store, "b@last.example")
    taken = steps(store, lambda s: s.run(claims()), store._connections.writer())
    assert taken < 20_000
    turns = 1
    while not claim(store, 1, limit=50):
        turns += 1
    assert turns < 60
    store.close()

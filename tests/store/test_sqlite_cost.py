"""What a store costs does not grow with what waits: plans of its statements, and steps they take.

Steps are those of SQLite's virtual machine, counted by its progress handler: the same on every machine.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
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

from mailqueue.clock import DAY
from mailqueue.model.filters import Filter
from mailqueue.model.lane import Block, Room
from mailqueue.store import filters, open_store, queries
from mailqueue.store.base import ClaimRequest, Reader, Store, Transaction
from mailqueue.store.sqlite import SqliteStore

Opener = Callable[..., Store]

# --- plans ------------------------------------------------------------------------------------
ALIASES_OF_SMALL = {
    *("mailqueue_account", "mailqueue_transport", "mailqueue_schedule", "mailqueue_hold_rule"),
    *("mailqueue_engine", "mailqueue_reply_rule", "mailqueue_shaping_rule", "route", "account"),
    *("done", "again", "shut", "served", "mailqueue_slot"),  # the rows handed in
    "line",  # accounts whose mail waits
    "waiting",  # counted up to a limit
}
WALKED_WHOLE = {
    "counts": ["mailqueue_message_claimed"],  # what is being delivered at this moment
    "troubled_destinations": ["mailqueue_destination"],  # a list for people of what is, or was, in trouble
    "purge_destinations": ["mailqueue_destination"],
    # before a transport is removed: where mail waits, what is being delivered, and what is on hold
    "count_named_transport": ["lane", "mailqueue_message_claimed", "mailqueue_message_held"],
    "mail_of_account": ["mailqueue_message_active"],  # asked in a snapshot, before an account is removed
}
BEFORE_A_LIST = {"read_messages"}  # the beginning of a question that filters.py completes


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


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (ALL, "INDEX mailqueue_message_active"),
        (Filter(account="default"), "INDEX mailqueue_message_active"),
        (Filter(submission_id=1), "INDEX mailqueue_message_"),
        (Filter(ids=(1, 2)), "INTEGER PRIMARY KEY (rowid=?)"),
    ],
)
def test_page_of_the_queue_begins_at_its_place_in_an_index(
    planner: sqlite3.Connection, which: Filter, index: str
) -> None:
    for built in (
        filters.queue_page(which, 10, "50"),
        filters.steps(which, 50, 10, held=False),
    ):
        first = plan(planner, *built)[0]
        assert first.startswith("SEARCH message")
        assert index in first


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (ALL, "INDEX mailqueue_message_retired"),
        (Filter(account="default"), "INDEX mailqueue_message_ret"),
        (Filter(submission_id=1), "INDEX mailqueue_message_submission"),
        (Filter(ids=(1, 2)), "INTEGER PRIMARY KEY (rowid=?)"),
    ],
)
def test_page_of_the_history_begins_at_its_place_in_an_index(
    planner: sqlite3.Connection, which: Filter, index: str
) -> None:
    text, values = filters.retired_page(which, 10, f"{at(1)}-50")
    first = plan(planner, text, values)[0]
    assert first.startswith("SEARCH message")
    assert index in first


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
    "release": releases,
    "mark": marks,
    "bury an engine": registers,
    "purge content": lambda transaction: transaction.purge_content(NOON + 9 * DAY, 50),
    "purge history": lambda transaction: transaction.purge_history(NOON + 90 * DAY, 50),
}
QUESTIONS: dict[str, Callable[[Reader], object]] = {
    "next due": lambda reader: reader.next_due_at(),
    "owed warnings": lambda reader: reader.owed_warnings(NOON, 50),
    "expired": lambda reader: reader.expired(NOON, 50),
    "first page of the queue": lambda reader: reader.queue(ALL, limit=50, after=None),
    "later page of the queue": lambda reader: reader.queue(ALL, limit=50, after="700"),
    "first page of the history": lambda reader: reader.retired(ALL, limit=50, after=None),
    "later page of the history": lambda reader: reader.retired(ALL, limit=50, after=f"{NOON + 700}-700"),
    "depth": lambda reader: reader.depth(),
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
COUNTS = (1_000, 20_000)


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
def test_cost_is_the_same_with_a_thousand_messages_and_with_many_more(
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

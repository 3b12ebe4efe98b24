"""Tables of an older version are brought up to date: all or nothing, with a copy, and nothing is lost.

tests/data/schema has each older version as it was (N.sql), and a queue that its code left (N-rows.sql):
messages in all states, attempts, notices, rules, routes, transports that are gone, and a claim of an engine
that died.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.clock import ManualClock, ManualTimer
from support.receiver import Receiver

from mailqueue import Engine, Queue
from mailqueue.clock import DAY
from mailqueue.errors import NotWal, SchemaMissing, SchemaNewer, SchemaOutdated, StoreError
from mailqueue.store import schema, steps

SCHEMAS = Path(__file__).parent.parent / "data/schema"
VERSIONS = sorted(int(each.stem) for each in SCHEMAS.glob("?.sql"))

Row = tuple[object, ...]


def raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def fill(path: Path, version: int, *, rows: bool = True) -> None:
    """Make a file of an older version, with a queue in it."""
    with raw(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((SCHEMAS / f"{version}.sql").read_text())
        if rows:
            connection.executescript(f"BEGIN; {(SCHEMAS / f'{version}-rows.sql').read_text()} COMMIT;")
            connection.execute("UPDATE mailqueue_engine SET heartbeat_at = 0")  # dead by any clock


@pytest.fixture
def old(path: Path) -> Path:
    """A queue of version 1."""
    fill(path, 1)
    return path


def version(path: Path) -> int:
    with raw(path) as connection:
        found = connection.execute("SELECT value FROM mailqueue_meta WHERE key = 'schema'").fetchone()
    return int(found[0])


def made(path: Path) -> dict[str, str]:
    """Return what is made in a file, by its name: SQL without comments, quotes and white space."""
    with raw(path) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+|\"", "", re.sub(r"--[^\n]*", "", sql)) for name, sql in found}


def content(path: Path) -> dict[str, list[dict[str, object]]]:
    """Return all rows of our tables, and the last ids given; not what tells of the migration itself."""
    with raw(path) as connection:
        connection.row_factory = sqlite3.Row
        tables = [
            each[0]
            for each in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'mailqueue_*'"
            )
        ]
        found = {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in [*tables, "sqlite_sequence"]
        }
    found["mailqueue_meta"] = [
        row
        for row in found["mailqueue_meta"]
        if row["key"] not in ("schema", "changes") and not str(row["key"]).startswith("log:")
    ]
    found["mailqueue_event"] = [
        row for row in found["mailqueue_event"] if '"verb": "migrate"' not in str(row["data"])
    ]
    found["sqlite_sequence"] = [row for row in found["sqlite_sequence"] if row["name"] != "mailqueue_event"]
    return found


def kept(before: dict[str, list[dict[str, object]]], after: dict[str, list[dict[str, object]]]) -> bool:
    """Whether everything is there that was there, in columns of the same name."""
    for table, rows in before.items():
        if table == "mailqueue_destination" and rows and "domain" in rows[0]:
            continue  # where mail waited, until version 2; that is mailqueue_lane now
        assert len(after[table]) == len(rows), table
        for old_row, new_row in zip(rows, after[table], strict=True):
            assert {name: new_row[name] for name in old_row} == old_row, table
    return True


# --- each step --------------------------------------------------------------------------------
def test_there_is_a_step_from_every_version_that_there_was() -> None:
    assert list(range(1, schema.VERSION)) == VERSIONS
    assert all(steps.step_sql(each + 1) for each in VERSIONS)
    assert steps.step_sql(1) is None


@pytest.mark.parametrize("before", VERSIONS)
def test_migrated_file_has_the_same_tables_as_a_new_one(path: Path, tmp_path: Path, before: int) -> None:
    fill(path, before, rows=False)
    with Queue(path) as queue:
        assert (queue.migrate(copy=False).before, version(path)) == (before, schema.VERSION)
    with Queue(tmp_path / "new.db") as queue:
        queue.status()
    assert made(path) == made(tmp_path / "new.db")


@pytest.mark.parametrize("before", VERSIONS)
def test_everything_is_there_afterwards_and_nothing_is_at_fault(path: Path, before: int) -> None:
    fill(path, before)
    found = content(path)
    with Queue(path) as queue:
        queue.migrate(copy=False)
        assert kept(found, content(path))
        assert queue.check_integrity() == []
    with raw(path) as connection:
        log = connection.execute(
            "SELECT key, note FROM mailqueue_meta WHERE key LIKE 'log:%' ORDER BY 1"
        ).fetchall()
    assert [key for key, _ in log] == [f"log:{each}" for each in range(1, schema.VERSION + 1)][-len(log) :]
    assert len(log) >= schema.VERSION + 1 - before
    assert log[-1][1].startswith("mailqueue ")


def test_queue_of_an_older_version_has_every_state_and_kind_of_row(old: Path) -> None:
    found = content(old)
    states = {row["state"] for row in found["mailqueue_message"]}
    assert states == {"queued", "claimed", "delivered", "failed", "expired", "suppressed", "canceled"}
    assert all(found[table] for table in found if table != "mailqueue_meta")
    assert {row["kind"] for row in found["mailqueue_transport"]} == {"direct", "relay", "fail"}
    assert {row["kind"] for row in found["mailqueue_notice"]} == {"failed", "delayed"}


def test_ids_of_what_was_removed_before_are_not_given_again(old: Path) -> None:
    with Queue(old) as queue:
        queue.migrate(copy=False)
        transport = queue.transports.add("another", kind="direct")
        route = queue.routes.add("another")
        assert (transport.id, route.id) == (5, 4)


def test_engine_delivers_what_waits_in_a_migrated_queue(old: Path) -> None:
    clock = ManualClock()
    clock.advance(DAY // 2)
    with Receiver() as receiver, Queue(old, clock=clock) as queue:
        queue.migrate(copy=False)
        waiting = {each.recipient for each in queue.list().items}
        assert len(waiting) == 8
        queue.transports.set("relay", port=receiver.port, default=True)
        queue.release(all=True)
        deliver(queue, clock)
        got = {each for received in receiver.wait(7) for each in received.recipients}
        assert got == waiting
        assert queue.list().items == ()
        [claimed] = [m for m in queue.retired.list().items if m.recipient == "claimed@claimed.example"]
        assert [each.outcome.value for each in queue.attempts(claimed.id)] == ["interrupted", "delivered"]
        assert queue.check_integrity() == []


def deliver(queue: Queue, clock: ManualClock) -> None:
    asyncio.run(Engine(queue, hostname="mx.example.org", timer=ManualTimer(clock)).run(once=True))


# --- somebody else's tables in the file -------------------------------------------------------
THEIRS = """
CREATE TABLE orders (id INTEGER PRIMARY KEY,
    way INTEGER REFERENCES mailqueue_transport (id) ON DELETE CASCADE,
    notice INTEGER REFERENCES mailqueue_notice (id), note TEXT);
INSERT INTO orders SELECT id, id, NULL, name FROM mailqueue_transport;
CREATE TABLE lost (id INTEGER PRIMARY KEY, gone INTEGER REFERENCES nowhere (id));
INSERT INTO lost VALUES (1, 99);
CREATE VIEW ways AS SELECT transport.name, route.position FROM mailqueue_transport AS transport
    JOIN mailqueue_route AS route ON route.transport_id = transport.id;
CREATE VIEW broken AS SELECT * FROM never_made;
CREATE INDEX orders_of_notices ON mailqueue_notice (at);
CREATE TABLE seen (name TEXT);
CREATE TRIGGER on_transport AFTER INSERT ON mailqueue_transport BEGIN INSERT INTO seen VALUES (new.name); END;
CREATE TRIGGER on_removal AFTER DELETE ON mailqueue_transport BEGIN DELETE FROM orders; END;
CREATE TRIGGER on_order AFTER DELETE ON orders BEGIN DELETE FROM mailqueue_route WHERE id = old.id; END;
PRAGMA user_version = 42;
"""


def test_what_an_application_has_made_on_and_of_the_tables_is_as_before(old: Path) -> None:
    with raw(old) as connection:
        connection.executescript(THEIRS)
        ways = connection.execute("SELECT * FROM ways").fetchall()
        orders = connection.execute("SELECT * FROM orders").fetchall()
    theirs = {name: sql for name, sql in made(old).items() if not name.startswith("mailqueue_")}
    assert len(theirs) == 10
    found = content(old)
    with Queue(old) as queue:
        queue.migrate(copy=False)
        assert kept(found, content(old))
        assert {name: sql for name, sql in made(old).items() if not name.startswith("mailqueue_")} == theirs
        queue.transports.add("another", kind="direct")
        assert queue.check_integrity() == []
    with raw(old) as connection:
        assert connection.execute("SELECT * FROM ways").fetchall() == ways
        assert connection.execute("SELECT * FROM orders").fetchall() == orders
        assert connection.execute("SELECT * FROM seen").fetchall() == [("another",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (42,)
        faults = connection.execute("PRAGMA foreign_key_check(orders)").fetchall()
    assert faults == []


# --- the copy ---------------------------------------------------------------------------------
def test_copy_is_the_file_as_it_was_and_for_the_same_eyes(old: Path) -> None:
    old.chmod(0o640)
    tables, found = made(old), content(old)
    with Queue(old) as queue:
        done = queue.migrate()
    copy = Path(f"{old}.v1-backup")
    assert (done.path, done.before, done.after, done.copy) == (str(old), 1, schema.VERSION, str(copy))
    assert done.changed
    assert version(copy) == 1
    assert (made(copy), content(copy)) == (tables, found)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert [each.name for each in old.parent.glob("*part*")] == []


def test_copy_can_be_migrated_in_its_turn(old: Path, tmp_path: Path) -> None:
    with Queue(old) as queue:
        queue.migrate(copy=tmp_path / "elsewhere.db")
    with Queue(tmp_path / "elsewhere.db") as queue:
        assert queue.migrate(copy=False).before == 1
        assert queue.check_integrity() == []
    assert made(old) == made(tmp_path / "elsewhere.db")


def test_nothing_is_overwritten_and_then_nothing_is_changed(old: Path) -> None:
    other = Path(f"{old}.v1-backup")
    other.write_text("precious")
    with Queue(old) as queue:
        with pytest.raises(StoreError, match="is there already"):
            queue.migrate()
        assert (other.read_text(), version(old)) == ("precious", 1)
        with pytest.raises(StoreError, match="is there already"):
            queue.migrate(copy=old)
        assert queue.migrate(copy=False).copy is None
    assert version(old) == schema.VERSION


def test_copy_that_cannot_be_made_is_told_and_nothing_is_changed(old: Path) -> None:
    with Queue(old) as queue, pytest.raises(StoreError, match="the copy cannot be made: No such file"):
        queue.migrate(copy=old.parent / "away" / "copy.db")
    assert version(old) == 1


# --- who may, and when ------------------------------------------------------------------------
def test_up_to_date_tables_are_left_alone_without_a_copy(path: Path) -> None:
    with Queue(path) as queue:
        queue.status()
        done = queue.migrate()
        assert (done.changed, done.before, done.after, done.copy) == (
            False,
            schema.VERSION,
            schema.VERSION,
            None,
        )
    assert not list(path.parent.glob("*backup*"))


def test_older_tables_are_refused_until_somebody_asks(old: Path) -> None:
    with Queue(old) as queue:
        with pytest.raises(SchemaOutdated, match="mailqueue migrate"):
            queue.status()
        queue.migrate(copy=False)
        assert queue.status().queued == 9 - 1


def test_queue_that_may_migrate_does_so_at_first_use_without_a_copy(old: Path) -> None:
    with Queue(old, migrate=True) as queue:
        assert version(old) == 1, "nothing is opened before it is used"
        assert queue.check_integrity() == []
    assert version(old) == schema.VERSION
    assert not list(old.parent.glob("*backup*"))


def test_file_that_is_no_queue_of_ours_is_refused(path: Path) -> None:
    with Queue(path) as queue, pytest.raises(SchemaMissing):
        queue.migrate()
    assert not path.exists()
    path.touch()
    with Queue(path) as queue, pytest.raises(SchemaMissing):
        queue.migrate()
    with raw(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with Queue(path) as queue, pytest.raises(NotWal):
        queue.migrate()


def test_newer_tables_are_refused_by_an_older_mailqueue(old: Path) -> None:
    with raw(old) as connection:
        connection.execute("UPDATE mailqueue_meta SET value = ? WHERE key = 'schema'", (schema.VERSION + 1,))
    with Queue(old) as queue:
        for use in (queue.migrate, queue.status):
            with pytest.raises(SchemaNewer, match="install a newer mailqueue"):
                use()
    assert not list(old.parent.glob("*backup*"))


def test_an_engine_at_work_is_not_migrated_under_its_feet(old: Path) -> None:
    clock = ManualClock()
    with raw(old) as connection:
        connection.execute("UPDATE mailqueue_engine SET heartbeat_at = ?", (clock.now(),))
    with Queue(old, clock=clock) as queue:
        with pytest.raises(StoreError, match=r"an engine is at work.*stop it"):
            queue.migrate()
        assert version(old) == 1
        assert not list(old.parent.glob("*backup*"))
        clock.advance(DAY)
        assert queue.migrate(copy=False).changed


def test_somebody_who_writes_is_waited_for_and_not_for_ever(old: Path) -> None:
    with raw(old) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with Queue(old, busy_timeout=0.05) as queue:
            with pytest.raises(StoreError, match="another process or connection is writing"):
                queue.migrate()
            connection.execute("ROLLBACK")
            assert queue.migrate(copy=False).changed


# --- death in the middle ----------------------------------------------------------------------
DIE = """
import os, signal, sqlite3, sys
from functools import partial

def die_at(statement):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

class Watched(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_trace_callback(die_at)

sqlite3.connect = partial(sqlite3.connect, factory=Watched)
from mailqueue import Queue
Queue(sys.argv[1]).migrate(copy=False)
"""
MOMENTS = (
    "INSERT INTO mailqueue_transport_new",
    "RENAME TO mailqueue_route",
    "ADD COLUMN orcpt",
    "CREATE INDEX mailqueue_notice_submission",
    "COMMIT",
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_process_that_dies_in_the_middle_leaves_the_old_version_whole(old: Path, moment: str) -> None:
    tables, found = made(old), content(old)
    assert run(DIE, old, moment) == -signal.SIGKILL
    assert version(old) == 1
    assert (made(old), content(old)) == (tables, found)
    with Queue(old) as queue:
        assert queue.migrate(copy=False).changed
        assert kept(found, content(old))
        assert queue.check_integrity() == []


def test_process_that_dies_while_it_copies_is_in_nobodys_way(old: Path) -> None:
    script = DIE.replace("copy=False", "").replace(
        "sqlite3.connect = partial(sqlite3.connect, factory=Watched)",
        "os.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert run(script, old, "") == -signal.SIGKILL
    assert version(old) == 1
    assert [each.name for each in old.parent.glob("*backup*")] == [f"{old.name}.v1-backup.part"]
    with Queue(old) as queue:
        assert queue.migrate().copy == f"{old}.v1-backup"
    assert not list(old.parent.glob("*.part"))


def test_processes_that_migrate_at_once_do_it_once(old: Path) -> None:
    script = "import sys; from mailqueue import Queue; Queue(sys.argv[1], migrate=True).status()"
    workers = [subprocess.Popen([sys.executable, "-c", script, old]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert version(old) == schema.VERSION


def run(script: str, *args: str | os.PathLike[str]) -> int:
    command: Sequence[str | os.PathLike[str]] = [sys.executable, "-c", script, *args]
    return subprocess.run(command, timeout=60, check=False).returncode

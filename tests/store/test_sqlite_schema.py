"""The tables of an SQLite file: who makes them, in which files, and which versions are refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.stored import NOON, message, submit

import mailqueue
from mailqueue.errors import NotWal, SchemaMissing, SchemaNewer, SchemaOutdated, StoreError
from mailqueue.store import open_store, schema
from mailqueue.store.base import Store

Opener = Callable[..., Store]


def raw(path: Path, *, wal: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


def tables(path: Path) -> set[str]:
    with closing(raw(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_nothing_is_opened_before_the_first_use(path: Path, open_again: Opener) -> None:
    store = open_again()
    assert not path.exists()
    submit(store)
    assert path.exists()


def test_new_file_is_wal_and_for_its_owner_only(path: Path, open_again: Opener) -> None:
    old = os.umask(0)
    try:
        submit(open_again())
    finally:
        os.umask(old)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes[path.name] == 0o600
    assert set(modes.values()) == {0o600}
    with closing(raw(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_first_use_may_be_a_question(open_again: Opener) -> None:
    assert open_again().read(lambda reader: reader.depth()).queued == 0


def test_empty_file_that_somebody_made_is_filled(path: Path, open_again: Opener) -> None:
    path.touch(mode=0o640)
    submit(open_again())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_tables_are_made_beside_an_applications_own_and_nothing_else_is_touched(
    path: Path, open_again: Opener
) -> None:
    with closing(raw(path, wal=True)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA user_version = 42")
        connection.execute("PRAGMA application_id = 77")
    path.chmod(0o644)
    submit(open_again())
    assert "orders" in tables(path)
    assert all(name.startswith(("mailqueue_", "sqlite_", "orders")) for name in tables(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with closing(raw(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (42,)
        assert connection.execute("PRAGMA application_id").fetchone() == (77,)


def test_existing_file_that_is_not_wal_is_refused_with_the_command_that_helps(
    path: Path, open_again: Opener
) -> None:
    with closing(raw(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with pytest.raises(NotWal, match="PRAGMA journal_mode=WAL") as caught:
        submit(open_again())
    assert str(path) in str(caught.value)
    assert tables(path) == {"orders"}
    with closing(raw(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        connection.execute("PRAGMA journal_mode=WAL")
    submit(open_again())


def test_store_that_may_not_create_finds_no_file_and_no_tables(path: Path, open_again: Opener) -> None:
    with pytest.raises(SchemaMissing, match="no such file"):
        open_again(create=False).read(lambda reader: reader.depth())
    assert not path.exists()
    with closing(raw(path, wal=True)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with pytest.raises(SchemaMissing, match="holds no mailqueue tables"):
        open_again(create=False).read(lambda reader: reader.depth())
    assert tables(path) == {"orders"}


def set_version(path: Path, version: int) -> None:
    with closing(raw(path)) as connection:
        connection.execute("UPDATE mailqueue_meta SET value = ? WHERE key = 'schema'", (version,))


def test_older_tables_are_refused_naming_the_command_and_newer_ones_naming_the_remedy(
    path: Path, open_again: Opener
) -> None:
    submit(open_again())
    set_version(path, 0)
    with pytest.raises(SchemaOutdated, match="mailqueue migrate"):
        submit(open_again())
    set_version(path, schema.VERSION + 1)
    with pytest.raises(SchemaNewer, match="install a newer mailqueue"):
        submit(open_again())
    with pytest.raises(SchemaNewer):
        submit(open_again(migrate=True))
    set_version(path, schema.VERSION)
    assert message(open_again()).state == "queued"


def test_tables_that_no_step_leads_on_from_are_left_as_they_are(path: Path, open_again: Opener) -> None:
    submit(open_again())
    set_version(path, 0)
    with pytest.raises(SchemaOutdated, match="no step"):
        submit(open_again(migrate=True))
    with closing(raw(path)) as connection:
        assert connection.execute("SELECT value FROM mailqueue_meta WHERE key = 'schema'").fetchone() == (0,)


def test_migrating_what_is_up_to_date_does_nothing(open_again: Opener) -> None:
    submit(open_again())
    assert message(open_again(migrate=True, create=False)).state == "queued"


def test_when_and_by_which_release_the_tables_came_is_noted(path: Path, open_again: Opener) -> None:
    submit(open_again())
    with closing(raw(path)) as connection:
        at, note = connection.execute(
            "SELECT value, note FROM mailqueue_meta WHERE key = ?", (f"log:{schema.VERSION}",)
        ).fetchone()
    assert at > NOON
    assert note.startswith("mailqueue ")


# --- an application's own migration tool ------------------------------------------------------
def test_create_schema_joins_the_transaction_of_a_migration_tool(path: Path, open_again: Opener) -> None:
    with closing(raw(path, wal=True)) as connection:
        connection.execute("BEGIN")
        mailqueue.create_schema(connection)
        connection.execute("ROLLBACK")
        assert tables(path) == set()
        connection.execute("BEGIN")
        mailqueue.create_schema(connection)
        connection.execute("COMMIT")
    submit(open_again(create=False))


def test_create_schema_commits_by_itself_where_no_transaction_is_open_and_does_it_once(
    path: Path, open_again: Opener
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        mailqueue.create_schema(connection)
        mailqueue.create_schema(connection)
        assert not connection.in_transaction
    submit(open_again(create=False))
    set_version(path, schema.VERSION + 1)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(SchemaNewer):
        mailqueue.create_schema(connection)


def test_schema_as_text_makes_the_same_tables(path: Path, open_again: Opener) -> None:
    with closing(raw(path, wal=True)) as connection:
        connection.executescript(mailqueue.schema_sql())
    store = open_again(create=False)
    submit(store)
    assert store.read(lambda reader: reader.integrity()) == []


def test_statements_of_the_schema_are_all_there_and_whole() -> None:
    kinds = [statement.split("--")[-1] for statement in schema.statements()]
    assert len(kinds) == len(schema.statements())
    assert "".join(schema.statements()).count("CREATE TABLE") == mailqueue.schema_sql().count("CREATE TABLE")


def test_processes_that_open_a_new_file_at_once_all_find_the_tables(path: Path) -> None:
    script = (
        "import sys; from mailqueue.store import open_store; store = open_store(sys.argv[1]); "
        "store.run(lambda t: t.settings()); store.close()"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path], stderr=subprocess.PIPE) for _ in range(4)
    ]
    assert [(worker.wait(60), worker.communicate()[1]) for worker in workers] == [(0, b"")] * 4


def test_python_with_an_old_sqlite_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match=r"needs 3\.38\.0 or newer"):
        open_store(path)


# --- what is no place for a queue -------------------------------------------------------------
@pytest.mark.parametrize("name", [":memory:", "", "file:mail.db?mode=memory"])
def test_path_that_names_no_file_is_refused_at_once(name: str) -> None:
    with pytest.raises(StoreError, match="name a path"):
        open_store(name)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        submit(open_store(tmp_path))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"there is no folder {tmp_path / 'away'}"):
        submit(open_store(tmp_path / "away" / "mail.db"))


def test_file_in_the_way_of_the_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        submit(open_store(tmp_path / "file" / "mail.db"))


def test_file_that_is_no_database_is_refused_and_left_alone(path: Path, open_again: Opener) -> None:
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreError, match="not an SQLite database"):
        submit(open_again())
    assert path.read_text() == "Dear diary, " * 1000


def test_symbolic_link_and_its_target_are_one_queue(path: Path, open_again: Opener, tmp_path: Path) -> None:
    submit(open_again())
    link = tmp_path / "link.db"
    link.symlink_to(path)
    store = open_store(link)
    submit(store)
    store.close()
    assert store.path == str(path.resolve())  # type: ignore[attr-defined]
    assert not list(tmp_path.glob("link.db-*"))

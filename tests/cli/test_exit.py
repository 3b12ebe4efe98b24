"""How the command ends: statuses, and errors that say what to do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.command import LETTER, Command, environment

from mailqueue.cli.root import cli


def test_without_a_database_the_error_says_how_to_name_one() -> None:
    done = CliRunner().invoke(cli, ["list"])
    assert done.exit_code == 2
    for way in ("--db PATH", "MAILQUEUE_DB", "mailqueue.toml"):
        assert way in done.stderr


def test_database_is_named_by_flag_environment_or_file(tmp_path: Path) -> None:
    (tmp_path / "mailqueue.toml").write_text('db = "file.db"\n')
    run = CliRunner().invoke
    assert run(cli, ["list"]).exit_code == 0
    assert (tmp_path / "file.db").exists()
    assert run(cli, ["list"], env={"MAILQUEUE_DB": "environment.db"}).exit_code == 0
    assert (tmp_path / "environment.db").exists()
    assert run(cli, ["list", "--db", "flag.db"], env={"MAILQUEUE_DB": "other.db"}).exit_code == 0
    assert run(cli, ["--db", "other.db", "list", "--db", "flag.db"]).exit_code == 0
    assert (tmp_path / "flag.db").exists()
    assert not (tmp_path / "other.db").exists()


def test_new_file_is_told_on_standard_error_only(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["--db", "new.db", "--json", "list"])
    assert json.loads(done.stdout) == {"items": [], "next": None}
    assert done.stderr == "mailqueue: new queue: new.db\n"
    assert CliRunner().invoke(cli, ["--db", "new.db", "list"]).stderr == ""


@pytest.mark.parametrize(
    "args",
    [
        ["show", "99"],
        ["show", "s99"],
        ["attempts", "99"],
        ["explain", "99"],
        ["dump", "99"],
        ["notice", "show", "99"],
        ["hold", "99"],
        ["release", "s99"],
        ["retired", "show", "99"],
        ["list", "--account", "nobody"],
        ["holdrules", "show", "9"],
        ["holdrules", "remove", "9"],
        ["shaping", "show", "9"],
        ["shaping", "remove", "9"],
        ["destinations", "show", "relay", "mx.example:25"],
        ["destinations", "retry", "relay mx.example:25"],
        ["transport", "set", "x"],
        ["route", "remove", "9"],
        ["schedule", "show", "x"],
        ["account", "show", "x"],
        ["submit", "--account", "x"],
        ["submit", "--schedule", "x"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_status_4_and_one_line(mailqueue: Command, args: list[str]) -> None:
    told = mailqueue.fails(4, *args, input=LETTER)
    assert told.startswith("mailqueue: ")
    assert len(told.splitlines()) == 1


def test_one_unknown_id_among_many_changes_nothing(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    assert "99" in mailqueue.fails(4, "hold", "1", "99")
    assert mailqueue.json("show", 1)["hold"] is False


def test_message_in_the_queue_is_not_in_the_history(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    assert "queued" in mailqueue.fails(4, "retired", "show", 1)


@pytest.mark.parametrize(
    "args", [["show", "x12"], ["hold", "-1"], ["show", "12s"], ["hold", "-"]], ids=" ".join
)
def test_what_is_no_id_is_a_usage_error(mailqueue: Command, args: list[str]) -> None:
    mailqueue.fails(2, *args, input="what")


@pytest.mark.parametrize(
    "args", [["list", "--limit", "0"], ["list", "--limit", "9999"], ["list", "--after", "what"]], ids=" ".join
)
def test_value_that_cannot_be_is_status_3(mailqueue: Command, args: list[str]) -> None:
    mailqueue.fails(3, *args)


def test_verb_that_needs_the_one_message_of_a_submission_names_them(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net", "bob@example.net")
    assert "s1 has 2 messages, name one: 1, 2" in mailqueue.fails(2, "attempts", "s1")


def test_file_that_is_no_delivery_report_is_status_3_and_needs_no_database(tmp_path: Path) -> None:
    file = tmp_path / "letter.eml"
    file.write_text(LETTER)
    done = CliRunner().invoke(cli, ["dsn", "parse", str(file)])
    assert done.exit_code == 3
    assert "not a delivery report: it is text/plain" in done.stderr
    assert CliRunner().invoke(cli, ["dsn", "parse", "nowhere.eml"]).exit_code == 2


def test_unknown_setting_is_status_3_and_names_the_nearest() -> None:
    done = CliRunner().invoke(cli, ["list"], env={"MAILQUEUE_DATABASE": "x.db"})
    assert done.exit_code == 3
    assert "did you mean MAILQUEUE_DB?" in done.stderr


def test_database_in_the_way_is_status_5(tmp_path: Path) -> None:
    run = CliRunner().invoke
    (tmp_path / "letter.eml").write_text(LETTER)
    for path in ("letter.eml", "no-such-folder/queue.db"):
        done = run(cli, ["--db", path, "list"])
        assert done.exit_code == 5, done.output
        assert "Traceback" not in done.stderr
        assert "new queue" not in done.stderr
    assert (tmp_path / "letter.eml").read_text() == LETTER


def test_application_database_that_is_not_wal_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    done = CliRunner().invoke(cli, ["--db", "app.db", "list"])
    assert done.exit_code == 5
    assert "journal_mode" in done.stderr


@pytest.mark.parametrize("verb", [["migrate"], ["check-integrity"], ["backup", "copy.db"]])
def test_care_of_a_database_that_is_not_there_makes_none(tmp_path: Path, verb: list[str]) -> None:
    done = CliRunner().invoke(cli, ["--db", "none.db", *verb])
    assert done.exit_code == 5
    assert "there is no such file" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_pipe_that_closes_early_is_no_traceback(mailqueue: Command) -> None:
    for _ in range(3):
        mailqueue.submit(*(f"u{n}@example.net" for n in range(300)))
    command = f"{sys.executable} -m mailqueue --db {mailqueue.db} list --limit 900 | head -1"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split()[:2] == ["ID", "TO"]
    assert "Traceback" not in done.stderr


def test_command_is_there_under_its_name_and_as_a_module(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("mailqueue")
    for command in ([str(script)], [sys.executable, "-m", "mailqueue"]):
        done = subprocess.run(
            [*command, "--version"], env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("mailqueue 0.")


def test_completion_knows_the_verbs() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("mailqueue")],
        env=environment(_MAILQUEUE_COMPLETE="bash_complete", COMP_WORDS="mailqueue hold", COMP_CWORD="1"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "plain,hold" in done.stdout
    assert "plain,holdrules" in done.stdout


def test_help_loads_no_engine() -> None:
    code = "import mailqueue.cli, sys; print('mailqueue.engine' in sys.modules, 'sqlite3' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.split() == ["False", "False"]

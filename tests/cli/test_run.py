"""`mailqueue run`: an engine as a process, for people at a terminal and for a supervisor."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from support.command import LETTER, Command
from support.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def relayed(mailqueue: Command, receiver: Receiver) -> Command:
    """A queue whose transport is the receiver."""
    mailqueue("transport", "add", "relay1", "--host", f"127.0.0.1:{receiver.port}")
    return mailqueue


def ended(process: subprocess.Popen[str], *, by: signal.Signals | None = None) -> tuple[int, str, str]:
    if by is not None:
        process.send_signal(by)
    stdout, stderr = process.communicate(timeout=30)
    return process.returncode, stdout, stderr


class Terminal:
    """A terminal of 80 columns, and what was written to it."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.text = ""

    def read_until(self, *wanted: str) -> str:
        """Return all that was written once all of `wanted` has been."""
        deadline = time.monotonic() + 30
        while not all(each in self.text for each in wanted):
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{wanted!r} did not come, but:\n{self.text}"
            self.text += os.read(self.ours, 65536).decode().replace("\r\n", "\n")
        return self.text

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def at(terminal: Terminal, mailqueue: Command, *args: str) -> subprocess.Popen[str]:
    side = terminal.theirs
    return mailqueue.process("run", *args, stdin=side, stdout=side, stderr=side)


def test_once_delivers_all_that_is_due_and_ends_with_status_0_whatever_the_outcomes(
    relayed: Command, receiver: Receiver
) -> None:
    relayed.submit("ann@example.net", "unknown@example.net", "full@example.net")
    relayed.submit("later@example.net")
    relayed("hold", "s2")
    status, stdout, stderr = ended(relayed.process("run", "--once"))
    assert (status, stdout) == (0, "1 delivered, 1 deferred, 1 failed\n")
    assert "Traceback" not in stderr
    assert [message["id"] for message in relayed.json("list")["items"]] == [3, 4]
    assert relayed("run", "--once") == "nothing was due\n"


def test_once_answers_in_json_with_the_outcomes(relayed: Command) -> None:
    relayed.submit("ann@example.net")
    assert relayed.json("run", "--once") == {
        "outcomes": {"delivered": 1, "deferred": 0, "failed": 0, "uncertain": 0, "interrupted": 0}
    }


def test_relay_takes_all_mail_of_this_engine_and_changes_no_setting(
    mailqueue: Command, receiver: Receiver
) -> None:
    mailqueue.submit("ann@example.net")
    mailqueue("run", "--once", "--relay", f"127.0.0.1:{receiver.port}", "--hostname", "out.example.org")
    assert "EHLO out.example.org" in receiver.commands
    assert mailqueue.json("transport", "list")["items"] == []
    assert mailqueue.json("attempts", 1)["items"][0]["transport"] == "relay"
    assert "HOST:PORT" in mailqueue.fails(3, "run", "--relay", "nowhere:x")


def test_without_a_transport_nothing_is_due_and_the_log_says_why(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    status, stdout, stderr = ended(mailqueue.process("run", "--once"))
    assert (status, stdout) == (0, "nothing was due\n")
    assert stderr.count("no transport: mailqueue transport add") == 1


def test_engine_delivers_what_is_submitted_while_it_runs_and_drains_at_sigterm(
    relayed: Command, receiver: Receiver
) -> None:
    engine = relayed.process("run")
    relayed.submit("ann@example.net")
    receiver.wait(1)
    assert f"engine: running (pid {engine.pid})" in relayed("submit", input=LETTER)
    receiver.wait(2)
    status, _, stderr = ended(engine, by=signal.SIGTERM)
    assert status == 0
    assert "stopping, after what is being tried" in stderr
    assert relayed.json("list")["items"] == []
    assert relayed.json("status")["engines"] == []


def test_log_is_a_line_of_logfmt_per_record(relayed: Command) -> None:
    relayed.submit("ann@example.net", "unknown@example.net")
    _, _, stderr = ended(relayed.process("run", "--once"))
    lines = [line for line in stderr.splitlines() if line.startswith("ts=")]
    value = r'("(\\.|[^"\\])*"|[^\s"]+)'
    form = re.compile(rf"ts=[0-9TZ:.-]+ level=\w+ logger=mailqueue\.\w+ msg={value}( \w+={value})*")
    assert all(form.fullmatch(line) for line in lines), lines
    failed = "msg=failed attempt=2.1 message_id=2 submission_id=1 recipient=unknown@example.net"
    assert any(failed in line and 'said="550 5.1.1 No such user here"' in line for line in lines), lines
    assert any("level=info" in line and "recipient=ann@example.net" in line for line in lines)


def test_log_level_is_taken_from_the_flag(relayed: Command) -> None:
    relayed.submit("ann@example.net")
    _, _, stderr = ended(relayed.process("run", "--once", "--log-level", "error"))
    assert stderr == ""


def test_terminal_sees_a_line_per_outcome(relayed: Command, terminal: Terminal) -> None:
    relayed.submit("ann@example.net", "full@example.net", "unknown@example.net")
    engine = at(terminal, relayed)
    told = terminal.read_until("taken\n", "next try in", "notice\n")
    assert f"engine: running (pid {engine.pid}), Ctrl-C stops it" in told
    assert re.search(r"^[0-9:]{8}  1  ann@example.net  delivered: 250 2.0.0 Ok: taken$", told, re.MULTILINE)
    flat = " ".join(told.split())
    assert " 2 full@example.net deferred: 452 4.2.2 Mailbox full; next try in " in flat
    assert " 3 unknown@example.net failed: 550 5.1.1 No such user here; returned with a notice" in flat
    assert "ts=" not in told
    assert max(map(len, told.splitlines())) <= 80
    engine.send_signal(signal.SIGINT)
    assert engine.wait(30) == 0
    assert "1 delivered, 1 deferred, 1 failed" in terminal.read_until("1 failed")


def test_second_ctrl_c_ends_at_once_and_the_next_engine_tries_again(
    relayed: Command, receiver: Receiver, terminal: Terminal
) -> None:
    relayed.submit("mute@example.net")
    engine = at(terminal, relayed)
    receiver.wait(1)  # it has the message, and says nothing
    engine.send_signal(signal.SIGINT)
    terminal.read_until("Ctrl-C again stops at once")
    engine.send_signal(signal.SIGINT)
    assert engine.wait(30) == 128 + signal.SIGINT
    assert relayed.json("show", 1)["state"] == "claimed"
    relayed("run", "--once")
    (attempt,) = relayed.json("attempts", 1)["items"]
    assert attempt["outcome"] == "interrupted"
    assert relayed.json("show", 1)["state"] == "queued"


def test_settings_of_the_process_come_from_the_file(relayed: Command, receiver: Receiver) -> None:
    (relayed.db.parent / "mailqueue.toml").write_text('hostname = "file.example.org"\nlog_level = "error"\n')
    relayed.submit("ann@example.net")
    status, _, stderr = ended(relayed.process("run", "--once"))
    assert (status, stderr) == (0, "")
    assert "EHLO file.example.org" in receiver.commands


def test_json_of_a_long_run_is_printed_at_its_end(relayed: Command, receiver: Receiver) -> None:
    engine = relayed.process("run", "--json")
    relayed.submit("ann@example.net")
    receiver.wait(1)
    status, stdout, _ = ended(engine, by=signal.SIGTERM)
    assert status == 0
    assert json.loads(stdout)["outcomes"]["delivered"] == 1

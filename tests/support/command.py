"""The command line, run inside the test or as a process of its own.

::

    mailqueue = Command(tmp_path / "queue.db")
    mailqueue("submit", "--to", "ann@example.net", input=LETTER)     # must end with status 0; returns stdout
    mailqueue.json("list")["items"]
    mailqueue.fails(4, "show", "99")                                 # returns stderr
    engine = mailqueue.process("run")
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from mailqueue.cli.root import cli

LETTER = "From: shop@example.org\nTo: ann@example.net\nSubject: Your order\n\nIt is on its way.\n"


def environment(**more: str) -> dict[str, str]:
    """Return the environment without what would steer mailqueue, in UTC."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILQUEUE_")}
    return {**kept, "TZ": "UTC", "COLUMNS": "80", **more}


class Command:
    """`mailqueue --db PATH`."""

    def __init__(self, db: Path) -> None:
        self.db = db
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: object, input: str | bytes | None = None) -> str:
        done = self.run(*args, input=input)
        assert done.exit_code == 0, f"{args}: {done.output} {done.exception!r}"
        return done.stdout

    def json(self, *args: object, input: str | bytes | None = None) -> Any:
        return json.loads(self(*args, "--json", input=input))

    def fails(self, status: int, *args: object, input: str | bytes | None = None) -> str:
        done = self.run(*args, input=input)
        assert done.exit_code == status, f"{args}: {done.exit_code} {done.output} {done.exception!r}"
        assert done.stdout == ""
        return done.stderr

    def run(self, *args: object, input: str | bytes | None = None) -> Any:
        return CliRunner().invoke(cli, ["--db", str(self.db), *map(str, args)], input=input)

    def submit(self, *recipients: str, **options: str) -> list[int]:
        """Submit a letter; returns the ids of its messages."""
        to = [word for recipient in recipients for word in ("--to", recipient)]
        more = [word for name, value in options.items() for word in (f"--{name}", value)]
        made = self.json("submit", *to, *more, input=LETTER)
        return [message["id"] for message in made["messages"]]

    def process(self, *args: object, **more: Any) -> subprocess.Popen[str]:
        """Start it as a process, which the caller ends; `clear_away` ends what is left."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "mailqueue", "--db", str(self.db), *map(str, args)]
        process: subprocess.Popen[str] = subprocess.Popen(
            command, env=environment(), cwd=self.db.parent, **{**pipes, **more}
        )
        self.started.append(process)
        return process

    def clear_away(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

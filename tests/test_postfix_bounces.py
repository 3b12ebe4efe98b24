"""A real Postfix returns mail, and hands the bounce over: by LMTP, and through a pipe."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import environment
from support.postfix import Postfix, free_port

from mailqueue import Engine, Queue
from mailqueue.model.fromid import return_path
from mailqueue.model.incoming import Incoming

pytestmark = pytest.mark.postfix

LETTER = b"From: sender@example.org\r\nSubject: Hello\r\n\r\nThe body.\r\n"
BY_LMTP, PIPED = "lmtp.example", "piped.example"
"""Domains of return addresses, by the way in which Postfix hands over."""
PORT = free_port()
SETTINGS = {
    "relay_domains": f"bounce.example {BY_LMTP} {PIPED}",
    "transport_maps": (
        f"inline:{{ {{bounce.example = returning:}}, {{{BY_LMTP} = lmtp:inet:127.0.0.1:{PORT}}},"
        f" {{{PIPED} = mailqueue:}} }}"
    ),
    "mailqueue_destination_recipient_limit": "1",
}
COMMAND = (sys.executable, "-m", "mailqueue", "--db")


HAND_OVER = """\
#!/bin/sh
cd "$1" && shift && cat > message && printf '%s\\n' "$@" > called && read status < answer && exit $status
"""
"""pipe(8) runs nothing as root, and others may not read the code: this has the test run the command."""


class Pipe:
    """What Postfix pipes mail to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.senders: list[str] = []
        nobody = pwd.getpwnam("nobody")
        folder.mkdir()
        (folder / "run").write_text(HAND_OVER)
        (folder / "run").chmod(0o755)
        for path in (folder / "called", folder / "answer"):
            os.mkfifo(path)
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        self.service = (
            f"mailqueue unix - n n - 1 pipe flags=q user=nobody null_sender= argv={folder}/run {folder}"
            " incoming --recipient ${recipient} --sender ${sender}"
        )

    def serve(self, db: Path) -> int:
        """Run the command for one message, as Postfix called it; return its status."""
        words = (self.folder / "called").read_text().removesuffix("\n").split("\n")
        self.senders.append(words[-1])
        with (self.folder / "message").open("rb") as message:
            done = subprocess.run([*COMMAND, str(db), *words], stdin=message, env=environment(), check=False)
        (self.folder / "answer").write_text(f"{done.returncode}\n")
        return done.returncode


@pytest.fixture(scope="module")
def pipe(postfix: Postfix) -> Pipe:
    return Pipe(Path(postfix.root) / "pipe")


@pytest.fixture(scope="module")
def returning(pipe: Pipe) -> Iterator[Postfix]:
    """A Postfix that hands over what comes to return addresses."""
    with Postfix(SETTINGS, ["lmtp unix - - n - - lmtp", pipe.service]) as running:
        yield running


def returned(running: Postfix, db: Path, sender: str) -> Incoming:
    """Send mail that Postfix takes and returns; give what came in about it."""
    with Queue(db) as queue:
        (sent,) = queue.submit(
            LETTER, sender=sender, recipients=["ann@bounce.example"], envid=f"order of {sender}"
        ).messages
        to = sender if sent.fromid is None else return_path(sender, sent.fromid)
        asyncio.run(
            Engine(queue, relay=f"127.0.0.1:{running.port}", hostname="mx.example.org").run(once=True)
        )
        end = time.monotonic() + 30
        while not (found := [each for each in queue.incoming_mail.list().items if each.recipient == to]):
            assert time.monotonic() < end, running.log()[-4000:]
            time.sleep(0.05)
        assert found[0].messages == (sent.id,)
        assert (queue.show(sent.id).state, queue.show(sent.id).feedback) == ("delivered", "bounced")
        return queue.incoming_mail.show(found[0].id)


def test_bounce_that_postfix_pipes_is_kept_until_it_is_taken(
    returning: Postfix, pipe: Pipe, tmp_path: Path
) -> None:
    statuses: list[int] = []

    def serve() -> None:
        for db in (tmp_path / "not-there.db", tmp_path / "mail.db"):
            statuses.append(pipe.serve(db))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    came = returned(returning, tmp_path / "mail.db", f"shop@{PIPED}")
    server.join(20)
    assert (statuses, pipe.senders) == ([75, 0], ["", ""])
    assert (came.kind, came.matched_by) == ("bounce", "envid")
    assert [each.event.value for each in came.events] == ["failed"]


def test_bounce_that_postfix_hands_over_by_lmtp_is_taken(returning: Postfix, tmp_path: Path) -> None:
    db = tmp_path / "mail.db"
    with Queue(db) as queue:
        queue.accounts.set("default", fromid=True)
    options = ("--listen", f"127.0.0.1:{PORT}", "--domain", BY_LMTP, "--log-level", "error")
    process = subprocess.Popen(
        [*COMMAND, str(db), "incoming", "listen", *options], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    with process.stdout as printed:
        try:
            assert printed.readline().startswith(b"listening at ")
            came = returned(returning, db, f"shop@{BY_LMTP}")
        finally:
            process.terminate()
            assert process.wait(20) == 0
    assert (came.kind, came.matched_by) == ("bounce", "fromid")
    assert b"Final-Recipient: rfc822; ann@bounce.example" in came.content

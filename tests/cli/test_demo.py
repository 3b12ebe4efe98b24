"""`mailqueue demo`: what a newcomer sees first."""

from __future__ import annotations

import json
import subprocess
import sys
from email import message_from_string, policy
from pathlib import Path

import pytest
from support.command import environment


def demo(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("mailqueue"), "demo", *args],
        env=environment(TMPDIR=str(folder), **more),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return demo(tmp_path_factory.mktemp("demo"))


def test_demo_shows_four_messages_and_four_fates(shown: subprocess.CompletedProcess[str]) -> None:
    assert (shown.returncode, shown.stderr) == (0, "")
    told = shown.stdout
    for line in (
        "message 1 to ann@receiver.example: will be delivered",
        "1  ann@receiver.example  delivered: 250",
        "2  later@receiver.example  deferred: 451",
        "2  later@receiver.example  delivered: 250",
        "3  nobody@receiver.example  failed: 550",
        "Content-Type: message/delivery-status",
        "Diagnostic-Code: smtp; 550 5.1.1",
    ):
        assert line in told
    fates = [line.split()[:4] for line in told.splitlines() if line.startswith((" 1 ", " 2 ", " 3 ", " 4 "))]
    assert fates == [
        ["1", "ann@receiver.example", "delivered", "1"],
        ["2", "later@receiver.example", "delivered", "2"],
        ["3", "nobody@receiver.example", "failed", "1"],
        ["4", "bob@elsewhere.example", "on", "hold"],
    ]


def test_what_the_demo_says_to_type_next_works(shown: subprocess.CompletedProcess[str]) -> None:
    told = shown.stdout
    commands = [
        line.strip() for line in told.partition("What to type next:")[2].splitlines() if "--db" in line
    ]
    assert len(commands) >= 5
    for command in commands:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, command + done.stderr


def test_demo_answers_with_one_document(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", "--db", "mine.db")
    found = json.loads(done.stdout)
    assert [message["fate"] for message in found["items"]] == ["delivered", "delivered", "failed", "on hold"]
    assert found["db"] == "mine.db"
    notice = message_from_string(found["notice"], policy=policy.default)
    assert notice.get_content_type() == "multipart/report"


def test_demo_touches_no_queue_that_is_there(tmp_path: Path) -> None:
    mine = tmp_path / "mine.db"
    mine.write_bytes(b"")
    done = demo(tmp_path, "--db", str(mine))
    assert done.returncode == 3
    assert "is there already" in done.stderr
    assert mine.read_bytes() == b""


def test_demo_does_not_use_the_queue_that_the_environment_names(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", MAILQUEUE_DB=str(tmp_path / "other.db"))
    assert done.returncode == 0
    assert not (tmp_path / "other.db").exists()

"""What SIGKILL may do: make mail late, or come twice with a mark; never lose it. For more: crash.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "crash.py"


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_comes_twice_without_a_mark_when_processes_are_killed() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "15", "--seed", "20340102"], capture_output=True, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout

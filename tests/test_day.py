"""The short form of a day of mixed traffic; for the whole one: day.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "day.py"


@pytest.mark.timeout(300)
def test_all_mail_of_a_day_of_mixed_traffic_meets_the_fate_that_its_destination_gives_it() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--hours", "3.25", "--seed", "20340102"], capture_output=True, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 faults" in done.stdout

"""Everything that a change must pass, in one command: `python tests/gates.py [pytest's arguments]`.

Stops at the first gate that fails. The tests come last, so that the last line is theirs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
GATES = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("sphinx", "-q", "-W", "-b", "html", "docs", "build/docs"),
    ("pytest", "-q"),
)


def main() -> int:
    for gate in GATES:
        more = sys.argv[1:] if gate[0] == "pytest" else []
        print("==>", *gate, *more, flush=True)
        done = subprocess.run([sys.executable, "-m", *gate, *more], cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

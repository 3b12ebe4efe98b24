"""Named queries: every statement of the store, read from sql/*.sql.

The one rule: a statement stands in a file under a line `-- name: what_it_does`, once; code asks for
it by that name. `many` repeats the row of a VALUES list, so that a group of rows is one step of the
database: each step gives up the interpreter's lock, and a busy neighbour may take it.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_ROW = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")

MAX_PARAMETERS = 250
"""Values in one statement at most; every SQLite takes 999."""


@cache
def _all() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((Path(__file__).parent / "sql").glob("*.sql")):
        _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"two queries are called {name}")
            found[name] = _bare(text)
    return found


def _bare(text: str) -> str:
    lines = (line.strip() for line in text.splitlines() if not line.lstrip().startswith("--"))
    return " ".join(line for line in lines if line).rstrip("; ")


def query(name: str) -> str:
    """Return the statement of that name."""
    return _all()[name]


def names() -> list[str]:
    """Return the names of all statements."""
    return sorted(_all())


@lru_cache(maxsize=512)
def many(statement: str, rows: int) -> str:
    """Return `statement` with the row of its VALUES list written `rows` times."""
    return _ROW.sub(lambda found: "VALUES " + ", ".join([found[1]] * rows), statement, count=1)


@cache
def shape(statement: str) -> tuple[int, int]:
    """Return how many values a row of `statement` has, and how many rows fit into one."""
    found = _ROW.search(statement)
    assert found is not None, statement
    width = found[1].count("?")
    return width, max(1, min(32, MAX_PARAMETERS // width))

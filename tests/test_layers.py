"""The floors (docs/explanation/design.md): a file imports only from floors below, or from its own package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mailqueue

PACKAGE = Path(__file__).parent.parent / "mailqueue"
FILES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]

LAYOUT = (
    {"errors", "clock", "ids"},
    {"mail"},
    {"model", "net"},
    {"policy", "store"},
    {"engine"},
    {"queue", "asyncqueue", "faces", "config"},
)
FLOORS = {part: number for number, parts in enumerate(LAYOUT) for part in parts}
DOORS = 5
FACES_MAY_USE = {"errors", "clock", "ids", "mail", "model", "queue", "config"}
STRANGERS = {("policy", "net"), ("store", "net")}
"""Pairs that the floors would allow, where the first must not know the second."""
ONLY_IN = {
    "apscheduler": "engine/timer.py",
    "aiohttp": "net/post.py",
    "standardwebhooks": "net/signature.py",
}
PURE = ("mail/", "model/", "policy/")
IMPURE_MODULES = {"random", "secrets", "os", "socket", "asyncio", "threading", "sqlite3"}
IMPURE_NAMES = {
    "now",
    "utcnow",
    "today",
    "time",
    "time_ns",
    "monotonic",
    "localtime",
    "make_msgid",
    "SystemClock",
}
SQL = re.compile(
    r"\s*(select\b.*\bfrom\b|with\b.*\bas \(|(insert|replace)\b.*\binto\b|update\b.*\bset\b|delete from\b"
    r"|(create|drop|alter) (unique )?(table|index|view|trigger)\b)",
    re.IGNORECASE | re.DOTALL,
)


def parsed(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_bytes())


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported, lazily or for typing included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"line {node.lineno}: a relative import"
            names = [f".{alias.name}" for alias in node.names] if node.module == "mailqueue" else [""]
            yield from (node.module + name for name in names)


def part(dotted: str) -> str:
    """Return the package or file that a module is part of; the public names are part of `queue`."""
    name = f"{dotted}.".split(".")[1]
    return "queue" if name in ("", *mailqueue.__all__) else name


def may_import(here: str, there: str) -> bool:
    if here == there:
        return True
    if here not in FLOORS:
        return there in FACES_MAY_USE
    below = FLOORS.get(there, 99) < FLOORS[here] or FLOORS[here] == FLOORS.get(there) == DOORS
    return below and (here, there) not in STRANGERS


@pytest.mark.parametrize("file", FILES)
def test_file_imports_only_from_floors_below_its_own(file: str) -> None:
    here = file.split("/")[0].removesuffix(".py")
    for dotted in imports(parsed(file)):
        library = dotted.split(".")[0]
        assert ONLY_IN.get(library, file) == file, f"{file} imports {dotted}"
        if library == "mailqueue" and here not in ("__init__", "__main__"):
            assert may_import(here, part(dotted)), f"{file} imports {dotted}"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith(PURE)])
def test_mail_model_and_policy_read_neither_clock_nor_chance_nor_the_outside(file: str) -> None:
    tree = parsed(file)
    assert IMPURE_MODULES.isdisjoint(dotted.split(".")[0] for dotted in imports(tree))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert used.isdisjoint(IMPURE_NAMES)


@pytest.mark.parametrize("file", [file for file in FILES if file != "store/filters.py"])
def test_sql_lives_in_sql_files(file: str) -> None:
    tree = parsed(file)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    assert [node.value for node in texts if isinstance(node.value, str) and SQL.match(node.value)] == []

"""The stored messages that come back to a return path, with what each is."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "incoming"


def read(kind: str, name: str) -> bytes:
    """Return a message, e.g. `read("bounces", "qmail")`."""
    return (FOLDER / kind / f"{name}.eml").read_bytes()


def table(kind: str) -> dict[str, list[str]]:
    """Return what is expected of each message of a folder: its name, and the other columns."""
    rows = [line.split("\t") for line in (FOLDER / f"{kind}.tsv").read_text().splitlines()]
    return {name: rest for name, *rest in rows if not name.startswith("#")}


def names(kind: str) -> list[str]:
    """Return the names of all messages of a folder."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.eml"))

"""docs/reference/reports.md tells what the code does: its words and its limits."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from mailqueue.mail import arf, incoming

PAGE = (Path(__file__).parent.parent.parent / "docs/reference/reports.md").read_text()


def rows(title):
    """Return the rows of the first table below a heading, without its head."""
    table = re.search(rf"^## {title}\n(?:(?!## |\|).*\n)*((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Bounce", [*incoming.Source]),
        ("Complaints", [*arf.FeedbackType]),
        ("Unrecognized", [*incoming.Kind]),
        ("Hints", [*incoming.Hints.__dataclass_fields__]),
    ],
)
def test_words_are_those_of_the_code(title, words):
    assert [word for word, *_ in rows(title)] == words


@pytest.mark.parametrize("row", rows("Limits"), ids=lambda row: row[2])
def test_a_limit_is_that_of_the_code(row):
    module, _, name = row[2].rpartition(".")
    assert getattr(import_module(module), name) == int(row[1])

"""The docs cannot drift: their examples run, and their links lead somewhere.

In README.md, docs/tutorial, docs/how-to and docs/reference, the blocks of a page run in their order in one
empty folder:

- `python` blocks in one namespace; one that begins with a comment like `# app.py` is written to that file;
- a `text` block straight after a `python` block is what that one prints;
- `console` blocks as a shell does: lines after `$ ` are run and must succeed, what stands below them must be
  what they print; `export NAME=VALUE` holds for those that follow.

In what is printed, `...` stands for anything, white space counts as one blank, and what differs from run to
run (VOLATILE: times, process ids, random names) is not compared. `localhost:2525` is a receiver that takes
all mail, but for its scripts (`support.receiver`). Blocks in other languages (`sh`, `toml` ...) do not run.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.receiver import Receiver

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorial").glob("*.md")),
    *sorted((ROOT / "docs/how-to").glob("*.md")),
    *sorted((ROOT / "docs/reference").glob("*.md")),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
VOLATILE = (
    (re.compile(r"(now|in \w+|\w+ ago), (\d\d:\d\d:\d\d|\w{3} \d\d \d\d:\d\d)"), "WHEN"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z"), "WHEN"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d(:\d\d [+-]\d{4})?"), "WHEN"),
    (re.compile(r"next (now|in \w+)"), "next WHEN"),
    (re.compile(r"took \S+"), "took LONG"),
    (re.compile(r"pid \d+"), "pid PID"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:PORT"),
    (re.compile(r"\b[0-9a-z]{20}\b"), "RANDOM"),
)


@pytest.fixture
def receiver() -> Iterator[str]:
    with Receiver() as running:
        yield f"localhost:{running.port}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    yield
    for name in ("mailqueue", "mailqueue.delivery", "mailqueue.engine", "mailqueue.store"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with what it should print."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        more = next((n for n, line in enumerate(lines) if n and not line.startswith("> ")), len(lines))
        yield "".join(line.removeprefix("> ") for line in lines[:more]), "".join(lines[more:])


def shell() -> dict[str, str]:
    """Return the environment of a shell in which nothing has been set for mailqueue."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "COLUMNS": "110", "NO_COLOR": "1", "TZ": "UTC"}
    return {name: text for name, text in os.environ.items() if not name.startswith("MAILQUEUE")} | own


def run_console(block: str, environment: dict[str, str]) -> None:
    for command, wanted in commands(block):
        if export := re.fullmatch(r"export (\w+)=(\S+)\n", command):
            environment[export[1]] = export[2]
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"$ {command}{done.stdout}"
        if wanted.strip():
            check_output(f"$ {command}", wanted, done.stdout)


def run_python(block: str, namespace: dict[str, object], page: str, line: int) -> str:
    """Run a block, or write it to its file, and return what it printed."""
    first, _, _ = block.partition("\n")
    printed = io.StringIO()
    if named := re.fullmatch(r"# (\w+\.py)", first):
        Path(named[1]).write_text(block)
    else:
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block, page, "exec"), namespace)
    return printed.getvalue()


def steady(text: str) -> str:
    """Return what is the same whenever and wherever it is printed."""
    for pattern, name in VOLATILE:
        text = pattern.sub(name, text)
    return text


def check_output(what: str, wanted: str, printed: str) -> None:
    matches = doctest.OutputChecker().check_output(steady(wanted), steady(printed), LOOSE)
    assert matches, f"{what}{printed}\nwhere the page says\n{wanted}"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_the_page_run(page: Path, receiver: str) -> None:
    text, environment = page.read_text(), shell()
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed, end = "", -1
    for fence in FENCE.finditer(text):
        block = fence[2].replace("localhost:2525", receiver)
        if fence[1] == "python":
            printed = run_python(block, namespace, str(page), text.count("\n", 0, fence.start()) + 1)
            end = fence.end()
        elif fence[1] == "console":
            run_console(block, environment)
        elif fence[1] == "text" and end >= 0 and not text[end : fence.start()].strip():
            check_output(f"line {text.count(chr(10), 0, end) + 1}: ", block, printed)


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")],
    ids=lambda page: page.stem,
)
def test_links_lead_somewhere(page: Path) -> None:
    dead = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert dead == []

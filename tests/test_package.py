"""What is installed from a clone: the wheel and the source distribution carry schema and queries."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = [
    "py.typed",
    "store/schema.sql",
    *(f"store/sql/{path.name}" for path in (ROOT / "mailqueue/store/sql").glob("*.sql")),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of this tree, as it is on disk now, without anything that was built in it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    target = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name, follow_symlinks=False)
    return target


def build(clone: Path, hook: str, target: Path) -> Path:
    """Run a hook of the build backend, as pip and build do."""
    code = f"import sys, setuptools.build_meta as backend; print(); print(backend.{hook}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=clone, capture_output=True, text=True, check=True
    )
    return target / done.stdout.splitlines()[-1]


def test_wheel_holds_the_schema_as_a_file_and_every_query(clone: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build(clone, "build_wheel", tmp_path)) as wheel:
        assert {f"mailqueue/{name}" for name in DATA} <= set(wheel.namelist())
        assert wheel.read("mailqueue/store/schema.sql") == (ROOT / "schema.sql").read_bytes()
        assert not [name for name in wheel.namelist() if name.startswith(("tests", "docs", "benchmarks"))]
        wheel.extractall(tmp_path / "site")
    code = "import mailqueue; print(mailqueue.__file__); print(mailqueue.schema_sql(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=True,
    )
    where, _, schema = done.stdout.partition("\n")
    assert Path(where).is_relative_to(tmp_path)
    assert schema == (ROOT / "schema.sql").read_text()


def test_source_distribution_holds_the_schema_as_a_file(clone: Path, tmp_path: Path) -> None:
    with tarfile.open(build(clone, "build_sdist", tmp_path)) as sdist:
        top = sdist.getnames()[0].split("/")[0]
        assert {f"{top}/mailqueue/{name}" for name in DATA} <= set(sdist.getnames())
        schema = sdist.getmember(f"{top}/mailqueue/store/schema.sql")
        assert schema.isreg()
        assert sdist.extractfile(schema).read() == (ROOT / "schema.sql").read_bytes()


def test_a_clone_has_one_schema_which_the_package_links_to() -> None:
    link = ROOT / "mailqueue/store/schema.sql"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "schema.sql"


def test_readme_has_the_two_commands_and_ci_pastes_them() -> None:
    """`.ci/run` takes the lines from the README by their last words."""
    lines = (ROOT / "README.md").read_text().splitlines()
    for words in ("mailqueue demo", "tests/gates.py"):
        assert (
            len([line for line in lines if line.startswith("python3 -m venv ") and line.endswith(words)]) == 1
        )
        assert f"$(readme_command '{words}')" in (ROOT / ".ci/run").read_text()

"""What an import costs: `import mailqueue` loads nothing heavy, and `mailqueue.mail` stands on its own."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"sqlite_utils", "apscheduler", "dns", "cryptography", "click", "rich", "aiohttp", "standardwebhooks"}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_of_mailqueue_loads_no_heavy_library() -> None:
    loaded = modules_after("import mailqueue")
    assert "mailqueue" in loaded
    assert HEAVY.isdisjoint(name.split(".")[0] for name in loaded)


def test_import_of_mailqueue_loads_nothing_else_of_the_project() -> None:
    assert {name for name in modules_after("import mailqueue") if name.startswith("mailqueue")} == {
        "mailqueue"
    }


def test_the_mail_library_loads_nothing_else_of_the_project() -> None:
    loaded = modules_after("from mailqueue.mail import dsn, arf, incoming")
    ours = {name for name in loaded if name.startswith("mailqueue")}
    allowed = {"mailqueue", "mailqueue.errors", "mailqueue.mail"}
    assert {"mailqueue.mail.dsn", "mailqueue.mail.arf", "mailqueue.mail.incoming"} <= ours
    assert {name for name in ours - allowed if not name.startswith("mailqueue.mail.")} == set()
    assert HEAVY.isdisjoint(name.split(".")[0] for name in loaded)


def test_every_public_name_can_be_had() -> None:
    modules_after("import mailqueue\n[getattr(mailqueue, name) for name in dir(mailqueue)]")


def test_reading_of_what_comes_back_is_loaded_when_something_does() -> None:
    assert "mailqueue.mail.incoming" not in modules_after("from mailqueue.queue import Engine, Queue")


def test_engine_without_webhooks_loads_no_http() -> None:
    loaded = {name.split(".")[0] for name in modules_after("from mailqueue.queue import Engine, Queue")}
    assert {"aiohttp", "standardwebhooks"}.isdisjoint(loaded)

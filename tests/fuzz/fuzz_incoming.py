"""A fuzzer for what reads mail that comes in. Not run with the tests: it needs `pip install -e '.[fuzz]'`.

    python tests/fuzz/fuzz_incoming.py [folder for new inputs] [-max_total_time=600 or other options]

It begins with the stored messages, looks for code that none of them reaches, and stops at the first
input that raises something, breaks a law below, or takes over 20 seconds. An input worth keeping goes
to `tests/data/incoming/fuzz/`, where `tests/mail/test_incoming_hostile.py` reads it every time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

STORED = Path(__file__).parent.parent / "data"
OPTIONS = ("-max_len=16384", "-timeout=20", "-rss_limit_mb=1024")

with atheris.instrument_imports(include=["mailqueue"]):
    from mailqueue.mail import arf, dsn, incoming


def check(data: bytes) -> None:
    """Read `data`; what is read has to be sayable in JSON's types, and a report has to survive a round."""
    found = incoming.read(data)
    found.to_dict()
    match found:
        case incoming.Bounce() if found.report.reporting_mta is not None:
            made = dsn.Draft(
                report=found.report,
                sender="a@b.example",
                to="c@d.example",
                date=0,
                message_id="<n@b.example>",
                boundary="-",
                original=data,
            )
            assert dsn.parse(dsn.compose(made)) == found.report
        case incoming.Complaint():
            complaint = arf.Draft(
                report=found.report,
                sender="a@b.example",
                to="c@d.example",
                date=0,
                message_id="<n@b.example>",
                boundary="-",
                original=data,
            )
            assert arf.parse(arf.compose(complaint)) == found.report


def seeds() -> str:
    """Return a folder with every stored message under a name of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mailqueue-fuzz-"))
    for number, path in enumerate(sorted(STORED.rglob("*.eml"))):
        (folder / f"{number:04}").write_bytes(path.read_bytes())
    return str(folder)


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:], seeds()], check)
    atheris.Fuzz()

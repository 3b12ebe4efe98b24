"""`dsn parse` and `arf parse` read what stands in files, and need no database."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import incoming

from mailqueue.cli.root import cli


def run(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args))
    assert done.exit_code == 0, done.stderr
    return done.stdout


def path(kind: str, name: str) -> Path:
    return incoming.FOLDER / kind / f"{name}.eml"


@pytest.mark.parametrize(("name", "source"), [("qmail", "text"), ("upper-case-fields", "status")])
def test_dsn_parse_reads_a_bounce_with_or_without_fields(name: str, source: str) -> None:
    found = json.loads(run("--json", "dsn", "parse", str(path("bounces", name))))
    assert (found["source"], found["recipients"][0]["status"]) == (source, "5.1.1")
    assert "said       550" in run("dsn", "parse", str(path("bounces", name)))


def test_arf_parse_reads_a_complaint() -> None:
    found = json.loads(run("--json", "arf", "parse", str(path("complaints", "rfc-5965"))))
    assert (found["type"], found["recipients"], found["source_ip"]) == (
        "abuse",
        ["anna@example.com"],
        "192.0.2.7",
    )
    people = run("arf", "parse", str(path("complaints", "no-feedback-type")))
    assert "recipients   anna@example.com" in people
    assert "fault: Feedback-Type is missing" in people


@pytest.mark.parametrize("verb", ["dsn", "arf"])
@pytest.mark.parametrize("name", ["mdn-displayed", "auto-reply-german", "forwarded-as-attachment"])
def test_what_is_no_report_is_status_3(verb: str, name: str) -> None:
    done = CliRunner().invoke(cli, [verb, "parse", str(path("others", name))])
    assert done.exit_code == 3
    assert "not a " in done.stderr

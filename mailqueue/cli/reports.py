"""Reading delivery reports that came from anywhere: `dsn parse`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from mailqueue.cli import output
from mailqueue.cli.base import Face, Verbs, pass_face
from mailqueue.clock import to_datetime

if TYPE_CHECKING:
    from mailqueue.mail.dsn import ParsedReport, RecipientReport


@click.group("dsn", cls=Verbs)
def dsn_() -> None:
    """Delivery notices in files (RFC 3464)."""


@dsn_.command()
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@pass_face
def parse(face: Face, file: BinaryIO) -> None:
    """Read a delivery report of any sender's making. Needs no database."""
    from mailqueue.mail.dsn import read

    found = read(file.read())
    rest = found.to_dict()
    rest.pop("report")
    face.answer({**found.report.to_dict(), **rest}, lambda: _print(found))


def _print(found: ParsedReport) -> None:
    report = found.report
    output.details(
        [
            ("reported by", report.reporting_mta.value if report.reporting_mta else "nobody in particular"),
            ("arrived", _moment(report.arrival_date)),
            ("envelope id", report.original_envelope_id),
            ("about", found.original_message_id),
            (
                "returned",
                "the whole message" if found.full else "its header" if found.original_headers else None,
            ),
        ]
    )
    for recipient in report.recipients:
        output.line()
        output.details(_recipient(recipient))
    for fault in found.faults:
        output.line(f"fault: {fault}")


def _recipient(found: RecipientReport) -> Iterator[tuple[str, object]]:
    original = found.original_recipient
    yield "recipient", found.final_recipient.value
    yield "given as", original.value if original and original != found.final_recipient else None
    yield "action", found.action.value
    yield "status", f"{found.status} {found.status_comment or ''}".rstrip()
    yield "host", found.remote_mta.value if found.remote_mta else None
    yield "said", found.diagnostic.value.replace("\n", " / ") if found.diagnostic else None
    yield "last tried", _moment(found.last_attempt)
    yield "retried until", _moment(found.will_retry_until)


def _moment(micros: int | None) -> str | None:
    return None if micros is None else f"{to_datetime(micros).astimezone():%Y-%m-%d %H:%M:%S %z}"

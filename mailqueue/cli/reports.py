"""Reading reports that came from anywhere: `dsn parse` and `arf parse`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from mailqueue.cli import output
from mailqueue.cli.base import Face, Verbs, pass_face
from mailqueue.clock import to_datetime
from mailqueue.errors import ParseError

if TYPE_CHECKING:
    from mailqueue.mail import arf
    from mailqueue.mail.dsn import ParsedReport, RecipientReport


@click.group("dsn", cls=Verbs)
def dsn_() -> None:
    """Delivery notices in files (RFC 3464)."""


@dsn_.command()
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@pass_face
def parse(face: Face, file: BinaryIO) -> None:
    """Read a delivery report of any sender's making. Needs no database."""
    found, source = _read(file.read())
    rest = found.to_dict()
    rest.pop("report")
    face.answer({**found.report.to_dict(), **rest, "source": source}, lambda: _print(found))


@click.group("arf", cls=Verbs)
def arf_() -> None:
    """Complaints in files (RFC 5965)."""


@arf_.command("parse")
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@pass_face
def parse_complaint(face: Face, file: BinaryIO) -> None:
    """Read a complaint (ARF) of any reporter's making. Needs no database."""
    from mailqueue.mail import arf

    found = arf.read(file.read())
    rest = found.to_dict()
    rest.pop("report")
    face.answer({**found.report.to_dict(), **rest}, lambda: _print_complaint(found))


def _read(data: bytes) -> tuple[ParsedReport, str]:
    """Return a delivery report, and where it was read from. Raises ParseError."""
    from mailqueue.mail import dsn, incoming

    try:
        return dsn.read(data), incoming.Source.STATUS
    except ParseError:
        found = incoming.read(data)
        if isinstance(found, incoming.Bounce):
            return found.found, found.source
        raise


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


def _print_complaint(found: arf.ParsedReport) -> None:
    report = found.report
    output.details(
        [
            ("type", report.type),
            ("reported by", report.reporting_mta or report.user_agent),
            ("arrived", _moment(report.arrival_date)),
            ("envelope id", report.original_envelope_id),
            ("sent from", report.original_mail_from),
            ("recipients", " ".join(found.recipients) or None),
            ("about", found.original_message_id),
            ("incidents", report.incidents),
            ("failed", report.auth_failure),
            ("source", report.source_ip),
        ]
    )
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

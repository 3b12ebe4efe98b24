"""Notices as they are, line by line, each with the reason why it is so and the RFC section.

Beside each .eml (the octets, CRLF) is a .txt: every line of the notice, and below it, indented and
begun by `^`, its reason. Both are read here: the notice must be made exactly so.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.reports import DELAYED, FAILED, HOUR, MINUTE, MONDAY, ORIGINAL, draft, report

from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode

COMPOSED = Path(__file__).parent.parent / "data" / "dsn" / "composed"
REASON = "    ^ "
SECTION = re.compile(r"RFC [0-9]{4} [0-9A-Z]+(\.[0-9]+)*")

REFUSED = draft(
    report(
        replace(
            FAILED,
            original_recipient=dsn.mailbox("Anna+lunch@example.com"),
            diagnostic=dsn.said(
                "550-5.1.1 The address you sent your message to was not found. Please check\n"
                "550-5.1.1 it for typing errors or unnecessary spaces, or ask the person by another "
                "way, and then try again.\n"
                "550 5.1.1 https://example.com/help/no-such-user"
            ),
            final_log_id="4TBq7h2",
        ),
        original_envelope_id="QQ314159",
        arrival_date=MONDAY,
    )
)
EXPIRED = draft(
    report(
        replace(
            FAILED,
            status=EnhancedCode(4, 4, 7),
            status_comment="given up after 5 days (no host of example.com took the connection)",
            remote_mta=None,
            diagnostic=None,
            last_attempt=MONDAY + 120 * HOUR,
        ),
        arrival_date=MONDAY,
        received_from_mta=dsn.host("laptop.example.org ([192.0.2.7])"),
        future_release_request="for;3600",
        extensions=(("X-Mailqueue-Message", "17"),),
    ),
    date=MONDAY + 121 * HOUR,
    original=ORIGINAL.replace(b"At one?", "Um eins im Caf\xe9?".encode("latin-1")),
    full=True,
    stories=(dsn.Story(attempts=45, may_have_arrived=True),),
)
WAITING = draft(
    report(
        DELAYED,
        replace(
            FAILED,
            final_recipient=dsn.mailbox("carla@xn--bcher-kva.example"),
            action=dsn.Action.DELAYED,
            status=EnhancedCode(4, 7, 1),
            remote_mta=dsn.host("mx.xn--bcher-kva.example"),
            diagnostic=dsn.said("451 4.7.1 Greylisted, please come back later"),
            last_attempt=MONDAY + 3 * HOUR,
            will_retry_until=MONDAY + 120 * HOUR,
        ),
        arrival_date=MONDAY,
    ),
    date=MONDAY + 4 * HOUR + MINUTE,
    stories=(
        dsn.Story(attempts=7, next_attempts=(MONDAY + 7 * HOUR, MONDAY + 10 * HOUR)),
        dsn.Story(attempts=6, next_attempts=(MONDAY + 6 * HOUR,)),
    ),
)
INTERNATIONAL = draft(
    report(
        replace(
            FAILED,
            original_recipient=dsn.mailbox("jörg@bücher.example"),
            final_recipient=dsn.mailbox("jörg@xn--bcher-kva.example"),
            remote_mta=dsn.host("mx.xn--bcher-kva.example"),
            diagnostic=dsn.said("550 5.1.1 Postfach jörg unbekannt"),
        ),
        arrival_date=MONDAY,
    ),
    to="päule@example.org",
    original=ORIGINAL.replace(b"Paul <paul@", "Paul <päule@".encode()).replace(b"Lunch", "Café".encode()),
    original_subject="Café",
)
GOOD_NEWS = draft(
    report(
        replace(FAILED, action=dsn.Action.DELIVERED, status=EnhancedCode(2, 1, 5), diagnostic=None),
        replace(
            FAILED,
            final_recipient=dsn.mailbox("bert@example.net"),
            action=dsn.Action.RELAYED,
            status=EnhancedCode(2, 1, 9),
            remote_mta=dsn.host("mx.example.net"),
            diagnostic=dsn.said("250 2.0.0 queued as 81C3F"),
        ),
        replace(
            FAILED,
            final_recipient=dsn.mailbox("team@example.org"),
            action=dsn.Action.EXPANDED,
            status=EnhancedCode(2, 1, 5),
            remote_mta=None,
            diagnostic=None,
        ),
    ),
    full=True,
)
HANDED_ON = draft(
    report(
        replace(
            FAILED,
            original_recipient=dsn.mailbox("Anna+lunch@example.com"),
            action=dsn.Action.RELAYED,
            status=EnhancedCode(2, 0, 0),
            diagnostic=dsn.said("250 2.0.0 queued as 81C3F"),
        ),
        original_envelope_id="order 17",
        arrival_date=MONDAY,
    ),
    full=True,
    stories=(dsn.Story(attempts=1),),
)
NOTICES = {
    "refused": REFUSED,
    "expired": EXPIRED,
    "waiting": WAITING,
    "international": INTERNATIONAL,
    "good-news": GOOD_NEWS,
    "handed-on": HANDED_ON,
}


def explained(name: str) -> list[tuple[str, str]]:
    """Return the lines of NAME.txt, each with its reason."""
    lines = (COMPOSED / f"{name}.txt").read_text(encoding="latin-1").removesuffix("\n").split("\n")
    assert len(lines) % 2 == 0
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_is_composed_as_its_golden_file_shows(name):
    notice = dsn.compose(NOTICES[name])
    assert notice == (COMPOSED / f"{name}.eml").read_bytes()
    lines = [line.encode("latin-1") for line, _ in explained(name)]
    assert notice.split(b"\r\n") == [*lines, b""]


@pytest.mark.parametrize("name", NOTICES)
def test_every_line_of_a_golden_notice_has_a_reason_and_an_rfc_section(name):
    for line, reason in explained(name):
        assert reason.startswith(REASON), line
        assert len(reason) > 30, line
        assert SECTION.search(reason), line


@pytest.mark.parametrize("name", NOTICES)
def test_a_golden_notice_reads_back_as_its_report(name):
    found = dsn.read((COMPOSED / f"{name}.eml").read_bytes())
    assert found.report == NOTICES[name].report
    assert found.original_message_id == "<lunch.1@example.org>"
    assert found.faults == ()

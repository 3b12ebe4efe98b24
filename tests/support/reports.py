"""Delivery reports for tests: one plain draft, and hypothesis strategies for any report."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode

MONDAY = 1_826_867_460_000_000
"""Mon, 22 Nov 2027 07:11:00 UTC, in microseconds."""
MINUTE = 60_000_000
HOUR = 60 * MINUTE

FAILED = dsn.RecipientReport(
    final_recipient=dsn.mailbox("anna@example.com"),
    action=dsn.Action.FAILED,
    status=EnhancedCode(5, 1, 1),
    remote_mta=dsn.host("mx.example.com"),
    diagnostic=dsn.said("550 5.1.1 No such user here"),
    last_attempt=MONDAY + MINUTE,
)
DELAYED = dsn.RecipientReport(
    final_recipient=dsn.mailbox("bert@example.net"),
    action=dsn.Action.DELAYED,
    status=EnhancedCode(4, 4, 1),
    status_comment="connection refused by all 2 hosts",
    last_attempt=MONDAY + 4 * HOUR,
    will_retry_until=MONDAY + 120 * HOUR,
)
ORIGINAL = (
    b"From: Paul <paul@example.org>\r\n"
    b"To: anna@example.com\r\n"
    b"Subject: Lunch\r\n"
    b"Date: Mon, 22 Nov 2027 08:10:58 +0100\r\n"
    b"Message-ID: <lunch.1@example.org>\r\n"
    b"\r\n"
    b"At one?\r\n"
)


def report(*recipients: dsn.RecipientReport, **fields: object) -> dsn.Report:
    """Return a report of out.example.org, by default about anna@example.com."""
    made = dsn.Report(reporting_mta=dsn.host("out.example.org"), recipients=recipients or (FAILED,))
    return replace(made, **fields)


def draft(about: dsn.Report | None = None, **fields: object) -> dsn.Draft:
    """Return a draft of a notice to paul@example.org."""
    made = dsn.Draft(
        report=about or report(),
        sender="MAILER-DAEMON@out.example.org",
        to="paul@example.org",
        date=MONDAY + 2 * MINUTE,
        message_id="<notice.1@out.example.org>",
        boundary="=_part_1",
        original=ORIGINAL,
        original_subject="Lunch",
        original_message_id="<lunch.1@example.org>",
    )
    return replace(made, **fields)


any_text = st.text(st.characters(exclude_categories=()), max_size=60)
_word = st.one_of(
    st.sampled_from(["550", "550-5.1.1", "5.1.1", "user", "(a)", "\\", "=?utf-8?q?a?=", "\\x{20AC}", "jörg"]),
    st.sampled_from(["\t", " ", "\n", "\r\n 550 ", "\0", "\u202e", "\udcff", "漢" * 90]),
    st.integers(1, 1200).map(lambda size: "x" * size),
    any_text,
)
long_text = st.lists(_word, max_size=40).map(" ".join)
texts = st.one_of(any_text, long_text)
some_text = texts.filter(lambda text: bool(text.strip(" \t\r\n")))
_types = st.sampled_from(["dns", "rfc822", "UTF-8", "smtp", "x400", "X-Unix", "unknown", "x-local-hostname"])
typed = st.builds(dsn.Typed, _types, some_text)
replies = st.builds(
    lambda code, lines, last: "".join(f"{code}-{line}\n" for line in lines) + f"{code} {last}",
    st.integers(200, 599),
    st.lists(texts, max_size=4),
    texts,
)
diagnostics = st.one_of(st.builds(dsn.said, replies), typed)
moments = st.integers(-2_208_988_800_000_000, 253_402_300_799_999_999)
extensions = st.lists(st.tuples(st.from_regex(r"X-[!-9;-~]{0,20}", fullmatch=True), texts), max_size=3).map(
    tuple
)
codes = st.builds(EnhancedCode, st.sampled_from([2, 4, 5]), st.integers(0, 999), st.integers(0, 999))
recipients = st.builds(
    dsn.RecipientReport,
    final_recipient=typed,
    original_recipient=st.none() | typed,
    action=st.sampled_from(dsn.Action),
    status=codes,
    status_comment=st.none() | texts,
    remote_mta=st.none() | typed,
    diagnostic=st.none() | diagnostics,
    last_attempt=st.none() | moments,
    final_log_id=st.none() | texts,
    will_retry_until=st.none() | moments,
    extensions=extensions,
)
reports = st.builds(
    dsn.Report,
    reporting_mta=typed,
    recipients=st.lists(recipients, min_size=1, max_size=3).map(tuple),
    original_envelope_id=st.none() | texts,
    dsn_gateway=st.none() | typed,
    received_from_mta=st.none() | typed,
    arrival_date=st.none() | moments,
    future_release_request=st.none() | texts,
    extensions=extensions,
)
header_lines = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([b"Subject: x", b"Message-ID: <a@b>", b"From: j\xc3\xb6rg@example.org", b"X: \xff", b""]),
    st.integers(1, 1500).map(lambda size: b"X-Long: " + b"x" * size),
)
originals = st.lists(header_lines, max_size=12).flatmap(
    lambda lines: st.sampled_from([b"\r\n", b"\n", b"\r"]).map(lambda end: end.join(lines))
)
stories = st.builds(
    dsn.Story,
    next_attempts=st.lists(moments, max_size=10).map(tuple),
    attempts=st.none() | st.integers(0, 50),
    may_have_arrived=st.booleans(),
)


@st.composite
def drafts(pick: st.DrawFn) -> dsn.Draft:
    """Any report, about any original, however little of it makes sense."""
    about = pick(reports)
    count = len(about.recipients)
    return draft(
        about,
        original=pick(st.none() | originals),
        full=pick(st.booleans()),
        boundary=pick(st.sampled_from(["X-", "a", "=_part_1"])),
        original_subject=pick(st.none() | texts),
        original_message_id=pick(st.none() | texts),
        subject=pick(st.none() | texts),
        text=pick(st.none() | texts),
        stories=tuple(pick(st.lists(stories, min_size=count, max_size=count))) if pick(st.booleans()) else (),
    )

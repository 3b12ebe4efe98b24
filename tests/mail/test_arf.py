"""Feedback reports are composed as RFC 5965 has them, and read as they are met."""

from email import message_from_bytes, policy

import pytest
from hypothesis import HealthCheck, given, settings
from support import feedback, incoming, reports

from mailqueue.errors import ParseError
from mailqueue.mail import arf

LIMITS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def read(name: str) -> arf.ParsedReport:
    return arf.read(incoming.read("complaints", name))


@given(feedback.drafts)
@LIMITS
def test_a_composed_report_reads_back_as_the_same(draft):
    found = arf.read(arf.compose(draft))
    assert found.report == draft.report


@given(feedback.drafts)
@LIMITS
def test_a_composed_report_can_travel_and_is_read_without_defects_by_pythons_email(draft):
    octets = arf.compose(draft)
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in octets.split(b"\r\n"))
    message = message_from_bytes(octets, policy=policy.default)
    parts = list(message.iter_parts())
    assert not message.defects
    assert [part.get_content_type() for part in parts[:2]] == ["text/plain", "message/feedback-report"]
    assert message["Content-Type"].params["report-type"] == "feedback-report"


def test_a_report_is_written_field_by_field():
    text = arf.compose(feedback.draft(full=True)).decode()
    assert text.split("\r\n\r\n")[4].split("\r\n--")[0].split("\r\n") == [
        "Feedback-Type: abuse",
        "User-Agent: mailqueue/0.1",
        "Version: 1",
        "Original-Envelope-Id: QQ 314159",
        "Original-Mail-From: <paul+k7@example.org>",
        "Original-Rcpt-To: <anna@example.com>",
        "Arrival-Date: Mon, 22 Nov 2027 07:11:00 +0000",
        "Reporting-MTA: dns; mx.example.com",
        "Source-IP: 192.0.2.7",
        "Incidents: 2",
        "Authentication-Results: mx.example.com; spf=pass",
        "Reported-Domain: example.org",
        "Reported-URI: http://example.org/lunch",
        "Reported-URI: mailto:paul@example.org",
    ]
    assert "Content-Type: message/rfc822\r\n" in text
    assert text.startswith("From: Feedback <fbl@example.com>\r\nTo: <abuse@example.org>\r\n")


@pytest.mark.parametrize(
    ("original", "full", "kind", "ends"),
    [
        (reports.ORIGINAL, True, b"message/rfc822", b"At one?"),
        (reports.ORIGINAL, False, b"text/rfc822-headers", b"Message-ID: <lunch.1@example.org>"),
        (reports.ORIGINAL + b"\0", True, b"text/rfc822-headers", b"Message-ID: <lunch.1@example.org>"),
        (reports.ORIGINAL + b"x" * 2000, True, b"text/rfc822-headers", b"Message-ID: <lunch.1@example.org>"),
    ],
)
def test_the_original_goes_whole_only_where_it_can(original, full, kind, ends):
    last = arf.compose(feedback.draft(original=original, full=full)).split(b"--=_part_1")[3]
    assert b"Content-Type: " + kind in last
    assert last.rstrip().endswith(ends)


def test_a_complaint_of_rfc_5965_is_read_with_all_its_fields():
    found = read("rfc-5965")
    assert found.report == arf.Report(
        type="abuse",
        user_agent="Gen/1.0",
        original_mail_from="paul+k7@example.org",
        original_rcpt_to=("anna@example.com",),
        arrival_date=reports.MONDAY + 63 * reports.MINUTE + 5_000_000,
        reporting_mta="dns; mx.example.net",
        source_ip="192.0.2.7",
        reported_domains=("example.org",),
        reported_uris=("http://example.org/",),
        authentication_results=("mx.example.net; spf=pass",),
    )
    assert (found.full, found.original_message_id, found.faults) == (True, "<lunch.1@example.org>", ())


def test_a_report_of_failed_authentication_is_read_as_rfc_6591_has_it():
    report = read("auth-failure").report
    assert report.feedback_type is arf.FeedbackType.AUTH_FAILURE
    assert (report.auth_failure, report.delivery_result, report.identity_alignment) == (
        "dmarc",
        "reject",
        "none",
    )
    assert (report.dkim_domain, report.dkim_selector) == ("example.org", "s1")
    assert report.spf_dns == ('txt : example.org : "v=spf1 -all"',)
    assert report.extensions == (("DKIM-Canonicalized-Header", "YWJj"),)


def test_what_a_report_lacks_is_told():
    assert read("no-feedback-type").faults == (
        "Feedback-Type is missing (RFC 5965 3.1): a report without it is one of abuse",
    )
    assert read("jmrp").report.type == "abuse"


def test_fields_that_hold_nonsense_are_left_out_with_a_fault():
    data = arf.compose(feedback.draft()).replace(b"Incidents: 2", b"Incidents: many")
    data = data.replace(b"Arrival-Date: Mon, 22 Nov 2027 07:11:00 +0000", b"Arrival-Date: yesterday")
    found = arf.read(data)
    assert (found.report.incidents, found.report.arrival_date) == (None, None)
    assert found.faults == ("Arrival-Date is no date (RFC 5322 3.3)", "Incidents is no number (RFC 5965 3.2)")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "a b"},
        {"type": ""},
        {"incidents": -1},
        {"source_port": 10**9},
        {"extensions": (("Version", "1"),)},
    ],
)
def test_a_report_that_cannot_be_carried_is_refused(fields):
    with pytest.raises(ValueError):
        arf.Report(**{"type": "abuse", **fields})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mdn-displayed", "a report of another type, 'disposition-notification'"),
        ("forwarded-complaint", "it is multipart/mixed, not multipart/report"),
        ("newsletter-about-bounces", "it is text/plain"),
    ],
)
def test_what_is_no_feedback_report_is_refused_with_what_it_is(name, words):
    with pytest.raises(ParseError, match="not a feedback report") as refused:
        arf.parse(incoming.read("others", name))
    assert words in str(refused.value)

"""What holds for every notice: it reads back as what was put in, and any mail reader can read it."""

from email import message_from_bytes, policy

from hypothesis import HealthCheck, given, settings
from support import reports

from mailqueue.mail import dsn

LIMITS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@given(reports.drafts())
@LIMITS
def test_a_composed_notice_reads_back_as_the_same_report(draft):
    found = dsn.read(dsn.compose(draft))
    assert found.report == draft.report
    assert found.faults == ()


@given(reports.drafts())
@LIMITS
def test_a_composed_notice_can_travel_as_mail(draft):
    notice = dsn.compose(draft)
    assert notice.endswith(b"\r\n")
    assert b"\0" not in notice
    for line in notice.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line


@given(reports.drafts())
@LIMITS
def test_a_composed_notice_is_read_without_defects_by_pythons_email(draft):
    message = message_from_bytes(dsn.compose(draft), policy=policy.default)
    parts = list(message.iter_parts())
    assert not message.defects
    assert not [defect for part in parts for defect in part.defects]
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    kinds = [part.get_content_type() for part in parts]
    assert kinds[:2] in (
        ["text/plain", "message/delivery-status"],
        ["text/plain", "message/global-delivery-status"],
    )
    assert kinds[2:] in (
        [],
        ["message/rfc822"],
        ["message/global"],
        ["text/rfc822-headers"],
        ["message/global-headers"],
    )


@given(reports.drafts())
@LIMITS
def test_only_a_notice_with_eight_bit_octets_says_that_it_is_8bit(draft):
    notice = dsn.compose(draft)
    header, _, body = notice.partition(b"\r\n\r\n")
    assert header.isascii()
    assert (b"Content-Transfer-Encoding: 8bit" in header) == (not body.isascii())


@given(reports.reports)
@LIMITS
def test_a_report_is_the_same_when_it_is_made_again_from_its_own_values(report):
    again = [
        dsn.RecipientReport(**{name: getattr(recipient, name) for name in dsn.RecipientReport.__slots__})
        for recipient in report.recipients
    ]
    values = {name: getattr(report, name) for name in dsn.Report.__slots__}
    assert dsn.Report(**{**values, "recipients": tuple(again)}) == report

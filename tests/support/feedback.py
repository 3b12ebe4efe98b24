"""Feedback reports for tests: one plain draft, and hypothesis strategies for any report."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from support import reports

from mailqueue.mail import arf

ABUSE = arf.Report(
    type="abuse",
    user_agent="mailqueue/0.1",
    original_envelope_id="QQ 314159",
    original_mail_from="paul+k7@example.org",
    original_rcpt_to=("anna@example.com",),
    arrival_date=reports.MONDAY,
    reporting_mta="dns; mx.example.com",
    source_ip="192.0.2.7",
    incidents=2,
    authentication_results=("mx.example.com; spf=pass",),
    reported_domains=("example.org",),
    reported_uris=("http://example.org/lunch", "mailto:paul@example.org"),
)


def draft(about: arf.Report = ABUSE, **fields: object) -> arf.Draft:
    """Return a draft of a report to abuse@example.org."""
    made = arf.Draft(
        report=about,
        sender="fbl@example.com",
        to="abuse@example.org",
        date=reports.MONDAY + reports.HOUR,
        message_id="<complaint.1@example.com>",
        boundary="=_part_1",
        original=reports.ORIGINAL,
    )
    return replace(made, **fields)


_some = st.none() | reports.texts
_many = st.lists(reports.texts, max_size=3).map(tuple)
_numbers = st.none() | st.integers(0, 999_999_999)
_types = st.sampled_from([*arf.FeedbackType, "opt-out", "Miscategorized", "x-1"])
any_report = st.builds(
    arf.Report,
    type=_types,
    user_agent=_some,
    version=_some,
    original_envelope_id=_some,
    original_mail_from=_some,
    original_rcpt_to=_many,
    arrival_date=st.none() | reports.moments,
    reporting_mta=_some,
    source_ip=_some,
    source_port=_numbers,
    incidents=_numbers,
    authentication_results=_many,
    reported_domains=_many,
    reported_uris=_many,
    auth_failure=_some,
    delivery_result=_some,
    identity_alignment=_some,
    dkim_domain=_some,
    dkim_identity=_some,
    dkim_selector=_some,
    dkim_adsp_dns=_some,
    spf_dns=_many,
    extensions=reports.extensions,
)
drafts = st.builds(
    draft,
    any_report,
    original=reports.originals,
    full=st.booleans(),
    subject=reports.texts,
    text=reports.texts,
    boundary=st.sampled_from(["X-", "a", "=_part_1"]),
)

"""Read the text of a feedback-report part as a `Report`.

What `compose` wrote is read as an equal `Report`; what real writers get wrong is forgiven, and told
in a list of faults.

RFC 5965 3 (the fields), RFC 6591 3 (those about authentication).
"""

from __future__ import annotations

import re

from mailqueue.mail.arf.model import FIELDS, OLD_NAMES, FeedbackType, Report
from mailqueue.mail.dates import read_date
from mailqueue.mail.fields import Field, is_of_mime, read_groups, unfold

_ATTRIBUTES = {name.lower(): attribute for name, attribute in (FIELDS | OLD_NAMES).items()}
_WORD = re.compile(r"[a-z0-9!#$%&'*+/?^_`{|}~.-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}(?![0-9])")
_NAME = re.compile(r"[!-9;-~]{1,70}")

_Values = dict[str, list[str]]


def read(text: str) -> tuple[Report, tuple[str, ...]]:
    r"""Return the report that the text of a feedback-report part holds, and what was wrong with it.

    Args:
        text: with `\n` at the line ends.
    """
    faults: list[str] = []
    found, extensions = _sort([field for group in read_groups(text) for field in group])
    report = Report(
        type=_type(found, faults),
        user_agent=_first(found, "user_agent"),
        version=_first(found, "version"),
        original_envelope_id=_first(found, "original_envelope_id"),
        original_mail_from=_first(found, "original_mail_from"),
        original_rcpt_to=_all(found, "original_rcpt_to"),
        arrival_date=_date(found, faults),
        reporting_mta=_first(found, "reporting_mta"),
        source_ip=_first(found, "source_ip"),
        source_port=_number(found, "source_port", faults),
        incidents=_number(found, "incidents", faults),
        authentication_results=_all(found, "authentication_results"),
        reported_domains=_all(found, "reported_domains"),
        reported_uris=_all(found, "reported_uris"),
        auth_failure=_first(found, "auth_failure"),
        delivery_result=_first(found, "delivery_result"),
        identity_alignment=_first(found, "identity_alignment"),
        dkim_domain=_first(found, "dkim_domain"),
        dkim_identity=_first(found, "dkim_identity"),
        dkim_selector=_first(found, "dkim_selector"),
        dkim_adsp_dns=_first(found, "dkim_adsp_dns"),
        spf_dns=_all(found, "spf_dns"),
        extensions=extensions,
    )
    return report, tuple(faults)


def _sort(fields: list[Field]) -> tuple[_Values, tuple[tuple[str, str], ...]]:
    """Return the values by their attributes, and the fields that have none."""
    found: _Values = {}
    extensions = []
    for field in fields:
        attribute = _ATTRIBUTES.get(field.name.lower())
        if attribute is not None:
            found.setdefault(attribute, []).append(unfold(field.raw))
        elif _NAME.fullmatch(field.name) and not is_of_mime(field.name):
            extensions.append((field.name, unfold(field.raw)))
    return found, tuple(extensions)


def _type(found: _Values, faults: list[str]) -> str:
    word = _WORD.match((_first(found, "type") or "").lower())
    if word is None:
        faults.append("Feedback-Type is missing (RFC 5965 3.1): a report without it is one of abuse")
    return word[0] if word else FeedbackType.ABUSE


def _first(found: _Values, name: str) -> str | None:
    return found[name][0] if name in found else None


def _all(found: _Values, name: str) -> tuple[str, ...]:
    return tuple(found.get(name, ()))


def _date(found: _Values, faults: list[str]) -> int | None:
    text = _first(found, "arrival_date")
    moment = read_date(text) if text else None
    if text and moment is None:
        faults.append("Arrival-Date is no date (RFC 5322 3.3)")
    return moment


def _number(found: _Values, name: str, faults: list[str]) -> int | None:
    text = _first(found, name)
    number = _NUMBER.match(text) if text else None
    if text and number is None:
        faults.append(f"{name.replace('_', '-').title()} is no number (RFC 5965 3.2)")
    return int(number[0]) if number else None

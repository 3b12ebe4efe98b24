"""A bounce of any writer is read, a complaint too, and nothing else is ever taken for one of them."""

import json
import re

import pytest
from support import corpus
from support import incoming as stored

from mailqueue.mail import arf, dsn, incoming
from mailqueue.mail.incoming import Bounce, Complaint, Kind, Source, Unrecognized

BOUNCES, COMPLAINTS, OTHERS = map(stored.table, ("bounces", "complaints", "others"))
ALL = [(kind, name) for kind in ("bounces", "complaints", "others") for name in stored.names(kind)]


@pytest.mark.parametrize("kind", ["bounces", "complaints", "others"])
def test_the_tables_name_every_stored_message(kind):
    assert sorted(stored.table(kind)) == stored.names(kind)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_stored_message_has_addresses_of_example_domains_only(kind, name):
    text = stored.read(kind, name).decode("latin-1")
    domains = set(re.findall(r"@(?:[\w-]+\.)*?([\w-]+\.[a-z]{2,})(?![\w.-])", text.lower()))
    assert {
        domain for domain in domains if not re.search(r"\.example$|^example\.(?:com|net|org)$", domain)
    } == set()


@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_in_the_manner_of_a_known_writer_is_read(name):
    source, recipients, diagnostic, message_id = BOUNCES[name]
    found = incoming.read(stored.read("bounces", name))
    assert isinstance(found, Bounce)
    assert found.source == source
    assert [f"{one.final_recipient.value} {one.action} {one.status}" for one in found.report.recipients] == (
        recipients.split("; ") if "x400" not in name else [recipients]
    )
    if diagnostic != "-":
        assert str(found.report.recipients[0].diagnostic.value).startswith(diagnostic)
    assert (found.found.original_message_id or "-") == message_id
    assert json.loads(json.dumps(found.to_dict()))["source"] == source


@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_tells_where_it_came_to_which_may_be_a_unique_return_path(name):
    assert incoming.read(stored.read("bounces", name)).hints.return_paths[0] == "paul+k7@example.org"


@pytest.mark.parametrize("name", [name for name in BOUNCES if BOUNCES[name][0] == "status"])
def test_a_bounce_with_fields_is_read_the_same_by_the_library_of_notices(name):
    data = stored.read("bounces", name)
    assert dsn.read(data) == incoming.read(data).found


@pytest.mark.parametrize("name", COMPLAINTS)
def test_a_complaint_in_the_manner_of_a_known_reporter_is_read(name):
    found = incoming.read(stored.read("complaints", name))
    assert isinstance(found, Complaint)
    assert [found.report.feedback_type.value, *found.found.recipients] == COMPLAINTS[name][0].split(" ")
    assert "paul+k7@example.org" in found.hints.return_paths
    assert found.hints.message_ids[0] == "<lunch.1@example.org>"
    assert json.loads(json.dumps(found.to_dict()))["kind"] == "complaint"


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_neither_is_told_by_its_kind(name):
    found = incoming.read(stored.read("others", name))
    assert isinstance(found, Unrecognized)
    assert found.kind == OTHERS[name][0]
    assert found.why
    assert json.loads(json.dumps(found.to_dict()))["kind"] == found.kind


@pytest.mark.parametrize("name", [name for name in corpus.names() if name != "postfix-bounce"])
def test_ordinary_mail_of_many_programs_is_not_taken_for_anything_else(name):
    assert isinstance(incoming.read(corpus.read(name)), Unrecognized)
    assert isinstance(incoming.read(corpus.read(name), sender="paul@example.org"), Unrecognized)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_message_is_the_same_whatever_ends_its_lines(kind, name):
    data = stored.read(kind, name)
    lf = data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = incoming.read(lf)
    assert [incoming.read(lf.replace(b"\n", end)) for end in (b"\r\n", b"\r", b"\r\r\n")] == [expected] * 3


@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_that_a_person_forwards_as_an_attachment_is_ordinary_mail(name):
    head = (
        b"Return-Path: <anna@example.com>\nFrom: Anna <anna@example.com>\nTo: help@example.org\n"
        b"Subject: Fwd: Undelivered Mail\nContent-Type: multipart/mixed; boundary=outermost\n\n"
        b"--outermost\nContent-Type: text/plain\n\nWhat is this?\n"
        b"--outermost\nContent-Type: message/rfc822\n\n"
    )
    data = (
        stored.read("bounces", name).replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    )
    found = incoming.read(head + data + b"\n--outermost--\n")
    assert isinstance(found, Unrecognized)
    assert found.kind is Kind.ORDINARY


@pytest.mark.parametrize("name", [name for name in BOUNCES if BOUNCES[name][0] == "text"])
def test_the_text_of_a_bounce_from_a_person_is_ordinary_mail(name):
    head, _, body = stored.read("bounces", name).partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if line.startswith((b"Content-", b"MIME", b"Subject"))]
    person = b"Return-Path: <anna@example.com>\nFrom: Anna <anna@example.com>\nTo: paul@example.org\n"
    found = incoming.read(person + b"\n".join(lines) + b"\n\n" + body)
    assert isinstance(found, Unrecognized)
    assert found.kind in (Kind.ORDINARY, Kind.CHALLENGE)


@pytest.mark.parametrize(
    ("sender", "kind"),
    [("", Bounce), ("<>", Bounce), ("anna@example.com", Unrecognized), (None, Unrecognized)],
)
def test_the_envelope_sender_counts_where_there_is_no_return_path(sender, kind):
    data = (
        b"From: Mail robot <robot@mx.example.net>\nTo: paul@example.org\nSubject: Undelivered mail\n\n"
        b"The following address(es) failed:\n\n  anna@example.com\n    550 no such user\n"
    )
    assert isinstance(incoming.read(data, sender), kind)


def test_hints_name_the_returned_message_and_the_envelope_id():
    found = incoming.read(stored.read("bounces", "sendgrid"))
    assert found.hints.envelope_id == "QQ 314159"
    assert found.hints.message_ids == ("<lunch.1@example.org>",)


def test_hints_take_the_message_id_from_the_text_or_from_what_is_answered():
    assert incoming.read(stored.read("bounces", "pmdf")).hints.message_ids == ("<lunch.1@example.org>",)
    data = b"From: a@example.com\nReferences: <1@x.example> <2@x.example>\nIn-Reply-To: <2@x.example>\n\nHi\n"
    assert incoming.read(data).hints.message_ids == ("<2@x.example>", "<1@x.example>")


def test_a_text_tells_of_the_host_that_refused():
    (first, second) = incoming.read(stored.read("bounces", "postfix-in-text")).report.recipients
    assert first.remote_mta == dsn.host("mx.example.com")
    assert second.remote_mta is None  # it never left the host that writes


def test_a_bounce_that_names_nobody_says_so_and_keeps_its_hints():
    found = incoming.read(stored.read("others", "report-without-anything"))
    assert (found.kind, found.hints.return_paths[0]) == (Kind.BOUNCE, "paul+k7@example.org")


def test_a_report_whose_fields_name_nobody_is_a_bounce_all_the_same():
    data = stored.read("bounces", "no-recipient-but-failed-recipients").replace(b"X-Failed-", b"X-")
    found = incoming.read(data.replace(b"\nTo: anna@example.com", b""))
    assert isinstance(found, Unrecognized)
    assert found.kind is Kind.BOUNCE


@pytest.mark.parametrize("data", [b"", b"\n", b"\0\0", b"no header", b"X: " + b"x" * 600_000, b"\xff" * 1000])
def test_what_is_no_message_is_unreadable(data):
    assert incoming.read(data).kind is Kind.UNREADABLE


def test_our_own_notices_are_bounces_and_our_own_complaints_are_complaints():
    from support import feedback, reports

    assert incoming.read(dsn.compose(reports.draft())).source is Source.STATUS
    assert isinstance(incoming.read(arf.compose(feedback.draft())), Complaint)

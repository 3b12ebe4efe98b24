"""Reports that depart from RFC 3464 as real ones do are read, and say where they do."""

import base64

import pytest

from mailqueue.errors import ParseError
from mailqueue.mail import dsn

HEAD = (
    "From: MAILER-DAEMON@example.net\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n"
    "\n"
    "--b\n"
    "\n"
    "It failed.\n"
    "--b\n"
    "Content-Type: message/delivery-status\n"
    "\n"
)
MESSAGE = "Reporting-MTA: dns; mx.example.net\n\n"
RECIPIENT = "Final-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 5.1.1\n"


def read(status: str, head: str = HEAD) -> dsn.ParsedReport:
    return dsn.read(f"{head}{status}\n--b--\n".encode())


# what the fields about the recipient are: (recipient, action, status, words of the faults)
RECIPIENTS = [
    # several writers leave out Final-Recipient where it is the same
    ("Original-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", ["Final-Recipient is missing"]),
    # a name of any case, white space before the colon
    ("FINAL-RECIPIENT : RFC822; anna@example.com\naction:FAILED\nstatus :5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # no address type
    ("Final-Recipient: anna@example.com\nAction: failed\nStatus: 5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # angle brackets around the address
    ("Final-Recipient: rfc822;<anna@example.com>\nAction: failed\nStatus: 5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # an address of type rfc822 that is none, for it is not ASCII
    ("Final-Recipient: rfc822; jörg@example.com\nAction: failed\nStatus: 5.1.1",
     "utf-8; jörg@example.com", "failed", "5.1.1", []),
    # a type nobody registered
    ("Final-Recipient: X-Local;anna\nAction: failed\nStatus: 5.1.1",
     "x-local; anna", "failed", "5.1.1", []),
    # folded in the middle of a value
    ("Final-Recipient: rfc822;\n anna@example.com\nAction: failed\nStatus: 5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # a comment behind the action, a word that RFC 3464 uses in its text only
    ("Final-Recipient: rfc822; anna@example.com\nAction: failure (bad)\nStatus: 5.1.1",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # no action: the class of the status says it
    ("Final-Recipient: rfc822; anna@example.com\nStatus: 4.2.2",
     "rfc822; anna@example.com", "delayed", "4.2.2", ["Action is missing"]),
    ("Final-Recipient: rfc822; anna@example.com\nAction: whatever\nStatus: 2.1.5",
     "rfc822; anna@example.com", "delivered", "2.1.5", ["Action is missing or unknown"]),
    # no status: the diagnostic has one, or at least a reply code, or the action says enough
    ("Final-Recipient: rfc822; anna@example.com\nAction: failed\nDiagnostic-Code: smtp; 550 5.7.1 no",
     "rfc822; anna@example.com", "failed", "5.7.1", ["Status is missing"]),
    ("Final-Recipient: rfc822; anna@example.com\nAction: failed\nDiagnostic-Code: smtp; 450 later",
     "rfc822; anna@example.com", "failed", "4.0.0", ["Status is missing"]),
    ("Final-Recipient: rfc822; anna@example.com\nAction: relayed",
     "rfc822; anna@example.com", "relayed", "2.0.0", ["Status is missing"]),
    # an address of four numbers is no status
    ("Final-Recipient: rfc822; anna@example.com\nAction: failed\n"
     "Diagnostic-Code: smtp; 550 5.9.10.11 is listed",
     "rfc822; anna@example.com", "failed", "5.0.0", ["Status is missing"]),
    # neither action nor status, but a reply
    ("Final-Recipient: rfc822; anna@example.com\nDiagnostic-Code: smtp; 550 5.1.1 no",
     "rfc822; anna@example.com", "failed", "5.1.1", ["Status is missing", "Action is missing"]),
    # the reply code in the status, zeros before a digit
    ("Final-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 550 5.01.01",
     "rfc822; anna@example.com", "failed", "5.1.1", []),
    # Final-Recipient twice: the first stands, and the second begins a recipient that has no more
    ("Final-Recipient: rfc822; anna@example.com\nAction: failed\nStatus: 5.1.1\n"
     "Final-Recipient: rfc822; bert@example.com",
     "rfc822; anna@example.com", "failed", "5.1.1", ["recipient 2: neither Action nor Status"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "final", "action", "status", "faults"), RECIPIENTS)
def test_a_deviant_recipient_is_read_and_its_faults_are_told(fields, final, action, status, faults):
    found = read(f"{MESSAGE}{fields}\n")
    recipient = found.report.recipients[0]
    assert (str(recipient.final_recipient), recipient.action) == (final, action)
    assert str(recipient.status).startswith(status)
    everything = "\n".join(found.faults)
    assert all(fault in everything for fault in faults)
    assert bool(found.faults) == bool(faults)


@pytest.mark.parametrize(
    ("status", "comment"),
    [
        ("5.1.1", None),
        ("5.1.1 (bad destination mailbox)", "bad destination mailbox"),
        ("5.1.1 (no (really \\(no\\)))", "no (really (no))"),
        ("5.1.1\n (folded\n comment)", "folded comment"),
        ("5.1.1 User unknown", "User unknown"),
        ("5.1.1 ()", None),
        ("5.1.1(tight)", "tight"),
    ],
)
def test_what_stands_behind_a_status_is_its_comment(status, comment):
    found = read(f"{MESSAGE}Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: {status}\n")
    assert found.report.recipients[0].status_comment == comment


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("smtp; 550 no", "smtp; 550 no"),
        ("smtp; 550 no\n such user", "smtp; 550 no such user"),
        ("smtp;\n 550 no\n    such user", "smtp; 550 no such user"),
        ("smtp; 550-one\n 550 two", "smtp; 550-one\n550 two"),
        ("smtp; 550-one\n\t550-two\n\t550", "smtp; 550-one\n550-two\n550"),
        ("smtp; 550-one\n    550 two", "smtp; 550-one 550 two"),
        ("smtp; 550 see\n 551 for more", "smtp; 550 see 551 for more"),
        ("smtp; 550 one\n5 two, not indented", "smtp; 550 one 5 two, not indented"),
        ("550 5.1.1 no type", "smtp; 550 5.1.1 no type"),
        ("no type at all", "unknown; no type at all"),
        ("X-Unix; 67", "x-unix; 67"),
        ("smtp; 550 gr\u00fc\u00df", "smtp; 550 gr\u00fc\u00df"),
        ("smtp; 550 \x07 \u202e", "smtp; 550 \\x07 \\u202e"),
    ],
)
def test_a_diagnostic_is_read_with_the_lines_of_its_reply(raw, value):
    found = read(f"{MESSAGE}{RECIPIENT}Diagnostic-Code: {raw}\n")
    assert str(found.report.recipients[0].diagnostic) == value


def test_a_status_part_in_latin_1_is_read_as_such():
    status = f"{MESSAGE}{RECIPIENT}Diagnostic-Code: smtp; 550 grüß\n"
    found = dsn.read(f"{HEAD}{status}\n--b--\n".encode("latin-1"))
    assert str(found.report.recipients[0].diagnostic) == "smtp; 550 grüß"


def test_a_missing_blank_line_before_the_recipient_is_forgiven():
    found = read(f"Reporting-MTA: dns; mx.example.net\nX-Queue: 7\n{RECIPIENT}X-Note: hers\n")
    assert found.report.reporting_mta == dsn.host("mx.example.net")
    assert found.report.extensions == (("X-Queue", "7"),)
    assert found.report.recipients[0].extensions == (("X-Note", "hers"),)


def test_missing_blank_lines_between_recipients_are_forgiven():
    status = (
        "Original-Recipient: rfc822; {0}@example.com\nFinal-Recipient: rfc822; {0}@example.net\n"
        "Action: failed\nStatus: 5.1.{1}\n"
    )
    found = read(MESSAGE + status.format("anna", 1) + status.format("bert", 2) + status.format("carl", 3))
    assert [
        (str(one.original_recipient), str(one.final_recipient), one.status.detail)
        for one in found.report.recipients
    ] == [
        (f"rfc822; {name}@example.com", f"rfc822; {name}@example.net", number)
        for number, name in enumerate(("anna", "bert", "carl"), 1)
    ]
    assert found.faults == ()


def test_extra_blank_lines_are_passed_over():
    arrival = "Arrival-Date: Mon, 22 Nov 2027 07:11:00 GMT"
    found = read(f"\n\n{MESSAGE}{arrival}\n\n\n{RECIPIENT}\n")
    assert found.report.to_dict()["arrival_date"] == "2027-11-22T07:11:00Z"
    assert len(found.report.recipients) == 1
    assert found.faults == ()


@pytest.mark.parametrize(
    ("date", "read_as"),
    [
        ("Mon, 22 Nov 2027 07:11:00 +0000", "2027-11-22T07:11:00Z"),
        ("Mon, 22 Nov 2027 08:11:00 +0100 (CET)", "2027-11-22T07:11:00Z"),
        ("22 Nov 27 07:11 GMT", "2027-11-22T07:11:00Z"),
        ("Mon, 22 Nov 2027 07:11:00 -0000", "2027-11-22T07:11:00Z"),
        ("yesterday", None),
        ("Mon, 99 Nov 2027 07:11:00 +0000", None),
        ("Mon, 22 Nov 2027 07:11:00 +9999999999999", None),
    ],
)
def test_a_date_is_read_in_the_forms_that_are_met_or_left_out_with_a_fault(date, read_as):
    found = read(f"Reporting-MTA: dns; mx.example.net\nArrival-Date: {date}\n\n{RECIPIENT}")
    assert found.report.to_dict()["arrival_date"] == read_as
    assert ("Arrival-Date is no date" in "\n".join(found.faults)) == (read_as is None)


def test_a_report_without_reporting_mta_is_read_but_cannot_be_composed():
    found = read(RECIPIENT)
    assert found.report.reporting_mta is None
    assert found.faults == ("Reporting-MTA is missing (RFC 3464 2.2.2)",)
    notice = dsn.Draft(
        report=found.report,
        sender="a@example",
        to="b@example",
        date=0,
        message_id="<n@example>",
        boundary="b",
    )
    with pytest.raises(ValueError, match="Reporting-MTA"):
        dsn.compose(notice)


def test_a_recipient_without_address_is_taken_from_x_failed_recipients():
    head = f"X-Failed-Recipients: anna@example.com\n{HEAD}"
    found = read(f"{MESSAGE}Action: failed\nStatus: 5.1.1\n", head)
    assert found.report.recipients[0].final_recipient == dsn.mailbox("anna@example.com")
    assert found.faults == ("recipient 1: Final-Recipient is missing (RFC 3464 2.3.2)",)


@pytest.mark.parametrize("status", ["", MESSAGE, f"{MESSAGE}Action: failed\nStatus: 5.1.1\n"])
def test_a_report_that_names_nobody_is_refused(status):
    with pytest.raises(ParseError, match="names no recipient"):
        read(status)


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace("report-type=delivery-status; ", ""),
        HEAD.replace("report-type=delivery-status", 'Report-Type="Delivery-Status"'),
        HEAD.replace("boundary=b", 'boundary = "b"'),
        HEAD.replace("multipart/report;", "Multipart/Report;\n\t"),
        HEAD.replace("--b\n", "--b  \t\n"),
        HEAD.replace("message/delivery-status", "message/global-delivery-status"),
        "From MAILER-DAEMON Mon Nov 22 07:11:00 2027\n" + HEAD,
        "\n\n" + HEAD,
        HEAD.replace("\n\n--b", "\n\nThis is a MIME message.\n--boundary\n--b", 1),
    ],
)
def test_a_report_is_known_by_its_type_however_that_is_written(head):
    assert read(MESSAGE + RECIPIENT, head).report.recipients[0].final_recipient == dsn.mailbox(
        "anna@example.com"
    )


def test_a_report_that_was_cut_off_is_read_as_far_as_it_goes():
    found = dsn.read(f"{HEAD}{MESSAGE}{RECIPIENT}".encode())
    assert found.report.recipients[0].final_recipient == dsn.mailbox("anna@example.com")
    assert (found.original_headers, found.original_message_id, found.full) == ((), None, False)


def test_a_base64_status_part_that_was_cut_off_is_read_as_far_as_it_goes():
    body = base64.encodebytes((MESSAGE + RECIPIENT + "X-Long: 123456\n").encode()).decode()[:-6]
    head = HEAD.replace("delivery-status\n\n", "delivery-status\nContent-Transfer-Encoding: BASE64\n\n")
    assert str(read(body, head).report.recipients[0].status) == "5.1.1"


@pytest.mark.parametrize("boundary", ["", "; boundary=another", '; boundary="'])
def test_a_report_whose_boundary_is_not_the_one_it_names_is_read(boundary):
    found = read(MESSAGE + RECIPIENT, HEAD.replace("; boundary=b", boundary))
    assert found.report.recipients[0].final_recipient == dsn.mailbox("anna@example.com")


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\0", b"\xff\xfe", b"no header", b"Content-Type: multipart/report"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ParseError, match="not a delivery report"):
        dsn.parse(data)

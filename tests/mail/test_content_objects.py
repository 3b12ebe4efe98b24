"""Message objects of Python's email package, as bytes."""

import email.policy
from email import message_from_bytes
from email.header import Header as LegacyHeader
from email.headerregistry import Address as HeaderAddress
from email.headerregistry import Group
from email.message import EmailMessage, Message
from email.mime.text import MIMEText

import pytest
from support.contents import prepare

from mailqueue.errors import InvalidSubmission
from mailqueue.mail.content import to_bytes


def build(**fields: object) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@sender.example>"
    for name, value in fields.items():
        message[name] = value
    message.set_content("Text\nFrom me\n.\n")
    return message


def test_message_object_is_written_with_crlf_and_no_from_is_mangled():
    assert to_bytes(build(To="bob@receiver.example")) == (
        b"From: Ann <ann@sender.example>\r\nTo: bob@receiver.example\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n'
        b"MIME-Version: 1.0\r\n\r\n"
        b"Text\r\nFrom me\r\n.\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "line", "why"),
    [
        ({"Subject": "Grüße"}, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "an encoded word needs no SMTPUTF8"),
        ({"To": "Jörg <joerg@x.example>"}, "To: =?utf-8?q?J=C3=B6rg?= <joerg@x.example>", "so does a name"),
        ({"To": "a@bücher.example"}, "To: a@xn--bcher-kva.example", "a domain goes in A-labels"),
        (
            {"To": "Jö <a@bücher.example>, b@x.example"},
            "To: =?utf-8?q?J=C3=B6?= <a@xn--bcher-kva.example>, b@x.example",
            "others stay",
        ),
        (
            {"To": Group("F", [HeaderAddress("", "a", "bücher.example")])},
            "To: F: a@xn--bcher-kva.example;",
            "in groups too",
        ),
        (
            {"To": "Jö <grün@bücher.example>"},
            "To: Jö <grün@xn--bcher-kva.example>",
            "only UTF-8 can carry this one",
        ),
        (
            {"To": "grün@x.example", "Subject": "Grüße"},
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
            "and the other fields stay ASCII",
        ),
        (
            {"References": f"<{'a' * 90}@b> <c@d>"},
            f"References: <{'a' * 90}@b>",
            "identifiers are never encoded words",
        ),
        ({"Message-ID": f"<{'a' * 90}@b>"}, f"Message-ID: <{'a' * 90}@b>", "the own one too"),
    ],
)
def test_header_of_a_message_object_is_ascii_where_it_can_be(fields, line, why):
    data = to_bytes(build(**fields))
    assert line.encode() in data.split(b"\r\n"), why
    assert data.partition(b"\r\n\r\n")[0].isascii() == line.isascii() or "To" in fields, why


def test_message_object_with_an_address_that_only_utf_8_carries_needs_smtputf8():
    prepared = prepare(to_bytes(build(To="grün@bücher.example", Subject="Grüße")))
    assert prepared.utf8_header
    assert list(map(str, prepared.recipients)) == ["grün@xn--bcher-kva.example"]
    assert not prepare(to_bytes(build(To="a@bücher.example", Subject="Grüße"))).utf8_header


def test_message_object_of_every_kind_of_text_is_free_of_faults():
    message = build(To='"Doe, Jane" <jane@receiver.example>', Subject="ü" * 200, References="<a@b> " * 60)
    message.set_content("Füße " * 400 + "\n")
    message.add_alternative("<p>Füße</p>", subtype="html")
    message.add_attachment(
        bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="ü.bin"
    )
    message.add_attachment(build(Subject="inside"))
    prepared = prepare(to_bytes(message), strict=True)
    assert prepared.faults == ()
    assert prepared.subject == "ü" * 200
    assert (
        message_from_bytes(prepared.header + prepared.body, policy=email.policy.default)["Subject"]
        == "ü" * 200
    )


def test_8_bit_text_of_a_message_object_stays_8_bit():
    message = build()
    message.set_content("Füße\n", cte="8bit")
    assert "Füße\r\n".encode() in to_bytes(message)
    assert prepare(to_bytes(message)).eight_bit


RAW = (
    b"From: ann@sender.example\nDKIM-Signature: v=1; a=rsa-sha256; d=sender.example; "
    + b"h=from:to:subject:date; " * 4
    + b"\n\tb="
    + b"x" * 90
    + b"\nSubject: \xfc =?utf-8?q?a?=\n\nB\xfcdy\n"
)


@pytest.mark.parametrize(
    "policy", [email.policy.compat32, email.policy.default, email.policy.SMTP, email.policy.SMTPUTF8]
)
def test_message_that_was_parsed_is_written_as_it_was(policy):
    assert to_bytes(message_from_bytes(RAW, policy=policy)) == RAW.replace(b"\n", b"\r\n")


def test_older_message_object_is_written_too():
    message = MIMEText("Füße\n", "plain", "utf-8")
    message["From"] = "ann@sender.example"
    message["Subject"] = LegacyHeader("Grüße", "utf-8")
    prepared = prepare(to_bytes(message), strict=True)
    assert (prepared.subject, prepared.faults) == ("Grüße", ())


def test_message_object_itself_is_left_alone():
    message = build(To="a@bücher.example")
    before = message.items(), message.as_string()
    to_bytes(message)
    assert (message.items(), message.as_string()) == before
    assert message["To"] == "a@bücher.example"


def test_header_injection_through_an_older_message_object_is_refused():
    message = Message()
    message["Subject"] = "x\nBcc: secret@receiver.example"
    message.set_payload("Text\n")
    with pytest.raises(InvalidSubmission) as caught:
        to_bytes(message)
    assert "cannot be written as bytes" in caught.value.faults[0]


def test_message_object_with_a_payload_that_is_none_is_refused():
    message = build()
    message.set_payload(object())
    with pytest.raises(InvalidSubmission):
        to_bytes(message)

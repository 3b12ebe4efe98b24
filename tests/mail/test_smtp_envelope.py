"""What a message needs and a server offers, and what MAIL says of it."""

import pytest
from support.smtp_play import Play, envelope

from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Capabilities, Envelope, lacks

ALL = Capabilities(pipelining=True, size=0, eight_bit=True, smtputf8=True, dsn=True, enhanced=True)
UTF8 = {"recipients": ("пётр@receiver.example",), "smtputf8": True}


@pytest.mark.parametrize(
    ("needs", "offers", "expected"),
    [
        ({}, Capabilities(), None),
        ({"eight_bit": True, **UTF8}, ALL, None),
        ({"eight_bit": True}, Capabilities(), "554 5.6.3"),  # RFC 6152 3
        (UTF8, Capabilities(eight_bit=True), "553 5.6.7"),  # RFC 6531 3.5: an address
        ({"smtputf8": True}, Capabilities(eight_bit=True), "550 5.6.9"),  # RFC 6531 3.5: only headers
        ({"size": 1001}, Capabilities(size=1000), "552 5.3.4"),  # RFC 1870 6.1
        ({"size": 1000}, Capabilities(size=1000), None),
        ({"size": 10**9}, Capabilities(size=0), None),
        ({"size": 10**9}, Capabilities(), None),
        ({"size": 1001, "eight_bit": True, **UTF8}, Capabilities(size=1000), "553 5.6.7"),
    ],
)
def test_what_a_message_needs_and_the_server_lacks_is_a_refusal_of_our_own(needs, offers, expected):
    refusal = lacks(envelope(**needs), offers)
    if expected is None:
        assert refusal is None
    else:
        assert isinstance(refusal, Reply)
        assert str(refusal).startswith(expected + " not sent to this server: ")


@pytest.mark.parametrize(
    ("extensions", "more", "expected"),
    [
        ((), {}, "MAIL FROM:<a@sender.example>"),
        ((), {"sender": ""}, "MAIL FROM:<>"),
        (("SIZE 99999",), {"size": 7}, "MAIL FROM:<a@sender.example> SIZE=7"),
        (("8BITMIME",), {"eight_bit": False}, "MAIL FROM:<a@sender.example>"),
        (("8BITMIME",), {"eight_bit": True}, "MAIL FROM:<a@sender.example> BODY=8BITMIME"),
        (("SMTPUTF8",), {"smtputf8": True, "sender": "ä@s.example"}, "MAIL FROM:<ä@s.example> SMTPUTF8"),
        (("DSN",), {"ret": "HDRS"}, "MAIL FROM:<a@sender.example> RET=HDRS"),
        ((), {"ret": "HDRS"}, "MAIL FROM:<a@sender.example>"),
        (("DSN",), {}, "MAIL FROM:<a@sender.example>"),
    ],
)
def test_mail_says_what_the_server_understands(extensions, more, expected):
    play = Play.ready(*extensions)
    assert play.starts(**more) == expected + "\r\n"


def test_addresses_in_other_scripts_go_out_as_utf8():
    play = Play.ready("PIPELINING", "SMTPUTF8")
    play.starts("пётр@почта.example", smtputf8=True)
    assert "RCPT TO:<пётр@почта.example>\r\n".encode() in play.sent


@pytest.mark.parametrize("address", ["a@b>\r\nRCPT TO:<evil@c", "a\n@b", "a\r@b", "a\0@b", "a\x7f@b"])
def test_address_cannot_smuggle_a_command(address):
    with pytest.raises(ValueError, match="control"):
        Envelope(sender=address, recipients=("b@c.example",), size=1)
    with pytest.raises(ValueError, match="control"):
        Envelope(sender="", recipients=("b@c.example", address), size=1)


def test_envelope_refuses_what_cannot_be_said():
    with pytest.raises(ValueError, match="recipient"):
        Envelope(sender="", recipients=(), size=1)
    with pytest.raises(ValueError, match="smtputf8"):
        Envelope(sender="ä@b.example", recipients=("b@c.example",), size=1)

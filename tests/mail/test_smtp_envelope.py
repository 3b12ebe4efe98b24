"""What a message needs and a server offers, and what MAIL and RCPT say of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp_play import Play, envelope, hello

from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Capabilities, Envelope, domain_of, fitting, lacks

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
        ({"require_tls": True}, ALL, "550 5.7.30"),  # RFC 8689 4.2.1
        ({"require_tls": True}, Capabilities(requiretls=True), None),
        ({"require_tls": False}, Capabilities(), None),
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
        # RFC 3461 4.4: the value is xtext; 5.2.2 (a): nothing of it to a server without DSN
        (("DSN",), {"envid": "order 1+1=2"}, "MAIL FROM:<a@sender.example> ENVID=order+201+2B1+3D2"),
        (("DSN",), {"ret": "FULL", "envid": "x"}, "MAIL FROM:<a@sender.example> RET=FULL ENVID=x"),
        ((), {"ret": "FULL", "envid": "x"}, "MAIL FROM:<a@sender.example>"),
    ],
)
def test_mail_says_what_the_server_understands(extensions, more, expected):
    play = Play.ready(*extensions)
    assert play.starts(**more) == expected + "\r\n"


@pytest.mark.parametrize(
    ("require_tls", "under_tls", "expected"),
    [
        (True, True, "MAIL FROM:<a@sender.example> REQUIRETLS"),
        (False, True, "MAIL FROM:<a@sender.example>"),
        (None, True, "MAIL FROM:<a@sender.example>"),
        (True, False, "MAIL FROM:<a@sender.example>"),  # what is offered in the clear is not believed
    ],
)
def test_mail_says_requiretls_where_it_is_wished_for_and_offered_under_tls(require_tls, under_tls, expected):
    play = Play(starttls=under_tls)
    play.says("220 server.example ESMTP")
    play.says(*hello(["REQUIRETLS", *(["STARTTLS"] * under_tls)]))
    if under_tls:
        play.says("220 go")
        play.client.tls_established()
        play.take()
        play.says(*hello(["REQUIRETLS"]))
    assert play.client.capabilities.requiretls is under_tls
    assert play.starts(require_tls=require_tls) == expected + "\r\n"


@pytest.mark.parametrize(
    ("extensions", "more", "expected"),
    [
        (("DSN",), {}, "RCPT TO:<b@c.example>"),
        (("DSN",), {"notify": ("success,delay",)}, "RCPT TO:<b@c.example> NOTIFY=SUCCESS,DELAY"),
        (
            ("DSN",),
            {"orcpt": ("rfc822;B+1@c.example",)},
            "RCPT TO:<b@c.example> ORCPT=rfc822;B+2B1@c.example",
        ),
        (
            ("DSN",),
            {"notify": ("never",), "orcpt": ("x400;/C=de/S=b c/",)},
            "RCPT TO:<b@c.example> NOTIFY=NEVER ORCPT=x400;/C+3Dde/S+3Db+20c/",
        ),
        (("DSN",), {"notify": (None,), "orcpt": (None,)}, "RCPT TO:<b@c.example>"),
        # RFC 3461 5.2.2 (a): not to a server that does not offer it
        ((), {"notify": ("SUCCESS",), "orcpt": ("rfc822;b@c.example",)}, "RCPT TO:<b@c.example>"),
        # RFC 6533 3: UTF-8 only under SMTPUTF8, else all of it in ASCII
        (("DSN",), {"orcpt": ("utf-8;ü@c.example",)}, r"RCPT TO:<b@c.example> ORCPT=utf-8;\x{FC}@c.example"),
        (
            ("DSN", "SMTPUTF8"),
            {"orcpt": ("utf-8;ü@c.example",)},
            r"RCPT TO:<b@c.example> ORCPT=utf-8;\x{FC}@c.example",
        ),
        (
            ("DSN", "SMTPUTF8"),
            {"orcpt": ("utf-8;ü=1@c.example",), "smtputf8": True},
            r"RCPT TO:<b@c.example> ORCPT=utf-8;ü\x{3D}1@c.example",
        ),
    ],
)
def test_rcpt_says_what_is_wished_for_where_the_server_takes_wishes(extensions, more, expected):
    one_by_one = Play.ready(*extensions)
    one_by_one.starts("b@c.example", **more)
    assert one_by_one.says("250 2.1.0 ok") == expected + "\r\n"
    assert expected + "\r\nDATA" in Play.ready("PIPELINING", *extensions).starts("b@c.example", **more)


def test_each_recipient_has_wishes_of_its_own():
    said = Play.ready("PIPELINING", "DSN").starts(
        "a@c.example", "b@c.example", notify=("never", None), orcpt=(None, "rfc822;B@c.example")
    )
    assert said.split("\r\n")[1:3] == [
        "RCPT TO:<a@c.example> NOTIFY=NEVER",
        "RCPT TO:<b@c.example> ORCPT=rfc822;B@c.example",
    ]


def test_addresses_in_other_scripts_go_out_as_utf8():
    play = Play.ready("PIPELINING", "SMTPUTF8")
    play.starts("пётр@почта.example", smtputf8=True)
    assert "RCPT TO:<пётр@почта.example>\r\n".encode() in play.sent


@pytest.mark.parametrize(
    "wish",
    [{"ret": "FULL\r\nRSET"}, {"notify": ("NEVER\r\nRSET",)}, {"notify": ("",)}, {"notify": ("NEVER X=1",)}],
)
def test_wish_cannot_smuggle_a_command(wish):
    with pytest.raises(ValueError, match="RET or NOTIFY"):
        envelope(**wish)
    assert "\n" not in Play.ready("DSN").starts(envid="a\r\nRSET").removesuffix("\r\n")
    play = Play.ready("DSN")
    play.starts(orcpt=("rfc822;b\r\nRSET",))
    assert "\n" not in play.says("250 ok").removesuffix("\r\n")


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
    with pytest.raises(ValueError, match="wishes"):
        Envelope(sender="", recipients=("b@c.example",), size=1, notify=("NEVER", None))
    with pytest.raises(ValueError, match="wishes"):
        Envelope(sender="", recipients=("b@c.example", "d@c.example"), size=1, orcpt=(None,))


# --- LIMITS -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("LIMITS MAILMAX=5 RCPTMAX=20 RCPTDOMAINMAX=1", (5, 20, 1)),
        ("limits rcptmax=20", (None, 20, None)),
        ("LIMITS RCPTMAX=999999 FUTURE=7 OTHER", (None, 999999, None)),
        ("LIMITS MAILMAX=0 RCPTMAX=1000000 RCPTDOMAINMAX=-1", (None, None, None)),
        ("LIMITS MAILMAX=05 RCPTMAX= RCPTDOMAINMAX", (None, None, None)),
        ("LIMITS MAILMAX=\u0665 RCPTMAX=5x RCPTDOMAINMAX=1=2", (None, None, None)),
        ("LIMITS", (None, None, None)),
        ("SIZE 1000", (None, None, None)),
    ],
)
def test_limits_are_read_and_what_is_no_limit_is_none(line, expected):
    offers = Capabilities.from_lines(["server.example", line])
    assert (offers.mail_max, offers.rcpt_max, offers.rcpt_domain_max) == expected


def test_what_one_transaction_may_have_is_limited_in_recipients_and_domains():
    to = ["a@one.example", "b@two.example", "c@ONE.example", "d@three.example", "e@one.example"]
    assert list(fitting(to, Capabilities())) == [0, 1, 2, 3, 4]
    assert list(fitting(to, Capabilities(rcpt_max=2))) == [0, 1]
    assert list(fitting(to, Capabilities(rcpt_domain_max=1))) == [0, 2, 4]
    assert list(fitting(to, Capabilities(rcpt_domain_max=2))) == [0, 1, 2, 4]
    assert list(fitting(to, Capabilities(rcpt_domain_max=1, rcpt_max=2))) == [0, 2]
    assert list(fitting(to, Capabilities(rcpt_domain_max=2), {"three.example"})) == [0, 2, 3, 4]
    assert list(fitting(to, Capabilities(rcpt_domain_max=1), {"four.example"})) == []


@given(
    st.lists(st.sampled_from("abcdef").map("x@{}.example".format), min_size=1, max_size=30),
    st.none() | st.integers(1, 10),
    st.none() | st.integers(1, 4),
)
def test_every_recipient_has_its_turn_and_no_connection_carries_too_much(to, most, most_domains):
    offers = Capabilities(rcpt_max=most, rcpt_domain_max=most_domains)
    waiting, connections = list(enumerate(to)), 0
    while waiting:
        connections += 1
        named: set[str] = set()
        while now := fitting([recipient for _, recipient in waiting], offers, named):
            assert most is None or len(now) <= most
            named |= {domain_of(waiting[index][1]) for index in now}
            waiting = [each for index, each in enumerate(waiting) if index not in now]
        assert most_domains is None or len(named) <= most_domains
    assert connections == 1 or most_domains is not None
    assert connections <= len({domain_of(each) for each in to})

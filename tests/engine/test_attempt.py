"""One attempt through the whole engine: real DNS, real sockets, and what each recipient comes to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from support.dns_server import Zone
from support.net import Net
from support.receiver import EXTENSIONS, OK_DATA
from support.smtp_server import PIPELINING, Peer, Script, certificate_context, taking
from support.stage import MAIL, ServerAt, Stage

from mailqueue.errors import SettingError

ONE, TWO, SIX = "127.0.0.1", "127.0.0.2", "::1"
ZONE: Zone = {
    "example.com": {"MX": ["10 one.example.com.", "20 two.example.com."]},
    "one.example.com": {"A": [ONE]},
    "two.example.com": {"A": [TWO]},
}
TLS = (*PIPELINING, "STARTTLS")


@pytest.fixture
def net(stage: Stage) -> Iterator[Net]:
    made = Net(stage, dict(ZONE), ONE, TWO)
    with made.servers:
        yield made


def says(*lines: str) -> Script:
    """Return a script that speaks first, and waits until the client goes."""

    def script(peer: Peer) -> None:
        peer.says(*lines)
        peer.hears_end()

    return script


# --- direct: which hosts -------------------------------------------------------------------------
def test_second_mx_takes_the_mail_in_the_same_attempt_when_the_first_refuses_connections(stage, net):
    two = net.receives(TWO)
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.host) == ("delivered", "two.example.com")
    assert (attempt.address, attempt.transport) == (f"{TWO}:{net.port}", "mx")
    assert stage.show(message).attempts == 1
    assert len(two.messages) == 1


@pytest.mark.parametrize(
    "greeting",
    ["421 4.3.2 Too busy", "450 Not now", "554 5.7.1 Not you", "554 No SMTP service here", "Hello"],
)
def test_next_mx_is_asked_when_the_greeting_refuses(stage, net, greeting):
    net.plays(ONE, says(greeting))
    net.receives(TWO)
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    assert (stage.attempt(message).outcome, stage.attempt(message).host) == ("delivered", "two.example.com")


def refuses_hello(peer: Peer) -> None:
    peer.says("220 x")
    peer.hears("EHLO")
    peer.says("554 5.7.1 Not from your address")
    peer.hears("HELO")
    peer.says("554 5.7.1 Not from your address")
    peer.hears_end()


def hangs_up_at_mail(peer: Peer) -> None:
    peer.greets()
    peer.hears("MAIL")
    peer.closes()


def closes_down_at_rcpt(peer: Peer) -> None:
    peer.greets()
    peer.hears("MAIL")
    peer.says("250 ok")
    peer.hears("RCPT")
    peer.says("421 4.3.2 Shutting down")


LARGE = MAIL + b"and so on\r\n" * 200_000


def vanishes_in_the_content(peer: Peer) -> None:
    peer.greets()
    for verb, answer in (("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go on")):
        peer.hears(verb)
        peer.says(answer)
    peer.resets()


@pytest.mark.parametrize(
    "script", [refuses_hello, hangs_up_at_mail, closes_down_at_rcpt, vanishes_in_the_content]
)
def test_next_mx_is_asked_when_a_host_is_in_trouble(stage, net, script):
    net.plays(ONE, script)
    two = net.receives(TWO)
    [message] = stage.submit("ben@example.com", content=LARGE)
    stage.deliver()
    assert (stage.attempt(message).outcome, stage.attempt(message).host) == ("delivered", "two.example.com")
    assert len(two.messages) == 1


def test_refusal_of_the_recipient_is_final_whatever_other_mx_there_are(stage, net):
    net.receives(ONE)
    two = net.receives(TWO)
    refused, greylisted = stage.submit("unknown@example.com", "greylist@example.com")
    stage.deliver()
    assert (stage.state(refused), stage.state(greylisted)) == ("failed", "queued")
    assert stage.attempt(refused).host == stage.attempt(greylisted).host == "one.example.com"
    assert two.connections == 0


def test_nobody_else_is_asked_after_a_lost_final_dot(stage, net):
    net.receives(ONE)
    two = net.receives(TWO)
    [message] = stage.submit("vanish@example.com")
    stage.deliver()
    assert stage.outcomes(message) == ["uncertain"]
    assert two.connections == 0


def test_when_no_host_works_the_reply_of_one_outweighs_the_silence_of_another(stage, net):
    net.plays(ONE, says("554 5.7.1 Your address is on a list"))
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.scope, attempt.code) == ("deferred", "host", 554)
    assert "on a list" in (stage.show(message).last_error or "")
    assert attempt.transcript is not None
    assert "554 5.7.1" in attempt.transcript


def test_domain_without_mx_is_its_own_host(stage, net):
    net.zone["example.net"] = {"A": [ONE]}
    receiver = net.receives(ONE)
    [message] = stage.submit("ben@example.net")
    stage.deliver()
    assert stage.attempt(message).host == "example.net"
    assert len(receiver.messages) == 1


def test_address_literal_is_dialled_without_dns(stage, net):
    receiver = net.receives(ONE)
    [message] = stage.submit(f"ben@[{ONE}]")
    stage.deliver()
    assert stage.state(message) == "delivered"
    assert receiver.messages[0].recipients == [f"ben@[{ONE}]"]
    assert net.dns.queries == []


# --- direct: no host -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("records", "status"),
    [({"MX": ["0 ."]}, "5.1.10"), (None, "5.1.2"), ({"TXT": ['"nothing"']}, "5.1.2")],
    ids=["null MX", "no such domain", "neither MX nor address"],
)
def test_mail_for_a_domain_that_takes_none_fails_with_a_notice(stage, net, records, status):
    if records is not None:
        net.zone["example.net"] = records
    [message] = stage.submit("ben@example.net")
    stage.deliver()
    attempt = stage.attempt(message)
    assert (stage.state(message), attempt.enhanced, attempt.scope) == ("failed", status, "destination")
    assert attempt.category == "domain_unknown"
    assert f"Status: {status}" in stage.notice(message)


@pytest.mark.parametrize("trouble", ["SERVFAIL", "REFUSED", "GARBAGE"])
def test_mail_waits_while_dns_is_in_trouble(stage, net, trouble):
    stage.resolver["timeout"] = 0.5
    net.zone["example.net"] = trouble
    net.receives(ONE)
    [message] = stage.submit("ben@example.net")
    stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.category, attempt.enhanced) == ("deferred", "dns", "4.4.3")
    net.zone["example.net"] = {"A": [ONE]}
    stage.deliver(timedelta(minutes=11))
    assert stage.outcomes(message) == ["deferred", "delivered"]


def test_loopback_and_private_targets_from_dns_are_refused_unless_allowed(stage):
    zone: Zone = {
        "example.com": {"MX": ["10 one.example.com."]},
        "one.example.com": {"A": [ONE, "10.0.0.1"]},
    }
    net = Net(stage, zone, ONE, allow_private=False)
    with net.servers:
        receiver = net.receives(ONE)
        refused, literal = stage.submit("ben@example.com", f"ben@[{ONE}]")
        stage.deliver()
        assert stage.state(refused) == stage.state(literal) == "failed"
        assert "no public address" in (stage.show(refused).last_error or "")
        assert receiver.connections == 0
        stage.queue.transports.set("mx", allow_private=True)
        [allowed] = stage.submit("ben@example.com")
        stage.deliver()
        assert stage.state(allowed) == "delivered"


# --- direct: two families ------------------------------------------------------------------------
def has_ipv6() -> bool:
    try:
        socket.create_server((SIX, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


DUAL: Zone = {
    "example.com": {"MX": ["10 one.example.com.", "20 two.example.com."]},
    "one.example.com": {"A": [ONE], "AAAA": [SIX]},
    "two.example.com": {"A": [TWO]},
}


@pytest.fixture
def dual(stage: Stage) -> Iterator[Net]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 on loopback")
    made = Net(stage, dict(DUAL), ONE, TWO, SIX)
    with made.servers:
        yield made


def test_policy_refusal_of_the_first_try_is_put_to_the_other_family_once(stage, dual):
    four = dual.receives(ONE)
    six = dual.receives(SIX, at_rcpt={"policy": ["250 2.1.5 Ok"]})
    [message] = stage.submit("policy@example.com")
    stage.deliver()
    assert (stage.state(message), stage.attempt(message).address) == ("delivered", f"[{SIX}]:{dual.port}")
    assert (four.connections, six.connections) == (1, 1)


def test_refused_by_both_families_is_refused(stage, dual):
    four, six, two = dual.receives(ONE), dual.receives(SIX), dual.receives(TWO)
    policy, unknown = stage.submit("policy@example.com", "unknown@example.com")
    stage.deliver()
    assert (stage.state(policy), stage.state(unknown)) == ("failed", "failed")
    assert stage.attempt(unknown).address == f"{ONE}:{dual.port}", "only 5.7.x may be about our address"
    assert [each.connections for each in (four, six, two)] == [1, 1, 0]


def test_policy_refusal_stands_where_the_other_family_cannot_be_reached(stage, dual):
    dual.receives(ONE)
    two = dual.receives(TWO)
    [message] = stage.submit("policy@example.com")
    stage.deliver()
    assert (stage.state(message), stage.attempt(message).code) == ("failed", 550)
    assert two.connections == 0, "another host is not asked after a refusal for good"


@pytest.mark.parametrize("script", [says("421 4.3.2 Too busy"), hangs_up_at_mail, closes_down_at_rcpt])
def test_policy_refusal_stands_where_the_other_family_is_in_trouble(stage, dual, script):
    dual.zone["example.com"] = {"MX": ["10 one.example.com."]}
    dual.receives(ONE)
    dual.plays(SIX, script)
    [message] = stage.submit("policy@example.com")
    stage.deliver()
    assert (stage.state(message), stage.attempt(message).code) == ("failed", 550)


def test_policy_refusal_of_a_later_try_stands(stage, dual):
    script = ["450 4.2.0 Later", "550 5.7.1 Not you"]
    dual.receives(ONE, at_rcpt={"twice": script})
    six = dual.receives(SIX)
    [message] = stage.submit("twice@example.com")
    stage.deliver()
    stage.deliver(timedelta(hours=1))
    assert stage.outcomes(message) == ["deferred", "failed"]
    assert six.connections == 0


def test_policy_refusal_on_a_kept_connection_is_put_to_the_other_family_too(stage, dual):
    dual.receives(ONE)
    six = dual.receives(SIX, at_rcpt={"policy": ["250 2.1.5 Ok"]})
    messages = [stage.submit(each)[0] for each in ("ann@example.com", "policy@example.com")]
    stage.deliver(connections=1)
    assert [stage.state(each) for each in messages] == ["delivered", "delivered"]
    assert [got.recipients for got in six.messages] == [["policy@example.com"]]


def test_the_other_family_is_asked_when_the_first_cannot_be_reached(stage, dual):
    six = dual.receives(SIX)
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    assert (stage.state(message), len(six.messages)) == ("delivered", 1)


# --- one transaction for many --------------------------------------------------------------------
@pytest.mark.parametrize("too_many", ["452 4.5.3 Too many recipients", "552 Too many recipients"])
def test_recipients_beyond_the_limit_follow_on_the_same_connection_in_the_same_attempt(
    stage, receiver, too_many, monkeypatch
):
    monkeypatch.setattr(
        receiver, "answer_rcpt", lambda sender, to, taken: too_many if taken >= 3 else "250 Ok"
    )
    stage.relay(receiver.port)
    messages = stage.submit(*(f"r{number}@example.com" for number in range(8)))
    stage.deliver()
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert {stage.show(each).attempts for each in messages} == {1}
    assert [len(got.recipients) for got in receiver.messages] == [3, 3, 2]
    assert receiver.connections == 1


def test_recipients_wait_where_the_server_takes_none_at_all(stage, receiver, monkeypatch):
    monkeypatch.setattr(receiver, "answer_rcpt", lambda *_: "452 4.5.3 Too many recipients")
    stage.relay(receiver.port)
    messages = stage.submit("a@example.com", "b@example.com")
    stage.deliver()
    assert {stage.attempt(each).outcome for each in messages} == {"deferred"}
    assert receiver.messages == []


def test_each_recipient_has_the_outcome_it_was_told(stage, receiver):
    stage.relay(receiver.port)
    names = ("ann", "unknown", "full", "greylist", "ben")
    messages = stage.submit(*(f"{name}@example.com" for name in names))
    stage.deliver()
    attempts = [stage.attempt(each) for each in messages]
    assert [each.outcome for each in attempts] == [
        "delivered",
        "failed",
        "deferred",
        "deferred",
        "delivered",
    ]
    assert [each.code for each in attempts] == [250, 550, 452, 451, 250]
    assert [each.category for each in attempts[1:4]] == ["mailbox_unknown", "mailbox_full", "greylisted"]
    [got] = receiver.messages
    assert got.recipients == ["ann@example.com", "ben@example.com"]
    assert len(stage.queue.notices(messages[1])) == 1


# --- what goes wrong in the middle ---------------------------------------------------------------
@pytest.mark.parametrize("script", [closes_down_at_rcpt, vanishes_in_the_content, hangs_up_at_mail])
def test_connection_lost_before_the_final_dot_is_tried_again_later(stage, script):
    with ServerAt(ONE, 0, script, taking(extensions=PIPELINING)) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com", content=LARGE)
        stage.deliver()
        assert stage.outcomes(message) == ["deferred"]
        assert len(server.peers) == 1
        stage.deliver(timedelta(hours=1))
        assert stage.outcomes(message) == ["deferred", "delivered"]
        assert len(server.peers[1].contents) == 1


def test_relay_without_an_address_is_asked_for_again_later(stage):
    stage.queue.transports.add("relay", kind="relay", host="no-such-host.invalid")
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.enhanced, attempt.category) == ("deferred", "4.4.3", "dns")
    assert "no-such-host.invalid" in (attempt.error or "")


@pytest.mark.parametrize("size", [300_000, 1_500_000], ids=["in chunks, read whole", "read as it is sent"])
def test_large_content_arrives_as_it_is(stage, receiver, size):
    line = b"." * 77 + b"\n"
    content = MAIL + line * (size // len(line))
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com", content=content)
    stored = stage.queue.dump(message)
    stage.deliver()
    [got] = receiver.messages
    assert got.content == stored
    assert stored.endswith(content[len(MAIL) :].replace(b"\n", b"\r\n"))
    assert stage.attempt(message).size == len(got.content) == stage.show(message).size


# --- what a message needs ------------------------------------------------------------------------
EIGHT_BIT = MAIL + "Grüße\r\n".encode()
UTF8_HEADER = "From: anna@example.org\r\nSubject: Grüße\r\n\r\nHello\r\n".encode()


def without(*missing: str) -> tuple[str, ...]:
    return tuple(each for each in EXTENSIONS if each.split()[0] not in missing)


@pytest.mark.parametrize(
    ("extensions", "recipient", "content", "status"),
    [
        (without("SMTPUTF8"), "bän@example.com", MAIL, "5.6.7"),
        (without("SMTPUTF8"), "ben@example.com", UTF8_HEADER, "5.6.9"),
        (without("8BITMIME"), "ben@example.com", b"DKIM-Signature: v=1\r\n" + EIGHT_BIT, "5.6.3"),
        ((*without("SIZE"), "SIZE 100"), "ben@example.com", MAIL, "5.3.4"),
    ],
    ids=["address beyond ASCII", "header beyond ASCII", "8-bit body that is signed", "too large"],
)
def test_what_the_server_lacks_fails_the_message_with_a_notice(
    stage, receiver, extensions, recipient, content, status
):
    receiver.extensions = extensions
    stage.relay(receiver.port)
    [message] = stage.submit(recipient, content=content)
    stage.deliver()
    attempt = stage.attempt(message)
    assert (stage.state(message), attempt.enhanced, attempt.code) == ("failed", status, None)
    assert f"Status: {status}" in stage.notice(message)
    assert receiver.messages == []


def decoded(got: bytes) -> str:
    message = message_from_bytes(got, policy=policy.default)
    assert isinstance(message, EmailMessage)
    text: str = message.get_content()
    return text


@pytest.mark.parametrize("lines", [1, 100_000], ids=["small", "large"])
def test_8_bit_content_goes_as_7_bit_to_a_server_without_8bitmime(stage, receiver, lines):
    receiver.extensions = without("8BITMIME")
    stage.relay(receiver.port)
    head = MAIL.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
    content = head + "Grüße an alle, die das lesen.\r\n".encode() * lines
    [message] = stage.submit("ben@example.com", content=content)
    stage.deliver()
    assert stage.state(message) == "delivered"
    [got] = receiver.messages
    assert got.content.isascii()
    assert decoded(got.content) == decoded(content)
    assert got.sender_options.split() == [f"SIZE={len(got.content)}"]
    assert stage.attempt(message).size == len(got.content) > stage.show(message).size


def test_converted_size_is_what_the_limit_of_the_server_is_about(stage, receiver):
    receiver.extensions = (*without("8BITMIME", "SIZE"), "SIZE 1000")
    stage.relay(receiver.port)
    content = MAIL + "ü".encode() * 400
    [message] = stage.submit("ben@example.com", content=content)
    stage.deliver()
    assert stage.show(message).size < 1000
    assert stage.attempt(message).enhanced == "5.3.4"


def test_attempt_tells_that_the_content_was_converted_or_why_not(stage, receiver, caplog):
    caplog.set_level("INFO", "mailqueue.delivery")
    receiver.extensions = without("8BITMIME")
    stage.relay(receiver.port)
    [refused] = stage.submit("unknown@example.com", content=EIGHT_BIT)
    [signed] = stage.submit("ben@example.com", content=b"DKIM-Signature: v=1\r\n" + EIGHT_BIT)
    stage.deliver()
    assert (stage.attempt(refused).transcript or "").startswith("[the content was made 7-bit")
    lines = [vars(each) for each in caplog.records if each.name == "mailqueue.delivery"]
    told = {each["message_id"]: each.get("converted") for each in lines}
    assert told == {refused: "7bit", signed: None}
    assert (stage.attempt(signed).error or "").endswith(
        "it has to stay so: body: octets over 127, and to change them would break the DKIM-Signature"
    )


def test_server_with_8bitmime_gets_8_bit_content_as_it_is(stage, receiver):
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com", content=EIGHT_BIT)
    stored = stage.queue.dump(message)
    stage.deliver()
    assert receiver.messages[0].content == stored


def test_recipient_that_needs_more_costs_the_others_nothing(stage, receiver):
    receiver.extensions = without("SMTPUTF8")
    stage.relay(receiver.port)
    plain, beyond = stage.submit("ben@example.com", "bän@example.com")
    stage.deliver()
    assert (stage.state(plain), stage.state(beyond)) == ("delivered", "failed")


def test_what_the_server_offers_is_used(stage, receiver):
    stage.relay(receiver.port)
    stage.submit("bän@bücher.example", content=EIGHT_BIT)
    stage.deliver()
    [got] = receiver.messages
    assert got.recipients == ["bän@xn--bcher-kva.example"]
    assert sorted(got.sender_options.split()) == ["BODY=8BITMIME", f"SIZE={len(got.content)}", "SMTPUTF8"]


# --- TLS -----------------------------------------------------------------------------------------
def offers_tls(peer: Peer) -> None:
    peer.greets(*TLS)
    peer.hears("STARTTLS")
    peer.says("220 go on")
    peer.starts_tls()
    peer.offers(*PIPELINING)
    peer.takes()
    peer.hears("QUIT")
    peer.says("221 bye")


def fails_at_tls(peer: Peer) -> None:
    peer.greets(*TLS)
    peer.hears("STARTTLS")
    peer.says("220 go on")
    peer.says("this is no handshake")
    peer.hears_end()


def refuses_tls(peer: Peer) -> None:
    peer.greets(*TLS)
    peer.hears("STARTTLS")
    peer.says("454 4.7.0 TLS not available")
    peer.hears_end()


def test_starttls_is_used_where_it_is_offered_whatever_the_certificate(stage):
    certificate_context()
    with ServerAt(ONE, 0, offers_tls) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.tls, attempt.tls_verified) == ("delivered", "TLSv1.3", None)


@pytest.mark.parametrize("script", [fails_at_tls, refuses_tls])
def test_mail_goes_in_the_clear_where_tls_fails_and_the_log_says_so(stage, script, caplog):
    with ServerAt(ONE, 0, script, taking(extensions=TLS)) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
    attempt = stage.attempt(message)
    assert (attempt.outcome, attempt.tls) == ("delivered", None)
    assert len(server.peers[1].contents) == 1
    [line] = [each.getMessage() for each in caplog.records if "in the clear" in each.getMessage()]
    assert ONE in line


def test_a_transport_without_tls_does_not_take_up_the_offer(stage):
    with ServerAt(ONE, 0, taking(extensions=TLS)) as server:
        stage.relay(server.port, tls="none")
        [message] = stage.submit("ben@example.com")
        stage.deliver()
    assert (stage.state(message), stage.attempt(message).tls) == ("delivered", None)


# --- other ways out ------------------------------------------------------------------------------
@pytest.mark.parametrize(("reply", "state"), [("550 5.7.1 no", "failed"), ("450 4.2.0 wait", "queued")])
def test_a_fail_transport_answers_as_it_is_set_to(stage, reply, state):
    stage.queue.transports.add("no", kind="fail", reply=reply)
    [message] = stage.submit("ben@example.com")
    stage.deliver()
    assert (stage.state(message), stage.attempt(message).reply) == (state, reply)


def test_a_relay_given_to_the_engine_takes_all_mail_of_that_engine(stage, receiver):
    stage.queue.transports.add("no", kind="fail", reply="550 5.7.1 no")
    [message] = stage.submit("ben@example.com")
    stage.deliver(relay=f"127.0.0.1:{receiver.port}")
    assert (stage.state(message), stage.attempt(message).transport) == ("delivered", "relay")


@pytest.mark.parametrize("relay", ["", ":25", "host:", "host:0", "host:65536", "host:smtp", "[]:25"])
def test_an_engine_refuses_a_relay_that_cannot_be(stage, relay):
    with pytest.raises(SettingError, match="HOST:PORT"):
        stage.new_engine(relay=relay)


@pytest.mark.parametrize(
    ("retry", "final"), [("451 4.3.0 Try again later", "deferred"), (OK_DATA, "delivered")]
)
def test_the_answer_to_the_content_decides(stage, receiver, retry, final):
    receiver.at_data = {"later": [retry]}
    stage.relay(receiver.port)
    [message] = stage.submit("later@example.com")
    stage.deliver()
    assert stage.outcomes(message) == [final]

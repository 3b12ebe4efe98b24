"""What travels along with a message and stays here, and return addresses by which it is known."""

from __future__ import annotations

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage

from mailqueue.errors import Conflict, InvalidSubmission, SettingError
from mailqueue.model.fromid import fromids

TAGGED = b"X-Mailqueue-Extra-Order: =?utf-8?q?n=C2=B0_17?=\r\nx-mox-extra-Shop: north\r\n" + MAIL


@pytest.fixture
def relayed(stage: Stage, receiver: Receiver) -> Stage:
    stage.relay(receiver.port)
    return stage


# --- extra ---------------------------------------------------------------------------------------
def test_extra_data_of_the_header_is_kept_and_goes_no_further(relayed: Stage, receiver: Receiver):
    [message] = relayed.submit("ben@example.com", content=TAGGED)
    assert dict(relayed.show(message).extra) == {"Order": "n° 17", "Shop": "north"}
    relayed.deliver()
    [got] = receiver.wait(1)
    assert b"extra" not in got.content.lower()
    assert b"Subject: Hello" in got.content
    assert dict(relayed.queue.retired.show(message).extra) == {"Order": "n° 17", "Shop": "north"}


def test_extra_data_that_the_call_gives_counts_before_that_of_the_header(relayed: Stage):
    [message] = relayed.submit("ben@example.com", content=TAGGED, extra={"Shop": "south", "lines": "a\nb"})
    assert dict(relayed.show(message).extra) == {"Order": "n° 17", "Shop": "south", "lines": "a\nb"}


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"": "x"}, "a key must be 1 to 100 printable characters"),
        ({"k" * 101: "x"}, "a key must be 1 to 100 printable characters"),
        ({"a\nb": "x"}, "a key must be 1 to 100 printable characters"),
        ({"a": "\0"}, "extra 'a': the value must be text, without NUL"),
        ({"a": "\ud800"}, "extra 'a': the value must be text, without NUL"),
        ({str(n): "" for n in range(51)}, "extra: must have at most 50 keys, not 51"),
        ({"a": "x" * 16384}, "extra: must have at most 16,384 characters in all, not 16,385"),
    ],
)
def test_extra_data_that_cannot_be_is_refused(relayed: Stage, extra: dict[str, str], told: str):
    with pytest.raises(InvalidSubmission, match=told):
        relayed.submit("ben@example.com", extra=extra)
    assert relayed.queue.status().queued == 0


@pytest.mark.parametrize("extra", [{"a": 1}, {1: "a"}, "a=b", ["a"]])
def test_extra_data_of_another_kind_is_a_type_error(relayed: Stage, extra: object):
    with pytest.raises((TypeError, ValueError)):
        relayed.submit("ben@example.com", extra=extra)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (b"X-Mailqueue-Extra-: x\r\n", "header line 1: X-Mailqueue-Extra- names no key"),
        (b"X-Mox-Extra-A: x\r\nX-Mailqueue-Extra-A: y\r\n", "header line 2: extra 'A' stands there twice"),
    ],
)
def test_field_of_extra_data_at_fault_is_named_with_its_line(relayed: Stage, field: bytes, told: str):
    with pytest.raises(InvalidSubmission, match=told):
        relayed.submit("ben@example.com", content=field + MAIL)


def test_the_same_key_with_other_extra_data_is_another_message(relayed: Stage):
    relayed.submit("ben@example.com", idempotency_key="k", extra={"a": "1"})
    relayed.submit("ben@example.com", idempotency_key="k", extra={"a": "1"})
    with pytest.raises(Conflict):
        relayed.submit("ben@example.com", idempotency_key="k", extra={"a": "2"})


# --- return addresses ----------------------------------------------------------------------------
def test_every_message_has_a_return_address_of_its_own(relayed: Stage, receiver: Receiver):
    relayed.queue.accounts.set("default", fromid=True)
    made = relayed.queue.submit(MAIL, recipients=["ann@example.com", "ben@example.com"])
    known = {each.recipient: each.fromid for each in made.messages}
    assert len({*known.values(), None}) == 3
    relayed.deliver()
    got = {message.recipients[0]: message.sender for message in receiver.wait(2)}
    assert got == {to: f"anna+{fromid}@example.org" for to, fromid in known.items()}
    for each in made.messages:
        assert relayed.show(each.id).sender == "anna@example.org"
        assert [found.id for found in relayed.queue.retired.list(fromid=each.fromid).items] == [each.id]


def test_return_address_is_the_same_with_each_try(relayed: Stage, receiver: Receiver):
    receiver.at_rcpt = {"ben": ["450 4.3.0 Later"]}
    relayed.queue.accounts.set("default", fromid=True)
    [message] = relayed.submit("ben@example.com")
    relayed.deliver()
    receiver.at_rcpt = {}
    fromid = relayed.show(message).fromid
    relayed.queue.reschedule(message, at=relayed.show(message).submitted_at)
    relayed.deliver()
    [got] = receiver.wait(1)
    assert got.sender == f"anna+{fromid}@example.org"


def test_separator_is_that_of_the_senders_domain(relayed: Stage, receiver: Receiver):
    relayed.queue.accounts.set("default", fromid=True)
    relayed.queue.sender_domains.set("Example.ORG", separator="=")
    relayed.submit("ben@example.com")
    relayed.submit("ben@example.com", sender='"anna b"@example.net')
    relayed.deliver()
    one, two = sorted(message.sender for message in receiver.wait(2))
    assert one.startswith('"anna b+')
    assert one.endswith('"@example.net')
    assert one[len('"anna b+') :].index('"') == 20
    assert two.startswith("anna=")
    assert len(two) == len("anna=@example.org") + 20


def test_null_return_path_stays_null_and_a_notice_has_none(relayed: Stage, receiver: Receiver):
    receiver.at_rcpt = {"ben": ["550 5.1.1 Nobody"]}
    relayed.queue.accounts.set("default", fromid=True, notices="queue")
    [null] = relayed.submit("ann@example.com", sender="")
    relayed.submit("ben@example.com")
    relayed.deliver()
    relayed.deliver()
    assert relayed.queue.retired.show(null).fromid is None
    assert [message.sender for message in receiver.wait(2)] == ["", ""]


def test_sender_without_room_for_it_is_refused(relayed: Stage):
    relayed.queue.accounts.set("default", fromid=True)
    relayed.submit("ben@example.com", sender=f"{'a' * 43}@example.org")
    with pytest.raises(InvalidSubmission, match="its local part has 65 octets; 64 are allowed"):
        relayed.submit("ben@example.com", sender=f"{'a' * 44}@example.org")


def test_separator_that_cannot_be_is_refused(relayed: Stage):
    for bad in ("", "+++++", "@", "a", " "):
        with pytest.raises(SettingError, match="separator: must be 1 to 4 of"):
            relayed.queue.sender_domains.set("example.org", separator=bad)


def test_fromid_is_read_from_an_address_in_whatever_case():
    fromid = "5r0c5z9jt0p3k4q8w2xy"
    assert fromids(f"anna+{fromid.upper()}@example.org", frozenset("+")) == (fromid,)
    assert fromids(f'"anna b={fromid}"@example.org', frozenset("+=")) == (fromid,)
    assert fromids("anna+short@example.org", frozenset("+")) == ()
    assert fromids("anna@example.org", frozenset("+")) == ()

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import claimed, settings

from mailqueue.mail.codes import EnhancedCode
from mailqueue.model.rules import Route, Tls, Transport, TransportKind
from mailqueue.policy.batch import MAX_RECIPIENTS, batches
from mailqueue.policy.outcome import refused_by_transport
from mailqueue.policy.route import choose as choose_for
from mailqueue.policy.route import secured

DIRECT = Transport(id=1, name="out", kind=TransportKind.DIRECT, is_default=True)
RELAY = Transport(id=2, name="relay", kind=TransportKind.RELAY, host="smarthost.example", port=587)
FAIL = Transport(id=3, name="no", kind=TransportKind.FAIL, reply="550 5.7.1 no")
MINE = Transport(id=0, name="--relay", kind=TransportKind.RELAY, host="::1", port=2525)


def choose(known, sender, recipient, override=None, account_id=1, failed=0):
    return choose_for(known, sender, recipient, override, account_id=account_id, failed=failed)


def route(number: int, sender: str | None, recipient: str | None, transport: str = "relay") -> Route:
    return Route(id=number, position=0, sender_domain=sender, recipient_domain=recipient, transport=transport)


CASES = [
    (None, "example.org", "a@s.example", "b@example.org", True, "the domain itself"),
    (None, "example.org", "a@s.example", "b@sub.example.org", False, "without a dot, no subdomains"),
    (None, ".example.org", "a@s.example", "b@sub.example.org", True, "with a dot, subdomains"),
    (None, ".example.org", "a@s.example", "b@example.org", True, "... too: the domain itself as well"),
    (None, ".example.org", "a@s.example", "b@badexample.org", False, "a subdomain begins at a dot"),
    ("s.example", None, "a@s.example", "b@example.org", True, "by the sender's domain"),
    ("s.example", None, "", "b@example.org", False, "the null return path has no domain"),
    (None, None, "", "b@example.org", True, "a route for everything takes the null return path too"),
    ("s.example", "example.org", "a@s.example", "b@other.example", False, "both must match"),
    (None, "[192.0.2.1]", "a@s.example", "b@[192.0.2.1]", True, "an address literal"),
    (None, "example.org", "a@s.example", '"b@x"@example.org', True, "the last @ counts"),
]


@pytest.mark.parametrize(("by_sender", "by_recipient", "sender", "recipient", "matches", "why"), CASES)
def test_a_route_takes_the_mail_it_is_for(by_sender, by_recipient, sender, recipient, matches, why):
    rule = route(1, by_sender, by_recipient)
    found = choose(settings(DIRECT, RELAY, routes=(rule,)), sender, recipient, None)
    assert found == ((RELAY, rule) if matches else (DIRECT, None)), why


def test_the_first_route_that_matches_counts():
    first, second = route(8, None, "example.org", "no"), route(2, None, None)
    known = settings(DIRECT, RELAY, FAIL, routes=(first, second))
    assert choose(known, "a@s.example", "b@example.org") == (FAIL, first)
    assert choose(known, "a@s.example", "b@example.net") == (RELAY, second)


def test_a_route_of_an_account_takes_only_its_mail():
    mine = replace(route(1, None, "example.org", "no"), account_id=7)
    known = settings(DIRECT, FAIL, routes=(mine,))
    assert choose(known, "a@s.example", "b@example.org", account_id=7) == (FAIL, mine)
    assert choose(known, "a@s.example", "b@example.org", account_id=8) == (DIRECT, None)
    assert choose(known, "a@s.example", "b@example.net", account_id=7) == (DIRECT, None)


def test_a_route_for_what_has_failed_takes_it_from_then_on():
    way_out = replace(route(1, None, None), min_attempts=2)
    known = settings(DIRECT, RELAY, routes=(way_out,))
    found = [choose(known, "a@s.example", "b@example.org", failed=failed) for failed in range(4)]
    assert found == [(DIRECT, None), (DIRECT, None), (RELAY, way_out), (RELAY, way_out)]


def test_messages_go_apart_where_only_one_has_failed_often_enough_or_is_of_the_account():
    tired = replace(route(1, None, None), min_attempts=1)
    mine = replace(route(2, None, None, "no"), account_id=2)
    known = settings(DIRECT, RELAY, FAIL, routes=(mine, tired))
    mail = [claimed(id=1, attempts=1), claimed(id=2, attempts=2), claimed(id=3, attempts=5, account_id=2)]
    found, _ = batches([*mail, claimed(id=4, attempts=3)], known)
    assert [(batch.route_id, [each.id for each in batch.messages]) for batch in found] == [
        (None, [1]),
        (1, [2, 4]),
        (2, [3]),
    ]


def test_mail_that_nothing_takes_waits():
    assert choose(settings(), "a@s.example", "b@example.org") is None
    assert choose(settings(RELAY), "a@s.example", "b@example.org") is None, "none is marked default"


def test_mail_whose_route_lost_its_transport_takes_no_other_way():
    known = settings(DIRECT, routes=(route(1, None, "example.org", "gone"),))
    assert choose(known, "a@s.example", "b@example.org") is None


def test_an_engine_with_a_relay_of_its_own_asks_no_route():
    known = settings(DIRECT, RELAY, routes=(route(1, None, None),))
    assert choose(known, "a@s.example", "b@example.org", MINE) == (MINE, None)


def test_recipients_of_one_content_at_one_domain_share_a_transaction():
    mail = [claimed(id=n, recipient=f"r{n}@example.org") for n in range(3)]
    (batch,), stranded = batches(mail, settings(DIRECT))
    assert batch.messages == tuple(mail)
    assert (batch.transport, batch.route_id, batch.destination) == (DIRECT, None, "example.org")
    assert stranded == []


APART = [
    ({"content_id": 6}, "another content"),
    ({"return_path": "other@sender.example"}, "another return path"),
    ({"return_path": ""}, "the null return path"),
    ({"recipient": "x@example.net"}, "another domain"),
    ({"recipient": "jörg@example.org"}, "a recipient that needs SMTPUTF8 must not cost the others"),
]


@pytest.mark.parametrize(("changes", "why"), APART)
def test_what_differs_goes_apart(changes, why):
    mail = [claimed(id=1), claimed(id=2, **changes), claimed(id=3)]
    found, _ = batches(mail, settings(DIRECT))
    assert [[message.id for message in batch.messages] for batch in found] == [[1, 3], [2]], why


def test_a_relay_takes_the_recipients_of_all_domains_at_once():
    mail = [claimed(id=n, recipient=f"r@d{n}.example") for n in range(3)]
    (batch,), _ = batches(mail, settings(RELAY), RELAY)
    assert batch.destination == "smarthost.example:587"
    assert batch.messages == tuple(mail)


def test_the_next_hop_of_a_relay_with_an_ipv6_address_has_brackets():
    (batch,), _ = batches([claimed()], settings(), MINE)
    assert batch.destination == "[::1]:2525"


def test_a_header_beyond_ascii_needs_smtputf8():
    (batch,), _ = batches([claimed(utf8_header=True)], settings(DIRECT))
    assert batch.smtputf8


def test_the_route_is_remembered():
    known = settings(DIRECT, FAIL, routes=(route(9, "sender.example", None, "no"),))
    (batch,), _ = batches([claimed()], known)
    assert (batch.transport, batch.route_id, batch.destination) == (FAIL, 9, "")


def test_mail_without_a_transport_is_handed_back():
    known = settings(RELAY, routes=(route(1, None, "example.org"),))
    mail = [claimed(id=1, recipient="a@example.net"), claimed(id=2)]
    (batch,), stranded = batches(mail, known)
    assert [message.id for message in batch.messages] == [2]
    assert [message.id for message in stranded] == [1]


domains = st.sampled_from(["a.example", "b.example", "c.example"])
mails = st.lists(
    st.builds(
        lambda sender, local, domain, content: {
            "sender": sender,
            "return_path": sender,
            "recipient": f"{local}@{domain}",
            "content_id": content,
        },
        st.sampled_from(["", "x@s.example", "y@s.example"]),
        st.sampled_from(["bob", "jörg"]),
        domains,
        st.integers(min_value=1, max_value=3),
    ),
    max_size=400,
)


@given(mails)
def test_every_message_is_in_one_batch_with_its_like_and_in_order(mail):
    claims = [claimed(id=number, **changes) for number, changes in enumerate(mail)]
    known = settings(RELAY, DIRECT, routes=(route(1, None, "a.example"),))
    found, stranded = batches(claims, known)
    assert stranded == []
    assert sorted(message.id for batch in found for message in batch.messages) == list(range(len(claims)))
    for batch in found:
        assert 1 <= len(batch.messages) <= MAX_RECIPIENTS
        ids = [message.id for message in batch.messages]
        assert ids == sorted(ids)
        assert len({(m.content_id, m.sender, m.recipient.isascii()) for m in batch.messages}) == 1
        assert batch.transport == (RELAY if batch.route_id == 1 else DIRECT)


# --- what a message says itself ------------------------------------------------------------------
def test_a_transport_that_a_message_names_outweighs_routes_and_default_but_not_the_override():
    known = settings(DIRECT, RELAY, FAIL, routes=(route(1, None, "example.org"),))
    arguments = {"account_id": 1, "failed": 0, "named": "no"}
    assert choose_for(known, "a@s.example", "b@example.org", **arguments) == (FAIL, None)
    assert choose_for(known, "a@s.example", "b@example.org", MINE, **arguments) == (MINE, None)


def test_a_transport_that_is_named_and_gone_is_none():
    arguments = {"account_id": 1, "failed": 0, "named": "gone"}
    assert choose_for(settings(DIRECT), "a@s.example", "b@example.org", **arguments) is None
    message = claimed(transport="gone")
    assert batches([message], settings(DIRECT)) == ([], [message])


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.OPPORTUNISTIC, Tls.REQUIRED])
def test_a_wish_about_tls_makes_of_a_transport_what_it_demands(tls):
    direct, relay = replace(DIRECT, tls=tls), replace(RELAY, tls=tls)
    assert secured(relay, True) == replace(relay, tls=Tls.VERIFIED)
    assert secured(relay, False) == secured(relay, None) == relay, "the operator's own hop"
    assert secured(direct, False) == replace(direct, tls=Tls.OPPORTUNISTIC)
    assert secured(direct, None) == direct
    refusing = secured(direct, True)
    assert (refusing.kind, refusing.name) == (TransportKind.FAIL, "out")
    assert refused_by_transport(refusing).status == EnhancedCode(5, 7, 10)
    assert [secured(FAIL, wish) for wish in (None, True, False)] == [FAIL] * 3


def test_messages_with_different_wishes_about_tls_go_apart():
    messages = [
        claimed(id=number, recipient=f"b{number}@example.org", require_tls=wish)
        for number, wish in enumerate([None, True, False, True, None, False])
    ]
    found, _ = batches(messages, settings(replace(RELAY, is_default=True)))
    assert [[each.id for each in batch.messages] for batch in found] == [[0, 4], [1, 3], [2, 5]]
    assert [batch.transport.tls for batch in found] == [Tls.OPPORTUNISTIC, Tls.VERIFIED, Tls.OPPORTUNISTIC]


def test_messages_with_different_transports_go_apart():
    messages = [
        claimed(id=number, transport=name) for number, name in enumerate(["", "relay", "no", "relay"])
    ]
    found, _ = batches(messages, settings(DIRECT, RELAY, FAIL))
    assert [(batch.transport, len(batch.messages)) for batch in found] == [(DIRECT, 1), (RELAY, 2), (FAIL, 1)]

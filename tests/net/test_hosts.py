"""The rules about addresses, without a network."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.net.hosts import is_public, mx_set_key, parse_literal, pick_addresses


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared by a carrier's customers"),
        ("169.254.169.254", "link-local, a cloud's metadata"),
        ("192.0.2.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "mapped loopback"),
        ("::127.0.0.1", "compatible loopback"),
        ("64:ff9b::7f00:1", "NAT64 of loopback"),
        ("64:ff9b::10.0.0.1", "NAT64 of private"),
        ("2002:7f00:1::", "6to4 of loopback"),
        ("2002:c0a8:101::1", "6to4 of private"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("fc00::1", "unique local"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("2001::1", "Teredo"),
    ],
)
def test_special_address_is_not_public(address: str, why: str):
    assert not is_public(address), why


@pytest.mark.parametrize(
    "address", ["45.0.0.1", "1.1.1.1", "2a10::1", "2606:4700::1", "::ffff:45.0.0.1", "64:ff9b::45.0.0.1"]
)
def test_ordinary_address_is_public(address: str):
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_literal_of_every_ipv4_address_reads_back(address: IPv4Address):
    assert parse_literal(f"[{address}]") == str(address)


@given(st.ip_addresses(v=6))
def test_literal_of_every_ipv6_address_reads_back(address: IPv6Address):
    assert parse_literal(f"[IPv6:{address}]") == str(address)
    assert parse_literal(f"[IPv6:{address.exploded}]") == str(address)


@given(
    st.lists(st.ip_addresses(v=4).map(str), unique=True), st.lists(st.ip_addresses(v=6).map(str), unique=True)
)
def test_picked_addresses_are_the_hosts_own_and_of_both_families(v4: list[str], v6: list[str]):
    picked = pick_addresses(v4, v6, rng=random.Random(0))
    assert len(picked) == min(2, len(v4) + len(v6))
    assert set(picked) <= set(v4) | set(v6)
    if v4 and v6:
        assert [":" in address for address in picked] == [False, True]


@given(
    st.lists(st.from_regex(r"[a-z]{1,20}\.example", fullmatch=True), min_size=1, max_size=60), st.randoms()
)
def test_key_of_an_mx_set_depends_on_its_members_only(names: list[str], rng: random.Random):
    shuffled = names + names[:2]
    rng.shuffle(shuffled)
    assert mx_set_key(names) == mx_set_key(shuffled)
    assert len(mx_set_key(names)) <= 300
    assert mx_set_key([*names, "other.test"]) != mx_set_key(names)

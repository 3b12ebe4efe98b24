"""Base addresses: which addresses are taken for one mailbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.errors import AddressError
from mailqueue.mail.address import MAX_LOCALPART, Address, parse
from mailqueue.mail.base import base_of

LOCALPARTS = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Cn", "Co", "Zs", "Zl", "Zp")),
    min_size=1,
    max_size=12,
)
DOMAINS = st.sampled_from(
    ("example.com", "gmail.com", "googlemail.com", "xn--bcher-kva.example", "[192.0.2.1]")
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    local = draw(LOCALPARTS | st.text("aB.+-", min_size=1, max_size=8))
    text = str(Address(localpart=local, domain=draw(DOMAINS)))
    try:
        return str(parse(text))
    except AddressError:
        return "ann@example.com"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("ann+news@example.com", "ann@example.com"),
        ("ann+news+more@example.com", "ann@example.com"),
        ("a.n.n@gmail.com", "ann@gmail.com"),
        ("A.nn+x@googlemail.com", "ann@gmail.com"),
        ("GRÜSSE@bücher.example", "grüsse@xn--bcher-kva.example"),
        ('"ann"@example.com', "ann@example.com"),
        ("ΟΔΟΣ@example.com", "οδος@example.com"),
    ],
)
def test_spellings_of_one_mailbox_have_one_base(one: str, other: str) -> None:
    assert base_of(one) == base_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna-maria@example.com", "anna@example.com"),
        ("a.n.n@example.com", "ann@example.com"),
        ("ann@example.com", "ann@example.net"),
        ("ann@mail.gmail.com", "a.nn@gmail.com"),
        ("+news@example.com", "+sport@example.com"),
        ("..@gmail.com", "...@gmail.com"),
        ("ann_news@example.com", "ann@example.com"),
    ],
)
def test_two_mailboxes_have_two_bases(one: str, other: str) -> None:
    assert base_of(one) != base_of(other)


@given(addresses())
def test_base_is_an_address_and_its_own_base(address: str) -> None:
    base = base_of(address)
    assert base_of(base) == base
    assert parse(base).localpart


@given(addresses(), st.text("abc-.", max_size=5))
def test_tag_and_case_make_no_difference(address: str, tag: str) -> None:
    local, _, domain = address.rpartition("@")
    if local.startswith('"') or len(local) + len(tag) + 1 > MAX_LOCALPART:
        return
    try:
        tagged = base_of(f"{local}+{tag}@{domain.upper()}")
    except AddressError:  # too long with it
        return
    assert tagged == base_of(address) or local.startswith("+")


def test_what_is_no_address_has_no_base() -> None:
    with pytest.raises(AddressError):
        base_of("nobody")

"""Values of the model for tests: ordinary ones, with whatever a test wants changed."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from mailqueue.clock import DAY, SECOND
from mailqueue.model.account import Account, OnUncertain
from mailqueue.model.attempt import Facts
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Route, Transport
from mailqueue.model.schedule import SHIPPED
from mailqueue.model.settings import Settings

NOW = 1_800_000_000 * SECOND
"""2027-01-15T08:00:00Z."""

_CLAIMED = Claimed(
    id=7,
    submission_id=3,
    account_id=1,
    content_id=5,
    size=1000,
    sender="app@sender.example",
    return_path="app@sender.example",
    recipient="bob@example.org",
    domain="example.org",
    eight_bit=False,
    utf8_header=False,
    is_notice=False,
    engine_id=1,
    claim=1,
    attempts=1,
    schedule="standard",
    submitted_at=NOW,
    give_up_at=NOW + 5 * DAY,
    warn_at=None,
    uncertain=False,
)
_ACCOUNT = Account(
    id=1,
    name="default",
    notices=None,
    schedule=None,
    retention=30 * DAY,
    keep_content=7 * DAY,
    on_uncertain=OnUncertain.RETRY,
    strict=False,
)
_FACTS = Facts(
    started_at=NOW,
    duration=SECOND,
    transport="smarthost",
    host="mx.example.org",
    address="192.0.2.1:25",
)


def claimed(**changes: Any) -> Claimed:
    """Return a claimed message; a changed recipient changes its domain too."""
    if "recipient" in changes:
        changes.setdefault("domain", changes["recipient"].rpartition("@")[2])
    return replace(_CLAIMED, **changes)


def account(**changes: Any) -> Account:
    """Return the account `default`."""
    return replace(_ACCOUNT, **changes)


def facts(**changes: Any) -> Facts:
    """Return the facts of an attempt of a second at a host."""
    return replace(_FACTS, **changes)


def settings(*transports: Transport, routes: tuple[Route, ...] = ()) -> Settings:
    """Return settings with one account, the shipped schedules, and these transports and routes."""
    return Settings(
        version=1,
        accounts=MappingProxyType({"default": _ACCOUNT}),
        transports=MappingProxyType({transport.name: transport for transport in transports}),
        routes=routes,
        schedules=SHIPPED,
        hold_rules=(),
        accounts_by_id=MappingProxyType({1: _ACCOUNT}),
    )

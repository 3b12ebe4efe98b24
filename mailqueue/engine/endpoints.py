"""The verbs about endpoints: where an account's events are posted.

The rule: what cannot be posted to is refused before anything is stored, in words that tell no secret.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from mailqueue.clock import rfc3339, to_datetime
from mailqueue.engine import audit
from mailqueue.engine.manage import STEP, settings
from mailqueue.engine.submit import find_account, unknown
from mailqueue.errors import NotFound, SettingError
from mailqueue.ids import token
from mailqueue.model.account import Account
from mailqueue.model.events import By, EventKind
from mailqueue.model.webhook import HOOK_EVENTS, Endpoint, WebhookAnswer
from mailqueue.net import signature
from mailqueue.net.post import Post, Poster, private_fault, url_fault
from mailqueue.net.resolver import Resolver
from mailqueue.store.base import Store, Transaction

T = TypeVar("T")

_REMOVED = "the endpoint was removed"
_KEPT_SECRETS = 2


def endpoints(store: Store) -> Sequence[Endpoint]:
    """Return all endpoints, in the order in which their accounts were made."""
    return tuple(settings(store).endpoints.values())


def endpoint(store: Store, name: str) -> Endpoint:
    """Return the endpoint of an account. Raises NotFound."""
    found = settings(store)
    return _of(found.endpoints.get(find_account(found, name).id), name)


def _of(found: Endpoint | None, name: str) -> Endpoint:
    if found is None:
        raise NotFound(f"account {name!r} has no webhook: `mailqueue webhook set --account {name} --url ...`")
    return found


def set_endpoint(
    store: Store,
    name: str,
    *,
    url: str | None,
    events: str | Iterable[str] | None,
    authorization: str | None,
    secret: str | None,
    new_secret: bool,
    rotate: bool,
    drop_old_secret: bool,
    allow_private: bool | None,
    actor: str,
    now: int,
) -> Endpoint:
    """Make or change the endpoint of an account; it is at work then. Raises NotFound, SettingError."""
    found = settings(store)
    account = find_account(found, name)
    old = found.endpoints.get(account.id)
    fresh = _fresh_secret(secret, new=new_secret)
    if old is None:
        old = _blank(account, url, fresh, now)
    made = replace(
        old,
        url=old.url if url is None else url,
        events=old.events if events is None else _events(events),
        authorization=old.authorization if authorization is None else _authorization(authorization),
        secrets=_secrets(old.secrets, fresh, rotate=rotate, drop_old=drop_old_secret),
        allow_private=old.allow_private if allow_private is None else allow_private,
        disabled_at=None,
    )
    _check_url(made)
    store.run(lambda transaction: _put(transaction, made, account, actor, now))
    return made


def _blank(account: Account, url: str | None, secret: str | None, now: int) -> Endpoint:
    if url is None:
        raise SettingError(f"url: account {account.name!r} has no webhook yet, so it needs one")
    if secret is None:
        raise SettingError("secret: give one to sign with, or have one made: new_secret (--new-secret)")
    return Endpoint(
        account_id=account.id,
        url=url,
        events=HOOK_EVENTS,
        authorization=None,
        secrets=(),
        allow_private=False,
        disabled_at=None,
        created_at=to_datetime(now),
    )


def _fresh_secret(secret: str | None, *, new: bool) -> str | None:
    if secret is None:
        return signature.new_secret() if new else None
    if new:
        raise SettingError("secret: give one, or have one made (new_secret), not both")
    fault = signature.secret_fault(secret)
    if fault is not None:
        raise SettingError(f"secret: {fault}")
    return secret


def _secrets(old: tuple[str, ...], fresh: str | None, *, rotate: bool, drop_old: bool) -> tuple[str, ...]:
    if fresh is None:
        if rotate:
            raise SettingError("rotate: needs another secret beside it: secret or new_secret")
        return old[:1] if drop_old else old
    if drop_old:
        raise SettingError("drop_old_secret: a secret that is given replaces the old one, without rotate")
    return (fresh, *old)[:_KEPT_SECRETS] if rotate else (fresh,)


def _events(given: str | Iterable[str]) -> frozenset[EventKind]:
    names = given.split(",") if isinstance(given, str) else [str(each) for each in given]
    known = sorted(HOOK_EVENTS)
    for name in names:
        if name.strip() not in known:
            raise SettingError(f"events: {unknown('event', name.strip(), known)} They are {', '.join(known)}")
    if not names:
        raise SettingError(f"events: name one at least of {', '.join(known)}")
    return frozenset(EventKind(name.strip()) for name in names)


def _authorization(value: str) -> str | None:
    if not (value.isascii() and value.isprintable()):
        raise SettingError("authorization: must be one line of ASCII")
    return value.strip() or None


def _check_url(made: Endpoint) -> None:
    fault = url_fault(made.url)
    if fault is not None:
        raise SettingError(f"url: {fault}")
    if made.allow_private:
        return
    fault = _outside(lambda: private_fault(made.url, Resolver()))
    if fault is not None:
        raise SettingError(
            f"url: {fault}; should mail events go there, allow it: allow_private (--allow-private)"
        )


def _outside(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what a coroutine does in an event loop of its own: the caller may be inside another."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()


def _put(transaction: Transaction, made: Endpoint, account: Account, actor: str, now: int) -> None:
    transaction.set_endpoint(made)
    told = {"account": account.name, "url": made.url, "events": sorted(made.events)}
    audit.note(transaction, By(actor=actor, reason="", at=now), "webhook set", **told)


def unset_endpoint(store: Store, name: str, *, actor: str, now: int) -> Endpoint:
    """Have an account's events posted no more, and cancel those that wait. Raises NotFound."""
    found = endpoint(store, name)

    def remove(transaction: Transaction) -> None:
        transaction.remove_endpoint(found.account_id)
        by = By(actor=actor, reason="", at=now)
        audit.note(transaction, by, "webhook unset", account=name, url=found.url)

    store.run(remove)
    while store.run(lambda transaction: transaction.cancel_stranded_webhooks(_REMOVED, now, STEP)) == STEP:
        pass
    return found


def test(store: Store, name: str, now: int) -> WebhookAnswer:
    """Post a test event to the endpoint of an account, now, and return the answer. Raises NotFound."""
    found = endpoint(store, name)
    payload = {"type": "test", "timestamp": rfc3339(now), "data": {"account": name}}
    post = Post(
        url=found.url,
        identity=f"msg_test_{token()}",
        body=json.dumps(payload),
        secrets=found.secrets,
        authorization=found.authorization,
        allow_private=found.allow_private,
    )

    async def posted() -> WebhookAnswer:
        poster = Poster(Resolver())
        begun = time.monotonic()
        try:
            answer = await poster.post(post, to_datetime(now))
        finally:
            await poster.close()
        return WebhookAnswer(
            url=found.url,
            status=answer.status,
            answer=answer.text or None,
            error=answer.error,
            duration=timedelta(seconds=time.monotonic() - begun),
        )

    return _outside(posted)

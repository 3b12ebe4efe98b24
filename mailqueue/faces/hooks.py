"""Events of an account, posted to a URL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mailqueue.engine import (
    endpoints,
    webhooks,
)
from mailqueue.engine.options import When
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.events import EventKind
from mailqueue.model.filters import Page
from mailqueue.model.webhook import Endpoint, Webhook, WebhookAnswer, WebhookAttempt, WebhookState

if TYPE_CHECKING:
    from mailqueue.queue import Queue


class RetiredWebhooks:
    """The history of webhooks: `queue.webhooks.retired`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(
        self,
        *,
        account: str | None = None,
        event: EventKind | str | None = None,
        message_id: int | None = None,
        state: WebhookState | str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Webhook]:
        """Return a page of retired webhooks, the newest first.

        A page may have fewer than asked for, or none, and a `next` all the same: then it would have taken
        long to look further.

        Args:
            account: only of this account.
            event: only about this.
            message_id: only about this message.
            state: only `delivered`, `failed` or `canceled`.
            limit: webhooks at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be.
        """
        return webhooks.page(
            self._queue.store,
            retired=True,
            account=account,
            event=event,
            message_id=message_id,
            state=state,
            limit=limit,
            after=after,
        )

    def show(self, webhook_id: int) -> Webhook:
        """Return a retired webhook. Raises NotFound, also where it is still on its way."""
        return webhooks.show(self._queue.store, webhook_id, retired=True)


class Webhooks:
    """Where events are posted, and what becomes of each: `queue.webhooks`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.retired = RetiredWebhooks(queue)

    def set(
        self,
        account: str = DEFAULT_ACCOUNT,
        *,
        url: str | None = None,
        events: str | Iterable[str] | None = None,
        authorization: str | None = None,
        secret: str | None = None,
        new_secret: bool = False,
        rotate: bool = False,
        drop_old_secret: bool = False,
        allow_private: bool | None = None,
        actor: str | None = None,
    ) -> Endpoint:
        """Have the events of an account posted; what is not given stays as it is.

        An endpoint that was disabled because it answered 410 is at work again.

        Args:
            account: its name.
            url: where to: `https://...` or `http://...`; needed the first time.
            events: which, as a list or with commas between; the first time None is all.
            authorization: value of the header Authorization, such as `Bearer ...`; '' takes it away.
            secret: what to sign with, `whsec_` and base64; it replaces what there is.
            new_secret: have a secret made; it is the first of `Endpoint.secrets`.
            rotate: sign with the secret there is, too, until `drop_old_secret`.
            drop_old_secret: sign with the newest secret only, from now on.
            allow_private: also call loopback and private addresses.
            actor: who sets it.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be, or the URL leads to a private address that is not allowed.
        """
        return endpoints.set_endpoint(
            self._queue.store,
            account,
            url=url,
            events=events,
            authorization=authorization,
            secret=secret,
            new_secret=new_secret,
            rotate=rotate,
            drop_old_secret=drop_old_secret,
            allow_private=allow_private,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )

    def unset(self, account: str = DEFAULT_ACCOUNT, *, actor: str | None = None) -> Endpoint:
        """Have the events of an account posted no more; what waits is canceled.

        Args:
            account: its name.
            actor: who says so.

        Raises:
            NotFound: no such account, or it has no webhook.
        """
        return endpoints.unset_endpoint(
            self._queue.store, account, actor=self._queue.actor(actor), now=self._queue.clock.now()
        )

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where events are posted, in the order in which the accounts were made."""
        return endpoints.endpoints(self._queue.store)

    def test(self, account: str = DEFAULT_ACCOUNT) -> WebhookAnswer:
        """Post a signed test event to the endpoint of an account, now, and return what it answered.

        It is posted by this process, whether the endpoint is disabled or not, and not noted.

        Args:
            account: its name.

        Raises:
            NotFound: no such account, or it has no webhook.
        """
        return endpoints.test(self._queue.store, account, self._queue.clock.now())

    def list(
        self,
        *,
        account: str | None = None,
        event: EventKind | str | None = None,
        message_id: int | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Webhook]:
        """Return a page of webhooks on their way, the oldest first.

        A page may have fewer than asked for, or none, and a `next` all the same: then it would have taken
        long to look further.

        Args:
            account: only of this account.
            event: only about this.
            message_id: only about this message.
            limit: webhooks at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be.
        """
        return webhooks.page(
            self._queue.store,
            retired=False,
            account=account,
            event=event,
            message_id=message_id,
            limit=limit,
            after=after,
        )

    def show(self, webhook_id: int) -> Webhook:
        """Return a webhook, on its way or retired. Raises NotFound."""
        return webhooks.show(self._queue.store, webhook_id)

    def attempts(self, webhook_id: int) -> Sequence[WebhookAttempt]:
        """Return the attempts of a webhook, in order. Raises NotFound."""
        return webhooks.attempts(self._queue.store, webhook_id)

    def schedule(
        self, ids: int | Iterable[int], *, at: When | None = None, actor: str | None = None
    ) -> Sequence[int]:
        """Have webhooks posted at another time; returns the ids of those that wait, and so will be.

        One that waits for another about the same message goes after that, and not before `at`.

        Args:
            ids: which.
            at: when, a moment or how long from now; None: now.
            actor: who does it.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is changed.
            SettingError: `at` cannot be.
        """
        return webhooks.schedule(self._queue.store, ids, at, self._queue._by(actor))

    def cancel(
        self, ids: int | Iterable[int], *, reason: str = "", actor: str | None = None
    ) -> Sequence[int]:
        """Cancel webhooks that have not retired; returns the ids of these.

        One that is being posted may arrive all the same.

        Args:
            ids: which.
            reason: why, for people.
            actor: who cancels them.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is changed.
        """
        return webhooks.cancel(self._queue.store, ids, self._queue._by(actor, reason))

    def replay(self, ids: int | Iterable[int], *, actor: str | None = None) -> Sequence[int]:
        """Post retired webhooks once more, with the same payload; returns the ids of the new ones.

        Args:
            ids: which.
            actor: who does it.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is posted.
            Conflict: one of them is on its way, or its account has no endpoint at work; then none is posted.
        """
        return webhooks.replay(self._queue.store, ids, self._queue._by(actor))

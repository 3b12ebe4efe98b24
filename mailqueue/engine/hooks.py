"""Post webhooks, beside the mail: claim what is due, post it, write what came of it.

The rule: nothing here waits for mail, and mail waits for nothing here. A receiver that is slow or dead has
a few posts under way at most, and so many more wait in the database only.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailqueue.clock import SECOND, Clock, to_datetime
from mailqueue.errors import StoreError
from mailqueue.model.settings import Settings
from mailqueue.model.webhook import ClaimedWebhook, Endpoint, WebhookSettlement, WebhookState
from mailqueue.net.post import Answer, Post, Poster
from mailqueue.net.resolver import Resolver
from mailqueue.policy import hooks as policy
from mailqueue.store.base import Store, Transaction, WebhookClaim

logger = logging.getLogger("mailqueue.engine")

TOTAL = 20
"""Posts under way at once."""
PER_HOST = 4
"""Posts under way at once to the host and port of a URL."""
_RETRY_STORE = 1.0
_GONE = "its endpoint said that it is gone (410), or was removed"


@dataclass(frozen=True, slots=True)
class _Posted:
    """What came of a post, and to which URL it went."""

    settlement: WebhookSettlement
    url: str
    gone: bool


class Hooks:
    """The posts of one engine, in its event loop.

    Args:
        store: the open database.
        clock: tells the time.
        resolver: where hosts are.
        engine_id: says in whose name webhooks are claimed.
        armed: called when `due` has changed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        resolver: Resolver,
        *,
        engine_id: Callable[[], int],
        armed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._engine_id = engine_id
        self._armed = armed
        self._loop = asyncio.get_running_loop()
        self._poster = Poster(resolver)
        self._posts: dict[asyncio.Task[None], str] = {}  # with the host that each goes to
        self._finished: list[_Posted] = []
        self._last_account = 0
        self._kick = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self.due: int | None = None
        """When there will be something to claim (microseconds UTC). None: never, now, or no room for it."""

    def start(self) -> None:
        """Post until `finish` is called."""
        self._task = self._loop.create_task(self._live())

    def look(self) -> None:
        """See whether something is due."""
        self._at_rest.clear()
        self._kick.set()

    async def rest(self) -> None:
        """Wait until nothing is due and nothing is under way."""
        await self._at_rest.wait()

    async def _live(self) -> None:
        while not self._ending:
            await self._kick.wait()
            self._kick.clear()
            try:
                await self._turn()
            except StoreError as error:
                logger.error("webhooks have to wait, the database is in the way: %s", error)
                await self._look_soon()
            except Exception:
                logger.exception("a fault of ours: webhooks have to wait")
                await self._look_soon()

    async def _look_soon(self) -> None:
        await asyncio.sleep(_RETRY_STORE)
        self._kick.set()

    async def finish(self, seconds: float) -> None:
        """Begin nothing more, give what is under way so many seconds, and write what came of it.

        What is broken off then returns to the queue when the engine signs off.
        """
        self._ending = True
        self._kick.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
        if self._posts:
            await asyncio.wait(self._posts, timeout=seconds)
        for task in tuple(self._posts):
            task.cancel()
        if self._posts:
            await asyncio.wait(self._posts)
        await self._poster.close()
        self._at_rest.set()
        try:
            await self._write({})
        except StoreError as error:
            logger.error("what came of webhooks could not be written, they will be posted again: %s", error)

    # -- one turn ----------------------------------------------------------------------------------
    async def _turn(self) -> None:
        """Write what came of posts and claim what there is room for, in one transaction."""
        settings = self._store.look(lambda reader: reader.settings())
        hosts = self._with_room(settings)
        due = self._next(hosts)
        if self._finished or (due is not None and due <= self._clock.now()):
            claimed, settings = await self._write(hosts)
            for webhook in claimed:
                self._begin(webhook, settings.endpoints[webhook.account_id])
            hosts = self._with_room(settings)
            due = self._next(hosts)
            if due is not None and not claimed:
                due = max(due, self._clock.now() + SECOND)  # it could not be had
        self._arm(due)

    def _with_room(self, settings: Settings) -> dict[int, str]:
        """Return the accounts that may begin a post now, each with the host of its URL."""
        if self._ending or len(self._posts) >= TOTAL:
            return {}
        busy = self._busy()
        live = [each for each in settings.endpoints.values() if each.disabled_at is None]
        hosts = {each.account_id: _host(each.url) for each in live}
        return {account_id: host for account_id, host in hosts.items() if busy[host] < PER_HOST}

    def _busy(self) -> Counter[str]:
        return Counter(self._posts.values())

    def _next(self, hosts: Mapping[int, str]) -> int | None:
        if not hosts:
            return None
        return self._store.look(lambda reader: reader.next_webhook_at(tuple(hosts)))

    def _arm(self, due: int | None) -> None:
        """Have the engine woken at `due`, or look again if it is past: one claim may not take all."""
        self.due = None
        if due is not None and due <= self._clock.now():
            self._kick.set()
            return
        if due is not None:
            self.due = due
            self._armed()
        if not (self._posts or self._finished or self._kick.is_set()):
            self._at_rest.set()

    async def _write(self, hosts: Mapping[int, str]) -> tuple[Sequence[ClaimedWebhook], Settings]:
        """Settle what is finished, and claim for these accounts; return the settings of that moment, too."""
        finished, self._finished = self._finished, []
        now, busy = self._clock.now(), self._busy()
        wanted = WebhookClaim(
            engine_id=self._engine_id(),
            now=now,
            limit=TOTAL - len(self._posts),
            hosts=hosts,
            room={host: PER_HOST - busy[host] for host in hosts.values()},
            fallback=policy.fallback,
            after_account=self._last_account,
        )

        def job(transaction: Transaction) -> tuple[Sequence[ClaimedWebhook], Settings]:
            transaction.settle_webhooks([each.settlement for each in finished])
            _disable(transaction, [each for each in finished if each.gone], now)
            claimed = transaction.claim_webhooks(wanted) if hosts else ()
            return claimed, transaction.settings()

        try:
            claimed, settings = await asyncio.wrap_future(self._store.enqueue(job))
        except Exception:
            self._finished = finished + self._finished
            raise
        if claimed:
            self._last_account = claimed[-1].account_id
        return claimed, settings

    # -- one post ----------------------------------------------------------------------------------
    def _begin(self, webhook: ClaimedWebhook, endpoint: Endpoint) -> None:
        task = self._loop.create_task(self._post(webhook, endpoint))
        self._posts[task] = _host(endpoint.url)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._posts[task]
        self._kick.set()

    async def _post(self, webhook: ClaimedWebhook, endpoint: Endpoint) -> None:
        started_at, begun = self._clock.now(), self._loop.time()
        answer = await self._answer(webhook, endpoint, started_at)
        duration = round((self._loop.time() - begun) * SECOND)
        self._finished.append(self._settled(webhook, endpoint, started_at, duration, answer))

    async def _answer(self, webhook: ClaimedWebhook, endpoint: Endpoint, at: int) -> Answer:
        try:
            return await self._poster.post(request(webhook, endpoint), to_datetime(at))
        except Exception as error:
            logger.exception("a fault of ours: webhook %d cannot be posted", webhook.id)
            return Answer(status=None, error=f"a fault of ours: {error}")

    def _settled(
        self, webhook: ClaimedWebhook, endpoint: Endpoint, started_at: int, duration: int, answer: Answer
    ) -> _Posted:
        now = self._clock.now()
        verdict = policy.judge(
            answer.status,
            answer.retry_after,
            attempts=webhook.attempts,
            created_at=webhook.created_at,
            ended_at=now,
            jitter=random.uniform(-1, 1),
        )
        summary = "" if verdict.state is WebhookState.DELIVERED else answer.summary()
        if verdict.gone:
            logger.warning("no webhooks go to %s any more: it said that it is gone (410)", endpoint.url)
        elif verdict.state is WebhookState.FAILED:
            logger.warning("webhook %d is given up: %s", webhook.id, summary)
        settlement = WebhookSettlement(
            webhook=webhook,
            started_at=started_at,
            duration=duration,
            status=answer.status,
            answer=answer.text,
            error=answer.error,
            at=now,
            state=verdict.state,
            next_attempt_at=verdict.next_attempt_at,
            summary=summary,
        )
        return _Posted(settlement, endpoint.url, verdict.gone)


def request(webhook: ClaimedWebhook, endpoint: Endpoint) -> Post:
    """Return what is posted for a webhook."""
    return Post(
        url=endpoint.url,
        identity=f"msg_{webhook.id}_{webhook.created_at}",  # two queues may have one receiver
        body=webhook.payload,
        secrets=endpoint.secrets,
        authorization=endpoint.authorization,
        allow_private=endpoint.allow_private,
    )


async def cancel_stranded(store: Store, now: int, limit: int) -> None:
    """Cancel what waits for endpoints that are no more, in steps."""
    more = limit
    while more == limit:
        step = store.enqueue(lambda transaction: transaction.cancel_stranded_webhooks(_GONE, now, limit))
        more = await asyncio.wrap_future(step)


def _disable(transaction: Transaction, gone: Sequence[_Posted], now: int) -> None:
    """Disable the endpoints that said that they are gone, unless they have another URL meanwhile."""
    for each in gone:
        account_id = each.settlement.webhook.account_id
        endpoint = transaction.settings().endpoints.get(account_id)
        if endpoint is None or endpoint.url != each.url:
            continue
        if transaction.disable_endpoint(account_id, now):
            account = transaction.settings().accounts_by_id[account_id].name
            told = f"webhooks of account {account} end: {endpoint.url} said that it is gone (410)"
            transaction.note_change(told, {"account": account, "url": endpoint.url}, actor="", now=now)


def _host(url: str) -> str:
    return urlsplit(url).netloc

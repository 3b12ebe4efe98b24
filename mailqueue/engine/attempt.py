"""One attempt: a batch, a way out, the servers it leads to, and what each recipient came to.

The rule: no store here. What goes in has been claimed and committed; what comes out is an Outcome
for every message of the batch, whatever happens in between.

RFC 5321 5.1 (which hosts, in which order), 4.5.3.1.10 (too many recipients).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailqueue.clock import Clock
from mailqueue.errors import NotFound
from mailqueue.mail import codes
from mailqueue.mail.domain import literal_host
from mailqueue.mail.smtp import Envelope, TransactionResult
from mailqueue.model.attempt import Category, Facts, Outcome, OutcomeKind, Scope
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.net.connect import SessionFailed, open_session
from mailqueue.net.connect import Tls as SessionTls
from mailqueue.net.hosts import ResolveFailure
from mailqueue.net.resolver import Resolver
from mailqueue.net.session import Content, Session
from mailqueue.policy import outcome as judge
from mailqueue.policy.batch import Batch

logger = logging.getLogger("mailqueue.engine")


@dataclass(frozen=True, slots=True)
class Tried:
    """What one attempt came to for one message."""

    message: Claimed
    outcome: Outcome
    facts: Facts


@dataclass(frozen=True, slots=True)
class Target:
    """One server to try."""

    host: str
    ip: str
    port: int


GoesOn = Callable[[Outcome], bool]
"""Says whether an outcome is left to the next server."""


class Courier:
    """Takes batches to servers.

    Args:
        hostname: our name in EHLO.
        resolver: where mail for a domain goes.
        clock: for the history.
        content: opens the content of a message. Raises NotFound where it is gone.
        may_finish: asked right before each final dot; False: we may no longer be the ones to send.
    """

    def __init__(
        self,
        *,
        hostname: str,
        resolver: Resolver,
        clock: Clock,
        content: Callable[[Claimed], Content],
        may_finish: Callable[[], bool],
    ) -> None:
        self.hostname = hostname
        self.resolver = resolver
        self.clock = clock
        self.content = content
        self.may_finish = may_finish

    async def deliver(
        self, batch: Batch, kept: Session | None, sessions: set[Session]
    ) -> tuple[Sequence[Tried], Session | None]:
        """Try a batch: on the connection `kept` where it still stands, else on a new one.

        Args:
            batch: messages of one content, sender and destination.
            kept: a connection of this destination, used before.
            sessions: where the connection in use is noted, so that it can be aborted.

        Returns:
            What came of each message, and the connection where it can be used again.
        """
        visit = _Visit(batch, self.clock)
        try:
            session = await self._visit(visit, kept, sessions)
        except asyncio.CancelledError:
            raise
        except NotFound as error:
            visit.give_up(_fault(f"its content is not to be had: {error}"))
            session = kept
        except Exception as error:
            logger.exception("a fault of ours in an attempt for %s", batch.destination)
            visit.give_up(_fault(f"a fault of mailqueue's own: {error!r}"))
            session = None
        if kept is not None and session is not kept:
            sessions.discard(kept)
            kept.abort()
        return visit.tried, session

    async def _visit(self, visit: _Visit, kept: Session | None, sessions: set[Session]) -> Session | None:
        transport = visit.batch.transport
        if transport.kind is TransportKind.FAIL:
            visit.give_up(judge.refused_by_transport(transport))
            return None
        content = self.content(visit.batch.messages[0])
        if kept is not None and kept.usable:
            await self._transactions(visit, kept, content, _HANGING_UP)
            if not visit.waiting:
                return kept if kept.usable else None
            visit.forget_silence()
        targets = await self._targets(visit.batch, transport)
        if isinstance(targets, ResolveFailure):
            visit.give_up(judge.resolve_failed(targets.permanent, targets.enhanced, targets.text))
            return None
        return await self._try(visit, targets, content, sessions)

    async def _try(
        self, visit: _Visit, targets: Sequence[Target], content: Content, sessions: set[Session]
    ) -> Session | None:
        """Try one server after the other until every recipient has an answer."""
        for number, target in enumerate(targets):
            try:
                session = await self._open(target, visit.batch.transport)
            except SessionFailed as failed:
                visit.failed(target, failed)
                continue
            sessions.add(session)
            await self._transactions(visit, session, content, visit.what_may_go_on(targets, number))
            if not visit.waiting and session.usable:
                return session
            sessions.discard(session)
            await session.quit()
            if not visit.waiting:
                return None
        visit.settle_waiting()
        return None

    async def _open(self, target: Target, transport: Transport) -> Session:
        session = await open_session(
            target.host,
            target.ip,
            target.port,
            hostname=self.hostname,
            tls=SessionTls(transport.tls.value),
        )
        session.before_final_dot = self.may_finish
        if session.tls_fallback is not None:
            logger.warning(
                "%s [%s]: in the clear, as TLS failed: %s", target.host, target.ip, session.tls_fallback
            )
        return session

    async def _targets(self, batch: Batch, transport: Transport) -> list[Target] | ResolveFailure:
        if transport.kind is TransportKind.RELAY:
            host = transport.host or ""
            found = await self.resolver.addresses(literal_host(host) or host)
            if isinstance(found, ResolveFailure):
                return found
            return [Target(host, ip, transport.port) for ip in found[:2]]
        hops = await self.resolver.route(batch.messages[0].domain, allow_private=transport.allow_private)
        if isinstance(hops, ResolveFailure):
            return hops
        return [Target(host.name, ip, transport.port) for host in hops.hosts for ip in host.addresses]

    async def _transactions(self, visit: _Visit, session: Session, content: Content, goes_on: GoesOn) -> None:
        """Send to all who wait, in further transactions where the server takes only so many at once."""
        sending = visit.waiting
        while sending and session.usable:
            result = await session.send(_envelope(sending, visit.batch.smtputf8), content)
            again = set(judge.split_off(result)) if session.usable else set()
            results = judge.outcomes(result, len(sending))
            facts = visit.facts(session, result)
            for index, (message, outcome) in enumerate(zip(sending, results, strict=True)):
                if index not in again:
                    visit.note(message, outcome, facts, final=not goes_on(outcome))
            sending = [sending[index] for index in sorted(again)]


def _host_trouble(outcome: Outcome) -> bool:
    """Return whether the trouble is the server's or the connection's, so that another may do better."""
    return outcome.kind is OutcomeKind.DEFERRED and outcome.scope in (Scope.SESSION, Scope.HOST)


def _judged_by_address(outcome: Outcome) -> bool:
    """Return whether it is a 5.7.x refusal, which may be about the family of our address (row D1)."""
    status = outcome.status
    return outcome.kind is OutcomeKind.FAILED and status is not None and status[:2] == (5, 7)


_HANGING_UP = _host_trouble  # a kept connection that the server has left is no attempt: a new one follows


def _nowhere(outcome: Outcome) -> bool:
    return False


def _envelope(messages: Sequence[Claimed], smtputf8: bool) -> Envelope:
    first = messages[0]
    return Envelope(
        sender=first.sender,
        recipients=tuple(message.recipient for message in messages),
        size=first.size,
        eight_bit=first.eight_bit,
        smtputf8=smtputf8,
    )


def _fault(text: str) -> Outcome:
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=Category.OTHER,
        scope=Scope.MESSAGE,
        status=codes.EnhancedCode(4, 3, 0),
        error=text,
    )


class _Visit:
    """A batch on its way: who waits for an answer, and what the others got."""

    def __init__(self, batch: Batch, clock: Clock) -> None:
        self.batch = batch
        self.tried: list[Tried] = []
        self._clock = clock
        self._started = clock.now()
        self._waiting: dict[int, Claimed] = {message.id: message for message in batch.messages}
        self._best: dict[int, Tried] = {}
        self._family_changed = False

    @property
    def waiting(self) -> list[Claimed]:
        return list(self._waiting.values())

    def note(self, message: Claimed, outcome: Outcome, facts: Facts, *, final: bool) -> None:
        tried = Tried(message, outcome, facts)
        if final:
            self.tried.append(tried)
            del self._waiting[message.id]
        else:
            self._best[message.id] = tried

    def failed(self, target: Target, failed: SessionFailed) -> None:
        lost = failed.lost
        outcome = judge.session_failed(lost.phase, lost.reply, str(failed), lost.cause)
        facts = self._facts(host=target.host, address=_address(target), transcript=failed.transcript)
        for message in self.waiting:
            # What a server said about the mail outweighs that the next one was not to be reached.
            if message.id not in self._best:
                self.note(message, outcome, facts, final=False)

    def settle_waiting(self) -> None:
        for message in self.waiting:
            tried = self._best.get(message.id)
            if tried is None:
                tried = Tried(message, _fault("no server was tried"), self._facts())
            self.note(message, tried.outcome, tried.facts, final=True)

    def give_up(self, outcome: Outcome) -> None:
        facts = self._facts()
        for message in self.waiting:
            self.note(message, outcome, facts, final=True)

    def forget_silence(self) -> None:
        """Forget what a kept connection came to that broke without a word."""
        self._best = {key: tried for key, tried in self._best.items() if tried.outcome.reply is not None}

    def what_may_go_on(self, targets: Sequence[Target], number: int) -> GoesOn:
        """Return which outcomes at target `number` are left to the next target."""
        if number + 1 == len(targets):
            return _nowhere
        if not self._may_change_family(targets[number], targets[number + 1]):
            return _host_trouble
        self._family_changed = True
        return lambda outcome: _host_trouble(outcome) or _judged_by_address(outcome)

    def _may_change_family(self, this: Target, following: Target) -> bool:
        direct = self.batch.transport.kind is TransportKind.DIRECT
        first = self.batch.messages[0].attempts == 1 and not self._family_changed
        return direct and first and this.host == following.host and (":" in this.ip) != (":" in following.ip)

    def facts(self, session: Session, result: TransactionResult) -> Facts:
        final = result.final
        clean = (
            final is not None and final.positive and all(r is not None and r.positive for r in result.rcpt)
        )
        return self._facts(
            host=session.host,
            address=_address(Target(session.host, session.ip, session.port)),
            tls=session.tls_version,
            tls_verified=session.tls_verified,
            size=result.content_octets or None,
            transcript=None if clean else session.transcript(),
        )

    def _facts(
        self,
        *,
        host: str | None = None,
        address: str | None = None,
        tls: str | None = None,
        tls_verified: str | None = None,
        size: int | None = None,
        transcript: str | None = None,
    ) -> Facts:
        return Facts(
            started_at=self._started,
            duration=max(0, self._clock.now() - self._started),
            transport=self.batch.transport.name,
            route_id=self.batch.route_id,
            host=host,
            address=address,
            tls=tls,
            tls_verified=tls_verified,
            size=size,
            transcript=transcript,
        )


def _address(target: Target) -> str:
    return f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"

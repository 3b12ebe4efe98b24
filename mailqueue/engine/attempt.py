"""One attempt: a batch, a way out, the servers it leads to, and what each recipient came to.

The rule: no store here. What goes in has been claimed and committed; what comes out is an Outcome
for every message of the batch, whatever happens in between.

RFC 5321 5.1 (which hosts, in which order), 4.5.3.1.10 (too many recipients), RFC 9422 (LIMITS),
RFC 6152 3 (8-bit content into 7-bit).
RFC 8689 (REQUIRETLS).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mailqueue.clock import Clock
from mailqueue.engine.convert import Converter
from mailqueue.engine.hops import next_hops
from mailqueue.engine.visit import GoesOn, Target, Visit, fault
from mailqueue.engine.visit import Tried as Tried
from mailqueue.errors import NotFound
from mailqueue.mail import codes
from mailqueue.mail.sasl import Credentials, Mechanism
from mailqueue.mail.smtp import Envelope, lacks
from mailqueue.model.message import Claimed
from mailqueue.model.rules import ReplyRule, Transport, TransportKind
from mailqueue.net.connect import Security, SessionFailed, open_session
from mailqueue.net.connect import Tls as SessionTls
from mailqueue.net.hosts import ResolveFailure
from mailqueue.net.resolver import Resolver
from mailqueue.net.session import Content, Session
from mailqueue.policy import outcome as judge
from mailqueue.policy.batch import Batch

logger = logging.getLogger("mailqueue.engine")


class Courier:
    """Takes batches to servers.

    Args:
        hostname: our name in EHLO.
        resolver: where mail for a domain goes.
        clock: for the history.
        content: opens the content of a message. Raises NotFound where it is gone.
        may_finish: asked right before each final dot; False: we may no longer be the ones to send.
        own_rules: asked for each batch: the operator's rules about replies.
    """

    def __init__(
        self,
        *,
        hostname: str,
        resolver: Resolver,
        clock: Clock,
        content: Callable[[Claimed], Content],
        may_finish: Callable[[], bool],
        own_rules: Callable[[], Sequence[ReplyRule]] = tuple,
    ) -> None:
        self.hostname = hostname
        self.resolver = resolver
        self.clock = clock
        self.content = content
        self.may_finish = may_finish
        self.own_rules = own_rules
        self._seven_bit = Converter()
        self._visits: set[Visit] = set()

    async def deliver(self, batch: Batch, kept: Session | None) -> tuple[Sequence[Tried], Session | None]:
        """Try a batch: on the connection `kept` where it still stands, else on a new one.

        Args:
            batch: messages of one content, sender and destination.
            kept: a connection of this destination, used before.

        Returns:
            What came of each message, and the connection where it can be used again.
        """
        visit = Visit(batch, self.clock, self.own_rules())
        self._visits.add(visit)
        try:
            session = await self._visit(visit, kept)
        except asyncio.CancelledError:
            if not visit.ended_by_us():
                raise
            session = None
        except NotFound as error:
            visit.give_up(fault(f"its content is not to be had: {error}"))
            session = kept
        except Exception as error:
            logger.exception("a fault of ours in an attempt for %s", batch.destination)
            visit.give_up(fault(f"a fault of mailqueue's own: {error!r}"))
            session = None
        finally:
            self._visits.discard(visit)
        if kept is not None and session is not kept:
            kept.abort()
        return visit.tried, session

    def no_way(self, batch: Batch, failure: ResolveFailure) -> Sequence[Tried]:
        """Return what a batch comes to for which there is no host."""
        visit = Visit(batch, self.clock, self.own_rules())
        visit.give_up(judge.resolve_failed(failure.permanent, failure.enhanced, failure.text))
        return visit.tried

    def not_tried(
        self, messages: Sequence[Claimed], transport: Transport, destination: str, error: str
    ) -> Sequence[Tried]:
        """Return what messages come to whose destination is not tried, as it is in trouble."""
        batch = Batch(
            transport=transport,
            route_id=None,
            destination=destination,
            smtputf8=False,
            messages=tuple(messages),
        )
        visit = Visit(batch, self.clock)
        visit.give_up(judge.not_tried(destination, error))
        return visit.tried

    def break_off(self) -> None:
        """End every attempt that is under way: what was not answered by now is lost."""
        for visit in list(self._visits):
            visit.break_off()

    async def _visit(self, visit: Visit, kept: Session | None) -> Session | None:
        transport = visit.batch.transport
        if transport.kind is TransportKind.FAIL:
            visit.give_up(judge.refused_by_transport(transport, visit.own_rules))
            return None
        content = self.content(visit.batch.messages[0])
        if kept is not None and kept.usable:
            left = await self._transactions(visit, kept, content, visit.what_may_leave(kept), visit.waiting)
            if visit.over:
                return kept
            if left:
                await kept.quit()
            visit.forget_silence()
        found = await self._targets(visit.batch, transport)
        if isinstance(found, ResolveFailure):
            visit.settle_refused()
            visit.give_up(judge.resolve_failed(found.permanent, found.enhanced, found.text))
            return None
        targets = found if kept is None else visit.other_family_first(found, kept)
        return kept if visit.over else await self._try(visit, targets, content)

    async def _try(self, visit: Visit, targets: Sequence[Target], content: Content) -> Session | None:
        """Try one server after the other until every recipient has an answer."""
        for number in range(len(targets)):
            refused_before = visit.refused
            session = await self._at(visit, targets, number, content)
            visit.settle_refused(refused_before)
            if visit.over:
                return session
            if session is not None:
                await session.quit()
        visit.settle_waiting()
        return None

    async def _at(
        self, visit: Visit, targets: Sequence[Target], number: int, content: Content
    ) -> Session | None:
        """Try one server, on further connections where one may carry only so much; return the last."""
        session = await self._open(visit, targets[number])
        if session is None:
            return None
        goes_on = visit.what_may_go_on(targets, number)
        left = await self._transactions(visit, session, content, goes_on, visit.waiting)
        while left:
            await session.quit()
            session = await self._open(visit, targets[number])
            if session is None:
                return None
            left = await self._transactions(visit, session, content, goes_on, left)
        return session

    async def _open(self, visit: Visit, target: Target) -> Session | None:
        """Return a session with a server; None where none is had, which is noted."""
        try:
            session = await open_session(
                target.host,
                target.ip,
                target.port,
                hostname=self.hostname,
                security=_security(visit.batch.transport),
            )
        except SessionFailed as failed:
            visit.failed(target, failed)
            return None
        session.before_final_dot = self.may_finish
        if session.tls_fallback is not None:
            logger.warning(
                "%s [%s]: in the clear, as TLS failed: %s", target.host, target.ip, session.tls_fallback
            )
        return session

    async def _targets(self, batch: Batch, transport: Transport) -> list[Target] | ResolveFailure:
        hops = await next_hops(self.resolver, transport, batch.messages[0].domain)
        if isinstance(hops, ResolveFailure):
            return hops
        return [Target(host.name, ip, transport.port) for host in hops.hosts for ip in host.addresses]

    async def _transactions(
        self,
        visit: Visit,
        session: Session,
        content: Content,
        goes_on: GoesOn,
        waiting: Sequence[Claimed],
    ) -> Sequence[Claimed]:
        """Send to `waiting`, in further transactions where the server takes only so many at once.

        Each connection carries one transaction at least, so that asking for another comes to an end.

        Returns:
            Those who need another connection: this one may carry no more.
        """
        while waiting and session.usable:
            fitting = session.fitting([message.recipient for message in waiting])
            if not fitting:
                break
            sending = [waiting[index] for index in fitting]
            visit.session = session
            envelope = _envelope(sending, visit.batch.smtputf8, session)
            envelope, sent = await self._suited(envelope, session, sending[0].content_id, content)
            result = await session.send(envelope, sent)
            visit.session = None
            rest = [message for index, message in enumerate(waiting) if index not in fitting]
            if result.lost is not None:  # on this server the others would fare no better
                sending, rest = sending + rest, []
            again = judge.split_off(result)
            results = judge.outcomes(result, len(sending), visit.own_rules)
            if visit.batch.transport.kind.names_host:
                results = tuple(map(judge.of_named_host, results))
            facts = visit.facts(session, result, converted=sent is not content)
            for index, (message, outcome) in enumerate(zip(sending, results, strict=True)):
                if index not in again:
                    visit.note(message, outcome, facts, final=not goes_on(outcome))
            waiting = [*(sending[index] for index in again), *rest]
        return waiting

    async def _suited(
        self, envelope: Envelope, session: Session, content_id: int, content: Content
    ) -> tuple[Envelope, Content]:
        """Return envelope and content as a server can take them: 7-bit where all it lacks is 8BITMIME."""
        refusal = lacks(envelope, session.capabilities) if envelope.eight_bit else None
        if refusal is None or refusal.enhanced != codes.CONVERSION_NEEDED:
            return envelope, content
        made = await self._seven_bit(content_id, content)
        if isinstance(made, str):
            return replace(envelope, stays_eight_bit=made), content
        return replace(envelope, eight_bit=False, size=made.size), made


def _security(transport: Transport) -> Security:
    known = transport.username is not None and transport.password is not None
    return Security(
        tls=SessionTls(transport.tls.value),
        implicit=transport.kind is TransportKind.SUBMISSIONS,
        ca_file=transport.ca_file,
        credentials=Credentials(username=transport.username or "", password=transport.password or "")
        if known
        else None,
        mechanism=None if transport.auth is None else Mechanism(transport.auth.value),
    )


def _envelope(messages: Sequence[Claimed], smtputf8: bool, session: Session) -> Envelope:
    first = messages[0]
    # A bounce goes without REQUIRETLS rather than not at all, still under TLS (RFC 8689 5).
    unsaid = first.sender == "" and not session.capabilities.requiretls
    return Envelope(
        sender=first.return_path,
        recipients=tuple(message.recipient for message in messages),
        size=first.size,
        eight_bit=first.eight_bit,
        smtputf8=smtputf8,
        ret=first.ret,
        envid=first.envid,
        notify=_said(message.notify for message in messages),
        orcpt=_said(message.orcpt for message in messages),
        require_tls=None if unsaid else first.require_tls,
    )


def _said(wishes: Iterable[str | None]) -> tuple[str | None, ...]:
    """Return the wishes of all recipients; () where none has any, as in nearly all mail."""
    found = tuple(wishes)
    return found if any(found) else ()

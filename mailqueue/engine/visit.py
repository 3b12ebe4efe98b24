"""A batch on its way: who still waits for an answer, and what the others got.

The rule: whatever happens, every recipient ends with one answer. What one server leaves open, the next
may answer; what the last one leaves open is settled with the best that was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailqueue.clock import Clock
from mailqueue.mail import codes
from mailqueue.mail.smtp import Cause, TransactionResult
from mailqueue.model.attempt import Category, Facts, Outcome, OutcomeKind, Scope
from mailqueue.model.message import Claimed
from mailqueue.model.rules import ReplyRule, TransportKind
from mailqueue.net.connect import SessionFailed
from mailqueue.net.session import Session
from mailqueue.policy import outcome as judge
from mailqueue.policy.batch import Batch


@dataclass(slots=True)
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


_CONVERTED = "[the content was made 7-bit, as 8BITMIME is not offered]\n"

GoesOn = Callable[[Outcome], bool]
"""Says whether an outcome is left to the next server."""


class Visit:
    """A batch on its way: who waits for an answer, and what the others got.

    Attributes:
        batch: the messages, and their way out.
        own_rules: the operator's, about replies.
        tried: what is settled so far.
        session: on which a transaction runs. None: none does.
    """

    def __init__(self, batch: Batch, clock: Clock, own_rules: Sequence[ReplyRule] = ()) -> None:
        self.batch = batch
        self.own_rules = own_rules
        self.tried: list[Tried] = []
        self.session: Session | None = None
        self._clock = clock
        self._started = clock.now()
        self._waiting: dict[int, Claimed] = {message.id: message for message in batch.messages}
        self._best: dict[int, Tried] = {}
        self._family_changed = False
        self._task = asyncio.current_task()
        self._broken_off = False

    @property
    def waiting(self) -> list[Claimed]:
        """Messages without an answer."""
        return list(self._waiting.values())

    @property
    def over(self) -> bool:
        """Every recipient has an answer, or none will come."""
        if self._broken_off:
            self.settle_waiting()
        return not self._waiting

    @property
    def refused(self) -> list[int]:
        """Messages that a server refused for good, and that are put to its other address."""
        return [key for key, tried in self._best.items() if tried.outcome.kind is OutcomeKind.FAILED]

    def note(self, message: Claimed, outcome: Outcome, facts: Facts, *, final: bool) -> None:
        """Note what a server said; `final`: no other is asked."""
        tried, before = Tried(message, outcome, facts), self._best.get(message.id)
        if before is not None and _judged_by_address(before.outcome) and _host_trouble(outcome):
            tried = before  # its other address had nothing to say
        if final:
            self.tried.append(tried)
            del self._waiting[message.id]
            self._best.pop(message.id, None)
        else:
            self._best[message.id] = tried

    # -- breaking off ------------------------------------------------------------------------------
    def break_off(self) -> None:
        """End it with what is known by now."""
        self._broken_off = True
        if self.session is not None:
            self.session.abort()
        elif self._task is not None:
            self._task.cancel()  # no transaction runs

    def ended_by_us(self) -> bool:
        """Return whether it was `break_off` that cancelled it; then it is over."""
        if not self._broken_off or self._task is None or self._task.uncancel() > 0:
            return False
        self.settle_waiting()
        return True

    # -- outcomes ----------------------------------------------------------------------------------
    def failed(self, target: Target, failed: SessionFailed) -> None:
        """Note that no session with a server was had."""
        lost = failed.lost
        of_transport = f"transport {self.batch.transport.name}: " if lost.cause is Cause.AUTH else ""
        outcome = judge.session_failed(
            lost.phase, lost.reply, f"{of_transport}{failed}", lost.cause, self.own_rules
        )
        if failed.tls_failed and self.batch.messages[0].require_tls:
            outcome = judge.cannot_protect(outcome, lost.cause)
        facts = self._facts(host=target.host, address=_address(target), transcript=failed.transcript)
        for message in self.waiting:
            # What a server said about the mail outweighs that the next one was not to be reached.
            if message.id not in self._best:
                self.note(message, outcome, facts, final=False)
        if outcome.scope is Scope.DESTINATION:  # the same password elsewhere is one more try too many
            self.settle_waiting()

    def settle_waiting(self) -> None:
        """Give those who wait the best that was heard."""
        for message in self.waiting:
            tried = self._best.get(message.id)
            if tried is None:
                tried = Tried(message, _broken_off() if self._broken_off else _untried(), self._facts())
            self.note(message, tried.outcome, tried.facts, final=True)

    def settle_refused(self, which: Sequence[int] | None = None) -> None:
        """Let refusals stand: all, or those of `which` that the other address has not answered better."""
        for key in self.refused if which is None else which:
            if key in self._waiting:
                tried = self._best[key]
                self.note(tried.message, tried.outcome, tried.facts, final=True)

    def give_up(self, outcome: Outcome) -> None:
        """Give all who wait the same outcome."""
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
        this, following = targets[number], targets[number + 1]
        if not self._may_change_family or not _other_family(this.host, this.ip, following):
            return _host_trouble
        self._family_changed = True
        return _host_trouble_or_judged_by_address

    def what_may_leave(self, kept: Session) -> GoesOn:
        """Return which outcomes on a kept connection are no answer yet.

        One that the server has left is no attempt: a new one follows.
        """
        return _host_trouble_or_judged_by_address if self._may_change_family else _host_trouble

    def other_family_first(self, targets: Sequence[Target], kept: Session) -> Sequence[Target]:
        """Return the order for what a kept connection left: what it refused goes to its other address."""
        if not self.refused:
            return targets
        other = next((each for each in targets if _other_family(kept.host, kept.ip, each)), None)
        if other is None:
            self.settle_refused()
            return targets
        self._family_changed = True
        return [other, *(each for each in targets if each is not other)]

    @property
    def _may_change_family(self) -> bool:
        direct = self.batch.transport.kind is TransportKind.DIRECT
        return direct and self.batch.messages[0].attempts == 1 and not self._family_changed

    def facts(self, session: Session, result: TransactionResult, *, converted: bool = False) -> Facts:
        """Return where a transaction went, and how; `converted`: with content made 7-bit."""
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
            dsn=session.capabilities.dsn,
            converted=converted,
            transcript=None if clean else (_CONVERTED if converted else "") + session.transcript(),
        )

    def _facts(
        self,
        *,
        host: str | None = None,
        address: str | None = None,
        tls: str | None = None,
        tls_verified: str | None = None,
        size: int | None = None,
        dsn: bool = False,
        converted: bool = False,
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
            dsn=dsn,
            converted=converted,
            transcript=transcript,
        )


def _host_trouble(outcome: Outcome) -> bool:
    """Return whether the trouble is the server's or the connection's, so that another may do better."""
    return outcome.kind is OutcomeKind.DEFERRED and outcome.scope in (Scope.SESSION, Scope.HOST)


def _judged_by_address(outcome: Outcome) -> bool:
    """Return whether it is a 5.7.x refusal, which may be about the family of our address (row D1)."""
    status = outcome.status
    return outcome.kind is OutcomeKind.FAILED and status is not None and status[:2] == (5, 7)


def _host_trouble_or_judged_by_address(outcome: Outcome) -> bool:
    return _host_trouble(outcome) or _judged_by_address(outcome)


def _nowhere(outcome: Outcome) -> bool:
    return False


def _other_family(host: str, ip: str, target: Target) -> bool:
    return target.host == host and (":" in target.ip) != (":" in ip)


def fault(text: str) -> Outcome:
    """Return the outcome of an attempt that came to nothing on our side."""
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=Category.OTHER,
        scope=Scope.MESSAGE,
        status=codes.EnhancedCode(4, 3, 0),
        error=text,
    )


def _untried() -> Outcome:
    return fault("no server was tried")


def _broken_off() -> Outcome:
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=Category.INTERRUPTED,
        scope=Scope.SESSION,
        status=codes.BAD_CONNECTION,
        error="broken off before the message was sent: the engine was stopping",
    )


def _address(target: Target) -> str:
    return f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"

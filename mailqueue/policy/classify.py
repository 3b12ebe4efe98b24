"""What a reply means, from its text, its code, its enhanced code and the command it answered.

The rule: the operator's own rules are asked first, then those about texts (replies.toml), then the
table by code; each is read from the top, the first that matches counts. Whether it is tried again is
none of the table's business: the first digit of the reply's code says that (RFC 5321 4.2.1), unless a
rule about the text says otherwise. A 421 closes the connection and says nothing for good about the
mail, so no rule makes it permanent.

RFC 3463 and 5248 (enhanced codes), RFC 5321 4.2.3 (codes), RFC 4954 (AUTH), 3207 (STARTTLS), 7372
(authentication), 7504 (521, 556), 7505 (null MX), 8689 (REQUIRETLS), 6531 (SMTPUTF8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.attempt import Category, Scope
from mailqueue.model.rules import ReplyRule
from mailqueue.model.verdict import RuleKind, Verdict
from mailqueue.policy.replies import TextRule, find_own, find_shipped


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: which replies it is for, and what they mean."""

    code: str
    """Pattern of the reply code: '?' stands for a digit, '*' for all."""
    enhanced: str
    """Pattern of the enhanced code's subject and detail; a reply without one, or with X.0.0, has '-'."""
    phase: str
    """The command that was answered (`Phase`); '*' for all."""
    category: Category
    note: str
    """Why, for people."""
    status: tuple[int, int] = (0, 0)
    """Subject and detail that we give where the reply has none; (0, 0): only the class is known."""
    scope: Scope | None = None
    """What it is charged to. None: what the phase says."""

    def matches(self, code: str, enhanced: str, phase: str) -> bool:
        """Return whether the row is for such a reply."""
        return (
            fnmatchcase(code, self.code)
            and fnmatchcase(enhanced, self.enhanced)
            and fnmatchcase(phase, self.phase)
        )


_C, _R, _M = Category, Scope.RECIPIENT, Scope.MESSAGE

TABLE: tuple[Row, ...] = (
    # code, enhanced, phase, category, note, status, scope
    #
    # -- 421: the server closes, which says more about the server than about the mail (RFC 5321 3.8)
    Row("421", "7.*", "*", _C.RATE_LIMITED, "closed for policy: it wants less, or later"),
    Row("421", "4.[12]", "*", _C.NETWORK, "closed because it waited too long for us, or lost its own line"),
    Row("421", "4.5", "*", _C.RATE_LIMITED, "closed because it has too much to do"),
    Row("421", "*", "*", _C.SYSTEM, "closed: shutting down, overloaded or full", (3, 2)),
    #
    Row("*", "*", "starttls", _C.TLS, "it offered STARTTLS and refuses it (RFC 3207)", (7, 0)),
    Row("4??", "*", "auth", _C.AUTH, "it cannot check the password now (RFC 4954)", (7, 0)),
    Row("5??", "*", "auth", _C.AUTH, "user name, password or mechanism refused (RFC 4954)", (7, 8)),
    #
    # -- X.1: addresses (RFC 3463 3.2)
    Row("*", "1.2", "*", _C.DOMAIN_UNKNOWN, "the recipient's domain is not known there", scope=_R),
    Row("*", "1.10", "*", _C.DOMAIN_UNKNOWN, "the recipient's domain takes no mail (RFC 7505)", scope=_R),
    Row("*", "1.[78]", "*", _C.POLICY, "it does not like the sender's address", scope=_M),
    Row("*", "1.[59]", "*", _C.OTHER, "a code of success on a refusal"),
    Row("*", "1.*", "*", _C.MAILBOX_UNKNOWN, "no such address, or none that it can use", scope=_R),
    #
    # -- X.2: mailboxes (RFC 3463 3.3)
    Row("*", "2.1", "*", _C.MAILBOX_DISABLED, "the mailbox is there and takes no mail", scope=_R),
    Row("*", "2.2", "*", _C.MAILBOX_FULL, "the mailbox is full", scope=_R),
    Row("*", "2.3", "*", _C.TOO_LARGE, "longer than this mailbox takes", scope=_R),
    Row("*", "2.4", "*", _C.SYSTEM, "a list could not be expanded", scope=_R),
    Row("*", "2.*", "*", _C.OTHER, "something about the mailbox, and it does not say what", scope=_R),
    #
    # -- X.3: the receiving system (RFC 3463 3.4)
    Row("*", "3.3", "*", _C.CAPABILITY, "it cannot do what the message needs", scope=_M),
    Row("*", "3.4", "*", _C.TOO_LARGE, "larger than the system takes", scope=_M),
    Row("*", "3.*", "*", _C.SYSTEM, "the receiving system is in trouble: full, closed, set up wrongly"),
    #
    # -- X.4: network and routing (RFC 3463 3.5)
    Row("*", "4.[34]", "*", _C.DNS, "it could not look up, or find a way"),
    Row("*", "4.5", "*", _C.RATE_LIMITED, "the receiving system has too much to do"),
    Row("*", "4.6", "*", _C.SYSTEM, "the message goes round in a loop", scope=_M),
    Row("*", "4.7", "*", _C.OTHER, "it gave up for lack of time"),
    Row("*", "4.*", "*", _C.NETWORK, "trouble of the network behind it"),
    #
    # -- X.5: the protocol (RFC 3463 3.6)
    Row("*", "5.3", "*", _C.RATE_LIMITED, "too many recipients at once", scope=_M),
    Row("*", "5.*", "*", _C.PROTOCOL, "it did not understand us, or does not want to"),
    #
    # -- X.6: content (RFC 3463 3.7, RFC 6531 4.2)
    Row("*", "6.3", "*", _C.CAPABILITY, "it would have to convert the content, and cannot", scope=_M),
    Row(
        "*",
        "6.[789]",
        "*",
        _C.CAPABILITY,
        "addresses or header beyond ASCII, which it does not take",
        scope=_M,
    ),
    Row("*", "6.10", "*", _C.CAPABILITY, "a reply beyond ASCII would be needed", scope=_M),
    Row("*", "6.*", "*", _C.CONTENT, "it does not take this content", scope=_M),
    #
    # -- X.7: security and policy (RFC 3463 3.8, RFC 4954, 7372, 8689)
    Row("451", "7.1", "*", _C.GREYLISTED, "not yet: unknown senders have to come twice"),
    Row("53[0458]", "7.[01]", "*", _C.AUTH, "it wants us to authenticate first (RFC 4954)"),
    Row("454", "7.[01]", "*", _C.AUTH, "it cannot check the password now (RFC 4954 4.7.0)"),
    Row("*", "7.[89]", "*", _C.AUTH, "user name, password or mechanism refused"),
    Row("*", "7.1[234]", "*", _C.AUTH, "the account is not allowed to send"),
    Row("*", "7.1[01]", "*", _C.TLS, "it demands an encrypted connection"),
    Row("*", "7.30", "*", _C.TLS, "REQUIRETLS, and it has it not (RFC 8689)", scope=_M),
    Row("*", "7.[346]", "*", _C.CAPABILITY, "a security feature that it does not have", scope=_M),
    Row("*", "7.16", "*", _C.TOO_LARGE, "too large for its priority (RFC 6710)", scope=_M),
    Row("*", "7.1[789]", "*", _C.POLICY, "the mailbox may have another owner (RFC 7293)", scope=_R),
    Row("*", "7.25", "*", _C.REPUTATION, "our address has no proper name in DNS (RFC 7372)"),
    Row("*", "7.28", "*", _C.RATE_LIMITED, "too much mail in too short a time"),
    Row("*", "7.*", "*", _C.POLICY, "policy does not allow it"),
    #
    # -- no enhanced code, or one that says nothing: the reply code and the command (RFC 5321 4.2.3, 4.3.2)
    Row("450", "*", "rcpt", _C.OTHER, "mailbox busy, or blocked for now: it does not say which", (2, 0)),
    Row("450", "*", "*", _C.OTHER, "not now; it does not say why"),
    Row("451", "*", "*", _C.SYSTEM, "an error in the receiving system", (3, 0)),
    Row("452", "*", "*", _C.SYSTEM, "no room in the receiving system", (3, 1)),
    Row("454", "*", "*", _C.AUTH, "it cannot check the password now (RFC 4954)", (7, 0)),
    Row("455", "*", "*", _C.CAPABILITY, "it cannot do what a parameter asks for, for now", (5, 4)),
    Row("500", "*", "*", _C.PROTOCOL, "it does not know the command", (5, 2)),
    Row("50[14]", "*", "*", _C.PROTOCOL, "it does not take a parameter", (5, 4)),
    Row("50[23]", "*", "*", _C.PROTOCOL, "it does not take the command here", (5, 1)),
    Row("521", "*", "*", _C.SYSTEM, "this host takes no mail (RFC 7504)", (3, 2)),
    Row("530", "*", "*", _C.AUTH, "it wants us to authenticate first (RFC 4954)", (7, 0)),
    Row("534", "*", "*", _C.AUTH, "the mechanism is too weak (RFC 4954)", (7, 9)),
    Row("535", "*", "*", _C.AUTH, "user name or password refused (RFC 4954)", (7, 8)),
    Row("538", "*", "*", _C.AUTH, "the mechanism needs encryption (RFC 4954)", (7, 11)),
    Row("550", "*", "rcpt", _C.MAILBOX_UNKNOWN, "no such mailbox, or none for us", (1, 0)),
    Row("551", "*", "rcpt", _C.MAILBOX_UNKNOWN, "the user is not there (RFC 5321 3.4)", (1, 6)),
    Row("552", "*", "rcpt", _C.MAILBOX_FULL, "the mailbox has no room left", (2, 2)),
    Row("552", "*", "*", _C.TOO_LARGE, "larger than it takes (RFC 1870 6)", (3, 4)),
    Row("553", "*", "rcpt", _C.MAILBOX_UNKNOWN, "it does not take such an address", (1, 3)),
    Row("553", "*", "mail", _C.POLICY, "it does not take such a sender", (1, 7)),
    Row("555", "*", "*", _C.PROTOCOL, "it does not know a parameter of MAIL or RCPT", (5, 4)),
    Row("556", "*", "*", _C.DOMAIN_UNKNOWN, "the domain takes no mail (RFC 7504)", (1, 10), _R),
    Row("55?", "*", "*", _C.POLICY, "refused; it does not say why"),
    Row("[45]??", "*", "*", _C.OTHER, "a code that nobody has given a meaning"),
)
"""What replies mean. Every 4yz and 5yz reply has a row."""

_UNEXPECTED = Row("*", "*", "*", Category.PROTOCOL, "not an answer to this command", (5, 0))

_BEFORE_MAIL = frozenset(
    {Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.HELO, Phase.STARTTLS, Phase.TLS, Phase.AUTH}
    | {Phase.IDLE, Phase.RSET}
)


_ABOUT_RECIPIENTS = {Phase.RCPT, Phase.DATA, Phase.BODY, Phase.BDAT, Phase.FINAL}
"""Before RCPT, "user unknown" can only be the sender: such texts mean nothing there."""
_RECIPIENT = {_C.MAILBOX_UNKNOWN, _C.MAILBOX_DISABLED, _C.MAILBOX_FULL, _C.DOMAIN_UNKNOWN}
_MESSAGE = {_C.CONTENT, _C.TOO_LARGE, _C.CAPABILITY}
_SCOPES = dict.fromkeys(_RECIPIENT, _R) | dict.fromkeys(_MESSAGE, _M)

_STATUS = {
    _C.MAILBOX_UNKNOWN: (1, 1),
    _C.MAILBOX_DISABLED: (2, 1),
    _C.MAILBOX_FULL: (2, 2),
    _C.DOMAIN_UNKNOWN: (1, 2),
    _C.GREYLISTED: (7, 1),
    _C.RATE_LIMITED: (7, 0),
    _C.REPUTATION: (7, 1),
    _C.POLICY: (7, 1),
    _C.CONTENT: (6, 0),
    _C.TOO_LARGE: (3, 4),
    _C.CAPABILITY: (3, 3),
    _C.AUTH: (7, 0),
    _C.DNS: (4, 3),
    _C.NETWORK: (4, 2),
    _C.TLS: (7, 10),
    _C.SYSTEM: (3, 0),
    _C.PROTOCOL: (5, 0),
}
"""Subject and detail that we give for what a text says, where the reply has none (RFC 3463 3)."""


def classify(reply: Reply, phase: str, own: Sequence[ReplyRule] = ()) -> Verdict:
    """Return what a reply means.

    Args:
        reply: what the server said; of one that is no refusal the verdict says that it is out of place.
        phase: what it was said to (`Phase`).
        own: the operator's rules, in the order in which they are asked.
    """
    if reply.transient or reply.permanent:
        if own and (mine := find_own(reply, own)) is not None:
            return _verdict(reply, phase, mine, RuleKind.OWN, str(mine.id), f"by {mine.actor}")
        text = find_shipped(reply)
        if text is not None and (phase in _ABOUT_RECIPIENTS or text.category not in _RECIPIENT):
            return _verdict(reply, phase, text, RuleKind.TEXT, text.name, text.source)
    return by_code(reply, phase)


def by_code(reply: Reply, phase: str) -> Verdict:
    """Return what the table says of a reply, whatever its text; arguments as `classify`."""
    row = row_for(reply, phase)
    return Verdict(
        reply=reply,
        category=row.category,
        scope=_charged_to(reply.code, row.scope, phase),
        permanent=reply.permanent,
        status=_status_of(reply, row.status, reply.permanent),
        kind=RuleKind.CODE,
        rule=f"{row.code} {row.enhanced} {row.phase}",
        note=row.note,
        source="",
    )


def _verdict(
    reply: Reply, phase: str, rule: ReplyRule | TextRule, kind: RuleKind, name: str, source: str
) -> Verdict:
    permanent = reply.permanent if rule.permanent is None or reply.code == 421 else rule.permanent
    status = _STATUS.get(rule.category) or row_for(reply, phase).status
    return Verdict(
        reply=reply,
        category=rule.category,
        scope=_charged_to(reply.code, _SCOPES.get(rule.category), phase),
        permanent=permanent,
        status=_status_of(reply, status, permanent),
        kind=kind,
        rule=name,
        note=rule.note,
        source=source,
    )


def _charged_to(code: int, scope: Scope | None, phase: str) -> Scope:
    """Return what a refusal is charged to: the host before MAIL or where it closes, else the mail."""
    if code == 421 or phase in _BEFORE_MAIL:
        return Scope.HOST
    if scope is not None:
        return scope
    return Scope.RECIPIENT if phase == Phase.RCPT else Scope.MESSAGE


def _status_of(reply: Reply, ours: tuple[int, int], permanent: bool) -> EnhancedCode:
    """Return the enhanced code to report: the server's, else ours."""
    cls = 5 if permanent else 4
    return reply.enhanced.with_class(cls) if reply.enhanced is not None else EnhancedCode(cls, *ours)


def row_for(reply: Reply, phase: str) -> Row:
    """Return the row of the table for a reply."""
    detail = reply.enhanced[1:] if reply.enhanced is not None else (0, 0)
    return _find(reply.code, detail, phase)


@lru_cache(maxsize=1024)
def _find(code: int, detail: tuple[int, ...], phase: str) -> Row:
    enhanced = "-" if detail == (0, 0) else ".".join(map(str, detail))
    return next((row for row in TABLE if row.matches(str(code), enhanced, phase)), _UNEXPECTED)

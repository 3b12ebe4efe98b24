"""What a reply is taken to mean, and which rule says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.model.attempt import Category, Scope


class RuleKind(StrEnum):
    """Where the rule comes from, in the order in which they are asked."""

    OWN = "own"
    """A rule of the operator's, `queue.reply_rules`."""
    TEXT = "text"
    """A rule that comes with mailqueue and looks at the text of the reply."""
    CODE = "code"
    """A row of the table that looks at code, enhanced code and the command that was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one reply means for the message it is about."""

    reply: Reply
    """What was said."""
    category: Category
    """What kind of answer it is."""
    scope: Scope
    """What it is charged to."""
    permanent: bool
    """Whether it is no use to try again. What refuses a whole session is tried again all the same."""
    status: EnhancedCode
    """The enhanced code to report: the server's, else ours; 4.x.x where it is tried again."""
    kind: RuleKind
    """Where the rule comes from."""
    rule: str
    """Which one: the id of an own rule, the name of a shipped one, the pattern of codes of a row."""
    note: str
    """Why, for people."""
    source: str
    """Who answers so, or the RFC; '': it is not said."""

    @property
    def overrides(self) -> bool:
        """Whether it is tried again, or not, against what the first digit of the code says."""
        return self.permanent is not self.reply.permanent

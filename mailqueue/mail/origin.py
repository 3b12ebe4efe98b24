"""Who a message seems to come from: a mail system that gives notice, or somebody else.

Nothing in a header can be believed, but an ordinary message has no reason to look like a notice. So
what is read as one without having the form of RFC 3464 must come from a mail system first.

RFC 5321 4.5.5 (the null return path), RFC 2919 and 2369 (lists).
"""

from __future__ import annotations

import re

from mailqueue.mail.header import decode_words
from mailqueue.mail.mime import Part

_LONGEST = 1000
_DAEMONS = (
    r"mailer?[-_. ]?d(?:ae|ea|e)mon|\bmailer\b",
    r"mail[-_. ]?(?:delivery|administrator|router|system|gateway|server)",
    r"post[-_.]?master|post[-_. ]?office|\bmmdf\b|smtp[-_. ]?(?:gateway|server)|mail[-_. ]?marshal",
    r"delivery[-_. ]?(?:(?:sub)?system|status|notification|agent|failure|report)",
    r"system[-_. ]?administrator|microsoft[-_. ]?exchange|\bbounces?\b|undeliver|non[- ]?deliver",
)
_SUBJECTS = (
    # English
    r"un-?deliver|non[- ]?deliver|not (?:be )?deliver|returned (?:mail|message|e-?mail|to sender)",
    r"delivery.{0,20}(?:fail|notif|report|error|problem|delay|status|unsuccessful|attempt)",
    r"(?:fail|error|problem|delay|unable|could ?n[o']t|can ?n?[o']t|unsuccessful).{0,30}deliver",
    r"(?:mail|message).{0,30}(?:fail|return|reject|error|bounce|delayed)",
    r"(?:fail|reject|delay)(?:ure|ed).{0,10}(?:notice|mail|message)|^(?:failed|bounce[ds]?|dsn|ndr|rejected|delayed):",
    r"warning: (?:could not|message)|(?:user|recipient|address) (?:unknown|not found)",
    r"unknown (?:user|recipient|address)",
    # German, Dutch, the Scandinavian languages
    r"unzustellbar|nicht zu(?:ge)?stell|zustell(?:ung|fehler|bericht)|fehlgeschlagen",
    r"onbestelbaar|niet (?:be|af|ge)|olevererbar|kunde inte levereras|kunne ikke leveres|ikke leveret",
    # French, Spanish, Portuguese, Italian
    r"non[- ]remis|non[- ]distribu|n'a pas pu|échec d",
    r"no se (?:puede|pudo)|no entreg|error de entrega|devuelto",
    r"não (?:foi|pôde|entreg)|falha na entrega|devolvid",
    r"mancat[ao].{0,15}(?:consegna|recapito)|impossibile|non recapit",
    # Polish, Russian, Japanese, Chinese
    r"niedostarczon|nie dostarczon|недостав|не достав|невозможн|не удал|возврат",
    r"送信.{0,6}(?:失敗|エラー|でき)|配[信達送].{0,6}(?:失敗|不能|エラー|でき)|退信|退回|投递|無法|无法",
)
_DAEMON = re.compile("|".join(_DAEMONS), re.IGNORECASE)
_SUBJECT = re.compile("|".join(_SUBJECTS), re.IGNORECASE)
_LIST_FIELDS = ("list-id", "list-post", "list-unsubscribe", "mailing-list")


def has_null_path(head: Part, sender: str | None = None) -> bool:
    """Return whether a message has the null return path, which no person's mail has.

    Args:
        head: the message.
        sender: its envelope sender, where it is known; None: as Return-Path says.
    """
    path = head.value("return-path") if sender is None else sender
    return path is not None and path.strip(" ") in ("", "<>")


def is_from_daemon(head: Part) -> bool:
    """Return whether From is there and names a mail system (MAILER-DAEMON, postmaster ...), or nobody."""
    if head.value("from") is None:
        return False
    author = readable(head, "from")
    return author.strip(' <>"') == "" or bool(_DAEMON.search(author))


def is_list_mail(head: Part) -> bool:
    """Return whether a mailing list, or who sends to many, sent the message."""
    return any(head.value(name) is not None for name in _LIST_FIELDS)


def has_notice_subject(head: Part) -> bool:
    """Return whether the subject is one that notices have, in the languages they come in."""
    return bool(_SUBJECT.search(readable(head, "subject")))


def is_notice(head: Part, sender: str | None = None) -> bool:
    """Return whether a message comes from a mail system that may be telling of a delivery.

    Its author has to be a mail system, or its return path the null one and its subject a notice's.
    """
    if is_list_mail(head) and not has_null_path(head, sender):
        return False
    return is_from_daemon(head) or (has_null_path(head, sender) and has_notice_subject(head))


def readable(head: Part, name: str) -> str:
    """Return the first field called `name` for people, encoded words decoded; empty if there is none."""
    return decode_words((head.value(name) or "")[:_LONGEST].encode("utf-8", "replace"))

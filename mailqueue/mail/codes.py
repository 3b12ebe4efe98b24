"""The numbers of SMTP: basic reply codes and enhanced status codes, with names and sentences.

Nothing here decides what a code means for a message (policy does); this is the registry that
names them and tells people in a sentence what they say.

RFC 5321 4.2 (reply codes), RFC 3463 and RFC 5248 (enhanced codes and their registry), RFC 3886,
4468, 4954, 6531, 6710, 7293, 7372, 7505, 8617 and 8689 (codes added since).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

# --- basic reply codes (RFC 5321 4.2.3, RFC 4954) ---------------------------------------------
SERVICE_READY: Final = 220
CLOSING: Final = 221
AUTHENTICATED: Final = 235
OK: Final = 250
WILL_FORWARD: Final = 251
CANNOT_VERIFY: Final = 252
AUTH_CONTINUE: Final = 334
START_MAIL_INPUT: Final = 354
SERVICE_NOT_AVAILABLE: Final = 421
MAILBOX_BUSY: Final = 450
LOCAL_ERROR: Final = 451
INSUFFICIENT_STORAGE: Final = 452
TEMPORARY_AUTH_FAILURE: Final = 454
UNABLE_TO_ACCOMMODATE: Final = 455
SYNTAX_ERROR: Final = 500
PARAMETER_SYNTAX_ERROR: Final = 501
NOT_IMPLEMENTED: Final = 502
BAD_SEQUENCE: Final = 503
PARAMETER_NOT_IMPLEMENTED: Final = 504
NO_MAIL_SERVICE: Final = 521
AUTHENTICATION_REQUIRED: Final = 530
AUTHENTICATION_REFUSED: Final = 535
ENCRYPTION_REQUIRED: Final = 538
MAILBOX_UNAVAILABLE: Final = 550
NOT_LOCAL: Final = 551
STORAGE_EXCEEDED: Final = 552
MAILBOX_NAME_NOT_ALLOWED: Final = 553
TRANSACTION_FAILED: Final = 554
PARAMETERS_NOT_RECOGNISED: Final = 555
DOMAIN_REFUSES_MAIL: Final = 556


class EnhancedCode(NamedTuple):
    """An enhanced status code, `class.subject.detail` (RFC 3463 2).

    Attributes:
        cls: 2 success, 4 a failure that may pass, 5 a failure for good.
        subject: 0 to 999; what it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol,
            6 content, 7 policy.
        detail: 0 to 999; what it is, within the subject.
    """

    cls: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.cls}.{self.subject}.{self.detail}"

    def with_class(self, cls: int) -> EnhancedCode:
        """Return the same subject and detail in class `cls` (2, 4 or 5)."""
        return EnhancedCode(cls, self.subject, self.detail)


# --- enhanced codes in use (RFC 3463 3, and the registry) -------------------------------------
SUCCESS: Final = EnhancedCode(2, 0, 0)
ADDRESS_VALID: Final = EnhancedCode(2, 1, 5)
RELAYED_WITHOUT_DSN: Final = EnhancedCode(2, 1, 9)
MESSAGE_ACCEPTED: Final = EnhancedCode(2, 6, 0)

UNDEFINED_FAILURE: Final = EnhancedCode(5, 0, 0)
UNDEFINED_DELAY: Final = EnhancedCode(4, 0, 0)
BAD_MAILBOX: Final = EnhancedCode(5, 1, 1)
BAD_SYSTEM: Final = EnhancedCode(5, 1, 2)
BAD_MAILBOX_SYNTAX: Final = EnhancedCode(5, 1, 3)
MAILBOX_MOVED: Final = EnhancedCode(5, 1, 6)
BAD_SENDER_SYNTAX: Final = EnhancedCode(5, 1, 7)
BAD_SENDER_SYSTEM: Final = EnhancedCode(5, 1, 8)
NULL_MX: Final = EnhancedCode(5, 1, 10)
MAILBOX_DISABLED: Final = EnhancedCode(5, 2, 1)
MAILBOX_FULL: Final = EnhancedCode(4, 2, 2)
TOO_LONG_FOR_MAILBOX: Final = EnhancedCode(5, 2, 3)
LIST_EXPANSION: Final = EnhancedCode(5, 2, 4)
SYSTEM_FULL: Final = EnhancedCode(4, 3, 1)
SYSTEM_CLOSED: Final = EnhancedCode(4, 3, 2)
FEATURE_MISSING: Final = EnhancedCode(5, 3, 3)
TOO_LARGE: Final = EnhancedCode(5, 3, 4)
BAD_CONFIGURATION: Final = EnhancedCode(4, 3, 5)
NO_ANSWER: Final = EnhancedCode(4, 4, 1)
BAD_CONNECTION: Final = EnhancedCode(4, 4, 2)
DIRECTORY_FAILURE: Final = EnhancedCode(4, 4, 3)
ROUTING: Final = EnhancedCode(4, 4, 4)
CONGESTION: Final = EnhancedCode(4, 4, 5)
ROUTING_LOOP: Final = EnhancedCode(5, 4, 6)
EXPIRED: Final = EnhancedCode(4, 4, 7)
PROTOCOL_ERROR: Final = EnhancedCode(5, 5, 0)
INVALID_COMMAND: Final = EnhancedCode(5, 5, 1)
COMMAND_SYNTAX: Final = EnhancedCode(5, 5, 2)
TOO_MANY_RECIPIENTS: Final = EnhancedCode(4, 5, 3)
INVALID_ARGUMENTS: Final = EnhancedCode(5, 5, 4)
CONTENT_ERROR: Final = EnhancedCode(5, 6, 0)
MEDIA_NOT_SUPPORTED: Final = EnhancedCode(5, 6, 1)
CONVERSION_PROHIBITED: Final = EnhancedCode(5, 6, 2)
CONVERSION_NEEDED: Final = EnhancedCode(5, 6, 3)
CONVERSION_FAILED: Final = EnhancedCode(5, 6, 5)
SMTPUTF8: Final = EnhancedCode(5, 6, 7)
SMTPUTF8_HEADER: Final = EnhancedCode(5, 6, 9)
SECURITY: Final = EnhancedCode(5, 7, 0)
POLICY: Final = EnhancedCode(5, 7, 1)
SUPPRESSED: Final = POLICY
"""What a message that our own suppression list stopped carries: refused by policy, ours."""
GREYLISTED: Final = EnhancedCode(4, 7, 1)
AUTHENTICATION_INVALID: Final = EnhancedCode(5, 7, 8)
ENCRYPTION_NEEDED: Final = EnhancedCode(5, 7, 10)
ACCOUNT_DISABLED: Final = EnhancedCode(5, 7, 13)
NO_DKIM_SIGNATURE: Final = EnhancedCode(5, 7, 20)
SPF_FAILED: Final = EnhancedCode(5, 7, 23)
REVERSE_DNS_FAILED: Final = EnhancedCode(5, 7, 25)
AUTHENTICATION_CHECKS_FAILED: Final = EnhancedCode(5, 7, 26)
SENDER_NULL_MX: Final = EnhancedCode(5, 7, 27)
MAIL_FLOOD: Final = EnhancedCode(4, 7, 28)
REQUIRETLS_NEEDED: Final = EnhancedCode(5, 7, 30)

ENHANCED_IN_TEXT: Final = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9]|\.[0-9])")
"""Finds an enhanced code inside a text; what is longer, an address of four numbers say, is none."""
_NUMBER = r"(0|[1-9][0-9]{0,2})"
_ENHANCED = re.compile(rf"([245])\.{_NUMBER}\.{_NUMBER}")


def parse_enhanced(text: str) -> EnhancedCode | None:
    """Return the enhanced code that `text` is, white space around it aside; None if it is none.

    Classes other than 2, 4 and 5 and numbers with leading zeros are no codes (RFC 3463 2).
    """
    text = text.strip(" \t")
    return _parse(text) if len(text) <= len("5.999.999") else None


def find_enhanced(text: str) -> EnhancedCode | None:
    """Return the first enhanced code inside `text`, None if it has none; leading zeros are forgiven."""
    found = ENHANCED_IN_TEXT.search(text)
    return EnhancedCode(int(found[1]), int(found[2]), int(found[3])) if found else None


@lru_cache(maxsize=256)
def _parse(text: str) -> EnhancedCode | None:
    found = _ENHANCED.fullmatch(text)
    if found is None:
        return None
    return EnhancedCode(int(found[1]), int(found[2]), int(found[3]))


def describe(code: EnhancedCode) -> str:
    """Return what `code` says as a sentence for people.

    A code the registry does not have is described by its subject, and an unknown subject by its
    class, as RFC 3463 2 asks of whoever meets codes made after it.
    """
    if code.cls == 2:
        return _SUCCESSES.get((code.subject, code.detail), "It was accepted.")
    known = _SENTENCES.get((code.subject, code.detail)) or _SENTENCES.get((code.subject, 0))
    if known is not None and code.subject != 0:
        return known
    return _CLASSES.get(code.cls, "The receiving system gave a code without a known meaning.")


_CLASSES: Final = {
    4: "It could not be delivered so far; the receiving system did not say why.",
    5: "It could not be delivered; the receiving system did not say why.",
}

_SUCCESSES: Final = {
    (1, 5): "The address is valid.",
    (1, 9): "It was passed on to a system that does not report what becomes of it.",
    (3, 6): "It was accepted with another priority than the one asked for.",
    (6, 0): "The message was accepted.",
    (6, 4): "It was accepted, and changed in a way that may have lost something.",
}

_SENTENCES: Final = {
    (1, 0): "Something is wrong with the address.",
    (1, 1): "There is no such mailbox.",
    (1, 2): "The domain of the address does not exist or takes no mail.",
    (1, 3): "The address is not written as addresses are.",
    (1, 4): "The address could be more than one mailbox.",
    (1, 5): "The address is valid.",
    (1, 6): "The mailbox has moved and left no forwarding address.",
    (1, 7): "The sender's address is not written as addresses are.",
    (1, 8): "The domain of the sender's address does not exist or takes no mail.",
    (1, 9): "It was passed on to a system that does not report what becomes of it.",
    (1, 10): "The domain of the address says that it takes no mail (null MX).",
    (2, 0): "Something is wrong with the mailbox.",
    (2, 1): "The mailbox takes no mail: it is disabled.",
    (2, 2): "The mailbox is full.",
    (2, 3): "The message is longer than the mailbox takes.",
    (2, 4): "The mailing list could not be expanded.",
    (3, 0): "Something is wrong with the receiving mail system.",
    (3, 1): "The receiving mail system has no storage left.",
    (3, 2): "The receiving mail system takes no mail at the moment.",
    (3, 3): "The receiving mail system cannot do what the message needs.",
    (3, 4): "The message is larger than the receiving mail system takes.",
    (3, 5): "The receiving mail system is set up wrongly.",
    (3, 6): "The receiving mail system changed the priority asked for.",
    (4, 0): "Something is wrong with the network or the routing of the mail.",
    (4, 1): "The receiving mail system did not answer.",
    (4, 2): "The connection to the receiving mail system broke.",
    (4, 3): "A directory (such as the domain name system) could not be asked.",
    (4, 4): "No way to the receiving mail system was found.",
    (4, 5): "The receiving mail system has more mail than it can take at the moment.",
    (4, 6): "The message went round in a loop.",
    (4, 7): "It could not be delivered in the time it was given.",
    (5, 0): "The two mail systems did not understand each other.",
    (5, 1): "The receiving mail system refused a command as not valid here.",
    (5, 2): "The receiving mail system refused a command as wrongly written.",
    (5, 3): "The message has more recipients than the receiving mail system takes at once.",
    (5, 4): "The receiving mail system refused a parameter of a command.",
    (5, 5): "The two mail systems speak different versions of the protocol.",
    (5, 6): "A line of the authentication was longer than the receiving mail system takes.",
    (6, 0): "Something is wrong with the content of the message.",
    (6, 1): "The receiving mail system does not take content of this type.",
    (6, 2): "The content would have to be converted, and that is not allowed.",
    (6, 3): "The content would have to be converted, and cannot be.",
    (6, 4): "The content was converted and something may have been lost.",
    (6, 5): "The content could not be converted.",
    (6, 6): "The content of the message was not to be had.",
    (6, 7): "An address in other than ASCII characters is not taken by the receiving mail system.",
    (6, 8): "A reply in other than ASCII characters would be needed, and is not allowed.",
    (6, 9): "A header in other than ASCII characters is not taken by the receiving mail system.",
    (6, 10): "A reply in other than ASCII characters would be needed, and is not allowed.",
    (7, 0): "It was refused for a reason of security or policy.",
    (7, 1): "It was refused: policy does not allow its delivery.",
    (7, 2): "The sender may not write to this mailing list.",
    (7, 3): "A security conversion would be needed, and is not possible.",
    (7, 4): "A security feature that the message asks for is not supported.",
    (7, 5): "A cryptographic operation failed.",
    (7, 6): "A cryptographic algorithm is not supported.",
    (7, 7): "The integrity of the message could not be confirmed.",
    (7, 8): "The user name or password for the mail system is wrong.",
    (7, 9): "The way of authentication is too weak for this user.",
    (7, 10): "The receiving mail system demands an encrypted connection.",
    (7, 11): "This way of authentication needs an encrypted connection.",
    (7, 12): "The user's password has to be changed over first.",
    (7, 13): "The user's account is disabled.",
    (7, 14): "A relation of trust with another server is needed first.",
    (7, 15): "The priority of the message is too low to be taken at the moment.",
    (7, 16): "The message is too large for its priority.",
    (7, 17): "The mailbox belongs to another person than it did.",
    (7, 18): "The domain belongs to another owner than it did.",
    (7, 19): "Whether the mailbox still belongs to the same person could not be checked.",
    (7, 20): "The message has no DKIM signature that passes.",
    (7, 21): "The message has no DKIM signature that is accepted here.",
    (7, 22): "The message has no valid DKIM signature of its author's domain.",
    (7, 23): "The sending system may not send for this domain (SPF).",
    (7, 24): "The sender's domain could not be checked (SPF).",
    (7, 25): "The sending system's address has no proper name in the domain name system.",
    (7, 26): "The message failed several checks of where it comes from.",
    (7, 27): "The sender's domain says that it takes no mail (null MX).",
    (7, 28): "Too much mail came in too short a time.",
    (7, 29): "The chain of earlier checks of the message (ARC) is broken.",
    (7, 30): "The message demands encryption all the way, and the receiving mail system has it not.",
}

"""How bounces begin that are written for people only: the words that mail systems open them with.

Each `Shape` is one way of saying that mail was not delivered. Those of a known program are enough, if a
mail system sent the message; the general ones at the end need a subject that says the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailqueue.mail.dsn import Action
from mailqueue.mail.scan import ADDRESS

_WHITE = "[\\x20\\t\\n>*]"
_FLAGS = re.IGNORECASE | re.MULTILINE


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which a bounce begins.

    Attributes:
        writers: the programs that write so.
        opening: matches the words, with the recipient where they name him.
        action: what such a message tells.
        general: whether anybody might write so: then the subject has to agree.
    """

    writers: str
    opening: re.Pattern[str]
    action: Action = Action.FAILED
    general: bool = False


def _shape(writers: str, *openings: str, action: Action = Action.FAILED, general: bool = False) -> Shape:
    """Return a shape; white space in an opening stands for any, line breaks and quote marks included."""
    pattern = "|".join(f"(?:{opening})" for opening in openings)
    pattern = pattern.replace(" ?", f"{_WHITE}{{0,12}}").replace(" ", f"{_WHITE}{{1,12}}")
    return Shape(writers, re.compile(pattern, _FLAGS), action, general)


_TO = rf"[<\"'(]{{0,3}}{ADDRESS}"

_NOT = "(?:could|can|was|were|has|is|be)(?: ?not|n't)"
_WHO = "(?:user|mailbox|recipient|account|address|host|domain)"

SHAPES = (
    # --- not a failure (yet) ---------------------------------------------------------------------
    _shape(
        "Sendmail, delayed",
        r"the following addresses had transient non-fatal errors",
        r"this is a warning message only\W{1,60}you do not need to resend",
        action=Action.DELAYED,
    ),
    _shape(
        "Postfix, Exim, Gmail, OpenSMTPD and others, delayed",
        r"this is a warning only\W{1,60}you do not need to resend",
        r"not (?:yet )?been delivered to (?:one or more|all|the following)\b.{0,40} (?:after|for) more",
        r"a message that you sent has not yet been delivered",
        r"delivery to the following recipients? has been delayed",
        r"a message is delayed for more than",
        r"your message to the following recipients (?:has|have) been delayed",
        r"message delivery to .{0,100} is delayed",
        action=Action.DELAYED,
    ),
    _shape(
        "Sendmail, delivered",
        r"the following addresses had successful delivery notifications",
        action=Action.DELIVERED,
    ),
    # --- one program each ------------------------------------------------------------------------
    _shape(
        "qmail and its kin (Yahoo, James, Symantec)",
        r"^\W{0,40}hi[.!,] this is the .{1,200}",
        r"wasn't able to deliver your message to the following addresses",
        r"(?:sorry, we were )?unable to deliver (?:your )?message to the following address(?:es|\(es\))?",
    ),
    _shape(
        "Exim and its kin (GMX, 1&1, MXLogic)",
        r"message that you sent could not be delivered to (?:one or more|all|any) of its recipients",
        r"^the following address(?:es|\(es\))? failed\b",
        r"could not be delivered to one or more of its recipients",
    ),
    _shape(
        "Sendmail and its kin (AOL, Biglobe, McAfee, Active!hunter)",
        r"-- ?the following addresses (?:had|have) (?:\w+ ){0,3}(?:error|problem|notific)",
        r"--- ?transcript of session follows",
        r"--- ?unsent message follows",
    ),
    _shape(
        "Postfix",
        r"(?:your message|the message returned below) could not be delivered to one or more",
        r"this is the (?:postfix program|mail system) at host",
    ),
    _shape(
        "Exchange and Outlook",
        r"did not reach the following recipient(?:s|\(s\))",
        r"delivery has failed to these recipients",
        r"your message to (?:the following recipients|.{1,100}) (?:couldn't|could not) be delivered",
        r"the following recipient(?:s|\(s\)) (?:could|can) ?not be reached",
        r"your message did not reach some or all of the intended recipients",
        r"delivery to the following recipients? failed",
        r"your message wasn't delivered to",
    ),
    _shape(
        "Gmail and Google Groups",
        r"delivery to the following recipients? failed permanently",
        r"the group you tried to contact",
        r"your message wasn't delivered to .{1,100} because",
    ),
    _shape(
        "Lotus Notes and Domino",
        r"^was not delivered to:?[\x20\t]*$",
        r"----- ?failure reasons ?---",
    ),
    _shape(
        "GroupWise",
        r"the message that you sent was undeliverable to the following",
        r"the attached file had the following undeliverable recipient",
    ),
    _shape(
        "Courier",
        r"your message to the following recipients cannot be delivered",
        r"running the courier mail server",
    ),
    _shape("MMDF, SCO", rf"your message could not be delivered to {_TO}.{{0,200}}"),
    _shape(
        "IMail (SMTP32)",
        rf"^(?:unknown (?:user|host|local-part)|user mailbox (?:exceeds allowed size|is full)):? {_TO}",
        rf"^(?:undeliverable to|invalid final delivery userid|delivery failed \d+ attempts):? {_TO}",
    ),
    _shape(
        "InterMail, Netscape, au one",
        r"this message was undeliverable due to the following reason",
        r"each of the following recipients was rejected by a remote mail server",
        r"the following destination addresses were unknown",
        r"^the user\(s\) (?:account|mailbox) is",
    ),
    _shape(
        "PMDF, iPlanet, Sun",
        r"your message (?:cannot|could not) be delivered to the following recipients?",
        r"this report relates to a message you sent with the following header fields",
    ),
    _shape(
        "Mercury, Pegasus",
        r"the local mail transport system has reported the following problems",
    ),
    _shape(
        "MDaemon",
        r"the attached message had permanent fatal delivery errors",
        r"your message was not delivered to one or more recipients",
    ),
    _shape("XMail", rf"xmail bounce: rcpt=\[{ADDRESS}\]"),
    _shape(
        "hMailServer, MailEnable, SmarterMail",
        r"message could not be delivered to some recipients",
        r"could not deliver (?:the )?message to the following recipient(?:s|\(s\))?",
    ),
    _shape("CommuniGate Pro", rf"failed to deliver to '?{_TO}"),
    _shape("IceWarp, Merak", r"on the delivery status of a message you previously sent"),
    _shape(
        "MailMarshal, SurfControl, MessageLabs, MailFoundry, InterScan, Mimecast, Proofpoint",
        r"^the following recipients? (?:were|was) affected",
        r"^the message was not delivered because",
        rf"the following message to {_TO}>? was undeliverable",
        rf"unable to deliver message to:? {_TO}",
        r"your email to the following recipients could not be delivered",
        r"^could not be delivered because of",
        r"was (?:rejected|blocked) by the recipient email server",
        r"could not be delivered\W{1,60}the message was addressed to",
    ),
    _shape("m-FILTER", r"--- ?server message\b"),
    _shape("smail", r"- ?failed addresses follow"),
    _shape(
        "OpenSMTPD", r"an error has occurred while attempting to deliver a message for the following list"
    ),
    _shape("DragonFly Mail Agent", rf"there was an error delivering your mail to {_TO}"),
    _shape(
        "KDDI, au, other mobile networks",
        rf"could not be delivered to:? {_TO}",
        rf"could not deliver mail to this user\.? {_TO}",
    ),
    _shape(
        "Amazon SES, WorkMail",
        r"an error occurred while trying to deliver the mail to the following recipients",
    ),
    _shape("ZMailer", r"this is a collection of reports about email delivery process"),
    _shape("Compuserve and others", rf"^receiver not found:? {_TO}", rf"^invalid receiver address:? {_TO}"),
    # --- what anybody might write, in the languages met -------------------------------------------
    _shape(
        "English",
        rf"{_NOT}(?: been)?(?: be)? (?:successfully )?(?:deliver|sent|reach|relayed|accepted|processed)\w*",
        r"(?:unable|failed|not able|not possible|impossible) to (?:be )?(?:deliver|send|relay|reach)\w*",
        r"undeliverable|undelivered|non-?delivery|not deliverable|delivery (?:has )?fail\w*|failed delivery",
        r"(?:deliver\w*|transmi\w+|sending) .{0,80}(?:fail|error|problem|unsuccessful|not possible)\w*",
        r"(?:has|have|was|were|is being|been|being) (?:rejected|bounced|returned|refused)",
        rf"{_WHO}\b.{{0,80}} (?:unknown|not found|does not exist|doesn't exist|not exist|unavailable)",
        rf"{_WHO}\b.{{0,80}} (?:disabled|inactive|invalid|full|over quota|exceeded)",
        rf"no such {_WHO}",
        general=True,
    ),
    _shape(
        "German, Dutch, Scandinavian languages",
        r"nicht (?:zugestellt|zustellbar|ausgeliefert|übermittelt|versendet)",
        r"unzustellbar|zustellung .{0,60}(?:fehlgeschlagen|gescheitert|nicht möglich)",
        r"(?:niet|kon niet) .{0,60}(?:bezorgd|afgeleverd|verzonden|geleverd)",
        r"kunde inte levereras|kunne ikke leveres|ikke leveret|ei voitu toimittaa",
        general=True,
    ),
    _shape(
        "French, Italian, Spanish, Portuguese",
        r"n'a pas (?:pu être|été) (?:remis|délivré|distribué|transmis|envoyé)|non remis",
        r"échec de (?:la )?(?:remise|distribution|livraison)",
        r"(?:non è stato possibile|impossibile) (?:consegnare|recapitare|inviare)",
        r"non è stato (?:consegnato|recapitato)",
        r"no (?:se )?(?:ha podido|pudo|ha sido|fue|puede) .{0,30}(?:entreg|envi|recib)\w*",
        r"não (?:pôde|foi|pode) .{0,30}(?:entreg|envi)\w*",
        general=True,
    ),
    _shape(
        "Polish, Czech, Russian, Japanese, Chinese",
        r"nie (?:została|może zostać|udało się) .{0,30}dostarcz\w*|nebylo možné doručit|nelze doručit",
        r"не (?:может быть|было|была|удалось|удается) .{0,30}достав\w*|недоставлен\w*",
        r"配(?:信|送|達)(?:でき|され|不能|エラー|に失敗)|送信(?:でき|エラー|に失敗)|届け(?:られ|るこ)|存在しません",
        r"退(?:信|回)|无法(?:投递|送达|发送)|未能(?:送达|投递)|無法(?:投遞|傳送)|不存在",
        general=True,
    ),
)
"""Every shape; the first that matches stands."""

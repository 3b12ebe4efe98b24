import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.mail.codes import EnhancedCode, parse_enhanced
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Capabilities, Cause, Envelope, Lost, Phase, TransactionResult, lacks
from mailqueue.model.attempt import Category, Outcome, OutcomeKind, Scope
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.policy import outcome
from mailqueue.policy.classify import TABLE, row_for

OK = Reply.from_text("250 2.0.0 queued as 4AB")
YES = Reply.from_text("250 2.1.5 ok")
GO = Reply.from_text("354 go ahead")
NO_USER = Reply.from_text("550 5.1.1 no such user")
GREY = Reply.from_text("451 4.7.1 greylisted, come back")
TOO_MANY = Reply.from_text("452 4.5.3 too many recipients")
CLOSED = Lost(phase=Phase.FINAL, cause=Cause.CLOSED, reason="the server closed the connection")

D, F, U, X = OutcomeKind.DEFERRED, OutcomeKind.FAILED, OutcomeKind.UNCERTAIN, OutcomeKind.DELIVERED


def reply(text: str) -> Reply:
    return Reply.from_text(text)


def lost(phase: Phase, cause: Cause = Cause.CLOSED, said: Reply | None = None) -> Lost:
    return Lost(phase=phase, cause=cause, reason="it broke", reply=said)


def sent(*rcpt: Reply | None, final: Reply | None = OK, lost: Lost | None = None) -> TransactionResult:
    """A transaction whose content and final dot went out."""
    return TransactionResult(
        mail=YES, rcpt=rcpt, data=GO, final=final, final_dot_sent=True, content_octets=99, lost=lost
    )


def kinds(result: TransactionResult, recipients: int | None = None) -> list[OutcomeKind]:
    found = outcome.outcomes(result, len(result.rcpt) if recipients is None else recipients)
    return [each.kind for each in found]


# --- what a whole transaction came to ---------------------------------------------------------

TRANSACTIONS = [
    (sent(YES, YES), [X, X], "all taken, and the content"),
    (sent(reply("251 2.1.5 will forward"), reply("252 cannot verify")), [X, X], "251 and 252 take it too"),
    (sent(YES, NO_USER, GREY), [X, F, D], "each recipient has its own reply"),
    (sent(YES, NO_USER, final=reply("552 5.3.4 too big")), [F, F], "refused content is for the taken"),
    (sent(YES, NO_USER, final=reply("452 4.3.1 disk full")), [D, F], "... who are tried again"),
    (sent(YES, final=reply("421 4.3.2 going down")), [D], "421 to the final dot is an answer: not taken"),
    (sent(YES, final=None, lost=CLOSED), [U], "no answer to the final dot"),
    (sent(YES, GREY, final=None, lost=CLOSED), [U, D], "whom it refused has it not"),
    (sent(YES, final=None), [U], "no answer and no reason"),
    (sent(YES, final=GO), [U], "nonsense in answer to the final dot"),
    (
        sent(YES, final=None, lost=lost(Phase.FINAL, Cause.PROTOCOL, reply("354 what?"))),
        [U],
        "nonsense, and the connection given up",
    ),
    (sent(YES, final=None, lost=lost(Phase.FINAL, Cause.TIMEOUT)), [U], "silence for ten minutes"),
    (
        TransactionResult(
            mail=YES, rcpt=(YES, YES), data=GO, content_octets=9, lost=lost(Phase.BODY, Cause.WITHHELD)
        ),
        [D, D],
        "we kept the final dot back, so it has it not",
    ),
    (
        TransactionResult(mail=YES, rcpt=(YES,), data=GO, lost=lost(Phase.BODY)),
        [D],
        "lost in the middle of the content",
    ),
    (
        TransactionResult(
            mail=YES, rcpt=(YES,), data=GO, final=reply("554 5.6.0 virus"), lost=lost(Phase.BODY)
        ),
        [F],
        "refused in the middle of the content",
    ),
    (
        TransactionResult(mail=YES, rcpt=(YES,), data=GO, final=OK, lost=lost(Phase.BODY)),
        [D],
        "taken before its end? It cannot be",
    ),
    (TransactionResult(mail=YES, rcpt=(YES, NO_USER), data=reply("451 4.3.0 no")), [D, F], "DATA refused"),
    (TransactionResult(mail=YES, rcpt=(YES,), data=reply("554 5.7.1 no")), [F], "DATA refused for good"),
    (TransactionResult(mail=YES, rcpt=(YES,), data=YES), [D], "250 to DATA is no answer to it"),
    (TransactionResult(mail=YES, rcpt=(NO_USER, GREY)), [F, D], "nobody taken, DATA never sent"),
    (
        TransactionResult(mail=YES, rcpt=(YES, NO_USER, None), lost=lost(Phase.RCPT)),
        [D, F, D],
        "lost between the recipients",
    ),
    (
        TransactionResult(
            mail=YES,
            rcpt=(YES, reply("421 4.3.2 down"), None),
            lost=lost(Phase.RCPT, Cause.CLOSING, reply("421 4.3.2 down")),
        ),
        [D, D, D],
        "421 between the recipients",
    ),
    (TransactionResult(mail=GREY, rcpt=(NO_USER, YES)), [D, D], "MAIL refused: RCPT replies mean nothing"),
    (TransactionResult(mail=reply("550 5.7.1 spf"), rcpt=(None, None)), [F, F], "MAIL refused for all"),
    (TransactionResult(mail=GO, rcpt=(None,)), [D], "354 to MAIL"),
    (TransactionResult(rcpt=(None,), lost=lost(Phase.MAIL)), [D], "lost before any answer"),
    (TransactionResult(mail=YES, rcpt=(None,)), [D], "an answer is missing, nobody knows why"),
    (sent(YES, reply("334 what?")), [X, D], "an answer that is neither yes nor no"),
]


@pytest.mark.parametrize(("result", "expected", "why"), TRANSACTIONS)
def test_each_recipient_gets_what_the_server_said_of_it(result, expected, why):
    assert kinds(result) == expected, why


def test_fewer_replies_than_recipients_leave_the_others_to_be_tried_again():
    assert kinds(sent(YES), recipients=3) == [X, D, D]


def test_all_that_the_server_said_travels_with_the_outcome():
    first, second = outcome.outcomes(sent(YES, NO_USER), 2)
    assert (first.reply, first.status, first.category, first.scope) == (
        OK,
        EnhancedCode(2, 0, 0),
        Category.OK,
        None,
    )
    assert (second.reply, second.status, second.category, second.scope, second.error) == (
        NO_USER,
        EnhancedCode(5, 1, 1),
        Category.MAILBOX_UNKNOWN,
        Scope.RECIPIENT,
        None,
    )


def test_a_delivery_without_an_enhanced_code_has_none():
    (found,) = outcome.outcomes(sent(YES, final=reply("250 ok")), 1)
    assert found.status is None


def test_an_uncertain_attempt_says_that_it_may_have_arrived_and_why():
    (found,) = outcome.outcomes(sent(YES, final=None, lost=CLOSED), 1)
    assert (found.category, found.scope, str(found.status)) == (Category.NETWORK, Scope.SESSION, "4.4.2")
    assert found.summary() == (
        "no answer to the end of the content, so it may have arrived: the server closed the connection"
    )


LOSSES = [
    (lost(Phase.MAIL), "network", "host", "4.4.2", "before the first reply to MAIL: the host's fault"),
    (lost(Phase.RSET), "network", "host", "4.4.2", "a kept connection that was dead already"),
    (lost(Phase.RCPT), "network", "session", "4.4.2", "later: this session's"),
    (lost(Phase.DATA, Cause.TIMEOUT), "network", "session", "4.4.2", "too slow"),
    (lost(Phase.RCPT, Cause.PROTOCOL), "protocol", "session", "4.5.0", "nonsense"),
    (lost(Phase.BODY, Cause.ABORTED), "interrupted", "session", "4.4.2", "we broke it off"),
    (lost(Phase.BODY, Cause.CLOSING, reply("421 4.3.2 x")), "system", "host", "4.3.2", "421 in the content"),
    (lost(Phase.RCPT, Cause.CLOSING, reply("421 4.7.0 x")), "rate_limited", "host", "4.7.0", "421, policy"),
]


@pytest.mark.parametrize(("how", "category", "scope", "status", "why"), LOSSES)
def test_a_lost_connection_is_charged_by_how_far_it_came(how, category, scope, status, why):
    mail = None if how.phase in (Phase.MAIL, Phase.RSET) else YES
    (found,) = outcome.outcomes(TransactionResult(mail=mail, rcpt=(None,), lost=how), 1)
    assert (found.kind, found.category, found.scope, str(found.status)) == (D, category, scope, status), why
    assert found.reply == how.reply


# --- too many recipients ----------------------------------------------------------------------

SPLITS = [
    (sent(YES, TOO_MANY, TOO_MANY), (1, 2), "452 4.5.3 after one was taken"),
    (sent(YES, reply("452 too many")), (1,), "452 without an enhanced code"),
    (sent(YES, reply("452 4.0.0 too many")), (1,), "452 with one that says nothing"),
    (sent(YES, reply("552 too many")), (1,), "552, as old servers have it (RFC 5321 4.5.3.1.10)"),
    (sent(YES, reply("550 5.5.3 too many")), (1,), "X.5.3 says so whatever the code"),
    (sent(NO_USER, YES, TOO_MANY), (2,), "refused ones before do not matter"),
    (sent(TOO_MANY, YES), (), "the first: there are no too many before it"),
    (sent(NO_USER, TOO_MANY), (), "none was taken: a further transaction would be the same again"),
    (sent(YES, reply("452 4.2.2 over quota")), (), "452 for a full mailbox"),
    (sent(YES, reply("552 5.2.2 over quota")), (), "552 for a full mailbox"),
    (sent(YES, reply("452 4.3.1 disk full")), (), "452 for a full disk"),
    (sent(YES, YES), (), "all were taken"),
    (
        TransactionResult(mail=GREY, rcpt=(YES, TOO_MANY)),
        (),
        "the sender was refused: RCPT replies mean nothing",
    ),
    (
        sent(YES, TOO_MANY, final=GREY),
        (1,),
        "the content was refused for now; the others are asked all the same",
    ),
    (sent(YES, TOO_MANY, final=None, lost=CLOSED), (), "the connection is gone: at their next time"),
]


@pytest.mark.parametrize(("result", "indexes", "why"), SPLITS)
def test_too_many_recipients_go_into_a_further_transaction(result, indexes, why):
    assert outcome.split_off(result) == indexes, why


def test_552_for_too_many_recipients_returns_nobodys_mail():
    _, second = outcome.outcomes(sent(YES, reply("552 too many"), final=None, lost=CLOSED), 2)
    assert (second.kind, str(second.status), second.category) == (D, "4.5.3", Category.RATE_LIMITED)


def test_552_for_the_only_recipient_is_a_full_mailbox():
    (only,) = outcome.outcomes(TransactionResult(mail=YES, rcpt=(reply("552 full"),)), 1)
    assert (only.kind, str(only.status), only.category) == (F, "5.2.2", Category.MAILBOX_FULL)


# --- before a transaction ---------------------------------------------------------------------

SESSIONS = [
    (Phase.CONNECT, None, Cause.CLOSED, "network", "4.4.1", "connection refused"),
    (Phase.CONNECT, None, Cause.TIMEOUT, "network", "4.4.1", "no answer at all"),
    (Phase.GREETING, None, Cause.TIMEOUT, "network", "4.4.2", "it took the connection and says nothing"),
    (Phase.GREETING, "554 5.7.1 blocked", Cause.REFUSED, "policy", "4.7.1", "about us, not about the mail"),
    (Phase.GREETING, "421 4.7.0 too fast", Cause.CLOSING, "rate_limited", "4.7.0", "421 with a reason"),
    (Phase.GREETING, "554 no service", Cause.REFUSED, "policy", "4.0.0", "554 without a reason"),
    (Phase.EHLO, "550 no", Cause.REFUSED, "policy", "4.0.0", "EHLO refused"),
    (Phase.GREETING, "250 hello?", Cause.PROTOCOL, "protocol", "4.5.0", "nonsense for a greeting"),
    (Phase.STARTTLS, "454 4.7.0 not now", Cause.REFUSED, "tls", "4.7.0", "STARTTLS offered and refused"),
    (Phase.TLS, None, Cause.TLS, "tls", "4.7.5", "the handshake failed"),
    (Phase.TLS, None, None, "tls", "4.7.5", "... told by the phase alone"),
    (Phase.EHLO, None, None, "network", "4.4.2", "told by the phase alone"),
]


@pytest.mark.parametrize(("phase", "said", "cause", "category", "status", "why"), SESSIONS)
def test_mail_waits_when_no_session_comes_to_stand(phase, said, cause, category, status, why):
    found = outcome.session_failed(phase, reply(said) if said else None, "it broke", cause)
    assert (found.kind, found.category, str(found.status)) == (D, category, status), why
    assert found.scope is Scope.HOST
    assert found.error == "it broke"


AUTH_FAILURES = [
    ("535 5.7.8 bad", "4.7.8", Scope.DESTINATION, "the password is wrong, at every host of the next hop"),
    ("535 no such user here", "4.7.8", Scope.DESTINATION, "without its code; the words are about no mailbox"),
    ("534 5.7.9 weak", "4.7.9", Scope.DESTINATION, "the mechanism is too weak"),
    ("500 what", "4.7.8", Scope.DESTINATION, "offered and not known"),
    ("454 4.7.0 later", "4.7.0", Scope.HOST, "this host cannot check it now"),
    (None, "4.7.0", Scope.DESTINATION, "we found no way, or the server no proof"),
]


@pytest.mark.parametrize(("said", "status", "scope", "why"), AUTH_FAILURES)
def test_mail_waits_where_we_cannot_log_in(said, status, scope, why):
    found = outcome.session_failed(Phase.AUTH, reply(said) if said else None, "no way in", Cause.AUTH)
    assert (found.kind, found.category, str(found.status)) == (D, "auth", status), why
    assert found.scope is scope, why


@pytest.mark.parametrize(
    "said", ["530 5.7.0 log in", "534 weak", "535 5.7.8 no", "538 5.7.11 not in the clear"]
)
def test_named_host_that_wants_a_login_returns_nobodys_mail(said):
    refused = outcome.refused(reply(said), Phase.MAIL)
    assert refused.kind is F  # an MX host that wants one takes no mail of ours
    found = outcome.of_named_host(refused)
    assert (found.kind, found.category, found.scope) == (D, refused.category, Scope.DESTINATION)
    assert found.category in ("auth", "tls")
    assert found.status == refused.status.with_class(4)
    assert found.reply == refused.reply


@pytest.mark.parametrize("said", ["550 5.1.1 nobody", "250 ok", "451 4.7.1 grey", "554 5.7.1 no"])
def test_other_answers_of_a_named_host_stay_what_they_are(said):
    answered = (
        outcome.delivered(reply(said)) if said.startswith("2") else outcome.refused(reply(said), Phase.RCPT)
    )
    assert outcome.of_named_host(answered) is answered


def test_a_reply_is_told_once():
    refusal = reply("554 5.7.1 blocked")
    found = outcome.session_failed("greeting", refusal, f"mx: refused (at greeting): {refusal}", "refused")
    assert found.summary() == "mx: refused (at greeting): 554 5.7.1 blocked"


RESOLVING = [
    (True, "5.1.2", F, "domain_unknown", "no such domain"),
    (True, "5.1.10", F, "domain_unknown", "null MX"),
    (True, "5.4.4", F, "dns", "an MX that names no host"),
    (False, "4.4.3", D, "dns", "no name server answered"),
]


@pytest.mark.parametrize(("permanent", "status", "kind", "category", "why"), RESOLVING)
def test_a_domain_without_a_host_is_final_only_when_dns_said_so(permanent, status, kind, category, why):
    found = outcome.resolve_failed(permanent, parse_enhanced(status), "example.org does not exist")
    assert (found.kind, found.category, str(found.status)) == (kind, category, status), why
    assert (found.scope, found.error, found.reply) == (Scope.DESTINATION, "example.org does not exist", None)


LACKING = [
    (Envelope(sender="a@b", recipients=("ö@c",), size=9, smtputf8=True), "5.6.7", "capability"),
    (Envelope(sender="a@b", recipients=("o@c",), size=9, smtputf8=True), "5.6.9", "capability"),
    (Envelope(sender="a@b", recipients=("o@c",), size=9, eight_bit=True), "5.6.3", "capability"),
    (Envelope(sender="a@b", recipients=("o@c",), size=99), "5.3.4", "too_large"),
]


@pytest.mark.parametrize(("envelope", "status", "category"), LACKING)
def test_a_message_that_needs_what_the_server_lacks_fails_in_our_words(envelope, status, category):
    refusal = lacks(envelope, Capabilities(size=10))
    (found,) = outcome.outcomes(TransactionResult(lacks=refusal), 1)
    assert (found.kind, str(found.status), found.category, found.scope) == (
        F,
        status,
        category,
        Scope.MESSAGE,
    )
    assert found.reply is None, "the server did not say it"
    assert "not sent to this server" in found.summary()


def fail_transport(said: str | None) -> Outcome:
    return outcome.refused_by_transport(Transport(id=1, name="no", kind=TransportKind.FAIL, reply=said))


def test_a_transport_that_fails_answers_with_its_reply():
    found = fail_transport("550 5.7.1 not from here")
    assert (found.kind, str(found.status), found.category) == (F, "5.7.1", Category.POLICY)
    assert found.summary() == "transport no refuses: 550 5.7.1 not from here"
    assert fail_transport("450 later").kind is D


@pytest.mark.parametrize("said", [None, "", "no", "250 ok"])
def test_a_transport_that_fails_without_a_refusal_returns_nobodys_mail(said):
    found = fail_transport(said)
    assert (found.kind, str(found.status), found.reply) == (D, "4.3.5", None)


# --- the table --------------------------------------------------------------------------------

REPLIES = [
    ("550 5.1.1 no such user", "rcpt", "mailbox_unknown", "5.1.1", "recipient", "the code of codes"),
    (
        "550 no such user",
        "rcpt",
        "mailbox_unknown",
        "5.1.1",
        "recipient",
        "an old server, by its words",
    ),
    ("550 5.1.1 no such user", "final", "mailbox_unknown", "5.1.1", "recipient", "said late, about the same"),
    ("550 5.1.6 moved", "rcpt", "mailbox_unknown", "5.1.6", "recipient", "moved"),
    ("553 5.1.3 syntax", "rcpt", "mailbox_unknown", "5.1.3", "recipient", "an address it cannot read"),
    ("553 no", "rcpt", "mailbox_unknown", "5.1.3", "recipient", "the same without its code"),
    ("551 try elsewhere", "rcpt", "mailbox_unknown", "5.1.6", "recipient", "moved, RFC 5321 3.4"),
    ("550 5.1.2 no such domain", "rcpt", "domain_unknown", "5.1.2", "recipient", "a relay that asked DNS"),
    ("556 5.1.10 null MX", "rcpt", "domain_unknown", "5.1.10", "recipient", "RFC 7504"),
    ("556 no mail", "rcpt", "domain_unknown", "5.1.10", "recipient", "RFC 7504 without its code"),
    ("550 5.1.8 sender", "mail", "policy", "5.1.8", "message", "the sender's domain does not exist"),
    ("553 5.1.7 sender", "rcpt", "policy", "5.1.7", "message", "about the sender, though said to RCPT"),
    ("550 5.2.1 disabled", "rcpt", "mailbox_disabled", "5.2.1", "recipient", "disabled"),
    ("452 4.2.2 quota", "rcpt", "mailbox_full", "4.2.2", "recipient", "full for now"),
    ("552 5.2.2 quota", "rcpt", "mailbox_full", "5.2.2", "recipient", "full, and the server is strict"),
    ("552 5.2.3 too long", "final", "too_large", "5.2.3", "recipient", "too long for this mailbox"),
    ("450 4.2.0 later", "rcpt", "other", "4.2.0", "recipient", "it does not say why"),
    ("452 4.3.1 disk full", "mail", "system", "4.3.1", "message", "the system"),
    ("452 no room", "mail", "system", "4.3.1", "message", "452 is about storage"),
    ("552 5.3.4 size", "mail", "too_large", "5.3.4", "message", "SIZE, RFC 1870"),
    ("552 size", "final", "too_large", "5.3.4", "message", "SIZE without its code"),
    ("451 4.3.0 error", "final", "system", "4.3.0", "message", "a local error"),
    ("451 error", "rcpt", "system", "4.3.0", "recipient", "451 is a local error"),
    ("451 4.4.3 dns", "rcpt", "dns", "4.4.3", "recipient", "it could not look up our domain"),
    ("554 5.4.6 loop", "final", "system", "5.4.6", "message", "too many hops"),
    ("450 4.4.5 congestion", "rcpt", "rate_limited", "4.4.5", "recipient", "too much to do"),
    ("452 4.5.3 too many", "rcpt", "rate_limited", "4.5.3", "message", "too many, and none before it"),
    ("500 what", "mail", "protocol", "5.5.2", "message", "a command it does not know"),
    ("501 what", "rcpt", "protocol", "5.5.4", "recipient", "a parameter it does not take"),
    ("503 5.5.1 order", "data", "protocol", "5.5.1", "message", "not here"),
    ("555 what", "mail", "protocol", "5.5.4", "message", "MAIL parameters"),
    ("554 5.6.0 content", "final", "content", "5.6.0", "message", "content"),
    ("554 5.6.3 8bit", "final", "capability", "5.6.3", "message", "it would have to convert"),
    ("553 5.6.7 utf8", "rcpt", "capability", "5.6.7", "message", "SMTPUTF8"),
    ("451 4.7.1 later", "rcpt", "greylisted", "4.7.1", "recipient", "greylisting"),
    ("451 4.7.1 later", "final", "greylisted", "4.7.1", "message", "some greylist after the content"),
    ("450 4.7.1 helo", "rcpt", "policy", "4.7.1", "recipient", "other codes with 4.7.1 are policy"),
    ("550 5.7.1 policy", "rcpt", "policy", "5.7.1", "recipient", "policy"),
    (
        "550 5.7.999 no",
        "mail",
        "policy",
        "5.7.999",
        "message",
        "a detail of its own: the subject counts",
    ),
    ("550 5.7.25 ptr", "mail", "reputation", "5.7.25", "message", "no reverse DNS, RFC 7372"),
    ("550 5.7.26 auth", "final", "policy", "5.7.26", "message", "SPF and DKIM failed, RFC 7372"),
    ("450 4.7.28 flood", "mail", "rate_limited", "4.7.28", "message", "too much mail"),
    ("530 5.7.0 login", "mail", "auth", "5.7.0", "message", "authentication required"),
    ("530 login", "mail", "auth", "5.7.0", "message", "authentication required, without its code"),
    ("535 5.7.8 no", "mail", "auth", "5.7.8", "message", "wrong password"),
    ("550 5.7.10 tls", "mail", "tls", "5.7.10", "message", "encryption needed"),
    ("550 5.7.30 requiretls", "mail", "tls", "5.7.30", "message", "RFC 8689"),
    ("554 refused", "final", "policy", "5.0.0", "message", "nothing but a no: only the class is known"),
    ("554 5.0.0 refused", "final", "policy", "5.0.0", "message", "5.0.0 says no more than the code"),
    ("450 later", "rcpt", "other", "4.2.0", "recipient", "busy, or policy"),
    ("450 later", "data", "other", "4.0.0", "message", "it may be anything"),
    ("499 huh", "rcpt", "other", "4.0.0", "recipient", "a code of its own"),
    ("421 4.7.28 slow down", "rcpt", "rate_limited", "4.7.28", "host", "421 and policy"),
    ("421 4.4.2 timeout", "data", "network", "4.4.2", "host", "it waited too long for us"),
    ("421 bye", "mail", "system", "4.3.2", "host", "421 alone: it shuts down"),
]


@pytest.mark.parametrize(("said", "phase", "category", "status", "scope", "why"), REPLIES)
def test_a_refusal_is_what_its_codes_say(said, phase, category, status, scope, why):
    found = outcome.refused(reply(said), phase)
    assert (found.category, str(found.status), found.scope) == (category, status, scope), why
    assert found.kind is (F if said.startswith("5") else D)
    assert found.reply == reply(said)


def test_the_code_decides_where_an_enhanced_code_disagrees():
    permanent = Reply(550, ("4.1.1 no such user",), EnhancedCode(4, 1, 1))
    found = outcome.refused(permanent, Phase.RCPT)
    assert (found.kind, str(found.status)) == (F, "5.1.1")


def test_every_row_of_the_table_is_the_first_for_some_reply():
    unreached = set(TABLE)
    details = [None, *(EnhancedCode(5, subject, detail) for subject in range(8) for detail in range(31))]
    for code in (421, 450, 451, 452, 454, 455, 499, 500, 501, 502, 521, 530, 534, 535, 538, *range(550, 557)):
        for detail in details:
            for phase in ("starttls", "auth", "mail", "rcpt", "final"):
                unreached.discard(
                    row_for(Reply(code, ("",), detail and detail.with_class(code // 100)), phase)
                )
    assert unreached == set()


replies = st.builds(
    lambda code, detail: Reply(
        code, ("said",), None if detail is None else EnhancedCode(code // 100, *detail)
    ),
    st.integers(min_value=200, max_value=599),
    st.none() | st.tuples(st.integers(0, 12), st.integers(0, 40)),
)
maybe = st.none() | replies
losses = st.builds(
    Lost, phase=st.sampled_from(Phase), cause=st.sampled_from(Cause), reason=st.just("why"), reply=maybe
)
results = st.builds(
    TransactionResult,
    mail=maybe,
    rcpt=st.lists(maybe, max_size=5).map(tuple),
    data=maybe,
    final=maybe,
    final_dot_sent=st.booleans(),
    content_octets=st.just(0),
    lost=st.none() | losses,
)


@given(results, st.integers(min_value=1, max_value=5))
def test_whatever_servers_do_every_recipient_has_one_outcome_and_no_mail_is_lost(result, recipients):
    found = outcome.outcomes(result, recipients)
    assert len(found) == recipients
    taken = result.mail is not None and result.mail.positive
    for index, each in enumerate(found):
        own = result.rcpt[index] if index < len(result.rcpt) else None
        accepted = taken and own is not None and own.positive
        if each.kind is X:
            assert accepted
            assert result.final_dot_sent
            assert each.reply is result.final
        if each.kind is U:
            assert accepted
            assert result.final_dot_sent
        if accepted and result.final_dot_sent and result.final is None:
            assert each.kind is U
        if each.kind is F:
            assert each.reply is not None
            assert each.reply.permanent
            assert each.status is not None
            assert each.status.cls == 5
        if each.kind in (D, U):
            assert each.status is not None
            assert each.status.cls == 4
            assert each.scope is not None
        assert each.summary()
    assert all(result.rcpt[index] is not None for index in outcome.split_off(result))


@given(st.sampled_from(Phase), maybe, st.none() | st.sampled_from(Cause))
def test_no_failed_session_ever_returns_mail(phase, said, cause):
    found = outcome.session_failed(phase, said, "why", cause)
    assert found.kind is D
    assert found.status is not None
    assert found.status.cls == 4

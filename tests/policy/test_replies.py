"""What replies mean, told from their texts: the shipped rules, and the operator's before them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.errors import SettingError
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import Cause, Lost, Phase, TransactionResult
from mailqueue.model.attempt import Category, OutcomeKind, Scope
from mailqueue.model.rules import ReplyRule
from mailqueue.model.schedule import SHIPPED
from mailqueue.model.verdict import RuleKind
from mailqueue.policy import outcome, retry
from mailqueue.policy.classify import by_code, classify
from mailqueue.policy.pattern import MAX_TEXT, MAX_WAYS, compiled, literal, ways
from mailqueue.policy.replies import find_shipped, shipped, text_of

SAMPLES = [
    line.split("\t")
    for line in (Path(__file__).parents[1] / "data/replies.tsv").read_text().splitlines()
    if not line.startswith("#")
]
RCPT = Phase.RCPT


def reply(text: str) -> Reply:
    return Reply.from_text(text.replace("\\n", "\n"))


def own(pattern: str, category: Category = Category.POLICY, **more: object) -> ReplyRule:
    rule = ReplyRule(
        id=7,
        position=0,
        pattern=pattern,
        code=None,
        category=category,
        permanent=None,
        note="",
        actor="cli:ann",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(rule, **more)  # type: ignore[arg-type]


# --- the table of samples ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("category", "permanence", "rule", "who", "text"), SAMPLES, ids=lambda each: each[:50]
)
def test_reply_of_a_server_is_understood(
    category: str, permanence: str, rule: str, who: str, text: str
) -> None:
    found = classify(reply(text), RCPT)
    assert (found.category, "p" if found.permanent else "t") == (category, permanence), who
    assert (found.rule if found.kind is RuleKind.TEXT else "-") == rule


def test_there_are_many_samples_of_many_kinds() -> None:
    assert len(SAMPLES) >= 150
    assert {sample[0] for sample in SAMPLES} >= {
        each.value for each in set(Category) - {Category.OK, Category.INTERRUPTED, Category.PROTOCOL}
    }


def test_every_shipped_rule_is_reached_by_a_sample() -> None:
    assert {rule.name for rule in shipped()} <= {sample[2] for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[4][:50])
def test_no_reply_that_says_not_now_is_taken_for_final(sample: list[str]) -> None:
    text = reply(sample[4])
    assert not (text.transient and classify(text, RCPT).permanent)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[4][:50])
def test_case_and_line_breaks_do_not_matter(sample: list[str]) -> None:
    text = reply(sample[4])
    shouted = Reply(text.code, tuple(line.upper() for line in text.lines), text.enhanced)
    spread = Reply(text.code, tuple(part for line in text.lines for part in line.split(" ")), text.enhanced)
    found = classify(text, RCPT)
    for other in (shouted, spread):
        assert (classify(other, RCPT).rule, classify(other, RCPT).category) == (found.rule, found.category)


# --- the rules themselves ---------------------------------------------------------------------
def test_shipped_rules_are_written_as_they_have_to_be() -> None:
    names = [rule.name for rule in shipped()]
    assert len(set(names)) == len(names)
    for rule in shipped():
        assert rule.patterns
        assert rule.note
        assert rule.source
        assert rule.permanent is not True, "a shipped rule never makes a refusal final"
        assert rule.category not in (Category.OK, Category.INTERRUPTED)
        for pattern in rule.patterns:
            assert re.sub(r"\\[A-Z]", "", pattern).lower() == pattern, "texts are in lower case"
            assert ways(pattern) <= MAX_WAYS, "no reply may make it dear"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[4][:50])
def test_what_a_search_is_spared_by_is_in_every_text_that_matches(sample: list[str]) -> None:
    text = text_of(reply(sample[4]))
    for rule in shipped():
        for pattern in rule.patterns:
            if re.search(pattern, text):
                assert literal(pattern) in text


def test_the_characters_that_a_match_needs_are_those_outside_of_all_choices() -> None:
    assert literal("gr[ae]y ?-?_?list") == "list"
    assert literal(r"^4\d\d come (?:back|again) later on") == " later on"
    assert literal("(?:a|b){0,2}") == ""
    assert literal("colou?r") == "colo"
    assert literal("x{0,3}yes") == "yes"


# --- what a text may and may not do -----------------------------------------------------------
def test_greylisting_in_a_final_refusal_is_tried_again_by_the_steps_of_greylisting() -> None:
    found = outcome.refused(reply("550 5.7.1 Greylisted, come back"), RCPT)
    assert (found.kind, found.category, str(found.status)) == (
        OutcomeKind.DEFERRED,
        Category.GREYLISTED,
        "4.7.1",
    )
    schedule = SHIPPED["standard"]
    assert "greylisted" in schedule.classes
    step = retry.next_attempt(
        schedule, attempts=2, category=found.category, ended_at=0, give_up_at=10**15, jitter=0.0
    )
    assert step == schedule.classes["greylisted"].step(2) != schedule.delays.step(2)


def test_an_unknown_user_who_may_come_stays_temporary() -> None:
    found = outcome.refused(reply("450 4.1.1 User unknown"), RCPT)
    assert (found.kind, found.category) == (OutcomeKind.DEFERRED, Category.MAILBOX_UNKNOWN)


@pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO, Phase.MAIL])
def test_before_the_recipient_was_named_an_unknown_user_is_not_the_recipient(phase: Phase) -> None:
    found = classify(reply("550 User unknown"), phase)
    assert found.kind is RuleKind.CODE
    assert found.category is not Category.MAILBOX_UNKNOWN


def test_mail_addresses_in_a_reply_say_nothing_about_it() -> None:
    for name in ("greylist", "quota-exceeded", "spam", "virus"):
        found = classify(reply(f"550 5.1.1 <{name}@example.net>: no such user"), RCPT)
        assert (found.category, found.rule) == (Category.MAILBOX_UNKNOWN, "no-such-user")
    assert text_of(reply("550 Bob <bob@example.org> (see https://x.example/?a=bob@example.org)")) == (
        "550 bob <@> (see https://x.example/?a=@)"
    )


def test_only_the_beginning_of_an_endless_reply_is_looked_at() -> None:
    endless = Reply(550, ("x" * 60_000 + " greylisted",))
    assert len(text_of(endless)) == MAX_TEXT
    assert classify(endless, RCPT).kind is RuleKind.CODE
    assert classify(Reply(550, ("greylisted " + "@" * 60_000,)), RCPT).category is Category.GREYLISTED


def test_a_session_that_is_refused_is_charged_to_the_host_whatever_the_text() -> None:
    found = outcome.session_failed("greeting", reply("554 5.7.1 no such user, spam, blocked"), "x", "refused")
    assert (found.kind, found.scope) == (OutcomeKind.DEFERRED, Scope.HOST)
    blocked = outcome.session_failed("greeting", reply("554 IP address is block listed"), "x", "refused")
    assert (blocked.category, str(blocked.status)) == (Category.REPUTATION, "4.7.1")


def test_an_answer_that_is_no_refusal_is_judged_by_its_place_only() -> None:
    found = classify(reply("250 greylisted"), RCPT)
    assert (found.kind, found.category) == (RuleKind.CODE, Category.PROTOCOL)


def test_status_is_the_servers_else_that_of_the_text() -> None:
    assert str(classify(reply("550 Mailbox is full"), RCPT).status) == "5.2.2"
    assert str(classify(reply("550 5.7.1 Mailbox is full"), RCPT).status) == "5.7.1"
    assert str(by_code(reply("550 Mailbox is full"), RCPT).status) == "5.1.0"


# --- own rules --------------------------------------------------------------------------------
def test_own_rules_are_asked_first_and_in_their_order() -> None:
    text = reply("550 5.7.1 Greylisted")
    first, second = own("GREY", id=1), own("listed", Category.CONTENT, id=2)
    found = classify(text, RCPT, (first, second))
    assert (found.kind, found.rule, found.category, found.permanent) == (
        RuleKind.OWN,
        "1",
        Category.POLICY,
        True,
    )
    assert classify(text, RCPT, (second, first)).rule == "2"
    assert classify(text, RCPT, (own("white"),)).rule == "greylisted"


@pytest.mark.parametrize(
    ("code", "matches"), [(None, True), ("450", True), ("4??", True), ("4*", True), ("5??", False)]
)
def test_an_own_rule_may_be_for_some_codes_only(code: str | None, matches: bool) -> None:
    found = classify(reply("450 odd"), RCPT, (own("odd", code=code),))
    assert (found.kind is RuleKind.OWN) is matches


def test_an_own_rule_may_make_a_refusal_final_or_not() -> None:
    final = outcome.refused(reply("450 user is gone"), RCPT, (own("gone", permanent=True),))
    assert (final.kind, str(final.status)) == (OutcomeKind.FAILED, "5.7.1")
    again = outcome.refused(reply("550 5.7.1 gone"), RCPT, (own("gone", permanent=False),))
    assert (again.kind, str(again.status)) == (OutcomeKind.DEFERRED, "4.7.1")


def test_no_rule_makes_a_server_that_closes_refuse_for_good() -> None:
    rules = (own("closing", permanent=True),)
    found = outcome.refused(reply("421 closing"), RCPT, rules)
    assert (found.kind, found.scope) == (OutcomeKind.DEFERRED, Scope.HOST)
    early = outcome.session_failed("greeting", reply("554 closing"), "x", "refused", rules)
    assert (early.kind, early.category) == (OutcomeKind.DEFERRED, Category.POLICY)


def test_own_rules_reach_every_answer_of_a_transaction() -> None:
    rules, no, yes = (own("odd", Category.CONTENT),), reply("550 odd"), reply("250 ok")
    go = reply("354 go")
    for result in (
        TransactionResult(mail=no, rcpt=(None,)),
        TransactionResult(mail=yes, rcpt=(no,)),
        TransactionResult(mail=yes, rcpt=(yes,), data=no),
        TransactionResult(mail=yes, rcpt=(yes,), data=go, final=no, final_dot_sent=True),
        TransactionResult(
            mail=yes,
            rcpt=(None,),
            lost=Lost(phase=RCPT, cause=Cause.CLOSING, reason="it", reply=reply("421 odd")),
        ),
    ):
        (found,) = outcome.outcomes(result, 1, rules)
        assert found.category is Category.CONTENT


def test_a_stored_pattern_that_cannot_be_used_matches_nothing() -> None:
    found = classify(reply("550 Greylisted"), RCPT, (own("("), own("(a+)+$"), own("listed", id=9)))
    assert found.rule == "9"


# --- patterns that people write ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "1 to 1000"),
        ("x" * 1001, "1 to 1000"),
        ("(", "no regular expression"),
        ("[z-a]", "no regular expression"),
        ("*", "no regular expression"),
        ("(a+)+$", "must not hold"),
        ("(a|a)*b", "must not hold"),
        ("(?:a?){30}b", "must not hold"),
        (".*.*.*.*x", "too long"),
        (r"(a)\1", "references"),
        ("(?P<x>a)(?P=x)", "references"),
        ("(a)(?(1)b|c)", "references"),
        ("a*", "matches every reply"),
        (".*", "matches every reply"),
        ("a|", "matches every reply"),
    ],
)
def test_a_pattern_that_cannot_be_or_takes_too_long_is_refused_by_name(pattern: str, told: str) -> None:
    with pytest.raises(SettingError, match=told) as caught:
        compiled(pattern)
    assert "pattern" in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "blocked by .* list",
        r"\b5\.7\.\d+ ",
        "a.{0,40}b.{0,40}c",
        "(?:foo|bar)? baz",
        "a++b",
        "(?>ab)c",
        "x(?=y)",
    ],
)
def test_a_pattern_of_ordinary_kind_is_taken(pattern: str) -> None:
    assert compiled(pattern).flags & re.IGNORECASE


def test_a_pattern_that_was_taken_is_never_dear() -> None:
    """The worst that strangers can send costs about as many steps as were counted, and no more."""
    worst = "a" * MAX_TEXT
    assert compiled("a*a*b").search(worst) is None
    assert compiled(".*x.*y$").search("x" * MAX_TEXT) is None


parts = st.sampled_from(["a", "b", "[ab]", "(?:a|b)", "a?", "a*", "(?:ab)+", ".", "a{0,3}", "(?:a|ab){0,2}"])


@given(st.lists(parts, min_size=1, max_size=6).map("".join))
def test_a_pattern_is_either_refused_or_bounded(pattern: str) -> None:
    try:
        compiled(pattern)
    except SettingError:
        return
    assert ways(pattern) <= MAX_WAYS


@given(st.text(max_size=80), st.integers(400, 599))
def test_no_text_makes_a_refusal_more_final_than_its_code(text: str, code: int) -> None:
    said = Reply(code, (text,))
    found = classify(said, RCPT)
    assert found.permanent <= said.permanent
    assert found.status.cls == (5 if found.permanent else 4)
    assert find_shipped(said) is None or found.kind is not RuleKind.CODE

"""What people read in a notice."""

from dataclasses import replace

import pytest
from support.reports import DELAYED, FAILED, HOUR, MONDAY, draft, report

from mailqueue.mail import dsn
from mailqueue.mail.codes import EnhancedCode

EXPANDED = replace(FAILED, action=dsn.Action.EXPANDED, status=EnhancedCode(2, 1, 5), diagnostic=None)


def words(made: dsn.Draft) -> str:
    return " ".join(dsn.describe(made).split())


def test_a_failure_says_to_whom_what_the_server_said_and_what_it_means():
    said = words(draft())
    assert "Your message was NOT delivered to this address. It will not be tried again." in said
    assert "anna@example.com The mail server mx.example.com said: 550 5.1.1 No such user here" in said
    assert "That means: There is no such mailbox." in said


def test_a_delay_gives_the_true_next_times_and_until_when_it_is_tried():
    story = dsn.Story(attempts=7, next_attempts=(MONDAY + 7 * HOUR, MONDAY + 10 * HOUR))
    said = words(draft(report(DELAYED), stories=(story,)))
    assert "It is still being tried; you do not need to do anything." in said
    assert "Tried 7 times, last: Mon, 22 Nov 2027 11:11 UTC" in said
    assert (
        "It is tried again at Mon, 22 Nov 2027 14:11 UTC Mon, 22 Nov 2027 17:11 UTC and so on, until Sat"
        in said
    )
    assert "If it cannot be delivered by then, you get one more notice." in said


def test_a_delay_without_known_times_says_only_until_when():
    assert "It is tried again, until Sat, 27 Nov 2027 07:11 UTC." in words(draft(report(DELAYED)))


def test_a_delay_without_an_end_makes_no_promise():
    said = words(draft(report(replace(DELAYED, will_retry_until=None))))
    assert "until" not in said


def test_a_message_that_may_have_arrived_says_so():
    assert "It may have arrived all the same" in words(draft(stories=(dsn.Story(may_have_arrived=True),)))
    assert "may have arrived" not in words(
        draft(report(EXPANDED), stories=(dsn.Story(may_have_arrived=True),))
    )


def test_what_no_server_said_is_told_in_our_own_words():
    recipient = replace(FAILED, diagnostic=None, remote_mta=None, status_comment="the domain takes no mail")
    said = words(draft(report(recipient)))
    assert "What went wrong: the domain takes no mail" in said
    assert "said:" not in said


def test_recipients_with_the_same_story_share_it_and_others_do_not():
    names = ("anna", "bert", "carla")
    same = tuple(replace(FAILED, final_recipient=dsn.mailbox(f"{name}@example.com")) for name in names)
    other = replace(FAILED, diagnostic=dsn.said("552 5.2.2 Full"), status=EnhancedCode(5, 2, 2))
    said = dsn.describe(draft(report(*same, other)))
    assert "  anna@example.com\n  bert@example.com\n  carla@example.com\n    The mail server" in said
    assert said.count("No such user here") == 1
    assert said.count("5.2.2 Full") == 1


def test_the_gravest_thing_comes_first_and_is_the_subject():
    made = draft(report(EXPANDED, DELAYED, FAILED))
    said = dsn.describe(made)
    assert said.index("NOT delivered") < said.index("yet") < said.index("several others")
    assert dsn.headline(made) == "Not delivered: Lunch"


@pytest.mark.parametrize(
    ("action", "label"),
    [
        (dsn.Action.FAILED, "Not delivered"),
        (dsn.Action.DELAYED, "Delayed, still trying"),
        (dsn.Action.DELIVERED, "Delivered"),
        (dsn.Action.RELAYED, "Handed on"),
        (dsn.Action.EXPANDED, "Delivered to a list"),
    ],
)
def test_the_subject_says_what_happened(action, label):
    assert dsn.headline(draft(report(replace(FAILED, action=action)))) == f"{label}: Lunch"


def test_a_message_without_subject_is_named_by_its_recipients():
    made = draft(report(FAILED, DELAYED), original_subject=None)
    assert dsn.headline(made) == "Not delivered: your message to anna@example.com and 1 more"
    assert "Subject:    (none)" in dsn.describe(made)


def test_an_address_is_shown_as_the_sender_wrote_it_and_as_what_it_became():
    recipient = replace(FAILED, original_recipient=dsn.mailbox("team@example.org"))
    assert "  team@example.org (which became anna@example.com)\n" in dsn.describe(draft(report(recipient)))
    same = replace(FAILED, original_recipient=dsn.mailbox("Anna@Example.com"))
    assert "  Anna@Example.com\n" in dsn.describe(draft(report(same)))


def test_a_domain_in_a_labels_is_shown_as_people_write_it():
    recipient = replace(FAILED, final_recipient=dsn.mailbox("anna@xn--bcher-kva.example"))
    assert "  anna@bücher.example\n" in dsn.describe(draft(report(recipient)))
    broken = replace(FAILED, final_recipient=dsn.mailbox("anna@xn--.example"))
    assert "  anna@xn--.example\n" in dsn.describe(draft(report(broken)))


def test_a_long_reply_is_cut_for_people_and_whole_in_the_report():
    reply = "".join(f"550-line {number}\n" for number in range(100)) + "550 end"
    made = draft(report(replace(FAILED, diagnostic=dsn.said(reply))))
    assert "550-line 19\n" in dsn.describe(made)
    assert "550-line 20\n" not in dsn.describe(made)
    assert "(the rest is in the attached delivery report)" in dsn.describe(made)
    assert str(dsn.parse(dsn.compose(made)).recipients[0].diagnostic) == f"smtp; {reply}"


def test_what_strangers_chose_cannot_pass_for_our_own_words():
    made = draft(original_subject="x\n\nYour message was delivered.\n\x1b[1m\u202e")
    assert "\n\nYour message was delivered" not in dsn.describe(made)
    assert "Subject:    x Your message was delivered. \\x1b[1m\\u202e" in dsn.describe(made)


def test_lines_for_people_are_at_most_76_characters_wide():
    made = draft(report(FAILED, DELAYED, EXPANDED), stories=(dsn.Story(may_have_arrived=True),) * 3)
    assert max(map(len, dsn.describe(made).split("\n"))) <= 76

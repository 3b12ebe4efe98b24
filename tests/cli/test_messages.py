"""Verbs about messages: submit, list, show, attempts, explain, dump, hold, release, retired, notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_string, policy
from pathlib import Path

import pytest
from support.command import LETTER, Command
from support.receiver import Receiver

from mailqueue.queue import Engine, Queue

KEYS = {
    "id",
    "submission_id",
    "account",
    "sender",
    "recipient",
    "state",
    "hold",
    "attempts",
    "next_attempt_at",
    "last_error",
    "category",
    "blocked_until",
    "blocked_by",
    "submitted_at",
    "claimed_at",
    "give_up_at",
    "retired_at",
    "schedule",
    "message_id",
    "subject",
    "size",
    "notify",
    "orcpt",
    "envid",
    "ret",
    "priority",
    "transport",
    "require_tls",
    "not_before",
    "expires_at",
    "warn_after",
    "max_attempts",
    "extra",
    "fromid",
    "feedback",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def deliver(mailqueue: Command, receiver: Receiver) -> dict[str, int]:
    outcomes: dict[str, int] = mailqueue.json("run", "--once", "--relay", f"127.0.0.1:{receiver.port}")[
        "outcomes"
    ]
    return outcomes


def test_submitted_message_is_told_with_its_ids(mailqueue: Command) -> None:
    told = mailqueue("submit", "--to", "ann@example.net", "--to", "bob@example.net", input=LETTER)
    assert "submission s1  <" in told
    assert "message 1  ann@example.net  queued" in told
    assert "message 2  bob@example.net  queued" in told


def test_submit_says_when_nothing_will_move(mailqueue: Command) -> None:
    told = mailqueue("submit", input=LETTER)
    assert "no transport: mailqueue transport add NAME --kind relay --host HOST" in told
    assert "engine: NOT RUNNING" in told
    mailqueue("transport", "add", "NAME", "--kind", "relay", "--host", "HOST")  # as printed
    assert "no transport" not in mailqueue("submit", input=LETTER)


def test_message_comes_from_a_file_or_from_standard_input(mailqueue: Command, tmp_path: Path) -> None:
    file = tmp_path / "letter.eml"
    file.write_text(LETTER)
    for args, read in ((("submit", str(file)), None), (("submit", "-"), LETTER), (("submit",), LETTER)):
        made = mailqueue.json(*args, input=read)
        assert [message["recipient"] for message in made["messages"]] == ["ann@example.net"]


def test_options_of_submit_reach_the_message(mailqueue: Command) -> None:
    mailqueue("account", "add", "shop")
    options = ("--sender", "", "--account", "shop", "--schedule", "otp", "--to", "bob@example.net")
    made = mailqueue.json("submit", *options, input=LETTER)
    shown = mailqueue.json("show", made["messages"][0]["id"])
    assert (shown["sender"], shown["account"], shown["schedule"]) == ("", "shop", "otp")
    assert "from          <>" in mailqueue("show", shown["id"])


def test_idempotency_key_gives_the_first_submission_again(mailqueue: Command) -> None:
    first = mailqueue.json("submit", "--idempotency-key", "k", input=LETTER)
    again = mailqueue.json("submit", "--idempotency-key", "k", input=LETTER)
    assert (again["id"], again["replayed"], first["replayed"]) == (first["id"], True, False)
    assert "k" in mailqueue.fails(3, "submit", "--idempotency-key", "k", input=LETTER.replace("way", "desk"))
    assert len(mailqueue.json("list")["items"]) == 1


def test_every_fault_of_a_submission_is_on_a_line_of_its_own(mailqueue: Command) -> None:
    told = mailqueue.fails(3, "submit", "--to", "a b", "--to", "c@exa mple", "--sender", "d@", input=LETTER)
    lines = told.splitlines()
    assert lines[0] == "mailqueue: cannot be queued:"
    assert len(lines) == 4
    assert "'a b'" in told
    assert "'c@exa mple'" in told
    assert mailqueue.json("list")["items"] == []


def test_single_fault_is_one_line(mailqueue: Command) -> None:
    told = mailqueue.fails(3, "submit", "--to", "nobody", input=LETTER)
    assert told.startswith("mailqueue: cannot be queued: recipient 1")
    assert len(told.splitlines()) == 1


def test_wishes_for_notices_go_with_the_message(mailqueue: Command, receiver: Receiver) -> None:
    to = ("--to", "ann@example.net", "--orcpt", "", "--to", "b17@example.net", "--orcpt", "bob@example.com")
    mailqueue(
        *("submit", *to, "--notify", "success,failure", "--ret", "hdrs", "--envid", "order 17"), input=LETTER
    )
    deliver(mailqueue, receiver)
    said = [command for command in receiver.commands if command.startswith(("MAIL", "RCPT"))]
    assert said[0].endswith(" RET=HDRS ENVID=order+2017")
    assert said[1:] == [
        "RCPT TO:<ann@example.net> NOTIFY=SUCCESS,FAILURE",
        "RCPT TO:<b17@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@example.com",
    ]


def test_wishes_are_shown(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    mailqueue.submit(
        "b17@example.net", orcpt="bob@example.com", notify="delay,success", ret="full", envid="order 17"
    )
    mailqueue.submit("cid@example.net", notify="never", ret="hdrs")
    assert [
        [each[key] for key in ("notify", "orcpt", "envid", "ret")] for each in mailqueue.json("list")["items"]
    ] == [
        [None, None, None, None],
        ["success,delay", "rfc822;bob@example.com", "order 17", "FULL"],
        ["never", None, None, "HDRS"],
    ]
    shown = mailqueue("show", 2)
    assert "notices       of success or delay, with the whole message\n" in shown
    assert "given as      bob@example.com\n" in shown
    assert "envelope id   order 17\n" in shown
    assert "notices       never\n" in mailqueue("show", 3)
    assert "notices" not in mailqueue("show", 1)


def test_wishes_that_cannot_be_are_refused(mailqueue: Command) -> None:
    told = mailqueue.fails(3, "submit", "--notify", "never,delay", "--ret", "some", input=LETTER)
    assert "notify: never stands alone" in told
    assert "ret: 'some' is neither full nor hdrs" in told
    told = mailqueue.fails(2, "submit", "--to", "a@example.net", "--orcpt", "", "--orcpt", "", input=LETTER)
    assert "--orcpt is given 2 times and --to 1 times: one for each" in told
    assert mailqueue.json("list")["items"] == []


def test_relayed_notice_is_told_of_and_shown(mailqueue: Command) -> None:
    with Receiver(extensions=("PIPELINING", "8BITMIME")) as receiver:
        [message_id] = mailqueue.submit("ann@example.net", notify="success")
        deliver(mailqueue, receiver)
    assert "Action: relayed" in mailqueue("notice", "show", message_id, "--kind", "relayed")
    assert [each["event"] for each in mailqueue.json("show", message_id)["events"]] == [
        "delivered",
        "relayed",
    ]


def test_strict_mode_refuses_what_lenient_mode_sends(mailqueue: Command) -> None:
    two_froms = "From: a@example.org\n" + LETTER
    assert "From" in mailqueue.fails(3, "submit", "--strict", "--sender", "a@example.org", input=two_froms)
    mailqueue("submit", "--lenient", "--sender", "a@example.org", input=two_froms)


def test_repairs_of_a_message_are_told(mailqueue: Command) -> None:
    broken = LETTER + "x" * 999 + "\n"
    repair = "body: lines of over 998 octets, so text/plain became quoted-printable"
    assert f"  repaired: {repair}\n" in mailqueue("submit", input=broken)
    assert mailqueue.json("submit", input=broken)["repairs"] == [repair]
    assert mailqueue.json("submit", input=LETTER)["repairs"] == []
    assert "body line 2: 999 octets" in mailqueue.fails(3, "submit", "--strict", input=broken)


def test_list_gives_pages_of_messages_with_all_their_keys(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net", "bob@example.net", "cid@example.net")
    first = mailqueue.json("list", "--limit", 2)
    assert [message["id"] for message in first["items"]] == [1, 2]
    assert set(first["items"][0]) == KEYS
    second = mailqueue.json("list", "--limit", 2, "--after", first["next"])
    assert [message["id"] for message in second["items"]] == [3]
    assert second["next"] is None
    assert f"more: --after {first['next']}" in mailqueue("list", "--limit", 2)
    assert mailqueue.json("list", "--account", "default")["items"] != []


def test_list_ends_with_how_the_queue_stands(mailqueue: Command, tmp_path: Path) -> None:
    mailqueue.submit("ann@example.net")
    mailqueue.submit("bob@example.net")
    mailqueue("hold", 2)
    assert mailqueue("list").splitlines()[-1] == "2 queued, 1 held, next now; engine: NOT RUNNING"
    mailqueue("hold", 1)
    mailqueue("transport", "add", "out", "--kind", "direct")
    with Queue(tmp_path / "queue.db") as queue:
        engine = Engine(queue)
        engine.start()
        try:
            last = mailqueue("list").splitlines()[-1]
            status = mailqueue.json("status")
        finally:
            engine.stop()
    pid = status["engines"][0]["pid"]
    assert last == f"2 queued, 2 held; engine: running (pid {pid})"
    assert (status["queued"], status["held"], status["transport"]) == (2, 2, True)


def test_list_is_readable_at_eighty_columns(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("greylist-with-a-rather-long-name@a-rather-long-domain.example.net")
    deliver(mailqueue, receiver)
    lines = mailqueue("list").splitlines()
    assert lines[0].split() == ["ID", "TO", "STATE", "TRIES", "NEXT"]
    assert max(map(len, lines)) <= 80
    assert lines[2] == "    451 4.7.1 Greylisted, please try again later"
    assert "in 5m" in lines[1] or "in 4m" in lines[1] or "in 6m" in lines[1]


def test_show_tells_of_one_message_or_of_a_list(mailqueue: Command) -> None:
    one, two = mailqueue.submit("ann@example.net", "bob@example.net")
    shown = mailqueue.json("show", one)
    assert set(shown) == KEYS | {"holds", "events", "notices"}
    assert [each["id"] for each in mailqueue.json("show", "s1")["items"]] == [one, two]
    assert [each["id"] for each in mailqueue.json("show", two, one)["items"]] == [two, one]
    assert [each["id"] for each in mailqueue.json("show", "-", input=f"{one}\n{two}\n")["items"]] == [
        one,
        two,
    ]
    people = mailqueue("show", "s1")
    assert "to            ann@example.net" in people
    assert "to            bob@example.net" in people


def test_hold_and_release_tell_how_many_and_keep_who_and_why(mailqueue: Command) -> None:
    one, two = mailqueue.submit("ann@example.net", "bob@example.net")
    assert mailqueue.json("hold", "s1", "--reason", "audit") == {
        "changed": 2,
        "unchanged": 0,
        "in_delivery": 0,
        "retired": [],
    }
    shown = mailqueue.json("show", one)
    assert shown["hold"] is True
    assert shown["state"] == "queued"
    assert shown["holds"][0]["reason"] == "audit"
    assert shown["holds"][0]["actor"].startswith("cli:")
    assert shown["events"][0]["event"] == "held"
    assert "by hand" in mailqueue("show", one)
    assert "on hold" in mailqueue("list")
    assert "1 message released" in mailqueue("release", "-", input=str(one))
    assert mailqueue.json("release", "--account", "default") == {
        "changed": 1,
        "unchanged": 0,
        "in_delivery": 0,
        "retired": [],
    }
    assert not mailqueue.json("show", two)["hold"]
    assert mailqueue.json("hold", "--all")["changed"] == 2


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_without_a_word_which_messages_are_meant_nothing_is_changed(mailqueue: Command, verb: str) -> None:
    mailqueue.submit("ann@example.net")
    assert "which messages?" in mailqueue.fails(2, verb)
    assert "--all goes with none" in mailqueue.fails(2, verb, "1", "--all")
    assert "--all goes with none" in mailqueue.fails(2, verb, "--all", "--account", "default")
    assert mailqueue.json("show", 1)["events"] == []


def test_standard_input_without_an_id_changes_nothing(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    assert mailqueue.json("hold", "-", input="")["changed"] == 0
    assert mailqueue.json("show", 1)["hold"] is False


def test_dump_gives_the_content_as_it_goes_out(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("ann@example.net")
    dumped = mailqueue.json("dump", "s1")
    assert mailqueue.json("dump", 1)["content"] == dumped["content"]
    assert dumped["content"].endswith("\r\n\r\nIt is on its way.\r\n")
    deliver(mailqueue, receiver)
    assert receiver.wait(1)[0].content.decode() == dumped["content"]


def test_content_that_is_not_utf_8_is_base64_in_json(mailqueue: Command) -> None:
    mailqueue("submit", input=LETTER.encode() + b"caf\xe9\n")
    assert set(mailqueue.json("dump", 1)) == {"id", "size", "content_base64"}


def test_explain_names_the_gate_and_what_opens_it(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    found = mailqueue.json("explain", 1)
    assert found["blocked_by"] == "transport"
    gates = ["hold", "transport", "not_due", "destination", "rate", "lease", "engine"]
    assert [gate["gate"] for gate in found["gates"]] == gates
    people = mailqueue("explain", "s1")
    assert "  WAITS  no transport: mailqueue transport add" in people
    assert "  ok     not on hold" in people
    mailqueue("hold", 1)
    assert mailqueue.json("explain", 1)["blocked_by"] == "hold"
    assert "opened by: mailqueue release 1" in mailqueue("explain", 1)


def test_explain_tells_the_last_reply_of_a_message_that_is_tried_again(
    mailqueue: Command, receiver: Receiver
) -> None:
    mailqueue.submit("full@example.net")
    deliver(mailqueue, receiver)
    found = mailqueue.json("explain", 1)
    backoff = next(gate for gate in found["gates"] if gate["gate"] == "backoff")
    assert "452 4.2.2 Mailbox full" in backoff["text"]
    assert backoff["until"] == mailqueue.json("show", 1)["next_attempt_at"]
    assert "until in " in mailqueue("explain", 1)


def test_attempts_tell_all_that_the_server_said(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("unknown@example.net")
    assert "no attempt yet: mailqueue explain 1" in mailqueue("attempts", 1)
    assert deliver(mailqueue, receiver)["failed"] == 1
    (attempt,) = mailqueue.json("attempts", 1)["items"]
    assert (attempt["outcome"], attempt["category"]) == ("failed", "mailbox_unknown")
    assert (attempt["code"], attempt["enhanced"]) == (550, "5.1.1")
    assert isinstance(attempt["duration"], float)
    people = mailqueue("attempts", 1)
    assert "attempt 1  " in people
    assert "  550 5.1.1 No such user here" in people
    assert f"[127.0.0.1:{receiver.port}]" in people
    assert "RCPT TO" not in people
    assert "| C: RCPT TO:<unknown@example.net>" in mailqueue("attempts", 1, "--transcript")


def test_history_keeps_what_became_of_messages(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("ann@example.net", "unknown@example.net", "bob@example.net")
    deliver(mailqueue, receiver)
    assert mailqueue.json("list")["items"] == []
    page = mailqueue.json("retired", "list", "--limit", 2)
    rest = mailqueue.json("retired", "list", "--after", page["next"])
    states = {each["recipient"]: each["state"] for each in page["items"] + rest["items"]}
    assert states == {
        "ann@example.net": "delivered",
        "unknown@example.net": "failed",
        "bob@example.net": "delivered",
    }
    assert set(page["items"][0]) == KEYS
    assert "550 5.1.1" in mailqueue("retired", "list")
    assert mailqueue.json("retired", "show", 2)["state"] == "failed"
    assert mailqueue.json("hold", 2) == {"changed": 0, "unchanged": 0, "in_delivery": 0, "retired": [2]}
    assert "in the history, where nothing waits: 2" in mailqueue("hold", 2)


def test_notice_of_a_failed_message_can_be_read(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("unknown@example.net", "ann@example.net")
    deliver(mailqueue, receiver)
    notice = message_from_string(mailqueue("notice", "show", 1), policy=policy.default)
    assert notice.get_content_type() == "multipart/report"
    told = mailqueue.json("notice", "show", 1, "--kind", "failed")
    assert told["report"]["recipients"][0]["status"] == "5.1.1"
    assert "multipart/report" in told["content"]
    assert mailqueue.json("show", 1)["notices"][0]["id"] == told["id"]
    assert "is delivered, and no notice" in mailqueue.fails(4, "notice", "show", 2)
    assert "no delayed notice" in mailqueue.fails(4, "notice", "show", 1, "--kind", "delayed")


def test_notice_is_read_back_by_dsn_parse(mailqueue: Command, receiver: Receiver) -> None:
    mailqueue.submit("unknown@example.net")
    deliver(mailqueue, receiver)
    notice = mailqueue("notice", "show", 1)
    found = mailqueue.json("dsn", "parse", "-", input=notice)
    assert found["recipients"][0]["action"] == "failed"
    assert found["original_message_id"] == mailqueue.json("show", 1)["message_id"]
    people = mailqueue("dsn", "parse", "-", input=notice)
    assert "recipient" in people
    assert "unknown@example.net" in people
    assert "550 5.1.1 No such user here" in people


def test_json_is_the_same_before_and_after_the_verb(mailqueue: Command) -> None:
    mailqueue.submit("ann@example.net")
    before = mailqueue.run("--json", "list")
    assert json.loads(before.stdout) == mailqueue.json("list")


def test_timeline_tells_what_happened_and_who_did_it(mailqueue: Command, receiver: Receiver) -> None:
    [message] = mailqueue.submit("ann@example.net")
    mailqueue("hold", str(message), "--reason", "to be sure")
    mailqueue("release", str(message))
    mailqueue("run", "--once", "--relay", f"127.0.0.1:{receiver.port}")
    found = mailqueue.json("timeline", str(message))["items"]
    assert [each["what"] for each in found] == ["submitted", "held", "released", "attempted", "delivered"]
    assert found[1]["text"] == "to be sure"
    lines = mailqueue("timeline", str(message)).splitlines()
    assert "held by cli:" in lines[1]
    assert "attempted 1: delivered at 127.0.0.1: 250 2.0.0" in lines[3]

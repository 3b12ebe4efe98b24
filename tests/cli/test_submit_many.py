"""`mailqueue submit-many`: a JSON object a line, all of them or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import LETTER, Command


def lines(*items: object) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def test_messages_come_as_text_and_from_files(mailqueue: Command, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text(LETTER)
    listed = tmp_path / "list.jsonl"
    listed.write_text(
        lines({"message": LETTER, "recipients": ["bob@example.net", "eve@example.net"]})
        + "\n"
        + lines({"file": "a.eml"})
    )
    told = mailqueue("submit-many", listed)
    assert told.startswith("2 submissions with 3 messages: s1 to s2\n")
    assert "NOT RUNNING" in told
    found = mailqueue.json("list")["items"]
    assert [each["recipient"] for each in found] == ["bob@example.net", "eve@example.net", "ann@example.net"]


def test_json_has_what_submit_gives_of_each(mailqueue: Command) -> None:
    item = {"message": LETTER, "idempotency_key": "k"}
    made = mailqueue.json("submit-many", "-", input=lines(item, item))
    first, again = made["items"]
    assert (first["id"], first["replayed"], again["id"], again["replayed"]) == (1, False, 1, True)
    assert first["messages"][0]["recipient"] == "ann@example.net"
    assert made["status"]["queued"] == 1
    assert "1 submission again" in mailqueue("submit-many", input=lines(item))


def test_repairs_are_told_of_the_first_ten(mailqueue: Command) -> None:
    item = {"message": LETTER + "x" * 999}
    told = mailqueue("submit-many", input=lines({"message": LETTER}, *[item] * 12))
    assert "s2 repaired: body: lines of over 998 octets, so text/plain became quoted-printable" in told
    assert told.count("repaired: ") == 10
    assert "2 more repaired" in told
    assert len(mailqueue.json("submit-many", input=lines(item))["items"][0]["repairs"]) == 1


def test_progress_is_told_beside_the_answer(mailqueue: Command) -> None:
    done = mailqueue.run("submit-many", "--progress", "--json", input=lines(*[{"message": LETTER}] * 3))
    assert "3 messages stored" in done.stderr
    assert len(json.loads(done.stdout)["items"]) == 3


def test_every_fault_is_told_on_a_line_and_nothing_is_stored(mailqueue: Command) -> None:
    told = mailqueue.fails(
        3,
        "submit-many",
        input=lines(
            {"message": LETTER},
            {"message": LETTER, "sender": "@", "account": "default"},
            {"message": LETTER, "recipients": ["x"]},
        ),
    )
    assert "message 2: sender" in told
    assert "message 3: recipient 1" in told
    assert mailqueue.json("list")["items"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1: not JSON"),
        ("[]", 'line 1: must be an object with either "message" or "file"'),
        ('{"file": "a", "message": "b"}', "either"),
        ('{"file": "not-there.eml"}', "not-there.eml"),
        ('{"message": "x", "recipient": []}', "message 1: got an unexpected keyword"),
        ('{"message": 5}', "message 1: a message is"),
        ('{"message": "x", "recipients": "a@b.example"}', "message 1"),
        ('{"message": "x", "connection": null}', "'connection' is not for one message"),
    ],
)
def test_line_that_cannot_be_is_named(mailqueue: Command, text: str, told: str) -> None:
    assert told in mailqueue.fails(3, "submit-many", input=text + "\n")
    assert mailqueue.json("list")["items"] == []

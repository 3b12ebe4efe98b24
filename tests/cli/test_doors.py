"""The doors of the queue have the same verbs, and the reference describes them all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mailqueue import faces
from mailqueue.cli.root import cli
from mailqueue.model.wanted import Wanted
from mailqueue.queue import Queue

REFERENCE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()

FACES = {
    "": (Queue, None),
    "holdrules": (faces.HoldRules, "hold_rules"),
    "transport": (faces.Transports, "transports"),
    "route": (faces.Routes, "routes"),
    "domain": (faces.SenderDomains, "sender_domains"),
    "replies": (faces.ReplyRules, "reply_rules"),
    "shaping": (faces.ShapingRules, "shaping_rules"),
    "destinations": (faces.Destinations, "destinations"),
    "schedule": (faces.Schedules, "schedules"),
    "account": (faces.Accounts, "accounts"),
    "suppress": (faces.Suppressions, "suppressions"),
    "retired": (faces.Retired, "retired"),
    "webhook": (faces.Webhooks, "webhooks"),
    "webhook retired": (faces.RetiredWebhooks, "webhooks.retired"),
    "incoming": (faces.IncomingMail, "incoming_mail"),
}
SAID_OTHERWISE = {
    "submit_many": "submit-many",
    "count": "list",  # list --count
    "held": "show",  # holdrules show
    "import_": "import",
    "submission": "show",  # show s12
    "events": "show",
    "notices": "notice show",
    "check_integrity": "check-integrity",
    "require_tls": "require-tls",
    "incoming": "incoming take",
}
NO_VERB = {"actor", "close"}
NOT_OF_A_QUEUE = {"run", "top", "dsn parse", "arf parse", "demo", "notice show", "incoming listen"}
COMMON = {"--db", "--json", "--help", "-h", "--version"}


def leaves(group: click.Group = cli, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(leaves())


def verbs() -> Iterator[tuple[str, object]]:
    """Yield the command that stands for each verb of Python's door, and the verb."""
    for group, (face, _) in FACES.items():
        for name, verb in vars(face).items():
            if name.startswith("_") or name in NO_VERB or not callable(verb):
                continue
            if name in ("count", "held", "import_") or face is Queue:
                name = SAID_OTHERWISE.get(name, name)
            yield f"{group} {name}".strip(), verb


def options(command: click.Command) -> set[str]:
    return {
        text
        for each in command.params
        if isinstance(each, click.Option)
        for text in (*each.opts, *each.secondary_opts)
    }


def section(name: str) -> str:
    """Return what the reference says under the heading of a command."""
    found = re.search(rf"^###+ {name}\n(.*?)(?=^##|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading for {name}"
    return found[1]


def test_command_line_has_every_verb_of_python_and_no_other() -> None:
    assert {command for command, _ in verbs()} == set(COMMANDS) - NOT_OF_A_QUEUE | {"notice show"}


@pytest.mark.parametrize(
    ("command", "verb"), list(verbs()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_command_takes_whatever_the_verb_takes(command: str, verb: object) -> None:
    parameters = inspect.signature(verb).parameters.values()  # type: ignore[arg-type]
    wanted = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} - {"actor", "connection"}
    spelled = {"recipients": "to", "ids": "id"}
    spelled |= {name: f"{name}_file" for name in ("password", "authorization", "secret")}
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        wanted |= set(Wanted.__annotations__)
        spelled |= {"sender": "from", "recipient": "to"}
    if command == "plan":
        spelled["recipient"] = "to"
    taken = {text.lstrip("-").replace("-", "_") for text in options(COMMANDS[command])}
    assert {spelled.get(name, name) for name in wanted} <= taken


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_describes_the_command_and_all_its_options(name: str) -> None:
    told = set(re.findall(r"`(--[a-z-]+)`", section(name)))
    assert options(COMMANDS[name]) - COMMON <= told


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_lists_no_option_that_is_not_there(name: str) -> None:
    listed = {
        option
        for line in section(name).splitlines()
        if line.startswith("- `--")
        for option in re.findall(r"`(--[a-z-]+)`", line.partition(": ")[0])
    }
    assert listed <= options(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_command_says_what_it_is_for_in_a_line_that_fits(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert len(command.help.split("\n\n")[0]) <= 78
    for each in command.params:
        assert isinstance(each, click.Argument) or each.help  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_database_and_json_are_taken_by_every_command(name: str) -> None:
    assert {"--db", "--json"} <= options(COMMANDS[name])

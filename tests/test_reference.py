"""The reference tells what the code does: names, defaults and lists are compared with the code."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import logging
import pkgutil
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, is_dataclass
from datetime import timedelta
from email.message import EmailMessage
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args, get_origin, get_type_hints

import click
import pytest
from support.receiver import Receiver

import mailqueue
from mailqueue import Engine, Queue, schema_sql
from mailqueue.cli.root import cli
from mailqueue.clock import MINUTE, to_micros
from mailqueue.config import FILE, FILE_VARIABLE, LOG_LEVELS, SETTINGS, Config, load
from mailqueue.engine.liveness import this_process
from mailqueue.engine.sweep import KEEP_KEYS
from mailqueue.faces import Accounts, HoldRules, ReplyRules, Routes, Schedules, ShapingRules, Transports
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import TIMEOUTS, Phase
from mailqueue.model.account import Account, Notices, OnUncertain, OverQuota, Quota
from mailqueue.model.attempt import Category, OutcomeKind, Scope
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.explain import GateKind
from mailqueue.model.filters import Sort
from mailqueue.model.incoming import MatchedBy
from mailqueue.model.lifecycle import Feedback, State
from mailqueue.model.rules import (
    AuthMechanism,
    HoldRule,
    Route,
    ShapingRule,
    Then,
    Tls,
    Transport,
    TransportKind,
)
from mailqueue.model.schedule import (
    CLASSES,
    NOTICE_LIFETIME,
    SHIPPED,
    STANDARD,
    Schedule,
    format_delays,
    format_duration,
    times,
)
from mailqueue.model.settlement import Settlement, WishKind
from mailqueue.model.suppression import Cause, Finding
from mailqueue.model.verdict import RuleKind
from mailqueue.model.wanted import Wanted
from mailqueue.model.way import ChosenBy
from mailqueue.model.webhook import WebhookState
from mailqueue.policy.classify import classify
from mailqueue.store import lists
from mailqueue.store.filters import SLACK

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mailqueue"
REFERENCE = ROOT / "docs/reference"


# --- reading pages and code -------------------------------------------------------------------
def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def section(text: str, title: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"no heading {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the rows of each table, without its head."""
    for found in re.finditer(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        rows = [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in found[0].splitlines()
        ]
        yield rows[2:]


def table(text: str, title: str) -> list[list[str]]:
    """Return the rows of the first table below a heading."""
    return next(tables(section(text, title)))


def plain(cell: str) -> str:
    return cell.replace("`", "")


def calls() -> Iterator[ast.Call]:
    for path in PACKAGE.rglob("*.py"):
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


# --- logs -------------------------------------------------------------------------------------
LEVELS = ("debug", "info", "warning", "error", "exception")


def logged() -> Iterator[tuple[str, str]]:
    """Yield level and text, values as `...`, of every line that the code may log."""
    for call in calls():
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="logger" | "_log"), attr=level),
                args=[ast.Constant(value=str(text)), *_],
            ) if level in LEVELS:
                yield level.replace("exception", "error").upper(), re.sub(r"%[sdr]", "...", text)
            case ast.Call(func=ast.Name(id="_waited_out"), args=[ast.Constant(value=str(text))]):
                yield "ERROR", f"{text}: ..."


def test_every_logger_is_described() -> None:
    named = {
        call.args[0].value
        for call in calls()
        if ast.unparse(call.func) == "logging.getLogger" and isinstance(call.args[0], ast.Constant)
    }
    described = {plain(row[0]) for row in next(tables(page("logs")))}
    assert described == named - {"mailqueue"}


def test_every_line_that_is_logged_is_described_with_its_level() -> None:
    described = {(level, plain(line)) for level, line, _ in table(page("logs"), "What else is logged")}
    assert described == set(logged()) - {("ERROR", "...: ...")}


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_line_of_an_attempt_has_the_fields_that_are_described(tmp_path: Path) -> None:
    described = [plain(row[0]) for row in table(page("logs"), "One line per attempt")]
    kept, logger = Kept(), logging.getLogger("mailqueue.delivery")
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        with Receiver() as receiver, Queue(tmp_path / "queue.db") as queue:
            for to in ("ann@example.net", "greylist@example.net"):
                queue.submit(letter(to))
            asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
    finally:
        logger.removeHandler(kept)
        logger.setLevel(logging.NOTSET)
    lines = {record.getMessage().split(" ")[0]: record for record in kept.records}
    assert set(lines) == {"delivered", "deferred"}
    for event, record in lines.items():
        names = re.findall(r" (\w+)=", re.sub(r"'.*'", "", record.getMessage()))
        assert names == [name for name in described if name in names]
        assert {"event": event}.items() <= vars(record).items()
        assert all(str(vars(record)[name]) in record.getMessage() for name in names)
    assert {*described} - {name for record in kept.records for name in vars(record)} == {"tls", "converted"}
    assert lines["delivered"].levelno == logging.INFO
    assert lines["deferred"].levelno == logging.WARNING
    assert not any("Secret" in record.getMessage() for record in kept.records)


def letter(to: str, subject: str = "Secret subject") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", to, subject
    message.set_content("Secret content.\n")
    return message


# --- words ------------------------------------------------------------------------------------
WORDS = {
    State: ("States", 0),
    EventKind: ("Events", 0),
    OutcomeKind: ("Outcomes", 0),
    Category: ("Categories", 0),
    Scope: ("Scopes", 0),
    RuleKind: ("Rules about replies", 0),
    GateKind: ("Gates", 0),
    NoticeKind: ("Notices", 0),
    Feedback: ("What comes back", 0),
    MatchedBy: ("What comes back", 1),
    WishKind: ("Wishes", 0),
    Then: ("Ends of hold rules", 0),
    Notices: ("Notices", 1),
    OnUncertain: ("Mail that may have arrived", 0),
    Quota: ("Quotas", 0),
    OverQuota: ("Quotas", 1),
    Cause: ("Suppression", 0),
    Finding: ("Suppression", 1),
    TransportKind: ("Transports", 0),
    Tls: ("Transports", 1),
    AuthMechanism: ("Transports", 2),
    ChosenBy: ("Transports", 3),
    Sort: ("Orders", 0),
    WebhookState: ("Webhooks", 0),
}


def words(title: str, number: int = 0) -> list[list[str]]:
    return list(tables(section(page("words"), title)))[number]


@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)
def test_every_word_is_described_in_the_order_of_the_code(kind: type[StrEnum]) -> None:
    rows = words(*WORDS[kind])
    assert [plain(row[0]).removesuffix(" †") for row in rows] == [member.value for member in kind]
    assert all(row[1] for row in rows)
    assert f"`{kind.__name__}`" in section(page("words"), WORDS[kind][0])


def test_every_enumeration_of_the_model_is_described() -> None:
    found = set()
    for module in pkgutil.iter_modules([str(PACKAGE / "model")]):
        loaded = import_module(f"mailqueue.model.{module.name}")
        found |= {
            each for each in vars(loaded).values() if isinstance(each, type) and issubclass(each, StrEnum)
        }
    assert found - {StrEnum} == set(WORDS)


@pytest.mark.parametrize("row", words("Categories"), ids=lambda row: plain(row[0]))
def test_example_of_a_category_is_of_that_category(row: list[str]) -> None:
    if row[2]:
        assert classify(Reply.from_text(plain(row[2])), Phase.RCPT).category == plain(row[0])
    else:
        assert plain(row[0]) in ("ok", "interrupted")


def test_words_that_nothing_produces_yet_are_marked() -> None:
    """A word is produced where its member is named outside of the model."""
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.parent.name != "model")
    for kind in (State, EventKind):
        for word, *_ in words(*WORDS[kind]):
            member = kind(plain(word).removesuffix(" †"))
            produced = re.search(rf"\b{kind.__name__}\.{member.name}\b", code) is not None
            claimed = kind is State and member in (State.QUEUED, State.CLAIMED)  # by SQL
            assert (produced or claimed) == ("†" not in word), word


# --- filters ----------------------------------------------------------------------------------
def test_every_filter_is_described_as_python_and_as_the_command_line_call_it() -> None:
    described = {plain(row[0]): plain(row[1]) for row in table(page("filters"), "Filters")}
    offered = {each.name: each.opts[0] for each in cli.commands["list"].params}
    assert described.pop("ids") == offered["typed"] == "--id"
    assert described == {name: offered[name] for name in Wanted.__annotations__}


def test_numbers_of_pages_are_those_that_are_told() -> None:
    told = page("filters")
    for number in (
        f"{lists.LOOK:,} messages",
        f"{lists.SORTED:,}",
        f"({lists.FEW} messages)",
        "8 MiB",
        "ten minutes",
    ):
        assert number in told
    assert (lists.SEARCHED, SLACK) == (8 * 2**20, 10 * MINUTE)


# --- settings ---------------------------------------------------------------------------------
def settings(title: str, number: int = 0) -> dict[str, list[str]]:
    """Return the rows of a table of settings by the name of each setting."""
    rows = list(tables(section(page("settings"), title)))[number]
    return {plain(row[0]): row[1:] for row in rows}


def default_as_told(default: object) -> str | None:
    """Return how a table tells a default; None where words of its own do."""
    match default:
        case None | "":
            return None
        case bool():
            return "yes" if default else "no"
        case StrEnum():
            return default.value
        case timedelta():
            return format_duration(to_micros(default))
        case _:
            return str(default)


def parameters(verb: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return {name: each for name, each in inspect.signature(verb).parameters.items() if name != "self"}


WHY = ("reason", "actor")
"""For the history: no settings."""
VERBS = {
    "Account": (Accounts.set, {"name", *WHY}, "account set"),
    "Transport": (Transports.add, {"name", *WHY}, "transport add"),
    "Route": (Routes.add, {"transport", *WHY}, "route add"),
    "Hold rule": (HoldRules.add, {"actor"}, "holdrules add"),
    "Reply rule": (ReplyRules.add, {"actor"}, "replies add"),
    "Shaping rule": (ShapingRules.add, {"actor"}, "shaping add"),
    "Schedule": (Schedules.add, {"name", *WHY}, "schedule add"),
    "Settings of a submission": (Queue.submit, {"message"}, "submit"),
}


@pytest.mark.parametrize("title", VERBS)
def test_settings_are_the_arguments_of_the_verb_with_their_defaults(title: str) -> None:
    verb, others, _ = VERBS[title]
    described, known = settings(title), parameters(verb)
    assert list(described) == [name for name in known if name not in others]
    if title == "Account":
        return  # see below: `set` leaves what is not given
    for name, (_, default, *_) in described.items():
        if known[name].default is inspect.Parameter.empty:
            assert default == "must be given"
        elif (told := default_as_told(known[name].default)) is not None:
            assert plain(default).split(";")[0] == told, name


@pytest.mark.parametrize("title", VERBS)
def test_options_of_settings_are_those_of_the_command_line(title: str) -> None:
    command: click.Command = cli
    for word in VERBS[title][2].split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    known = {option for each in command.params for option in (*each.opts, each.name.upper())}
    told = [plain(option) for option, *_ in settings(title).values() if option]
    described = [option for options in told for option in options.split(", ")]
    assert set(described) <= known
    options = {each.opts[0] for each in command.params if isinstance(each, click.Option)}
    assert options - {"--db", "--json", "--reason"} <= set(described)


def test_accounts_have_the_settings_that_are_described(tmp_path: Path) -> None:
    with Queue(tmp_path / "queue.db") as queue:
        account = queue.accounts.show("default")
    described = settings("Account")
    assert list(described) == [
        each.name for each in fields(Account) if each.name not in ("id", "name", "usage")
    ]
    for name in ("retention", "keep_content"):
        assert plain(described[name][1]) == format_duration(getattr(account, name))
    assert (account.notices, account.schedule, account.strict) == (None, None, False)
    assert "`keep`" in described["notices"][1]
    assert f"`{STANDARD}`" in described["schedule"][1]
    assert plain(described["strict"][1]) == "no"
    assert (account.quotas, plain(described["over_quota"][1])) == ({}, account.over_quota)


ENDED = ("ended_at", "ended_by", "ended_reason", "next_at", "let_go")
"""How far a hold rule is that has ended."""


@pytest.mark.parametrize(
    ("title", "kind", "others"),
    [
        ("Transport", Transport, {"id", "name", "is_default"}),
        ("Route", Route, {"id", "account_id", "transport"}),
        ("Hold rule", HoldRule, {"id", "account_id", "actor", "created_at", "marking", *ENDED}),
        ("Shaping rule", ShapingRule, {"id", "actor", "created_at"}),
        ("Schedule", Schedule, {"name", "classes", "shipped"}),
    ],
)
def test_fields_of_the_noun_are_settings(title: str, kind: type, others: set[str]) -> None:
    assert {each.name for each in fields(kind)} - others <= set(settings(title))


def test_classes_of_a_schedule_are_listed() -> None:
    told = section(page("settings"), "The text of a schedule")
    listed = next(block for block in told.split("\n\n") if block.startswith(f"`{CLASSES[0]}`"))
    assert tuple(plain(listed).replace("\n", " ").split(", ")) == CLASSES


def test_shipped_schedules_are_told_with_their_times() -> None:
    rows = table(page("settings"), "Schedules that come with mailqueue")
    assert rows == [told(schedule) for schedule in SHIPPED.values()]
    assert f"`{format_duration(NOTICE_LIFETIME)}`" in page("settings")


def told(schedule: Schedule) -> list[str]:
    """Return the row of a schedule: at 0s, 5m ... every 3h, the last at 4d21h50m: 44 in all."""
    at = times(schedule)
    first = len(schedule.delays.steps) + 1
    text = f"at {', '.join(map(format_duration, at[:first]))}"
    if schedule.delays.repeat:
        text += f", every {format_duration(schedule.delays.steps[-1])}, the last at {format_duration(at[-1])}"
    return [
        f"`{schedule.name}`",
        f"`{format_delays(schedule.delays, schedule.classes)}`",
        f"`{format_duration(schedule.lifetime)}`",
        "none" if schedule.warn_after is None else f"`{format_duration(schedule.warn_after)}`",
        f"{text}: {len(at)} in all",
    ]


def test_settings_of_a_process_are_those_of_the_code() -> None:
    rows = table(page("settings"), "Settings of a process")
    assert [[plain(cell) for cell in row[:3]] for row in rows] == [
        [setting.key, setting.variable, setting.flag] for setting in SETTINGS
    ]
    defaults = {plain(row[0]): plain(row[3]) for row in rows}
    assert defaults["log_level"] == Config().log_level
    for name, default in defaults.items():
        verb = Queue if name in ("busy_timeout", "max_size") else Engine
        if name not in ("db", "log_level") and parameters(verb)[name].default is not None:
            assert default == repr(parameters(verb)[name].default)
        assert getattr(Config(), name) is None or name == "log_level"
    text = page("settings")
    assert f"`{FILE}`" in text
    assert f"`{FILE_VARIABLE}`" in text
    assert all(f"`{level}`" in dict(zip(defaults, rows, strict=True))["log_level"][4] for level in LOG_LEVELS)


def test_example_of_the_toml_file_is_read(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", page("settings"), re.DOTALL)
    assert found
    (tmp_path / FILE).write_text(found[1])
    config = load(environ={}, folder=tmp_path)
    assert (config.db, config.hostname) == ("/var/lib/shop/mail.db", "shop.example.org")


@pytest.mark.parametrize("face", [Queue, Engine], ids=lambda face: face.__name__)
def test_arguments_of_queue_and_engine_are_told_with_their_defaults(face: type) -> None:
    described, known = settings(face.__name__), parameters(face)
    assert list(described) == list(known)
    for name, (default, _) in described.items():
        if known[name].default is inspect.Parameter.empty:
            assert default == "must be given"
        elif known[name].default is not None or default.startswith("`"):
            assert plain(default) == repr(known[name].default), name


def test_fixed_numbers_are_those_of_the_code() -> None:
    for _, number, name in table(page("settings"), "What is fixed"):
        module, _, constant = plain(name).rpartition(".")
        assert getattr(import_module(module), constant) == int(number), name


def test_idempotency_keys_are_kept_as_long_as_is_told() -> None:
    assert f"`{format_duration(KEEP_KEYS)}`" in settings("Settings of a submission")["idempotency_key"][2]


def test_timeouts_are_those_of_the_code() -> None:
    described = {name: float(seconds) for name, (seconds,) in settings("What is fixed", 1).items()}
    assert described == {phase.value: limit for phase, limit in TIMEOUTS.items()}


# --- the Python API ---------------------------------------------------------------------------
def load_api() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_api", ROOT / "docs/api.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


api = load_api()
MARKS = re.findall(r"^<!-- (verb|class|fields|errors) ?(\S*) -->$", page("python"), re.MULTILINE)
PARTS = (
    "hold_rules",
    "transports",
    "routes",
    "reply_rules",
    "shaping_rules",
    "destinations",
    "schedules",
    "sender_domains",
    "accounts",
    "suppressions",
    "retired",
    "webhooks",
    "incoming_mail",
)


def described(kind: str) -> list[object]:
    return [api.resolved(name) for each, name in MARKS if each == kind]


def verbs(face: type) -> dict[str, Callable[..., object]]:
    found = {name: each for name, each in vars(face).items() if inspect.isfunction(each)}
    return {name: each for name, each in found.items() if not name.startswith("_")}


def faces(tmp_path: Path) -> list[type]:
    queue = Queue(tmp_path / "queue.db")
    return [Queue, *(type(getattr(queue, part)) for part in PARTS), Engine]


def test_python_page_is_what_the_docstrings_say() -> None:
    """Where this fails: `python docs/api.py` fills the page in."""
    assert api.filled(page("python")) == page("python")


def test_every_public_name_is_described() -> None:
    rows = next(tables(page("python")))
    assert sorted(plain(row[0]) for row in rows) == sorted(mailqueue.__all__)
    code = next(re.finditer(r"```py\n(.*?)```", page("python"), re.DOTALL))[1]
    assert sorted(re.findall(r"\w+", code.partition("import")[2])) == sorted(mailqueue.__all__)
    for name in mailqueue.__all__:
        nouns = dict.fromkeys(("Message", "Recipient", "Submission"), "fields")
        kind = nouns.get(name, "class" if name[0].isupper() else "verb")
        assert getattr(mailqueue, name) in described(kind), name


def test_every_verb_of_queue_and_engine_is_described(tmp_path: Path) -> None:
    known = [verb for face in faces(tmp_path) for verb in verbs(face).values()]
    assert set(known) <= set(described("verb"))
    queue = Queue(tmp_path / "queue.db")
    public = {name for name in vars(queue) if not name.startswith("_")}
    assert public == {*PARTS, "path", "clock", "max_size", "store"}
    assert all(f"\n## queue.{part}\n" in page("python") for part in PARTS)


def test_every_argument_of_a_verb_is_described(tmp_path: Path) -> None:
    """By name in its docstring, or in that of the verb it refers to; one that is alone needs no name."""
    for face in faces(tmp_path):
        for name, verb in [("", face), *verbs(face).items()]:
            doc = inspect.getdoc(verb) or ""
            assert doc, f"{face.__name__}.{name}"
            if other := re.search(r"^Arguments.* as for `(\w+)`\.$", doc, re.MULTILINE):
                doc += inspect.getdoc(getattr(face, other[1])) or ""
            arguments = list(parameters(verb))
            told = [argument for argument in arguments if re.search(rf"^    {argument}: ", doc, re.MULTILINE)]
            assert told == arguments or len(arguments) == 1, f"{face.__name__}.{name}"


def reachable(annotation: object, seen: set[type]) -> None:
    """Gather the classes of this package that a type names, and those that their fields name."""
    if isinstance(annotation, type) and annotation.__module__.startswith("mailqueue"):
        if annotation in seen:
            return
        seen.add(annotation)
        if is_dataclass(annotation):
            for hint in get_type_hints(annotation).values():
                reachable(hint, seen)
    for part in (get_origin(annotation), *get_args(annotation)):
        if part is not None and part is not annotation:
            reachable(part, seen)


def test_every_noun_that_comes_out_is_described_with_all_its_fields(tmp_path: Path) -> None:
    seen: set[type] = set()
    for face in faces(tmp_path):
        for verb in verbs(face).values():
            reachable(get_type_hints(verb).get("return"), seen)
    reachable(Settlement, seen)
    nouns = {each for each in seen if is_dataclass(each)}
    assert nouns <= set(described("fields"))
    assert {each for each in seen if issubclass(each, StrEnum)} <= set(WORDS)
    blank = {
        (noun.__name__, name)
        for noun in described("fields")
        for name, _, text in api.described_fields(noun)
        if not text
    }
    assert blank == set()


def test_modules_of_the_mail_library_have_the_names_that_are_told() -> None:
    for module, text in table(page("python"), "The mail library"):
        loaded = import_module(plain(module))
        assert all(hasattr(loaded, name) for name in re.findall(r"`(\w+)`", text)), module


# --- the tables -------------------------------------------------------------------------------
QUERIES = re.findall(r"^([^\n]*:)\n\n```sql\n(.*?)```$", page("schema"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A queue in which mail was delivered, deferred, refused and held, and is being delivered."""
    path = tmp_path_factory.mktemp("schema") / "queue.db"
    with Receiver() as receiver, Queue(path) as queue:
        for to in ("ann@example.net", "unknown@example.net", "greylist@example.net"):
            queue.submit(letter(to))
        known = letter("bob@example.net")
        known["Message-ID"] = "<order-17@shop.example.org>"
        queue.submit(known)
        asyncio.run(Engine(queue, relay=f"127.0.0.1:{receiver.port}").run(once=True))
        queue.hold_rules.add(recipient_domain="example.com", reason="wrong prices")
        queue.submit(letter("carl@example.com"))
        queue.store.run(lambda transaction: transaction.register_engine(this_process(), queue.clock.now()))
    return path


@pytest.mark.parametrize(("question", "query"), QUERIES, ids=[question[:30] for question, _ in QUERIES])
def test_query_of_the_page_answers_from_a_file_that_is_read_only(
    question: str, query: str, lived_in: Path
) -> None:
    with closing(sqlite3.connect(f"file:{lived_in}?mode=ro", uri=True)) as connection:
        found = connection.execute(query).fetchall()
    assert found, f"{question} has no answer"


def test_queries_know_the_same_as_the_verbs(lived_in: Path) -> None:
    with closing(sqlite3.connect(f"file:{lived_in}?mode=ro", uri=True)) as connection:
        answers = {question: connection.execute(query).fetchall() for question, query in QUERIES}
    assert answers["What waits, and what is on hold:"] == [("queued", 0, 1), ("queued", 1, 1)]
    assert [what for _, what, _ in answers["All that happened to one message:"]] == [
        "submitted",
        "attempt 1: failed",
        "failed",
    ]
    assert answers["Which message had this Message-ID:"] == [(4, "bob@example.net", "delivered")]


def test_every_table_is_described_in_the_order_of_the_schema() -> None:
    known = re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)", schema_sql(), re.MULTILINE)
    assert [plain(row[0]) for row in table(page("schema"), "What you may rely on")] == known


def test_page_includes_the_schema_that_makes_the_tables() -> None:
    found = re.search(r"```\{literalinclude\} (\S+)", page("schema"))
    assert found
    assert (REFERENCE / found[1]).read_text() == schema_sql()


# --- RFCs -------------------------------------------------------------------------------------
RFC_ROWS = [*table(page("rfcs"), "Followed"), *table(page("rfcs"), "Understood in what others say")]


@pytest.mark.parametrize("row", RFC_ROWS, ids=[row[0] for row in RFC_ROWS])
def test_files_that_follow_an_rfc_name_it(row: list[str]) -> None:
    for module in plain(row[3]).split(", "):
        path = PACKAGE / module.replace(".", "/")
        source = (
            path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        ).read_text()
        assert re.search(rf"\b{row[0]}\b", source), f"{module} does not name RFC {row[0]}"


def test_every_rfc_that_the_code_names_is_described() -> None:
    named: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        named |= set(re.findall(r"\bRFC (\d+)", source))
        for paragraph in (ast.get_docstring(ast.parse(source)) or "").split("\n\n"):
            if paragraph.startswith("RFC "):  # a list: `RFC 3461 6, 3464 2`
                named |= set(re.findall(r"(?<!IDNA )\b\d{4}\b", paragraph))
    assert named == {row[0] for row in RFC_ROWS}

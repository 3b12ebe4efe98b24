"""The settings of a process: which one counts, and what is said about one that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import LETTER, Command
from support.receiver import Receiver

from mailqueue import config
from mailqueue.errors import SettingError

EVERY_SETTING = [setting.key for setting in config.SETTINGS]


def test_without_any_word_everything_has_its_default(tmp_path: Path) -> None:
    assert config.load(environ={}, folder=tmp_path) == config.Config()


def test_flag_goes_before_environment_before_file(tmp_path: Path) -> None:
    (tmp_path / "mailqueue.toml").write_text(
        'db = "file.db"\nlog_level = "error"\nhostname = "file.example"\n'
    )
    environ = {"MAILQUEUE_DB": "environment.db", "MAILQUEUE_LOG_LEVEL": "debug"}
    found = config.load({"db": "flag.db", "log_level": None}, environ=environ, folder=tmp_path)
    assert (found.db, found.log_level, found.hostname) == ("flag.db", "debug", "file.example")


VALUES: dict[str, tuple[object, str, object, object]] = {
    # in TOML, in the environment, as a flag, and what that is
    "db": ("/file.db", "environment.db", "flag.db", "flag.db"),
    "log_level": ("error", "debug", "warning", "warning"),
    "hostname": ("file.example", "environment.example", "flag.example", "flag.example"),
    "relay": ("file.example:25", "environment.example", "[::1]:2525", "[::1]:2525"),
    "connections": (1, "2", 3, 3),
    "total_connections": (1, "2", 3, 3),
    "window": (1, "2", 3, 3),
    "drain": (1, "2.5", 3, 3.0),
    "busy_timeout": (1.5, "2", 3.5, 3.5),
    "max_size": (1, "2", 3, 3),
}


@pytest.mark.parametrize("key", EVERY_SETTING)
def test_each_setting_is_taken_from_the_flag_else_the_environment_else_the_file(
    tmp_path: Path, key: str
) -> None:
    in_file, in_environment, flag, meant = VALUES[key]
    text = f'"{in_file}"' if isinstance(in_file, str) else in_file
    (tmp_path / "mailqueue.toml").write_text(f"{key} = {text}\n")
    environ = {f"MAILQUEUE_{key.upper()}": in_environment}

    def found(flags: dict[str, object], environ: dict[str, str]) -> object:
        return getattr(config.load(flags, environ=environ, folder=tmp_path), key)

    kind = type(meant)
    assert found({key: flag}, environ) == meant
    assert found({key: None}, environ) == kind(in_environment)  # type: ignore[call-arg]
    assert found({}, {}) == kind(in_file)  # type: ignore[call-arg]
    assert getattr(config.load(environ={}, folder="/nowhere"), key) == getattr(config.Config(), key)


def test_engine_of_the_command_line_is_as_large_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mailqueue.toml").write_text("connections = 1\ndrain = 0.5\nmax_size = 60\n")
    monkeypatch.setenv("MAILQUEUE_WINDOW", "3")
    mailqueue = Command(tmp_path / "queue.db")
    assert "octets" in mailqueue.fails(3, "submit", "--to", "ann@example.net", input=LETTER)
    monkeypatch.setenv("MAILQUEUE_MAX_SIZE", "1000")
    with Receiver() as receiver:
        monkeypatch.setenv("MAILQUEUE_RELAY", f"127.0.0.1:{receiver.port}")
        for _ in range(5):
            mailqueue.submit("ann@example.net")
        assert mailqueue.json("run", "--once", "--total-connections", 1)["outcomes"]["delivered"] == 5


def test_path_in_a_file_counts_from_that_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "mail.toml"
    file.write_text('db = "../mail.db"\n')
    found = config.load(environ={"MAILQUEUE_CONFIG": str(file)}, folder="/")
    assert found.db is not None
    assert Path(found.db).resolve() == (tmp_path / "mail.db").resolve()
    assert found.file == str(file)


def test_variable_set_to_nothing_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "mailqueue.toml").write_text('db = "file.db"\n')
    found = config.load(environ={"MAILQUEUE_DB": "", "MAILQUEUE_CONFIG": ""}, folder=tmp_path)
    assert found.db == str(tmp_path / "file.db")


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('database = "x"', "there is no setting 'database': did you mean db?"),
        ('loglevel = "info"', "did you mean log_level?"),
        ('zzz = "info"', "there are db, log_level, hostname, relay"),
        ('log_level = "loud"', "log_level: must be one of debug, info, warning, error, not 'loud'"),
        ("db = 3", "db: must be the path of a file, not 3"),
        ('hostname = "a b"', "must be a host name"),
        ('relay = "a b:25"', "must be HOST or HOST:PORT"),
        ("connections = 0", "connections: must be a whole number above 0, not 0"),
        ("window = true", "window: must be a whole number above 0, not True"),
        ("drain = -1", "drain: must be a number of seconds, not -1"),
        ("# first\n[engine]\nconnections = 3", ":2: there is no setting 'engine'"),
        ('db = "x"\n\nhostnam = "y"', ":3: there is no setting 'hostnam': did you mean hostname?"),
        ('db = "x"\n"max_size" = "big"', ":2: max_size: must be"),
        ("db = ", "is not TOML"),
    ],
)
def test_fault_in_the_file_names_the_file_and_what_would_be_right(
    tmp_path: Path, toml: str, told: str
) -> None:
    file = tmp_path / "mailqueue.toml"
    file.write_text(toml)
    with pytest.raises(SettingError) as caught:
        config.load(environ={}, folder=tmp_path)
    assert str(caught.value).startswith(str(file))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("MAILQUEUE_DATABASE", "did you mean MAILQUEUE_DB?"),
        ("MAILQUEUE_LOGLEVEL", "did you mean MAILQUEUE_LOG_LEVEL?"),
        ("MAILQUEUE_CONF", "did you mean MAILQUEUE_CONFIG?"),
    ],
)
def test_unknown_variable_is_an_error_that_names_the_nearest(name: str, told: str) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        config.load(environ={name: "x"})
    assert told in str(caught.value)


def test_variables_that_an_orchestrator_sets_for_a_service_called_mailqueue_are_none_of_ours() -> None:
    environ = {
        "MAILQUEUE_SERVICE_HOST": "10.0.0.1",
        "MAILQUEUE_PORT": "tcp://10.0.0.1:25",
        "MAILQUEUE_PORT_25_TCP_ADDR": "10.0.0.1",
        "OTHER": "x",
    }
    assert config.load(environ=environ) == config.Config()


def test_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        config.load(environ={"MAILQUEUE_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize("hostname", ["mail.example.org", "localhost", "[127.0.0.1]", "[IPv6:2001:db8::1]"])
def test_engine_may_be_called_by_a_name_or_an_address_literal(hostname: str) -> None:
    assert config.load({"hostname": hostname}, environ={}).hostname == hostname


@pytest.mark.parametrize("key", EVERY_SETTING)
def test_every_setting_is_in_the_reference(key: str) -> None:
    setting = next(each for each in config.SETTINGS if each.key == key)
    reference = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
    for name in filter(None, (setting.key, setting.variable, setting.flag)):
        assert f"`{name}`" in reference

"""The settings of a process: which one counts, and what is said about one that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        ('zzz = "info"', "there are db, log_level, hostname"),
        ('log_level = "loud"', "log_level: must be one of debug, info, warning, error, not 'loud'"),
        ("db = 3", "db: must be the path of a file, not 3"),
        ('hostname = "a b"', "must be a host name"),
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
    for name in (setting.key, setting.variable, setting.flag):
        assert f"`{name}`" in reference

"""Settings of a process: where its database is, what it logs, how it calls itself.

The rule: a flag goes before the environment, the environment before the TOML file, the file before the
default. What decides about mail is in the database and never here. A key that nobody knows is an
error that names the nearest one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mailqueue.errors import SettingError

FILE = "mailqueue.toml"
"""Read from the working directory, where it is there."""
FILE_VARIABLE = "MAILQUEUE_CONFIG"
"""Names another file; then it must be there."""
LOG_LEVELS = ("debug", "info", "warning", "error")

_PREFIX = "MAILQUEUE_"
# A container's orchestrator that knows a service called mailqueue sets these; nobody typed them.
_NOT_OURS = re.compile(r"MAILQUEUE_(SERVICE_.*|PORT(_.*)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of a process, from wherever they came."""

    db: str | None = None
    """Path of the database. None: nothing names one."""
    log_level: str = "info"
    """The least of what is logged: one of LOG_LEVELS."""
    hostname: str | None = None
    """What an engine calls itself in EHLO and in notices. None: the machine's own name."""
    file: str | None = None
    """The TOML file that was read. None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its key in TOML, and what follows from that."""

    key: str
    help: str
    check: Callable[[str], bool]
    wanted: str
    """What would be right, for the error."""

    @property
    def variable(self) -> str:
        """Its name in the environment: `db` is MAILQUEUE_DB."""
        return _PREFIX + self.key.upper()

    @property
    def flag(self) -> str:
        """Its name on the command line: `log_level` is --log-level."""
        return "--" + self.key.replace("_", "-")


def _is_name(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\]", text))


SETTINGS = (
    Setting(
        key="db",
        help="path of the database file",
        check=lambda text: text != "" and "\x00" not in text,
        wanted="the path of a file",
    ),
    Setting(
        key="log_level",
        help="the least of what is logged",
        check=LOG_LEVELS.__contains__,
        wanted="one of " + ", ".join(LOG_LEVELS),
    ),
    Setting(
        key="hostname",
        help="what an engine calls itself in EHLO and in notices",
        check=_is_name,
        wanted="a host name or an address literal",
    ),
)
"""All there is."""


def load(
    flags: Mapping[str, str | None] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folder: str | os.PathLike[str] = ".",
) -> Config:
    """Return the settings of this process.

    Args:
        flags: what the command line says, by key; None: it does not say.
        environ: the environment.
        folder: where `mailqueue.toml` is looked for.

    Raises:
        SettingError: an unknown key, a value that cannot be, or a file that cannot be read.
    """
    file = _file(environ, Path(folder))
    found: dict[str, str] = {}
    if file is not None:
        found.update(_from_file(file))
    found.update(_from_environment(environ))
    for key, value in (flags or {}).items():
        if value is not None:
            found[key] = _checked(_setting(key), value, _setting(key).flag)
    return Config(**found, file=None if file is None else str(file))


def _file(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    here = folder / FILE
    return here if here.exists() else None


def _from_file(file: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file}: is not TOML: {error}") from error
    known = {setting.key: setting for setting in SETTINGS}
    found = {}
    for key, value in table.items():
        if key not in known:
            raise SettingError(f"{file}: there is no setting {key!r}{_nearest(key, known)}")
        found[key] = _checked(known[key], value, f"{file}: {key}")
    if "db" in found:  # a path in a file means the same from wherever a command is typed
        found["db"] = str(file.parent / found["db"])
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    known = {setting.variable: setting for setting in SETTINGS}
    found = {}
    for name, value in environ.items():
        if not name.startswith(_PREFIX) or name == FILE_VARIABLE or _NOT_OURS.fullmatch(name):
            continue
        if name not in known:
            raise SettingError(
                f"environment: there is no setting {name}{_nearest(name, (*known, FILE_VARIABLE))}"
            )
        if value:  # set to nothing is not set
            found[known[name].key] = _checked(known[name], value, name)
    return found


def _setting(key: str) -> Setting:
    return next(setting for setting in SETTINGS if setting.key == key)


def _checked(setting: Setting, value: object, where: str) -> str:
    if not isinstance(value, str) or not setting.check(value):
        raise SettingError(f"{where}: must be {setting.wanted}, not {value!r}")
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f": did you mean {near[0]}?" if near else f": there are {', '.join(known)}"

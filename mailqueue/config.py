"""Settings of a process: where its database is, what it logs, how it calls itself.

The rule: a flag goes before the environment, the environment before the TOML file, the file before the
default. What decides about mail is in the database and never here. A key that nobody knows is an
error that names the nearest one, and where it stands.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

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
    relay: str | None = None
    """HOST:PORT that takes all mail of an engine. None: as transports and routes say."""
    connections: int | None = None
    """Of an engine at once to one destination. None: as `Engine` has it, and so below."""
    total_connections: int | None = None
    """Of an engine at once in all."""
    window: int | None = None
    """Messages that an engine has on their way at once."""
    drain: float | None = None
    """Seconds that an engine that is asked to stop gives to what is being tried."""
    busy_timeout: float | None = None
    """Seconds to wait for a lock of the database. None: as `Queue` has it, and so below."""
    max_size: int | None = None
    """Octets that a message may have."""
    file: str | None = None
    """The TOML file that was read. None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its key in TOML, and what follows from that."""

    key: str
    help: str
    read: Callable[[object], object]
    """Returns what a value of TOML, of the environment or of a flag means. None: it cannot be."""
    wanted: str
    """What would be right, for the error."""
    has_flag: bool = True
    """There is an option for it on the command line."""

    @property
    def variable(self) -> str:
        """Its name in the environment: `db` is MAILQUEUE_DB."""
        return _PREFIX + self.key.upper()

    @property
    def flag(self) -> str:
        """Its name on the command line: `log_level` is --log-level; '' where there is none."""
        return "--" + self.key.replace("_", "-") if self.has_flag else ""


def _text(pattern: str) -> Callable[[object], object]:
    return lambda value: value if isinstance(value, str) and re.fullmatch(pattern, value) else None


def _integer(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _seconds(value: object) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value, re.ASCII):
        value = float(value)
    right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9
    return float(value) if right else None  # type: ignore[arg-type]


_NUMBER = "a whole number above 0"
_LENGTH = "a number of seconds"
_NAME = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\]"

SETTINGS = (
    Setting(
        key="db",
        help="path of the database file",
        read=_text(r"[^\0]+"),
        wanted="the path of a file",
    ),
    Setting(
        key="log_level",
        help="the least of what is logged",
        read=_text("|".join(LOG_LEVELS)),
        wanted="one of " + ", ".join(LOG_LEVELS),
    ),
    Setting(
        key="hostname",
        help="what an engine calls itself in EHLO and in notices",
        read=_text(_NAME),
        wanted="a host name or an address literal",
    ),
    Setting(
        key="relay",
        help="takes all mail of an engine",
        read=_text(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(:[0-9]{1,5})?"),
        wanted="HOST or HOST:PORT",
    ),
    Setting(key="connections", help="of an engine at once to one destination", read=_integer, wanted=_NUMBER),
    Setting(key="total_connections", help="of an engine at once in all", read=_integer, wanted=_NUMBER),
    Setting(key="window", help="messages of an engine on their way at once", read=_integer, wanted=_NUMBER),
    Setting(
        key="drain",
        help="seconds that an engine gives to what is being tried when it stops",
        read=_seconds,
        wanted=_LENGTH,
    ),
    Setting(
        key="busy_timeout",
        help="seconds to wait for a lock of the database",
        read=_seconds,
        wanted=_LENGTH,
        has_flag=False,
    ),
    Setting(
        key="max_size",
        help="octets that a message may have",
        read=_integer,
        wanted=_NUMBER,
        has_flag=False,
    ),
)
"""All there is."""


def load(
    flags: Mapping[str, object] | None = None,
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
    found: dict[str, Any] = {}
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


def _from_file(file: Path) -> dict[str, object]:
    try:
        text = file.read_text("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file}: is not TOML: {error}") from error
    known = {setting.key: setting for setting in SETTINGS}
    found = {}
    for key, value in table.items():
        where = f"{file}{_line(text, key)}"
        if key not in known:
            raise SettingError(f"{where}: there is no setting {key!r}{_nearest(key, known)}")
        found[key] = _checked(known[key], value, f"{where}: {key}")
    if "db" in found:  # a path in a file means the same from wherever a command is typed
        found["db"] = str(file.parent / str(found["db"]))
    return found


def _line(text: str, key: str) -> str:
    """Return where a key or a table stands in TOML: `:3`; '' where that cannot be told."""
    wanted = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    lines = (f":{number}" for number, line in enumerate(text.splitlines(), 1) if wanted.match(line))
    return next(lines, "")


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
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


def _checked(setting: Setting, value: object, where: str) -> object:
    found = setting.read(value)
    if found is None:
        raise SettingError(f"{where}: must be {setting.wanted}, not {value!r}")
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f": did you mean {near[0]}?" if near else f": there are {', '.join(known)}"

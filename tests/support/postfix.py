"""A real Postfix of its own on a loopback port, for one test session.

It needs Debian's `postfix` package and root (Postfix gives each of its parts another user), and
nothing of the machine's own mail set-up: configuration, queue, data, log and maildirs are in one
temporary folder. It asks no DNS and dials loopback only.

    alice@example.org and the other USERS     delivered, into `mail("alice")`
    anyone else @example.org                  refused at RCPT, 550 5.1.1
    anyone @bounce.example                    accepted, then returned by a DSN to the envelope sender
    anyone @delay.example                     accepted, then kept: its server, a closed port of
                                              loopback, never answers; the delayed notice takes seconds
    any other domain                          refused at RCPT, 554
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

USERS = ("alice", "bob", "carol", "dave", "sender", "postmaster", "jörg", "odd.case", "two words")
MAX_SIZE = 50 * 1024 * 1024
_LIFETIME = "3600"
"""Seconds after which the master ends by itself, should nobody stop it."""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
daemon_directory = {daemons}
maillog_file = {root}/log
maillog_file_prefixes = {root}
myhostname = postfix.example
mydomain = example
myorigin = $myhostname
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
remote_header_rewrite_domain =
smtputf8_enable = yes
message_size_limit = {size}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.org
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = texthash:{root}/etc/users
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
relay_domains = bounce.example delay.example
transport_maps = texthash:{root}/etc/transport
default_transport = error:5.4.4 this server dials nobody
relay_transport = $default_transport
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject_unlisted_recipient, reject_unauth_destination
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_timeout = 60s
header_size_limit = 1048576
notify_classes =
delay_warning_time = 1s
queue_run_delay = 1s
minimal_backoff_time = 1s
in_flow_delay = 0
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
local unix - n n - - local
virtual unix - n n - - virtual
returning unix - n n - - virtual -o virtual_mailbox_maps=
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_TRANSPORTS = """\
bounce.example returning:
delay.example smtp:[127.0.0.1]:1
"""
_FOLDERS = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop"]
_FOLDERS += ["pid", "private", "public", "saved", "trace"]


class Postfix:
    """One Postfix; use it in a `with` block.

    Args:
        settings: of main.cf, in place of the ones here.
        services: further lines of master.cf.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, services: Iterable[str] = ()) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pf"))
        self.port = free_port()
        self._settings = settings or {}
        self._services = "".join(f"{line}\n" for line in services)
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postfix:
        try:
            self._lay_out()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._master is not None:
            os.killpg(self._master.pid, signal.SIGTERM)
            try:
                self._master.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._master.pid, signal.SIGKILL)
                self._master.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)

    def mail(self, user: str = "alice") -> list[bytes]:
        """Return every message that a user got, as it stands in the maildir, oldest first."""
        files = sorted(
            (self.root / "mail" / _folder(user) / "new").glob("*"), key=lambda file: file.stat().st_mtime_ns
        )
        return [file.read_bytes() for file in files]

    def wait_for(self, needle: bytes, user: str = "alice", timeout: float = 30.0) -> bytes:
        """Return the first message to `user` with `needle` in it, for instance a Message-ID."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self.mail(user):
                if needle in message:
                    return message
            time.sleep(0.05)
        raise TimeoutError(f"no message with {needle!r} came to {user}; the log says:\n{self.log()[-4000:]}")

    def log(self) -> str:
        """Return what Postfix logged so far."""
        file = self.root / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _lay_out(self) -> None:
        root, owner = self.root, pwd.getpwnam("postfix")
        root.chmod(0o755)
        for name in ("etc", "queue", "data", "mail", *(f"queue/{name}" for name in _FOLDERS)):
            (root / name).mkdir()
        drop = grp.getgrnam("postdrop").gr_gid
        for name in ("data", *(f"queue/{name}" for name in _FOLDERS if name != "pid")):
            os.chown(root / name, owner.pw_uid, owner.pw_gid)
            (root / name).chmod(0o700)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            os.chown(root / "queue" / name, owner.pw_uid, drop)
            (root / "queue" / name).chmod(mode)
        nobody = pwd.getpwnam("nobody")
        os.chown(root / "mail", nobody.pw_uid, nobody.pw_gid)
        self._configure(nobody.pw_uid, nobody.pw_gid)

    def _configure(self, uid: int, gid: int) -> None:
        etc = self.root / "etc"
        main = _MAIN.format(root=self.root, daemons=_daemons(), size=MAX_SIZE, uid=uid, gid=gid)
        lines = [line for line in main.splitlines() if line.partition(" =")[0] not in self._settings]
        lines += [f"{name} = {value}" for name, value in self._settings.items()]
        (etc / "main.cf").write_text("\n".join(lines) + "\n")
        (etc / "master.cf").write_text(_MASTER.format(port=self.port) + self._services)
        (etc / "transport").write_text(_TRANSPORTS)
        (etc / "users").write_text(
            "".join(f"{_quoted(user)}@example.org {_folder(user)}/\n" for user in USERS)
        )

    def _start(self) -> None:
        command = [str(_daemons() / "master"), "-c", str(self.root / "etc"), "-d", "-e", _LIFETIME]
        null = subprocess.DEVNULL
        self._master = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
        end = time.monotonic() + 30
        while time.monotonic() < end and self._master.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10) as probe:
                    if probe.recv(3) == b"220":
                        return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"Postfix did not start; its log says:\n{self.log()}")


def missing() -> str | None:
    """Return why no Postfix can be started here, None when one can."""
    if not (_daemons() / "master").exists():
        return "Postfix is not installed (apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix can only be started by root"
    return None


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """One Postfix for all tests of the session; skips where there is none, and fails in CI."""
    reason = missing()
    if reason is not None and os.environ.get("CI"):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    with Postfix() as running:
        yield running


def _daemons() -> Path:
    return next(
        (path for path in map(Path, ("/usr/lib/postfix/sbin", "/usr/libexec/postfix")) if path.exists()),
        Path("/"),
    )


def _quoted(user: str) -> str:
    return f'"{user}"' if " " in user else user


def _folder(user: str) -> str:
    return user.lower().encode().hex()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port

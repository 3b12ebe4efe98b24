"""A submission server of its own: a real Postfix that asks a real Dovecot who may send.

It needs Debian's packages `postfix` and `dovecot-core`, and root; like `support.postfix` it is in
temporary folders and on loopback only. Mail of USER with PASSWORD to alice@example.org arrives.

    port(certificate)                 as port 587: STARTTLS, and AUTH under TLS only
    port(certificate, implicit=True)  as port 465: TLS from the first octet
    only(*mechanisms)                 the same as the first, with these mechanisms alone; see LISTS
    clear                             a port without TLS that takes PLAIN and LOGIN

`certificate` is one of `support.certificates`.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from support import postfix as plain
from support.certificates import KINDS, certificates
from support.postfix import Postfix, free_port

USER = "anna@example.org"
PASSWORD = "Pencil, =pencil= \u00fc"
MECHANISMS = ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN")
LISTS = tuple(MECHANISMS[first:] for first in range(len(MECHANISMS)))
_DOVECOT = Path("/usr/sbin/dovecot")
_AUTH = "-o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject"
_SETTINGS = {
    "smtpd_sasl_type": "dovecot",
    "smtpd_sasl_path": "private/auth",
    "smtpd_sasl_security_options": "noanonymous",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_recipient_restrictions": "reject_unlisted_recipient, permit_sasl_authenticated, reject",
    "smtpd_delay_reject": "yes",
    "smtpd_error_sleep_time": "0",
    "smtpd_hard_error_limit": "1000",
    "smtpd_tls_session_cache_database": "",
}
_CONF = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_cache_size = 0
auth_worker_max_count = 2
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {queue}/private/auth {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Submission:
    """Postfix and Dovecot; use it in a `with` block."""

    def __init__(self) -> None:
        self._ports = {(kind, implicit): free_port() for kind in KINDS for implicit in (False, True)}
        self._only = {known: free_port() for known in LISTS}
        self.clear = free_port()
        self.postfix = Postfix(_SETTINGS, self._services())
        self.root = Path(tempfile.mkdtemp(prefix="dc"))
        self._dovecot: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Submission:
        try:
            self.postfix.__enter__()
            self.root.chmod(0o755)
            for name in ("run", "state"):
                (self.root / name).mkdir()
            users = self.root / "users"
            users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n")
            os.chown(users, 0, grp.getgrnam("dovecot").gr_gid)
            users.chmod(0o640)
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self.postfix.__exit__()
        rmtree(self.root, ignore_errors=True)

    def port(self, certificate: str = "mail", *, implicit: bool = False) -> int:
        """Return the port where this certificate is shown."""
        return self._ports[certificate, implicit]

    def _start(self) -> None:
        conf, socket = self.root / "conf", self.postfix.root / "queue/private/auth"
        known = " ".join(MECHANISMS).lower()
        conf.write_text(_CONF.format(root=self.root, queue=self.postfix.root / "queue", mechanisms=known))
        null = subprocess.DEVNULL
        self._dovecot = subprocess.Popen(
            [_DOVECOT, "-F", "-c", conf], stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        end = time.monotonic() + 20
        while not socket.exists():
            if time.monotonic() > end or self._dovecot.poll() is not None:
                raise RuntimeError(f"Dovecot did not start; its log says:\n{self.log()}")
            time.sleep(0.02)

    def only(self, *mechanisms: str) -> int:
        """Return the port where these mechanisms are offered and no others."""
        return self._only[mechanisms]

    def log(self) -> str:
        """Return what Dovecot logged."""
        file = self.root / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _services(self) -> Iterator[str]:
        starttls = "-o smtpd_tls_security_level=encrypt"
        for (kind, implicit), port in self._ports.items():
            how = "-o smtpd_tls_wrappermode=yes" if implicit else starttls
            yield _listener(port, f"{how} {_shown(kind)}", MECHANISMS)
        for known, port in self._only.items():
            yield _listener(port, f"{starttls} {_shown('mail')}", known)
        yield _listener(self.clear, "-o smtpd_tls_security_level=none", ("PLAIN", "LOGIN"))

    def _stop(self) -> None:
        if self._dovecot is None:
            return
        os.killpg(self._dovecot.pid, signal.SIGTERM)
        try:
            self._dovecot.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._dovecot.pid, signal.SIGKILL)
            self._dovecot.wait(10)
        self._dovecot = None


def _shown(certificate: str) -> str:
    return f"-o smtpd_tls_chain_files={certificates().path(certificate)}"


def _listener(port: int, how: str, known: tuple[str, ...]) -> str:
    mechanisms = f"-o smtpd_sasl_mechanism_filter={','.join(known).lower()}"
    return f"127.0.0.1:{port} inet n - n - - smtpd {how} {mechanisms} {_AUTH}"


def missing() -> str | None:
    """Return why no such server can be started here, None when one can."""
    if not _DOVECOT.exists():
        return "Dovecot is not installed (apt-get install dovecot-core)"
    try:
        pwd.getpwnam("dovecot")
    except KeyError:
        return "there is no user dovecot"
    return plain.missing()


@pytest.fixture(scope="module")
def submission() -> Iterator[Submission]:
    """One server for all tests of a file; skips where there is none, and fails in CI."""
    reason = missing()
    if reason is not None and os.environ.get("CI"):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    with Submission() as running:
        yield running

"""A receiver of webhooks: an HTTP server on loopback that answers as it is told.

::

    with HookReceiver() as hooks:
        hooks.answers(Says(status=503, headers={"Retry-After": "60"}), Says(200))
        ...
        (first, second) = hooks.got(2)
        first.verified(SECRET)
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgb2N0ZXRzISE="
OLD_SECRET = "whsec_" + "YW5vdGhlciBzZWNyZXQsIG9sZGVyIG9uZSwgMzIhISE="
_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Says:
    """One answer."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: threading.Event | None = None
    """Waited for, before it is given."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One post."""

    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    def verified(self, secret: str = SECRET) -> dict[str, Any]:
        """Return the payload. Raises where it is not signed with `secret`."""
        return Webhook(secret).verify(self.body, dict(self.headers))


class HookReceiver:
    """Takes posts; answers 204 unless told otherwise."""

    def __init__(self, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> None:
        self._lock = threading.Condition()
        self._answers: deque[Says] = deque()
        self.always = Says()
        self.posts: list[Posted] = []
        self.connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                says = receiver._take(Posted(self.path, dict(self.headers), body))
                if says.after is not None:
                    says.after.wait(_LIMIT)
                head = f"HTTP/1.1 {says.status} X\r\nContent-Length: {len(says.body)}\r\n"
                more = "".join(f"{name}: {value}\r\n" for name, value in says.headers.items())
                self.wfile.write(f"{head}{more}\r\n".encode() + says.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

            def handle_error(self, *_: object) -> None:
                """Say nothing: clients of tests break off."""

        self._server = Server((host, 0), Handler)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}/hook"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def _take(self, posted: Posted) -> Says:
        with self._lock:
            self.posts.append(posted)
            self._lock.notify_all()
            return self._answers.popleft() if self._answers else self.always

    def answers(self, *says: Says) -> None:
        """Say what it answers next; then again what it always does."""
        with self._lock:
            self._answers.extend(says)

    def got(self, count: int) -> list[Posted]:
        """Return the posts, once there are `count` at least."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.posts) >= count, _LIMIT), f"got {len(self.posts)}"
            return list(self.posts)

    def __enter__(self) -> HookReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_LIMIT)

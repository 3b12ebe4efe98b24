"""An engine in a process of its own, which a test may stop, wake and kill.

::

    with EngineProcess(database, receiver.port, heartbeat=0.2) as engine:
        engine.signal(signal.SIGSTOP)
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self


class EngineProcess:
    """Delivers all mail of `database` to a relay on loopback; `settings` are those of `Engine`."""

    def __init__(self, database: Path, port: int, **settings: float) -> None:
        command = [sys.executable, __file__, str(database), f"127.0.0.1:{port}", json.dumps(settings)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it as `mailqueue run` ends; return its exit status."""
        self._process.communicate(timeout=60)
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def main() -> None:
    from mailqueue import Engine, Queue

    database, relay, settings = sys.argv[1:]
    with Queue(database) as queue:
        engine = Engine(queue, relay=relay, **json.loads(settings))
        engine.start()
        print("ready", flush=True)
        sys.stdin.read()
        engine.stop()


if __name__ == "__main__":
    main()

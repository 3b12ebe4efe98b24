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

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.clock import ManualTimer, SharedClock


class EngineProcess:
    """Delivers the mail of `database`; `settings` are those of `Engine`.

    Args:
        port: of a relay on loopback that takes all of it. 0: as the routes say.
        clock: one that a test moves; None: the machine's.
    """

    def __init__(
        self, database: Path, port: int = 0, *, clock: SharedClock | None = None, **settings: float
    ) -> None:
        relay = f"127.0.0.1:{port}" if port else ""
        path = "" if clock is None else str(clock.path)
        command = [sys.executable, __file__, str(database), relay, path, json.dumps(settings)]
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

    database, relay, path, settings = sys.argv[1:]
    clock = SharedClock(Path(path)) if path else None
    with Queue(database, clock=clock) as queue:
        timer = None if clock is None else ManualTimer(clock)
        engine = Engine(queue, relay=relay or None, timer=timer, **json.loads(settings))
        engine.start()
        print("ready", flush=True)
        sys.stdin.read()
        engine.stop()


if __name__ == "__main__":
    main()

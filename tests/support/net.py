"""A little internet on loopback: a name server, and SMTP servers on addresses that share a port.

::

    net = Net(stage, {"example.com": {"MX": ["10 mx.example.com."]}, "mx.example.com": {"A": ["127.0.0.2"]}},
        "127.0.0.2")
    with net.servers:
        receiver = net.receives("127.0.0.2")
"""

from __future__ import annotations

from contextlib import ExitStack

from support.dns_server import DnsServer, Zone
from support.receiver import Receiver
from support.smtp_server import Script
from support.stage import ServerAt, Stage, free_port


class Net:
    """A name server, and SMTP servers that share the port which `direct` is set to."""

    def __init__(self, stage: Stage, zone: Zone, *hosts: str, allow_private: bool = True) -> None:
        self.zone = zone
        self.port = free_port(*hosts)
        self.servers = ExitStack()
        self.dns = self.servers.enter_context(DnsServer(zone))
        stage.dns = self.dns.port
        stage.queue.transports.add("mx", kind="direct", port=self.port, allow_private=allow_private)

    def receives(self, host: str, **settings: object) -> Receiver:
        return self.servers.enter_context(Receiver(host=host, port=self.port, **settings))  # type: ignore[arg-type]

    def plays(self, host: str, *scripts: Script) -> ServerAt:
        return self.servers.enter_context(ServerAt(host, self.port, *scripts))

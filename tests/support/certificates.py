"""Certificates of a CA of our own, right and wrong ones, made by openssl.

    mail.pem        for mail.example and 127.0.0.1, signed by the CA
    other.pem       for other.example, signed by the CA
    expired.pem     for mail.example, signed by the CA, of the year 2020
    selfsigned.pem  for mail.example, signed by itself
    stranger.pem    for mail.example, signed by another CA
    ca.pem          the CA
    stranger-ca.pem another CA

Each file but the CAs' holds key and certificate.
"""

from __future__ import annotations

import functools
import ssl
import subprocess
import tempfile
from pathlib import Path

HOST = "mail.example"
KINDS = ("mail", "other", "expired", "selfsigned", "stranger")
_NAMES = {"mail": f"DNS:{HOST},IP:127.0.0.1", "other": "DNS:other.example"}
_YEARS = {"expired": ("20200101000000Z", "20200201000000Z")}
_CONFIG = """\
[ca]
default_ca = ours
[ours]
database = {folder}/index
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = test
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """A folder with the certificates."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ca")
        self.folder = Path(self._folder.name)
        (self.folder / "config").write_text(_CONFIG.format(folder=self.folder))
        (self.folder / "index").touch()
        self._authority("ca", "our CA")
        self._authority("stranger-ca", "a CA that nobody knows")
        for kind in KINDS:
            self._certificate(kind)

    def path(self, name: str) -> str:
        """Return the path of `name`.pem."""
        return str(self.folder / f"{name}.pem")

    @property
    def ca_file(self) -> str:
        """The CA to trust."""
        return self.path("ca")

    def context(self, kind: str = "mail") -> ssl.SSLContext:
        """Return a server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(kind))
        return context

    def _authority(self, name: str, title: str) -> None:
        key, made = f"{name}.key", f"{name}.pem"
        self._openssl("req", "-x509", *_KEY, "-keyout", key, "-out", made, "-subj", f"/CN={title}")

    def _certificate(self, kind: str) -> None:
        alternative = f"subjectAltName={_NAMES.get(kind, _NAMES['mail'])}"
        wanted = ("-subj", f"/CN={kind}", "-addext", alternative, "-keyout", f"{kind}.key")
        if kind == "selfsigned":
            self._openssl("req", "-x509", *_KEY, *wanted, "-out", f"{kind}.crt", extensions=None)
        else:
            self._openssl("req", "-new", *_KEY, *wanted, "-out", f"{kind}.csr", extensions=None)
            self._sign(kind)
        parts = (self.folder / f"{kind}.{part}" for part in ("key", "crt"))
        (self.folder / f"{kind}.pem").write_text("".join(part.read_text() for part in parts))

    def _sign(self, kind: str) -> None:
        ca = "stranger-ca" if kind == "stranger" else "ca"
        dates = ("-days", "30") if kind not in _YEARS else ()
        if kind in _YEARS:
            dates = ("-startdate", _YEARS[kind][0], "-enddate", _YEARS[kind][1])
        signer = ("-cert", f"{ca}.pem", "-keyfile", f"{ca}.key")
        files = ("-in", f"{kind}.csr", "-out", f"{kind}.crt", "-notext")
        self._openssl("ca", "-batch", *signer, *dates, *files, extensions=None)

    def _openssl(self, verb: str, *arguments: str, extensions: str | None = "authority") -> None:
        command = ["openssl", verb, "-config", "config", *arguments]
        if extensions == "authority":
            command += ["-days", "30", "-extensions", extensions]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=60)


@functools.cache
def certificates() -> Certificates:
    """Return the certificates, made once for all tests of a process."""
    return Certificates()

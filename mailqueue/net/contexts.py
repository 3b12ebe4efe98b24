"""TLS contexts, made once: loading certificates takes longer than a handshake.

The rule: `verified` trusts what it was told to trust and nothing else, and sees within a connection
that the file has changed.

RFC 8446 (TLS 1.3), RFC 9325 (TLS 1.2 at least where it is to protect), RFC 9525 (names in certificates).
"""

from __future__ import annotations

import os
import ssl
from functools import cache, lru_cache


class ContextFault(Exception):
    """There can be no context; the text says why, in one line."""


@cache
def any_certificate() -> ssl.SSLContext:
    """Return the context that takes any certificate: better than none (RFC 7435 3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verified(ca_file: str | None) -> ssl.SSLContext:
    """Return the context that takes a certificate only for the host's name, signed by a trusted CA.

    Args:
        ca_file: path of the CA certificates (PEM); no others are trusted. None: those of the system.

    Raises:
        ContextFault: the file cannot be read, or holds no certificate.
    """
    if ca_file is None:
        return _of_system()
    try:
        facts = os.stat(ca_file)
        return _of_file(ca_file, facts.st_mtime_ns, facts.st_size)
    except ssl.SSLError:
        raise ContextFault(f"the CA file {ca_file} holds no certificates in PEM form") from None
    except OSError as error:
        raise ContextFault(f"the CA file {ca_file} cannot be read: {error.strerror or error}") from None


@cache
def _of_system() -> ssl.SSLContext:
    return ssl.create_default_context()


@lru_cache(maxsize=64)
def _of_file(ca_file: str, changed: int, size: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)

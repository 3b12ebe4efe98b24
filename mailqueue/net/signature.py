"""Sign a webhook as Standard Webhooks say, so that its receiver knows who sent it, and that it is new.

The rule: the library that receivers verify with makes the signature, of the very octets that go out;
while keys are changed, one signature of each key goes out.

Standard Webhooks: `webhook-id`, `webhook-timestamp` (seconds), `webhook-signature` (`v1,...`, one for
each key, separated by spaces). Only this file knows the library, and loads it at first use.
"""

from __future__ import annotations

import base64
import binascii
import secrets as chance
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
"""What a secret begins with when it is written down."""
_LENGTHS = range(24, 65)  # octets, as the specification says
_NEW = 32


def new_secret() -> str:
    """Return a new secret, of 32 random octets."""
    return PREFIX + base64.b64encode(chance.token_bytes(_NEW)).decode()


def secret_fault(secret: str) -> str | None:
    """Return why `secret` is none, in words that do not tell it. None: it is one."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return f"must be {PREFIX} and base64"
    if len(key) not in _LENGTHS:
        return f"must hold {_LENGTHS[0]} to {_LENGTHS[-1]} octets, not {len(key)}"
    return None


def headers(identity: str, at: datetime, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers that sign `body`.

    Args:
        identity: of the webhook; the same at each attempt, so that a receiver knows what it has seen.
        at: when it is sent.
        body: what is sent, as UTF-8.
        secrets: as `secret_fault` takes them.
    """
    from standardwebhooks import Webhook

    signatures = [Webhook(secret).sign(identity, at, body) for secret in secrets]
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }

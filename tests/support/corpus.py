"""The messages of tests/data/mail, and a large one that is made when a test asks for it."""

from __future__ import annotations

import base64
import random
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "mail"
LARGE = "large-attachment"


def names() -> list[str]:
    """Return the name of every message, the large one included."""
    return sorted([file.stem for file in FOLDER.glob("*.eml")] + [LARGE])


def read(name: str) -> bytes:
    """Return a message as its writer left it, line ends included."""
    return large_message() if name == LARGE else (FOLDER / f"{name}.eml").read_bytes()


def large_message(size: int = 10 * 1024 * 1024, seed: int = 1) -> bytes:
    """Return a message with an attachment of `size` octets; the same `seed` gives the same octets."""
    attachment = base64.encodebytes(random.Random(seed).randbytes(size)).replace(b"\n", b"\r\n")
    return _LARGE.replace(b"\n", b"\r\n") % attachment


_LARGE = b"""\
From: Survey Office <survey@example.com>
To: alice@example.org
Subject: Soundings of the harbour basin
Date: Mon, 6 Jul 2026 11:00:00 +0200
Message-ID: <soundings.1@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="soundings"

--soundings
Content-Type: text/plain; charset=us-ascii

All soundings of June, in one file.
--soundings
Content-Type: application/octet-stream; name="soundings.dat"
Content-Disposition: attachment; filename="soundings.dat"
Content-Transfer-Encoding: base64

%s--soundings--
"""

"""Find addresses in text that was written for people, or by a program that did not care.

What is found looks like an address, no more: it is for comparing, not for sending mail to. A
hostile text costs time in proportion to its length.
"""

from __future__ import annotations

import re

_LETTERS = r"\u00c0-\u2fff\u3040-\ufdff\uff66-\uffdc"  # those beyond ASCII, no signs among them
_LOCAL = rf"A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.\-{_LETTERS}"
_DOMAIN = rf"[A-Za-z0-9_{_LETTERS}](?:[A-Za-z0-9_.\-{_LETTERS}]{{0,252}}[A-Za-z0-9_{_LETTERS}])?"
ADDRESS = (
    rf'(?:(?<![{_LOCAL}])[{_LOCAL}]{{1,128}}+|"[^"\\\n]{{1,64}}+")@(?:{_DOMAIN}|\[[0-9A-Fa-f.:IPv]{{3,50}}\])'
)
"""A pattern for what looks like an address: it matches whole ones only."""
_ADDRESS = re.compile(ADDRESS)
_AROUND = "'`*=|/"


def addresses(text: str) -> tuple[str, ...]:
    """Return what looks like an address in `text`, each once, in their order."""
    return tuple(dict.fromkeys(tidy(found) for found in _ADDRESS.findall(text)))


def tidy(address: str) -> str:
    """Return an address that was found in a text without the signs before it."""
    if address.startswith('"'):
        return address
    return address.lstrip(_AROUND)

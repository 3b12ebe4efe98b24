"""Return addresses of their own: what a message is known by when something comes back."""

from __future__ import annotations

SEPARATOR = "+"
"""What stands before the part that makes it unique, unless a sender's domain has another."""

LENGTH = 20
"""Characters of that part."""


def return_path(sender: str, fromid: str, separator: str = SEPARATOR) -> str:
    """Return the MAIL FROM of a message of its own: `anna+4f0q...@example.org` for `anna@example.org`."""
    localpart, _, domain = sender.rpartition("@")
    if localpart.endswith('"'):
        return f'{localpart[:-1]}{separator}{fromid}"@{domain}'
    return f"{localpart}{separator}{fromid}@{domain}"


def fromids(address: str, separators: frozenset[str]) -> tuple[str, ...]:
    """Return what may make an address unique, by each of the separators, the likeliest first.

    Case does not matter: some systems change that of a local part.
    """
    localpart = address.rpartition("@")[0].strip('"').lower()
    found = (localpart.rpartition(each)[2] for each in sorted(separators) if each in localpart)
    return tuple(dict.fromkeys(each for each in found if len(each) == LENGTH and each.isalnum()))

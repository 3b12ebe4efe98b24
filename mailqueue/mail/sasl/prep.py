"""SASLprep: names and passwords that look the same become the same octets.

The rule: query strings, as RFC 5802 asks of a client, so code points without a meaning in
Unicode 3.2 pass through.

RFC 4013 (the profile), RFC 3454 (stringprep: tables B, C and D, section 6).
"""

from __future__ import annotations

import stringprep
import unicodedata

from mailqueue.mail.sasl.values import SaslError

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str, what: str) -> str:
    """Return `text` prepared.

    Args:
        text: a user name or a password.
        what: which of the two, for the error, which does not show it.

    Raises:
        SaslError: it holds what is prohibited, mixes directions, or nothing is left of it.
    """
    if text.isascii() and text.isprintable() and text:
        return text  # nearly all
    mapped = "".join(map(_mapped, text))
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared:
        raise SaslError(f"SASLprep leaves nothing of the {what} (RFC 4013)")
    if any(prohibited(each) for each in prepared for prohibited in _PROHIBITED):
        raise SaslError(f"the {what} holds a character that SASLprep prohibits (RFC 4013 2.3)")
    if not _directions_agree(prepared):
        raise SaslError(f"the {what} mixes writing directions (RFC 3454 6)")
    return prepared


def _mapped(char: str) -> str:
    if stringprep.in_table_c12(char):
        return " "
    return "" if stringprep.in_table_b1(char) else char


def _directions_agree(text: str) -> bool:
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))

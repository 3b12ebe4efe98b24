"""xtext and its relatives: what goes in comes out, and what goes out fits into a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.errors import ParseError
from mailqueue.mail.xtext import decode_utf8, decode_xtext, encode_unitext, encode_utf8_xtext, encode_xtext

ASCII = st.text(st.characters(max_codepoint=127))
ANY = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("plain", "xtext", "why"),
    [
        ("user@example.com", "user@example.com", "nothing to encode"),
        ("a+b=c@example.com", "a+2Bb+3Dc@example.com", "RFC 3461 4: + and = are special"),
        ('"a b"@example.com', '"a+20b"@example.com', "a space would end the parameter"),
        ("a\x00\x7f", "a+00+7F", "control characters"),
        ("QQ314159", "QQ314159", "RFC 3461 10.1: its example of an ENVID"),
        ("", "", "nothing"),
    ],
)
def test_xtext_is_written_as_rfc_3461_says(plain, xtext, why):
    assert encode_xtext(plain) == xtext, why
    assert decode_xtext(xtext) == plain, why


@given(ASCII)
def test_xtext_gives_back_what_was_put_in(text):
    encoded = encode_xtext(text)
    assert decode_xtext(encoded) == text
    assert all("!" <= char <= "~" and char != "=" for char in encoded)


def test_xtext_in_lower_case_digits_is_understood():
    assert decode_xtext("a+2bb") == "a+b"


@pytest.mark.parametrize("text", ["a b", "a=b", "a+", "a+2", "a+2G", "a\n", "ü", "+FC", "a+2+42B"])
def test_what_is_not_xtext_is_refused(text):
    with pytest.raises(ParseError):
        decode_xtext(text)


def test_xtext_carries_no_text_beyond_ascii():
    with pytest.raises(ValueError, match="ASCII only"):
        encode_xtext("ü")


@pytest.mark.parametrize(
    ("plain", "xtext", "unitext", "why"),
    [
        ("user@example.com", "user@example.com", "user@example.com", "nothing to encode"),
        ("grün@example.com", r"gr\x{FC}n@example.com", "grün@example.com", "RFC 6533 3"),
        ("测@example.com", r"\x{6D4B}@example.com", "测@example.com", "four digits"),
        ("😀@example.com", r"\x{1F600}@example.com", "😀@example.com", "beyond the first plane"),
        ("a+b=c", r"a\x{2B}b\x{3D}c", r"a\x{2B}b\x{3D}c", "+ and = are special in both forms"),
        ("a\\b", r"a\x{5C}b", r"a\x{5C}b", "so is the backslash"),
        ("a b", r"a\x{20}b", r"a\x{20}b", "a space would end the parameter"),
        ("\x01", r"\x{01}", r"\x{01}", "two digits at least"),
    ],
)
def test_addresses_in_utf_8_are_written_as_rfc_6533_says(plain, xtext, unitext, why):
    assert encode_utf8_xtext(plain) == xtext, why
    assert encode_unitext(plain) == unitext, why
    assert decode_utf8(xtext) == decode_utf8(unitext) == plain, why


@given(ANY)
def test_addresses_in_utf_8_come_back_from_both_forms(text):
    xtext, unitext = encode_utf8_xtext(text), encode_unitext(text)
    assert decode_utf8(xtext) == decode_utf8(unitext) == text
    assert xtext.isascii()
    assert not set(" =+\r\n\x00") & set(xtext + unitext)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a b", "a space"),
        ("a+b", "a plus"),
        ("a\\b", "a backslash that begins nothing"),
        (r"\x{}", "no digits"),
        (r"\x{G}", "digits that are none"),
        (r"\x{110000}", "beyond Unicode"),
        (r"\x{D800}", "half of a pair"),
        (r"\x{1234567}", "too many digits"),
        (r"\x{\x{41}", "one inside of the other"),
    ],
)
def test_what_is_neither_form_is_refused(text, why):
    with pytest.raises(ParseError):
        decode_utf8(text)


def test_half_of_a_surrogate_pair_is_no_character():
    for encode in (encode_utf8_xtext, encode_unitext):
        with pytest.raises(ValueError):
            encode("\ud800")

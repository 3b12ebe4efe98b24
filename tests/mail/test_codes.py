"""Enhanced status codes: read, written, and told to people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.mail import codes
from mailqueue.mail.codes import EnhancedCode, describe, parse_enhanced

CONSTANTS = {name: value for name, value in vars(codes).items() if isinstance(value, EnhancedCode)}


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("5.1.1", (5, 1, 1), "plain"),
        ("2.0.0", (2, 0, 0), "zeros alone are numbers"),
        ("4.7.999", (4, 7, 999), "three digits are allowed (RFC 3463 2)"),
        (" 5.1.1\t", (5, 1, 1), "white space around it is no part of it"),
        ("5.1.1000", None, "four digits are too many"),
        ("5.01.1", None, "leading zeros are forbidden (RFC 3463 2)"),
        ("3.1.1", None, "there is no class 3"),
        ("1.0.0", None, "there is no class 1"),
        ("5.1", None, "a number is missing"),
        ("5.1.1.1", None, "one number too many"),
        ("5.1.1 no such user", None, "more than a code"),
        ("#5.1.1", None, "some systems write a # before it; that is not a code"),
        ("٥.1.1", None, "digits are ASCII digits"),
        ("5.1.1\n", None, "a line break is not white space around it"),
        ("", None, "nothing"),
    ],
)
def test_enhanced_code_is_read_as_rfc_3463_writes_it(text, expected, why):
    assert parse_enhanced(text) == expected, why


@given(st.sampled_from([2, 4, 5]), st.integers(0, 999), st.integers(0, 999))
def test_every_code_is_read_back_as_it_was_written(cls, subject, detail):
    code = EnhancedCode(cls, subject, detail)
    assert parse_enhanced(str(code)) == code


def test_a_code_keeps_subject_and_detail_when_its_class_changes():
    assert codes.MAILBOX_FULL.with_class(5) == (5, 2, 2)


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("BAD_MAILBOX", "5.1.1", "RFC 3463 3.2"),
        ("BAD_SYSTEM", "5.1.2", "RFC 3463 3.2"),
        ("NULL_MX", "5.1.10", "RFC 7505 4.2"),
        ("SENDER_NULL_MX", "5.7.27", "RFC 7505 4.2"),
        ("MAILBOX_FULL", "4.2.2", "RFC 3463 3.3"),
        ("SYSTEM_FULL", "4.3.1", "RFC 3463 3.4"),
        ("TOO_LARGE", "5.3.4", "RFC 3463 3.4"),
        ("NO_ANSWER", "4.4.1", "RFC 3463 3.5"),
        ("BAD_CONNECTION", "4.4.2", "RFC 3463 3.5"),
        ("ROUTING", "4.4.4", "RFC 3463 3.5"),
        ("ROUTING_LOOP", "5.4.6", "RFC 3463 3.5"),
        ("EXPIRED", "4.4.7", "RFC 3463 3.5"),
        ("TOO_MANY_RECIPIENTS", "4.5.3", "RFC 3463 3.6"),
        ("CONVERSION_NEEDED", "5.6.3", "RFC 3463 3.7"),
        ("SMTPUTF8", "5.6.7", "RFC 6531 3.5"),
        ("SMTPUTF8_HEADER", "5.6.9", "RFC 6531 3.5"),
        ("POLICY", "5.7.1", "RFC 3463 3.8"),
        ("AUTHENTICATION_INVALID", "5.7.8", "RFC 4954 6"),
        ("NO_DKIM_SIGNATURE", "5.7.20", "RFC 7372 3.1"),
        ("SPF_FAILED", "5.7.23", "RFC 7372 3.2"),
        ("REVERSE_DNS_FAILED", "5.7.25", "RFC 7372 3.3"),
        ("AUTHENTICATION_CHECKS_FAILED", "5.7.26", "RFC 7372 3.4"),
        ("REQUIRETLS_NEEDED", "5.7.30", "RFC 8689 5"),
    ],
)
def test_a_name_stands_for_the_code_of_the_registry(name, text, source):
    assert str(CONSTANTS[name]) == text, source


def test_every_named_failure_has_a_sentence_of_its_own():
    general = {describe(EnhancedCode(cls, 0, 0)) for cls in (4, 5)}
    for name, code in CONSTANTS.items():
        sentence = describe(code)
        assert sentence.endswith("."), name
        assert (sentence in general) == ((code.subject, code.cls > 2) == (0, True)), name


@pytest.mark.parametrize(
    ("code", "words", "why"),
    [
        ((5, 1, 1), "no such mailbox", "a code of the registry"),
        ((4, 2, 2), "mailbox is full", "the same in class 4"),
        ((5, 2, 2), "mailbox is full", "the same in class 5"),
        ((5, 1, 99), "wrong with the address", "an unknown detail is told by its subject (RFC 3463 2)"),
        ((4, 99, 1), "could not be delivered so far", "an unknown subject is told by its class"),
        ((5, 0, 1), "did not say why", "subject 0 says nothing"),
        ((2, 1, 5), "address is valid", "success has sentences too"),
        ((2, 7, 7), "accepted", "an unknown success is a success"),
    ],
)
def test_a_code_is_told_to_people_in_a_sentence(code, words, why):
    assert words in describe(EnhancedCode(*code)), why


@given(st.sampled_from([2, 4, 5]), st.integers(0, 999), st.integers(0, 999))
def test_every_code_whatever_its_numbers_has_a_sentence(cls, subject, detail):
    assert describe(EnhancedCode(cls, subject, detail)).endswith(".")

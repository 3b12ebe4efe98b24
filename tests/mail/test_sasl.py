"""SASL mechanisms: the examples of the RFCs, and servers that do not keep to them."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailqueue.mail.sasl import Credentials, Mechanism, SaslError, begin, choose, saslprep

SECRET = "pencil"
ALL = [each.value for each in Mechanism]
# RFC 7677 3
NONCE = "rOprNGfwEbeRWgbNEkqO"
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
CLIENT_FINAL = f"c=biws,r={SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def credentials(username="user", password=SECRET) -> Credentials:
    return Credentials(username=username, password=password)


def scram(username="user", password=SECRET, nonce=NONCE):
    return begin(Mechanism.SCRAM_SHA_256, credentials(username, password), nonce)


# -- SCRAM-SHA-256 ----------------------------------------------------------------------------------


def test_scram_speaks_the_example_of_rfc_7677():
    exchange = scram()
    assert exchange.first() == CLIENT_FIRST
    assert exchange.respond(SERVER_FIRST) == CLIENT_FINAL
    assert exchange.respond(SERVER_FINAL) == b""
    exchange.finish()


@pytest.mark.parametrize("heard", [(), (SERVER_FIRST,)])
def test_success_without_the_servers_proof_is_no_success(heard):
    exchange = scram()
    for challenge in heard:
        exchange.respond(challenge)
    with pytest.raises(SaslError, match="without proof"):
        exchange.finish()


@pytest.mark.parametrize(
    ("final", "why"),
    [
        (b"v=" + b64encode(bytes(32)), "did not prove"),
        (b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=", "did not prove"),
        (b"v=a", "base64"),
        (b"", "did not prove"),
        (b"e=invalid-proof", "says invalid-proof"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_server_with_a_wrong_signature_is_not_believed(final, why):
    exchange = scram()
    exchange.respond(SERVER_FIRST)
    with pytest.raises(SaslError, match=why):
        exchange.respond(final)
    with pytest.raises(SaslError):
        exchange.finish()


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "does not continue"),
        (f"r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode(), "does not continue"),
        (f"m=x,r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode(), "extension"),
        (f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095".encode(), "4095 iterations"),
        (f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000".encode(), "iterations"),
        (f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0".encode(), "none of SCRAM"),
        (f"r={SERVER_NONCE},s=W22,i=4096".encode(), "base64"),
        (b"", "none of SCRAM"),
        (b"Username:", "none of SCRAM"),
        (b"\xc3", "UTF-8"),
    ],
)
def test_scram_refuses_a_first_message_that_is_none(first, why):
    with pytest.raises(SaslError, match=why):
        scram().respond(first)


def test_scram_takes_extensions_that_it_may_ignore_and_nothing_after_the_proof():
    exchange = scram()
    exchange.respond(SERVER_FIRST + b",x=later")
    exchange = scram()
    exchange.respond(SERVER_FIRST)
    exchange.respond(SERVER_FINAL)
    with pytest.raises(SaslError, match="goes on"):
        exchange.respond(b"")


def test_scram_escapes_and_prepares_the_user_name():
    assert scram(username="a=b,c").first() == f"n,,n=a=3Db=2Cc,r={NONCE}".encode()
    assert scram(username="I\u00adX").first() == f"n,,n=IX,r={NONCE}".encode()
    with pytest.raises(SaslError, match="password holds"):
        scram(password="bell\x07")


def test_scram_wants_a_nonce_that_can_be_one():
    for nonce in ("", "a,b", "a b", "ü"):
        with pytest.raises(ValueError, match="nonce"):
            scram(nonce=nonce)


# -- the simple ones --------------------------------------------------------------------------------


def test_plain_speaks_the_examples_of_rfc_4616():
    assert begin(Mechanism.PLAIN, credentials("tim", "tanstaaftanstaaf"), "n").first() == (
        b"\0tim\0tanstaaftanstaaf"
    )
    with pytest.raises(SaslError, match="more than PLAIN"):
        begin(Mechanism.PLAIN, credentials(), "n").respond(b"")


def test_cram_md5_speaks_the_example_of_rfc_2195():
    exchange = begin(Mechanism.CRAM_MD5, credentials("tim", "tanstaaftanstaaf"), "n")
    assert exchange.first() is None
    challenge = b64decode("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
    response = exchange.respond(challenge)
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert b64encode(response) == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"
    exchange.finish()
    with pytest.raises(SaslError, match="second time"):
        exchange.respond(challenge)


def test_cram_md5_success_without_a_challenge_is_no_success():
    with pytest.raises(SaslError, match="without a challenge"):
        begin(Mechanism.CRAM_MD5, credentials(), "n").finish()


def test_login_tells_name_then_password_whatever_they_are_called():
    exchange = begin(Mechanism.LOGIN, credentials("jörg", "pässword"), "n")
    assert exchange.first() is None
    assert exchange.respond(b"Username:") == "jörg".encode()
    assert exchange.respond(b"User Password\0") == "pässword".encode()
    with pytest.raises(SaslError, match="more than LOGIN"):
        exchange.respond(b"Token:")


# -- which one --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "encrypted", "wanted", "clear", "expected"),
    [
        (ALL, True, None, False, "SCRAM-SHA-256"),
        (["LOGIN", "plain", "cram-md5"], True, None, False, "CRAM-MD5"),
        (["LOGIN", "PLAIN", "GSSAPI"], True, None, False, "PLAIN"),
        (["LOGIN"], True, None, False, "LOGIN"),
        (ALL, True, Mechanism.LOGIN, False, "LOGIN"),
        (ALL, False, None, False, "SCRAM-SHA-256"),
        (["PLAIN", "CRAM-MD5"], False, None, False, "CRAM-MD5"),
        (["PLAIN", "LOGIN"], False, None, False, None),
        (["PLAIN", "LOGIN"], False, None, True, None),  # nobody said this very mechanism
        (["PLAIN", "LOGIN"], False, Mechanism.PLAIN, False, None),
        (["PLAIN", "LOGIN"], False, Mechanism.PLAIN, True, "PLAIN"),
        (["SCRAM-SHA-256"], True, Mechanism.PLAIN, False, None),
        (["XOAUTH2", "SCRAM-SHA-256-PLUS"], True, None, False, None),
        ([], True, None, False, None),
    ],
)
def test_best_mechanism_of_both_sides_is_taken_and_no_password_in_the_clear(
    offered, encrypted, wanted, clear, expected
):
    if expected is not None:
        assert choose(offered, encrypted=encrypted, wanted=wanted, clear=clear) == expected
        return
    with pytest.raises(SaslError, match="the server offers"):
        choose(offered, encrypted=encrypted, wanted=wanted, clear=clear)


def test_error_says_what_is_offered_and_what_is_missing():
    with pytest.raises(SaslError) as error:
        choose(["GSSAPI"], encrypted=True)
    assert str(error.value) == ("the server offers GSSAPI, not one of SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN")
    with pytest.raises(SaslError) as error:
        choose([], encrypted=True, wanted=Mechanism.PLAIN)
    assert str(error.value) == "the server offers no mechanism, not PLAIN"


# -- credentials and SASLprep -----------------------------------------------------------------------


def test_password_is_in_no_repr():
    assert SECRET not in repr(credentials())


@pytest.mark.parametrize("bad", ["", "a\0b", "\udcff"])
def test_credentials_that_cannot_be_sent_are_refused_without_being_shown(bad):
    with pytest.raises(ValueError, match="password is empty, or holds NUL"):
        credentials(password=bad)
    with pytest.raises(ValueError, match="user name is empty, or holds NUL"):
        credentials(username=bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # RFC 4013 3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\U0001f511", "\U0001f511"),  # unassigned in Unicode 3.2: a query may have it
    ],
)
def test_saslprep_makes_the_same_of_what_looks_the_same(text, expected):
    assert saslprep(text, "password") == expected


@pytest.mark.parametrize("text", ["\x07", "\u0627\u0031", "\u0627a\u0627", "\u00ad", "", "\ue000", "\u200e"])
def test_saslprep_refuses_what_rfc_4013_prohibits(text):
    with pytest.raises(SaslError, match="password"):
        saslprep(text, "password")


@given(st.text(max_size=20))
def test_saslprep_of_what_is_prepared_changes_nothing(text):
    try:
        once = saslprep(text, "password")
    except SaslError:
        return
    assert saslprep(once, "password") == once

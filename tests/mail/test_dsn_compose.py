"""What a notice holds and how it is encoded, case by case."""

import subprocess
import sys
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from support.reports import DELAYED, FAILED, ORIGINAL, draft, report

from mailqueue.mail import dsn
from mailqueue.mail.content import prepare
from mailqueue.mail.reply import Reply


def parts(made: dsn.Draft):
    return list(message_from_bytes(dsn.compose(made), policy=policy.default).iter_parts())


def original_of(made: dsn.Draft) -> tuple[str, str, bytes]:
    """Return type, transfer encoding and octets of the third part, as they stand in the notice."""
    _, _, part = dsn.compose(made).rpartition(b"--=_part_1\r\n")
    header, _, body = part.removesuffix(b"\r\n--=_part_1--\r\n").partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in header.decode().split("\r\n"))
    return fields["Content-Type"], fields["Content-Transfer-Encoding"], body


# --- what comes back of the original (RFC 3461 4.3, RFC 6522 4) -----------------------------------


def test_the_whole_original_comes_back_octet_by_octet_where_it_is_asked_for():
    assert original_of(draft(full=True)) == ("message/rfc822", "7bit", ORIGINAL)


def test_only_the_header_comes_back_where_no_more_is_asked_for():
    header = ORIGINAL.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert original_of(draft()) == ("text/rfc822-headers", "7bit", header)


def test_only_the_header_comes_back_where_nothing_failed():
    made = draft(report(DELAYED), full=True)
    assert made.returned is dsn.Returned.HEADER
    assert original_of(made)[0] == "text/rfc822-headers"


def test_an_original_over_the_limit_comes_back_as_its_header_and_the_text_says_so():
    made = draft(full=True, original=ORIGINAL + b"x" * 76 * 1000)
    assert made.returned is dsn.Returned.TOO_LARGE
    assert original_of(made)[0] == "text/rfc822-headers"
    assert "Your message is larger than 50 KiB, so only its header is attached." in dsn.describe(made)
    assert original_of(replace(made, largest_original=1 << 20, original=ORIGINAL))[0] == "message/rfc822"


@pytest.mark.parametrize("body", [b"x" * 999, b"a\0b"])
def test_an_original_that_no_message_may_hold_comes_back_as_its_header(body):
    made = draft(full=True, original=ORIGINAL + body)
    assert made.returned is dsn.Returned.UNFIT
    assert original_of(made)[0] == "text/rfc822-headers"
    assert "only its header is attached" in " ".join(dsn.describe(made).split())


def test_a_notice_about_a_message_that_is_gone_has_two_parts_and_promises_no_third():
    made = draft(original=None)
    assert made.returned is dsn.Returned.NOTHING
    assert len(parts(made)) == 2
    assert "is attached." not in dsn.describe(made)


def test_line_ends_of_the_original_become_crlf():
    assert original_of(draft(full=True, original=ORIGINAL.replace(b"\r\n", b"\n")))[2] == ORIGINAL


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\r\n\r\n"])
def test_the_end_of_the_original_stays_as_it_is(ending):
    whole = ORIGINAL.rstrip() + ending
    assert original_of(draft(full=True, original=whole))[2] == whole


def test_an_eight_bit_body_comes_back_8bit_and_the_notice_needs_8bitmime_but_not_smtputf8():
    body = ORIGINAL + "grüße\r\n".encode("latin-1")
    made = draft(full=True, original=body)
    assert original_of(made) == ("message/rfc822", "8bit", body)
    seen = prepare(dsn.compose(made), now=0, make_message_id=str, strict=True)
    assert (seen.eight_bit, seen.utf8_header, seen.faults) == (True, False, ())


def test_a_header_in_utf_8_comes_back_as_a_global_one():
    header = ORIGINAL.replace(b"Lunch", "Café".encode())
    assert original_of(draft(full=True, original=header)) == ("message/global", "8bit", header)
    assert original_of(draft(original=header))[:2] == ("message/global-headers", "8bit")


def test_a_header_in_no_known_charset_is_encoded_where_only_it_comes_back():
    header = ORIGINAL.replace(b"Lunch", b"Caf\xe9")
    kind, encoding, body = original_of(draft(original=header))
    assert (kind, encoding) == ("text/rfc822-headers", "quoted-printable")
    assert b"Subject: Caf=E9\r\n" in body
    assert original_of(draft(full=True, original=header))[:2] == ("message/rfc822", "8bit")


def test_a_header_with_a_line_too_long_is_encoded():
    long = b"X-Long: " + b"y" * 1200 + b"\r\n"
    kind, encoding, body = original_of(draft(original=long + ORIGINAL))
    assert (kind, encoding) == ("text/rfc822-headers", "quoted-printable")
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert (
        dict(dsn.read(dsn.compose(draft(original=long + ORIGINAL))).original_headers)["X-Long"] == "y" * 1200
    )


def test_a_very_large_header_comes_back_in_part():
    notice = dsn.compose(draft(original=b"X: y\r\n" * 200_000 + ORIGINAL))
    assert len(notice) < 200_000


# --- the header of the notice ---------------------------------------------------------------------


def test_a_notice_is_clean_in_strict_mode_and_all_ascii_if_it_can_be():
    seen = prepare(dsn.compose(draft(full=True)), now=0, make_message_id=str, strict=True)
    assert (seen.faults, seen.changes, seen.eight_bit, seen.utf8_header) == ((), (), False, False)


def test_a_notice_to_an_address_in_utf_8_needs_smtputf8():
    seen = prepare(dsn.compose(draft(to="jörg@example.org")), now=0, make_message_id=str, strict=True)
    assert (seen.utf8_header, seen.faults) == (True, ())
    assert [str(address) for address in seen.recipients] == ["jörg@example.org"]


def test_a_notice_answers_the_original_but_not_one_whose_message_id_is_broken():
    message = message_from_bytes(dsn.compose(draft()))
    assert message["In-Reply-To"] == message["References"] == "<lunch.1@example.org>"
    for broken in (
        "no brackets",
        "<a b>",
        "<>",
        "<x>\r\nBcc: evil@example.org",
        "<" + "x" * 1000 + ">",
        None,
    ):
        message = message_from_bytes(dsn.compose(draft(original_message_id=broken)))
        assert message["In-Reply-To"] is None
        assert message["Bcc"] is None


@pytest.mark.parametrize(
    "subject",
    [
        "Lunch",
        "Café",
        "=?utf-8?q?no?=",
        "x" * 150,
        "naïve " * 30,
        "a\r\nBcc: evil@example.org",
        "\0\x1b[2J",
        "",
    ],
)
def test_any_subject_is_carried_and_none_adds_a_field(subject):
    made = draft(original_subject=subject)
    message = message_from_bytes(dsn.compose(made), policy=policy.default)
    assert message["Subject"] == dsn.headline(made)
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", ""),
        ("to", "a@b\r\nBcc: evil@example.org"),
        ("sender", "a@b\nX: y"),
        ("sender", "a\0@b"),
        ("message_id", "no-brackets@example.org"),
        ("message_id", "<a@b>\r\n"),
        ("boundary", ""),
        ("boundary", 'a"b'),
        ("boundary", "x" * 61),
        ("boundary", "ends with a space "),
    ],
)
def test_what_a_header_cannot_carry_is_refused_where_the_caller_chose_it(field, value):
    with pytest.raises(ValueError, match=field):
        dsn.compose(draft(**{field: value}))


def test_a_boundary_that_stands_in_a_part_is_changed():
    made = draft(full=True, original=ORIGINAL + b"--=_part_1\r\n--=_part_1.1\r\n")
    message = message_from_bytes(dsn.compose(made))
    assert message.get_boundary() == "=_part_1.2"
    assert len(message.get_payload()) == 3


def test_stories_that_do_not_match_the_recipients_are_refused():
    with pytest.raises(ValueError, match="2 stories for 1 recipients"):
        draft(stories=(dsn.Story(), dsn.Story()))


def test_a_text_of_ones_own_is_taken_as_it_is():
    assert dsn.read(dsn.compose(draft(text="Grüße\nund mehr\n"))).text == "Grüße\nund mehr\n"


# --- the model ------------------------------------------------------------------------------------


def test_a_reply_stands_in_the_report_as_the_server_gave_it():
    reply = Reply.from_lines(550, [b"5.1.1 No such user:", b"5.1.1 \xff\x1b", b"5.1.1 bye"])
    recipient = replace(FAILED, diagnostic=dsn.said(reply.to_wire()))
    notice = dsn.compose(draft(report(recipient)))
    assert (
        b"Diagnostic-Code: smtp; 550-5.1.1 No such user:\r\n 550-5.1.1 \\xff\\x1b\r\n 550 5.1.1 bye\r\n"
        in notice
    )
    found = dsn.parse(notice).recipients[0].diagnostic
    assert found is not None
    assert Reply.from_text(found.value).to_wire() == reply.to_wire()


def test_will_retry_until_belongs_to_delayed_recipients_only():
    assert replace(DELAYED, action=dsn.Action.FAILED).will_retry_until is None


@pytest.mark.parametrize("kind", ["", "a b", "x;y", "ü", "x" * 65])
def test_a_type_that_is_no_atom_is_refused(kind):
    with pytest.raises(ValueError, match="kind of name"):
        dsn.Typed(kind, "value")


def test_an_empty_value_and_a_report_about_nobody_are_refused():
    with pytest.raises(ValueError, match="empty"):
        dsn.host(" \t")
    with pytest.raises(ValueError, match="at least one recipient"):
        report(recipients=())


@pytest.mark.parametrize("name", ["Status", "reporting-mta", "X Y", "X:", "", "Ü"])
def test_an_extension_may_not_take_the_place_of_a_field(name):
    with pytest.raises(ValueError, match="extension"):
        report(extensions=((name, "value"),))


@pytest.mark.parametrize("micros", [-2_208_988_800_000_001, 253_402_300_800_000_000])
def test_a_date_no_header_can_carry_is_refused(micros):
    with pytest.raises(ValueError, match="1900 and 9999"):
        report(arrival_date=micros)


def test_a_date_is_cut_to_the_second_it_is_in():
    assert report(arrival_date=1_999_999).arrival_date == 1_000_000
    assert report(arrival_date=-1).arrival_date == -1_000_000


# --- apart from the rest --------------------------------------------------------------------------


def test_the_library_loads_nothing_else_of_the_project():
    code = "import sys; from mailqueue.mail import dsn; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = [name for name in run.stdout.split() if name.startswith("mailqueue.")]
    assert "mailqueue.mail.dsn" in ours
    assert [name for name in ours if not name.startswith(("mailqueue.mail", "mailqueue.errors"))] == []

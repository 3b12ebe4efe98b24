"""Webhooks over real HTTP: what is signed, what is followed, whom nobody can make us call."""

import asyncio
import ssl
import threading
from datetime import UTC, datetime

import pytest
from standardwebhooks import WebhookVerificationError
from support.certificates import certificates
from support.hooks import OLD_SECRET, SECRET, HookReceiver, Says
from support.stage import free_port

from mailqueue.net import signature
from mailqueue.net.post import Answer, Post, Poster, private_fault, url_fault
from mailqueue.net.resolver import Resolver

BODY = '{"type": "delivered", "data": {"subject": "Grüße"}}'


class Names(Resolver):
    """A resolver to which names mean what a test says, one after the other."""

    def __init__(self, **names: list[tuple[str, ...]]) -> None:
        super().__init__()
        self.names = names
        self.asked = 0

    async def addresses(self, host: str):
        said = self.names.get(host.partition(".")[0])
        if said is None:
            return await super().addresses(host)
        self.asked += 1
        return said.pop(0) if len(said) > 1 else said[0]


def post(*posts: Post, resolver: Resolver | None = None, **settings) -> list[Answer]:
    """Post one after the other."""

    async def main() -> list[Answer]:
        poster = Poster(resolver or Resolver(), **settings)
        try:
            return [await poster.post(each, datetime.now(UTC)) for each in posts]
        finally:
            await poster.close()

    return asyncio.run(main())


def to(url: str, **more) -> Post:
    settings = {"secrets": (SECRET,), "allow_private": True, **more}
    return Post(url=url, identity="wh_1", body=BODY, **settings)


def test_webhook_is_posted_with_its_signature():
    with HookReceiver() as hooks:
        hooks.answers(Says(200, b"thanks"))
        assert post(to(hooks.url)) == [Answer(status=200, text="thanks")]
    (got,) = hooks.posts
    assert got.verified()["data"] == {"subject": "Grüße"}
    assert (got.headers["webhook-id"], got.path) == ("wh_1", "/hook")
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"].startswith("mailqueue/")
    assert "Authorization" not in got.headers


def test_receiver_verifies_with_either_key_while_keys_are_changed():
    with HookReceiver() as hooks:
        post(to(hooks.url, secrets=(SECRET, OLD_SECRET)))
    (got,) = hooks.posts
    assert got.verified(SECRET) == got.verified(OLD_SECRET)
    assert len(got.headers["webhook-signature"].split(" ")) == 2
    with pytest.raises(WebhookVerificationError):
        got.verified(signature.new_secret())


def test_new_secret_is_one_and_is_never_the_same():
    made = {signature.new_secret() for _ in range(10)}
    assert len(made) == 10
    assert {signature.secret_fault(each) for each in made} == {None}


@pytest.mark.parametrize("secret", ["", "whsec_", "secret!", "whsec_c2hvcnQ=", "whsec_" + "A" * 100])
def test_what_is_no_secret_is_told_without_telling_it(secret: str):
    fault = signature.secret_fault(secret)
    assert fault is not None
    assert not secret or secret.removeprefix("whsec_") not in fault or secret == "whsec_"


def test_one_connection_serves_several_webhooks():
    with HookReceiver() as hooks:
        assert [each.status for each in post(*[to(hooks.url)] * 3)] == [204] * 3
    assert hooks.connections == 1


def test_half_a_kibibyte_of_the_answer_is_kept():
    with HookReceiver() as hooks:
        hooks.answers(Says(500, b"x" * 3_000_000), Says(500, b"\xff\x00y"))
        long, binary = post(to(hooks.url), to(hooks.url))
    assert long == Answer(status=500, text="x" * 512)
    assert binary.text == "\ufffd\ufffdy"


def test_answer_that_asks_for_time_is_told():
    with HookReceiver() as hooks:
        hooks.answers(Says(503, headers={"Retry-After": "120"}))
        assert post(to(hooks.url)) == [Answer(status=503, retry_after="120")]


def test_receiver_that_never_answers_is_given_up():
    never = threading.Event()
    with HookReceiver() as hooks:
        hooks.answers(Says(after=never))
        assert post(to(hooks.url), timeout=0.2) == [Answer(status=None, error="no answer within 0.2 s")]
        never.set()


def test_receiver_that_is_not_there_is_told():
    (refused,) = post(to(f"http://127.0.0.1:{free_port('127.0.0.1')}/"))
    assert refused == Answer(status=None, error="Connection refused")


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_that_keeps_the_method_is_followed(status: int):
    with HookReceiver() as hooks:
        hooks.answers(Says(status, headers={"Location": "/new"}))
        assert post(to(hooks.url, authorization="Bearer x")) == [Answer(status=204)]
    assert [each.path for each in hooks.posts] == ["/hook", "/new"]
    assert {each.headers["Authorization"] for each in hooks.posts} == {"Bearer x"}
    assert hooks.posts[1].verified()


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_that_would_make_it_a_get_is_not_followed(status: int):
    with HookReceiver() as hooks:
        hooks.answers(Says(status, headers={"Location": "/new"}))
        assert post(to(hooks.url)) == [Answer(status=status)]
    assert len(hooks.posts) == 1


def test_authorization_is_told_to_nobody_else():
    with HookReceiver() as hooks, HookReceiver() as other:
        hooks.answers(Says(307, headers={"Location": other.url}))
        assert post(to(hooks.url, authorization="Bearer x")) == [Answer(status=204)]
    assert "Authorization" in hooks.posts[0].headers
    assert "Authorization" not in other.posts[0].headers


def test_redirects_in_a_circle_end():
    with HookReceiver() as hooks:
        hooks.always = Says(308, headers={"Location": "/hook"})
        assert post(to(hooks.url)) == [Answer(status=308, error="redirected more than 3 times")]
    assert len(hooks.posts) == 4


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0"]
)
def test_our_own_machine_is_not_called_under_any_name(host: str):
    with HookReceiver() as hooks:
        (refused,) = post(to(f"http://{host}:{hooks.port}/", allow_private=False))
    assert (refused.status, hooks.posts) == (None, [])
    assert refused.error is not None
    assert "address" in refused.error


def test_redirect_into_our_own_network_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mailqueue.net.post.is_public", lambda address: address == "127.0.0.1")
    with HookReceiver() as hooks, HookReceiver("127.0.0.2") as inner:
        hooks.answers(Says(307, headers={"Location": f"http://127.0.0.2:{inner.port}/admin"}))
        (refused,) = post(to(hooks.url, allow_private=False))
    assert refused == Answer(status=None, error="127.0.0.2 is not a public address")
    assert (len(hooks.posts), inner.connections) == (1, 0)


def test_connection_that_one_may_have_is_not_lent_to_another():
    with HookReceiver() as hooks:
        allowed, refused = post(to(hooks.url), to(hooks.url, allow_private=False))
    assert (allowed.status, refused.status) == (204, None)


def test_name_that_changes_its_address_gains_nothing():
    """DNS rebinding: public when it was set, ours when it is posted. The address dialled is judged."""
    names = Names(rebound=[("192.88.99.1",), ("127.0.0.1",)])
    with HookReceiver() as hooks:
        url = f"http://rebound.example:{hooks.port}/"
        assert asyncio.run(private_fault(url, names)) is None
        (refused,) = post(to(url, allow_private=False), resolver=names)
    assert refused == Answer(status=None, error="127.0.0.1 is not a public address")
    assert (hooks.connections, names.asked) == (0, 2)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates().ca_file)


def test_certificate_and_host_go_by_the_name_whatever_the_address():
    names = Names(mail=[("127.0.0.1",)], other=[("127.0.0.1",)])
    with HookReceiver(tls=certificates().context("mail")) as hooks:
        right, wrong = post(
            *(to(f"https://{host}.example:{hooks.port}/") for host in ("mail", "other")),
            resolver=names,
            context=trusting(),
        )
    assert right == Answer(status=204)
    assert hooks.posts[0].headers["Host"] == f"mail.example:{hooks.port}"
    assert wrong.error is not None
    assert wrong.error.startswith("TLS: certificate verify failed: Hostname mismatch")


def test_certificate_of_a_stranger_is_not_taken():
    with HookReceiver(tls=certificates().context("mail")) as hooks:
        (refused,) = post(to(hooks.url))
    assert hooks.posts == []
    assert refused.error is not None
    assert refused.error.startswith("TLS: certificate verify failed")


def test_redirect_does_not_lead_out_of_tls():
    with HookReceiver() as clear, HookReceiver(tls=certificates().context("mail")) as hooks:
        hooks.answers(Says(307, headers={"Location": clear.url}))
        (refused,) = post(to(hooks.url), context=trusting())
    assert refused.error == f"redirected to {clear.url}: it would go on without TLS"
    assert clear.posts == []


def test_name_without_an_address_is_told():
    (refused,) = post(to("http://no-such-host.invalid/"))
    assert refused.error is not None
    assert refused.error.startswith("no-such-host.invalid has no address")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://hooks.example/mail?x=1", None),
        ("http://[2001:db8::1]:8080/", None),
        ("ftp://hooks.example/", "must begin with"),
        ("hooks.example", "must begin with"),
        ("https:///path", "must be https://HOST"),
        ("https://hooks.example:99999/", "Port out of range"),
        ("https://me:secret@hooks.example/", "must not hold a password"),
        ("https://hooks.example/#x", "fragment"),
        ("https://hooks.example/a b", "must be https://HOST"),
        ("https://hooks.example/\r\nX: y", "must be https://HOST"),
    ],
)
def test_url_is_one_that_webhooks_can_be_posted_to(url: str, fault: str | None):
    found = url_fault(url)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost/", "http://[::1]:80/", "http://10.1.1.1"]
)
def test_private_url_is_known(url: str):
    assert asyncio.run(private_fault(url, Resolver())) is not None

"""Events that are posted: `webhook`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mailqueue.cli import output, shape, values
from mailqueue.cli.base import REFUSED, Face, Verbs, pass_face
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.webhook import HOOK_EVENTS, Endpoint, Webhook, WebhookAttempt, WebhookState

if TYPE_CHECKING:
    from mailqueue.model.filters import Page
    from mailqueue.queue import Queue

_Command = Callable[..., Any]
_account = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, metavar="NAME", help="Whose events."
)
_ids = click.argument("ids", nargs=-1, required=True, type=int, metavar="ID...")
_RETIRED = [each.value for each in WebhookState if each not in (WebhookState.QUEUED, WebhookState.CLAIMED)]


def _filters(command: _Command) -> _Command:
    for option in (
        click.option("--after", metavar="CURSOR", help="The page after: `next` of the page before."),
        click.option("--limit", default=50, show_default=True, metavar="N", help="At most, up to 1000."),
        click.option("--message-id", type=int, metavar="ID", help="Only about this message."),
        click.option(
            "--event", type=click.Choice(sorted(each.value for each in HOOK_EVENTS)), help="Only about this."
        ),
        click.option("--account", metavar="NAME", help="Only of this account."),
    ):
        command = option(command)
    return command


@click.group(cls=Verbs)
def webhook() -> None:
    """Events that are posted to a URL.

    For example: webhook set --url https://app.example/mail --new-secret
    """


# -- endpoints --------------------------------------------------------------------------------------
@webhook.command("set")
@_account
@click.option("--url", metavar="URL", help="Where to; needed the first time.")
@click.option("--events", metavar="A,B", help="Which, with commas between; all, if it was never said.")
@click.option("--authorization-env", metavar="VAR", help="Environment variable with the Authorization.")
@click.option("--authorization-file", metavar="FILE", help="File that has the Authorization, in one line.")
@click.option("--no-authorization", is_flag=True, help="Send no header Authorization.")
@click.option("--secret-env", metavar="VAR", help="Environment variable that has the secret, whsec_...")
@click.option("--secret-file", metavar="FILE", help="File that has the secret, in one line.")
@click.option("--new-secret", is_flag=True, help="Make a secret, and print it this once.")
@click.option("--rotate", is_flag=True, help="Sign with the secret there is, too.")
@click.option("--drop-old-secret", is_flag=True, help="Sign with the newest secret only, from now on.")
@click.option(
    "--allow-private/--refuse-private", default=None, help="Call loopback and private addresses, too."
)
@pass_face
def set_(
    face: Face,
    account: str,
    url: str | None,
    events: str | None,
    authorization_env: str | None,
    authorization_file: str | None,
    no_authorization: bool,
    secret_env: str | None,
    secret_file: str | None,
    new_secret: bool,
    rotate: bool,
    drop_old_secret: bool,
    allow_private: bool | None,
) -> None:
    """Have the events of an account posted; what is not given stays as it is.

    One that was disabled because it answered 410 is at work again.
    """
    authorization = values.secret(authorization_env, authorization_file, "authorization")
    if no_authorization:
        if authorization is not None:
            raise click.UsageError("--no-authorization, or one that is given, not both.")
        authorization = ""
    made = face.queue().webhooks.set(
        account,
        url=url,
        events=events,
        authorization=authorization,
        secret=values.secret(secret_env, secret_file, "secret"),
        new_secret=new_secret,
        rotate=rotate,
        drop_old_secret=drop_old_secret,
        allow_private=allow_private,
    )
    fresh = made.secrets[0] if new_secret else None

    def people() -> None:
        output.line(f"events of account {account} are posted to {made.url}: {', '.join(sorted(made.events))}")
        if fresh is not None:
            output.line(f"secret, which is not shown again: {fresh}")

    face.answer({**shape.endpoint(made, account), **({"secret": fresh} if fresh else {})}, people)


@webhook.command()
@_account
@pass_face
def unset(face: Face, account: str) -> None:
    """Have the events of an account posted no more; what waits is canceled."""
    gone = face.queue().webhooks.unset(account)
    face.answer(
        {**shape.endpoint(gone, account), "removed": True},
        lambda: output.line(f"events of account {account} are posted no more"),
    )


@webhook.command()
@pass_face
def endpoints(face: Face) -> None:
    """List where events are posted."""
    queue = face.queue()
    found = queue.webhooks.endpoints()
    names = {each.id: each.name for each in queue.accounts.list()}
    face.answer(
        output.items(shape.endpoint(each, names[each.account_id]) for each in found),
        lambda: output.table(
            ("ACCOUNT", "URL", "EVENTS", "SECRETS", "STATE"),
            (
                (
                    names[each.account_id],
                    each.url,
                    "all" if each.events == HOOK_EVENTS else ",".join(sorted(each.events)),
                    len(each.secrets),
                    _state(each, queue),
                )
                for each in found
            ),
        ),
    )


def _state(found: Endpoint, queue: Queue) -> str:
    if found.disabled_at is None:
        return "at work"
    return f"gone (410) {output.when(found.disabled_at, queue.clock.now())}"


@webhook.command()
@_account
@pass_face
def test(face: Face, account: str) -> None:
    """Post a signed test event now, and print the answer.

    Exit status 3 if it was not taken.
    """
    answer = face.queue().webhooks.test(account)

    def people() -> None:
        said = " ".join(str(each) for each in (answer.status, answer.error) if each is not None)
        output.line(f"{answer.url}: {said} ({output.took(answer.duration)})")
        if answer.answer:
            output.line(answer.answer)

    face.answer(shape.webhook_answer(answer), people)
    if not answer.taken:
        click.get_current_context().exit(REFUSED)


# -- webhooks ---------------------------------------------------------------------------------------
@webhook.command("list")
@_filters
@pass_face
def list_(
    face: Face, account: str | None, event: str | None, message_id: int | None, limit: int, after: str | None
) -> None:
    """List webhooks on their way, the oldest first."""
    queue = face.queue()
    page = queue.webhooks.list(account=account, event=event, message_id=message_id, limit=limit, after=after)

    def row(each: Webhook) -> tuple[object, ...]:
        due = (
            f"after {each.after_id}"
            if each.after_id
            else output.when(each.next_attempt_at, queue.clock.now())
        )
        return (
            each.id,
            each.event.value,
            each.message_id,
            each.state.value,
            each.attempts,
            due,
            each.last_error,
        )

    _answer_page(face, page, limit, ("ID", "EVENT", "MESSAGE", "STATE", "TRIES", "NEXT", "LAST ERROR"), row)


def _answer_page(
    face: Face,
    page: Page[Webhook],
    limit: int,
    head: Sequence[str],
    row: Callable[[Webhook], tuple[object, ...]],
) -> None:
    def people() -> None:
        output.table(head, map(row, page.items))
        if page.next is not None:
            early = f"looked at {output.plural(page.looked, 'webhook')}; " if len(page.items) < limit else ""
            output.line(f"{early}more: --after {page.next}")

    face.answer(output.items(map(shape.webhook, page.items), page.next), people)


@webhook.command()
@click.argument("webhook_id", type=int, metavar="ID")
@pass_face
def show(face: Face, webhook_id: int) -> None:
    """Show a webhook, on its way or retired, with its attempts."""
    queue = face.queue()
    _show(face, queue, queue.webhooks.show(webhook_id))


def _show(face: Face, queue: Queue, found: Webhook) -> None:
    tried = queue.webhooks.attempts(found.id)

    def people() -> None:
        now = queue.clock.now()
        waits = f" (after webhook {found.after_id})" if found.after_id else ""
        output.details(
            [
                ("webhook", found.id),
                ("state", found.state.value),
                ("event", f"{found.event.value}, {output.when(found.created_at, now)}"),
                ("message", found.message_id),
                ("account", found.account),
                ("attempts", found.attempts),
                (
                    "next",
                    f"{output.when(found.next_attempt_at, now)}{waits}" if found.next_attempt_at else None,
                ),
                ("last error", found.last_error),
                ("retired", output.when(found.retired_at, now) if found.retired_at else None),
                ("payload", json.dumps(json.loads(found.payload), ensure_ascii=False)),
            ]
        )
        for each in tried:
            output.line(f"attempt {each.number}, {output.when(each.started_at, now)}: {_came_to(each)}")

    face.answer({**shape.webhook(found), "tried": [shape.webhook_attempt(each) for each in tried]}, people)


def _came_to(each: WebhookAttempt) -> str:
    said = " ".join(str(part) for part in (each.status, each.error or each.answer) if part is not None)
    return f"{said} ({output.took(each.duration)})"


@webhook.command()
@click.argument("webhook_id", type=int, metavar="ID")
@pass_face
def attempts(face: Face, webhook_id: int) -> None:
    """List the attempts to post a webhook."""
    queue = face.queue()
    found = queue.webhooks.attempts(webhook_id)
    face.answer(
        output.items(map(shape.webhook_attempt, found)),
        lambda: output.table(
            ("TRY", "WHEN", "TOOK", "STATUS", "ANSWER", "ERROR"),
            (
                (
                    each.number,
                    output.when(each.started_at, queue.clock.now()),
                    output.took(each.duration),
                    each.status,
                    each.answer,
                    each.error,
                )
                for each in found
            ),
        ),
    )


@webhook.command()
@_ids
@click.option(
    "--at", type=values.moment, metavar="WHEN", help="Posted then: 2h from now, or a time; else now."
)
@pass_face
def schedule(face: Face, ids: tuple[int, ...], at: datetime | timedelta | None) -> None:
    """Have webhooks that wait posted now, or at another time."""
    _told(face, face.queue().webhooks.schedule(ids, at=at), ids, "rescheduled", "being posted, or retired")


@webhook.command()
@_ids
@click.option("--reason", default="", metavar="TEXT", help="Why, for people.")
@pass_face
def cancel(face: Face, ids: tuple[int, ...], reason: str) -> None:
    """Cancel webhooks that have not retired."""
    _told(face, face.queue().webhooks.cancel(ids, reason=reason), ids, "canceled", "retired before")


def _told(face: Face, done: Sequence[int], ids: Sequence[int], changed: str, unchanged: str) -> None:
    left = [each for each in dict.fromkeys(ids) if each not in done]

    def people() -> None:
        output.line(f"{output.plural(len(done), 'webhook')} {changed}")
        if left:
            output.line(f"{len(left):,} {unchanged}: {', '.join(map(str, left))}")

    face.answer({"changed": list(done), "unchanged": left}, people)


@webhook.command()
@_ids
@pass_face
def replay(face: Face, ids: tuple[int, ...]) -> None:
    """Post retired webhooks once more, as new ones."""
    made = face.queue().webhooks.replay(ids)
    face.answer(
        {"made": list(made)},
        lambda: output.line(f"{output.plural(len(made), 'webhook')} queued: {', '.join(map(str, made))}"),
    )


@webhook.group(cls=Verbs)
def retired() -> None:
    """The history of webhooks."""


@retired.command("list")
@_filters
@click.option("--state", type=click.Choice(_RETIRED), help="Only what came to this.")
@pass_face
def list_retired(
    face: Face,
    account: str | None,
    event: str | None,
    message_id: int | None,
    limit: int,
    after: str | None,
    state: str | None,
) -> None:
    """List retired webhooks, the newest first."""
    queue = face.queue()
    page = queue.webhooks.retired.list(
        account=account, event=event, message_id=message_id, state=state, limit=limit, after=after
    )

    def row(each: Webhook) -> tuple[object, ...]:
        gone = output.when(each.retired_at, queue.clock.now())
        return (
            each.id,
            each.event.value,
            each.message_id,
            each.state.value,
            each.attempts,
            gone,
            each.last_error,
        )

    _answer_page(
        face, page, limit, ("ID", "EVENT", "MESSAGE", "STATE", "TRIES", "RETIRED", "LAST ERROR"), row
    )


@retired.command("show")
@click.argument("webhook_id", type=int, metavar="ID")
@pass_face
def show_retired(face: Face, webhook_id: int) -> None:
    """Show a retired webhook; one that is on its way is not found."""
    queue = face.queue()
    _show(face, queue, queue.webhooks.retired.show(webhook_id))

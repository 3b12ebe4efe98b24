"""The command `mailqueue` itself, and its verbs in the order in which help lists them."""

from __future__ import annotations

import click

from mailqueue.cli import (
    accounts,
    changes,
    demo,
    destinations,
    domains,
    history,
    holdrules,
    incoming,
    look,
    many,
    plan,
    replies,
    reports,
    routes,
    run,
    schedules,
    shaping,
    stats,
    steer,
    submit,
    suppress,
    trace,
    transports,
    upkeep,
    webhooks,
)
from mailqueue.cli.base import Root


@click.group(cls=Root, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mailqueue", message="%(prog)s %(version)s")
def cli() -> None:
    """An outbound mail queue: put mail in, deliver it, see what became of it.

    Try `mailqueue demo`. In an ID's place, 12 is a message and s12 a submission.
    """


for _verb in (
    submit.submit,
    many.submit_many,
    plan.plan,
    run.run,
    look.list_,
    look.status,
    stats.stats,
    stats.top,
    look.show,
    trace.attempts,
    trace.timeline,
    trace.follow,
    trace.explain,
    trace.dump,
    steer.hold,
    steer.release,
    steer.fail,
    steer.drop,
    steer.reschedule,
    steer.reroute,
    steer.require_tls,
    holdrules.holdrules,
    transports.transport,
    routes.route,
    shaping.shaping,
    destinations.destinations,
    schedules.schedule,
    replies.replies,
    replies.classify,
    accounts.account,
    domains.domain,
    webhooks.webhook,
    suppress.suppress,
    history.retired,
    history.notice,
    incoming.incoming,
    changes.changes,
    reports.dsn_,
    reports.arf_,
    upkeep.migrate,
    upkeep.backup,
    upkeep.restore,
    upkeep.check_integrity,
    demo.demo,
):
    cli.add_command(_verb)


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    cli(prog_name="mailqueue")

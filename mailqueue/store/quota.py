"""What accounts with a quota have sent, by hours, and whom they have written to.

The one rule: it is read and counted in the transaction that stores the mail, so that what is rolled back
counts nothing, and two processes never both take the last place.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from mailqueue.model.account import HourUse
from mailqueue.store import rows
from mailqueue.store.batch import Batch, write_rows
from mailqueue.store.queries import query


def usage(cursor: sqlite3.Cursor, account_id: int, since: int) -> list[HourUse]:
    """Return what an account has sent from the hour `since` on."""
    return [rows.hour_use(row) for row in cursor.execute(query("usage_of_account"), (account_id, since))]


def known_recipients(cursor: sqlite3.Cursor, account_id: int, recipients: Sequence[str]) -> dict[str, int]:
    """Return which of these the account has written to, or is to, and when first."""
    found = cursor.execute(query("known_recipients"), (account_id, json.dumps(recipients)))
    return dict(found.fetchall())


def count_use(batch: Batch, account_id: int, uses: Sequence[HourUse], first: Mapping[str, int]) -> None:
    """Add to what an account has sent, and to whom."""
    counted = [value for each in uses for value in (account_id, *rows.hour_use_row(each))]
    write_rows(batch.now(), query("count_use"), counted)
    known = [value for recipient, at in first.items() for value in (account_id, recipient, at)]
    write_rows(batch.now(), query("insert_known_recipient"), known)


def purge_usage(batch: Batch, older_than: int) -> int:
    """Forget the hours before `older_than`. Returns how many went."""
    statement = query("purge_usage")
    accounts = batch.settings().accounts_by_id
    return sum(batch.now().execute(statement, (account, older_than)).rowcount for account in accounts)


def purge_recipients(batch: Batch, older_than: int, limit: int) -> int:
    """Forget recipients first written to before `older_than`. Returns how many went."""
    return batch.now().execute(query("purge_known_recipients"), (older_than, limit)).rowcount


def forget_recipients(batch: Batch, account_id: int, limit: int) -> int:
    """Forget whom an account has written to. Returns how many went."""
    return batch.now().execute(query("forget_recipients"), (account_id, limit)).rowcount

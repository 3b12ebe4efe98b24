-- Whom accounts write to no more, and the failures that may lead there.

-- Whether there is anything at all: an entry, a failure.
-- name: any_suppression
SELECT (SELECT max(id) FROM mailqueue_suppression) IS NOT NULL, (SELECT max(at) FROM mailqueue_strike) IS NOT NULL

-- Of these [account, base], the ones that are suppressed: their places in the list, and why.
-- name: suppressed
SELECT wanted.key, entry.cause, entry.reason
FROM json_each(?) AS wanted
CROSS JOIN mailqueue_suppression AS entry ON entry.account_id = json_extract(wanted.value, '$[0]')
    AND entry.base = json_extract(wanted.value, '$[1]')
WHERE entry.expires_at IS NULL OR entry.expires_at > ?

-- What a person says takes the place of what was there; anything else does where it lasts longer. It has been
-- suppressed since the first of them, unless that was over. ('' and 0 are NULL.)
-- name: suppress
INSERT INTO mailqueue_suppression (account_id, base, address, cause, reason, message_id, incoming_id, evidence, actor,
    created_at, expires_at)
VALUES (?, ?, ?, ?, ?, nullif(?, 0), nullif(?, 0), nullif(?, ''), nullif(?, ''), ?, nullif(?, 0))
ON CONFLICT (account_id, base) DO UPDATE
SET address = excluded.address, cause = excluded.cause, reason = excluded.reason, message_id = excluded.message_id,
    incoming_id = excluded.incoming_id, evidence = excluded.evidence, actor = excluded.actor,
    created_at = iif(mailqueue_suppression.expires_at <= excluded.created_at, excluded.created_at,
        mailqueue_suppression.created_at),
    expires_at = excluded.expires_at
WHERE excluded.cause = 'manual' OR excluded.expires_at > mailqueue_suppression.expires_at
    OR (excluded.expires_at IS NULL AND mailqueue_suppression.expires_at IS NOT NULL)

-- name: insert_strike
INSERT INTO mailqueue_strike (account_id, base, message_id, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- The first failures of other messages.
-- name: first_strikes
SELECT at FROM mailqueue_strike WHERE account_id = ? AND base = ? AND message_id <> ? ORDER BY at LIMIT ?

-- Of these [account, base].
-- name: clear_strikes
DELETE FROM mailqueue_strike WHERE (account_id, base) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))

-- The entries of some accounts in the order of accounts and bases, beyond the one given.
-- name: list_suppressions
SELECT entry.id, account.name, entry.address, entry.base, entry.cause, entry.reason, entry.message_id, entry.incoming_id,
    entry.evidence, entry.actor, entry.created_at, entry.expires_at, entry.account_id
FROM mailqueue_suppression AS entry
CROSS JOIN mailqueue_account AS account ON account.id = entry.account_id
WHERE (entry.account_id, entry.base) > (?, ?) AND entry.account_id <= ?
    AND (entry.expires_at IS NULL OR entry.expires_at > ?)
ORDER BY entry.account_id, entry.base
LIMIT ?

-- name: one_suppression
SELECT entry.id, account.name, entry.address, entry.base, entry.cause, entry.reason, entry.message_id, entry.incoming_id,
    entry.evidence, entry.actor, entry.created_at, entry.expires_at, entry.account_id
FROM mailqueue_suppression AS entry
CROSS JOIN mailqueue_account AS account ON account.id = entry.account_id
WHERE entry.account_id = ? AND entry.base = ? AND (entry.expires_at IS NULL OR entry.expires_at > ?)

-- name: delete_suppression
DELETE FROM mailqueue_suppression WHERE id = ?

-- name: purge_suppressions
DELETE FROM mailqueue_suppression WHERE id IN (
    SELECT id FROM mailqueue_suppression WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)

-- name: purge_strikes
DELETE FROM mailqueue_strike WHERE (account_id, base, message_id) IN (
    SELECT account_id, base, message_id FROM mailqueue_strike WHERE at < ? ORDER BY at LIMIT ?)

-- name: forget_suppressions
DELETE FROM mailqueue_suppression WHERE id IN (SELECT id FROM mailqueue_suppression WHERE account_id = ? LIMIT ?)

-- name: forget_strikes
DELETE FROM mailqueue_strike WHERE (account_id, base, message_id) IN (
    SELECT account_id, base, message_id FROM mailqueue_strike WHERE account_id = ? LIMIT ?)

-- Webhooks: the outbox of events that are posted.

-- name: all_endpoints
SELECT account_id, url, events, authorization, secrets, allow_private, disabled_at, created_at
FROM mailqueue_endpoint ORDER BY account_id

-- name: set_endpoint
INSERT OR REPLACE INTO mailqueue_endpoint
    (account_id, url, events, authorization, secrets, allow_private, disabled_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_endpoint
DELETE FROM mailqueue_endpoint WHERE account_id = ?

-- The events from this one on that their account wishes to be posted, with what was so at the commit. Notices tell of themselves.
-- name: fill_outbox
INSERT INTO mailqueue_webhook (account_id, event_id, event, message_id, payload, created_at, next_attempt_at)
SELECT message.account_id, event.id, event.event, message.id, json_object(
        'type', event.event,
        'timestamp', strftime('%Y-%m-%dT%H:%M:%S', event.at / 1000000, 'unixepoch') || printf('.%06dZ', event.at % 1000000),
        'data', json_object(
            'event_id', event.id, 'account', account.name, 'id', message.id, 'submission_id', submission.id,
            'message_id', submission.message_id, 'envid', submission.envid, 'fromid', message.fromid,
            'sender', submission.sender, 'recipient', message.recipient, 'subject', submission.subject,
            'extra', json(coalesce(submission.extra, '{}')),
            'submitted_at', strftime('%Y-%m-%dT%H:%M:%S', submission.submitted_at / 1000000, 'unixepoch')
                || printf('.%06dZ', submission.submitted_at % 1000000),
            'state', message.state, 'attempts', message.attempts,
            'next_attempt_at', strftime('%Y-%m-%dT%H:%M:%S', message.next_attempt_at / 1000000, 'unixepoch')
                || printf('.%06dZ', message.next_attempt_at % 1000000),
            'reason', event.reason, 'actor', event.actor, 'details', json(coalesce(event.data, '{}')),
            'attempt', CASE WHEN attempt.id IS NOT NULL THEN json_object(
                'number', attempt.number, 'outcome', attempt.outcome, 'category', attempt.category,
                'transport', attempt.transport, 'host', attempt.host, 'address', attempt.address,
                'code', attempt.code, 'enhanced', attempt.enhanced, 'reply', attempt.reply,
                'error', attempt.error) END)),
    event.at, event.at
FROM mailqueue_event AS event
JOIN mailqueue_message AS message ON message.id = event.message_id
JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
JOIN mailqueue_account AS account ON account.id = message.account_id
JOIN mailqueue_endpoint AS endpoint ON endpoint.account_id = message.account_id
LEFT JOIN mailqueue_attempt AS attempt ON attempt.id = (
    SELECT max(last.id) FROM mailqueue_attempt AS last WHERE last.message_id = message.id)
WHERE event.id >= ? AND endpoint.disabled_at IS NULL AND submission.notice_for IS NULL
    AND instr(',' || endpoint.events || ',', ',' || event.event || ',') > 0
ORDER BY event.id

-- name: disable_endpoint
UPDATE mailqueue_endpoint SET disabled_at = ? WHERE account_id = ? AND disabled_at IS NULL

-- name: last_webhook_id
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_webhook'), 0)

-- New ones wait for those about the same message that have not retired.
-- name: queue_up_webhooks
UPDATE mailqueue_webhook
SET after_id = (
    SELECT max(older.id) FROM mailqueue_webhook AS older
    WHERE older.message_id = mailqueue_webhook.message_id AND older.id < mailqueue_webhook.id
        AND older.retired_at IS NULL)
WHERE id > ?

-- name: engine_is_noted
SELECT EXISTS (SELECT 1 FROM mailqueue_engine WHERE id = ?)

-- name: due_webhooks
SELECT id, account_id, payload, created_at, attempts, claim FROM mailqueue_webhook
WHERE account_id = ? AND state = 'queued' AND after_id IS NULL AND next_attempt_at <= ?
ORDER BY next_attempt_at LIMIT ?

-- name: claim_webhook
UPDATE mailqueue_webhook
SET state = 'claimed', engine_id = ?, claim = claim + 1, attempts = attempts + 1, next_attempt_at = ?
WHERE id = ? AND state = 'queued'

-- name: next_webhook
SELECT min((
    SELECT min(webhook.next_attempt_at) FROM mailqueue_webhook AS webhook
    WHERE webhook.account_id = account.value AND webhook.state = 'queued' AND webhook.after_id IS NULL))
FROM json_each(?) AS account

-- A delivery counts whoever claims it now; anything else, only for its claim.
-- name: settle_webhook
UPDATE mailqueue_webhook
SET state = ?, engine_id = NULL, next_attempt_at = ?, last_error = coalesce(nullif(?, ''), last_error), retired_at = ?
WHERE id = ? AND retired_at IS NULL AND (state = 'claimed' AND claim = ? OR ? = 'delivered')

-- name: insert_webhook_attempt
INSERT INTO mailqueue_webhook_attempt (webhook_id, number, started_at, duration, status, answer, error)
SELECT id, ?, ?, ?, ?, nullif(?, ''), ? FROM mailqueue_webhook WHERE id = ?

-- Those that waited for these wait for what these waited for.
-- name: pass_on_turns
UPDATE mailqueue_webhook
SET after_id = (
    SELECT max(older.id) FROM mailqueue_webhook AS older
    WHERE older.message_id = mailqueue_webhook.message_id AND older.id < mailqueue_webhook.id
        AND older.retired_at IS NULL)
WHERE retired_at IS NULL AND after_id IS NOT NULL AND message_id IN (
    SELECT message_id FROM mailqueue_webhook WHERE id IN (SELECT value FROM json_each(?)))

-- name: interrupted_webhooks
INSERT INTO mailqueue_webhook_attempt (webhook_id, number, started_at, duration, error)
SELECT webhook.id, webhook.attempts, coalesce(engine.heartbeat_at, ?), 0, ?
FROM mailqueue_webhook AS webhook
LEFT JOIN mailqueue_engine AS engine ON engine.id = webhook.engine_id
WHERE webhook.state = 'claimed' AND webhook.engine_id = ?

-- name: return_webhooks
UPDATE mailqueue_webhook
SET state = 'queued', engine_id = NULL, last_error = ?, next_attempt_at = min(next_attempt_at, ?)
WHERE state = 'claimed' AND engine_id = ?

-- name: schedule_webhooks
UPDATE mailqueue_webhook SET next_attempt_at = ?
WHERE state = 'queued' AND id IN (SELECT value FROM json_each(?)) RETURNING id

-- name: cancel_webhooks
UPDATE mailqueue_webhook
SET state = 'canceled', engine_id = NULL, next_attempt_at = NULL, retired_at = ?, last_error = coalesce(last_error, ?)
WHERE retired_at IS NULL AND id IN (SELECT value FROM json_each(?)) RETURNING id

-- The accounts that have something queued: a step into the index for each.
-- name: accounts_with_webhooks
WITH RECURSIVE line (account_id) AS (
    SELECT min(account_id) FROM mailqueue_webhook WHERE state = 'queued' AND after_id IS NULL
    UNION ALL
    SELECT (
        SELECT min(webhook.account_id) FROM mailqueue_webhook AS webhook
        WHERE webhook.account_id > line.account_id AND webhook.state = 'queued' AND webhook.after_id IS NULL)
    FROM line WHERE line.account_id IS NOT NULL)
SELECT account_id FROM line WHERE account_id IS NOT NULL

-- name: queued_webhooks_of_account
SELECT id FROM mailqueue_webhook
WHERE account_id = ? AND state = 'queued' AND after_id IS NULL ORDER BY next_attempt_at LIMIT ?

-- name: replay_webhook
INSERT INTO mailqueue_webhook (account_id, event_id, event, message_id, payload, created_at, next_attempt_at)
SELECT account_id, event_id, event, message_id, payload, ?, ? FROM mailqueue_webhook WHERE id = ?

-- name: outdated_webhooks
SELECT id FROM mailqueue_webhook
WHERE account_id = ? AND retired_at IS NOT NULL AND retired_at <= ? ORDER BY retired_at LIMIT ?

-- name: webhooks_of_account
SELECT id FROM mailqueue_webhook WHERE account_id = ?

-- name: purge_webhook_attempts
DELETE FROM mailqueue_webhook_attempt WHERE webhook_id IN (SELECT value FROM json_each(?))

-- name: purge_webhooks
DELETE FROM mailqueue_webhook WHERE id IN (SELECT value FROM json_each(?))

-- name: read_webhooks
SELECT webhook.id, account.name, webhook.event_id, webhook.event, webhook.message_id, webhook.payload,
    webhook.created_at, webhook.state, webhook.attempts, webhook.after_id, webhook.next_attempt_at,
    webhook.last_error, webhook.retired_at
FROM mailqueue_webhook AS webhook
CROSS JOIN mailqueue_account AS account ON account.id = webhook.account_id

-- name: webhook_attempts
SELECT id, webhook_id, number, started_at, duration, status, answer, error
FROM mailqueue_webhook_attempt WHERE webhook_id = ? ORDER BY id

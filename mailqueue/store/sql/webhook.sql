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

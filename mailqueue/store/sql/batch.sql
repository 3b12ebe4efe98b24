-- What a write transaction gathers and writes at its end, many rows in a statement.
-- (The driver takes longer over NULL than over a value: '' and 0 are handed in instead, where they mean nothing.)

-- name: last_ids
SELECT json_group_object(name, seq) FROM sqlite_sequence
WHERE name IN ('mailqueue_content', 'mailqueue_submission', 'mailqueue_message')

-- name: insert_content
INSERT INTO mailqueue_content (id, submission_id, size, created_at, data)
VALUES (?, ?, ?, ?, ?)

-- name: insert_submission
INSERT INTO mailqueue_submission (id, account_id, content_id, sender, message_id, subject, eight_bit, utf8_header,
    notice_for, actor, submitted_at, envid, ret, not_before, warn_after, max_attempts, extra)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, 0), nullif(?, -1), nullif(?, 0),
    nullif(?, ''))

-- name: insert_message
INSERT INTO mailqueue_message (id, submission_id, account_id, recipient, domain, state, holds, next_attempt_at,
    fallback, schedule, give_up_at, notify, orcpt, priority, transport, require_tls, expires_at, fromid)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?, nullif(?, -1), nullif(?, 0),
    nullif(?, ''))

-- name: insert_hold
INSERT INTO mailqueue_hold (message_id, rule_id, since_at, actor, reason, until_at)
VALUES (?, ?, ?, ?, ?, nullif(?, 0))

-- name: insert_attempt
INSERT INTO mailqueue_attempt (message_id, number, engine_id, started_at, duration, outcome, category, scope,
    transport, route_id, host, address, tls, tls_verified, size, code, enhanced, reply, error, transcript)
VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, 0), nullif(?, ''), nullif(?, ''),
    nullif(?, ''), nullif(?, ''), nullif(?, -1), nullif(?, 0), nullif(?, ''), nullif(?, ''), nullif(?, ''),
    nullif(?, ''))

-- name: insert_event
INSERT INTO mailqueue_event (event, message_id, at, actor, reason, notice_id, data)
VALUES (?, nullif(?, 0), ?, nullif(?, ''), nullif(?, ''), nullif(?, 0), nullif(?, ''))

-- A lane that is blocked is not looked at before that ends.
-- name: lower_due
INSERT INTO mailqueue_lane (priority, account_id, domain, transport, due_at)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (priority, account_id, domain, transport)
DO UPDATE SET due_at = max(excluded.due_at, coalesce(mailqueue_lane.blocked_until, 0))
WHERE mailqueue_lane.due_at IS NULL
    OR mailqueue_lane.due_at > max(excluded.due_at, coalesce(mailqueue_lane.blocked_until, 0))

-- name: keep_content
UPDATE mailqueue_content SET purge_at = max(coalesce(purge_at, 0), ?)
WHERE id = ? AND purged_at IS NULL

-- Content whose last message has gone, and that nobody wished to keep. What does not stand in one row goes in steps.
-- name: drop_spent_content
UPDATE mailqueue_content SET data = NULL, purged_at = ?, purge_at = CASE WHEN data IS NULL THEN ? END
WHERE id IN (
    SELECT json_extract(value, '$[0]') FROM json_each(?)
    WHERE NOT EXISTS (
        SELECT 1 FROM mailqueue_message AS message
        WHERE message.submission_id = json_extract(value, '$[1]') AND message.retired_at IS NULL))
    AND purge_at IS NULL AND purged_at IS NULL

-- What a transaction adds to the numbers of wake, active and held.
-- name: raise_counts
UPDATE mailqueue_meta
SET value = value + CASE key WHEN 'wake' THEN ? WHEN 'active' THEN ? ELSE ? END
WHERE key IN ('wake', 'active', 'held')

-- name: raise_settings
UPDATE mailqueue_meta SET value = value + 1 WHERE key = 'settings'

-- How many messages more wait for a domain, by the hour of their submission. Columns handed in: domain, hour, messages.
-- name: count_waiting
INSERT INTO mailqueue_waiting (domain, hour_at, messages) VALUES (?, ?, ?)
ON CONFLICT (domain, hour_at) DO UPDATE SET messages = mailqueue_waiting.messages + excluded.messages

-- name: forget_waiting
DELETE FROM mailqueue_waiting
WHERE (domain, hour_at) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) AND messages = 0

-- name: count_tally
INSERT INTO mailqueue_tally (hour_at, what, detail, times) VALUES (?, ?, ?, ?)
ON CONFLICT (hour_at, what, detail) DO UPDATE SET times = mailqueue_tally.times + excluded.times

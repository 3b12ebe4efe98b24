-- Settlements, each guarded by its claim number.

-- Which messages of these [message, claim, state, transport] are not as they were: [message, whether it is too late].
-- It is not where somebody wished meanwhile that something becomes of it, or that it goes later or by another way.
-- name: late_settlements
SELECT json_group_array(json_array(json_extract(guard.value, '$[0]'), message.id IS NULL
    OR message.state <> json_extract(guard.value, '$[2]') OR message.claim <> json_extract(guard.value, '$[1]')))
FROM json_each(?) AS guard
LEFT JOIN mailqueue_message AS message ON message.id = json_extract(guard.value, '$[0]')
WHERE message.id IS NULL OR message.state <> json_extract(guard.value, '$[2]')
    OR message.claim <> json_extract(guard.value, '$[1]') OR message.wish IS NOT NULL
    OR message.later_at IS NOT NULL OR message.transport <> json_extract(guard.value, '$[3]')

-- What is to become of these messages, where somebody said so.
-- name: wishes
SELECT id, wish, wish_actor, wish_reason FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND wish IS NOT NULL

-- (They expire at once, so that one whose claim comes back without a settlement is not tried again.)
-- name: wish
UPDATE mailqueue_message SET wish = ?, wish_actor = ?, wish_reason = ?, expires_at = min(coalesce(expires_at, ?), ?)
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'claimed' RETURNING id

-- Of these messages: [id, whether it has retired].
-- name: fates
SELECT json_group_array(json_array(id, retired_at IS NOT NULL)) FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?))

-- Columns handed in: message, state, time, error.
-- name: retire
UPDATE mailqueue_message
SET state = done.column2, retired_at = done.column3, last_error = coalesce(nullif(done.column4, ''), last_error),
    holds = 0, engine_id = NULL, claimed_at = NULL, next_attempt_at = NULL, warn_at = NULL, later_at = NULL
FROM (VALUES (?, ?, ?, ?)) AS done
WHERE mailqueue_message.id = done.column1 AND mailqueue_message.retired_at IS NULL

-- Columns handed in: message, time, fallback, warn_at, error.
-- name: retry
UPDATE mailqueue_message
SET state = 'queued', next_attempt_at = coalesce(later_at, again.column2), fallback = again.column3,
    warn_at = again.column4, last_error = again.column5, engine_id = NULL, claimed_at = NULL, later_at = NULL
FROM (VALUES (?, ?, ?, ?, ?)) AS again
WHERE mailqueue_message.id = again.column1 AND mailqueue_message.state = 'claimed'

-- name: remove_marks
DELETE FROM mailqueue_hold WHERE message_id IN (SELECT value FROM json_each(?)) RETURNING message_id

-- name: insert_notice
INSERT INTO mailqueue_notice (submission_id, kind, at, content, sent_as) VALUES (?, ?, ?, ?, ?)

-- How many of these messages are owed a delay notice.
-- name: count_owed
SELECT count(*) FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'queued' AND holds = 0 AND warn_at <= ?

-- name: clear_warnings
UPDATE mailqueue_message SET warn_at = NULL WHERE id IN (SELECT value FROM json_each(?))

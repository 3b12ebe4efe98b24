-- Questions. Columns of messages are always the same, in the order of rows.message.

-- name: wake
SELECT value FROM mailqueue_meta WHERE key = 'wake'

-- name: counts
SELECT (SELECT value FROM mailqueue_meta WHERE key = 'active'),
    (SELECT count(*) FROM mailqueue_message WHERE state = 'claimed'),
    (SELECT value FROM mailqueue_meta WHERE key = 'held')

-- The lane that is due first: a step into the index for each priority and account whose mail waits.
-- name: next_due
WITH RECURSIVE line (priority, account_id) AS (
    SELECT each.value, (
        SELECT min(lane.account_id) FROM mailqueue_lane AS lane
        WHERE lane.priority = each.value AND lane.due_at IS NOT NULL)
    FROM json_each('[0, 1, 2]') AS each
    UNION ALL
    SELECT line.priority, (
        SELECT min(lane.account_id) FROM mailqueue_lane AS lane
        WHERE lane.priority = line.priority AND lane.account_id > line.account_id AND lane.due_at IS NOT NULL)
    FROM line WHERE line.account_id IS NOT NULL)
SELECT min((
    SELECT min(lane.due_at) FROM mailqueue_lane AS lane
    WHERE lane.priority = line.priority AND lane.account_id = line.account_id AND lane.due_at IS NOT NULL))
FROM line

-- name: next_warning
SELECT min(warn_at) FROM mailqueue_message WHERE warn_at IS NOT NULL AND state = 'queued' AND holds = 0

-- name: next_hold_end
SELECT min(until_at) FROM mailqueue_hold WHERE until_at IS NOT NULL

-- name: next_rule_end
SELECT min(next_at) FROM mailqueue_hold_rule

-- name: ending_hold_rules
SELECT id FROM mailqueue_hold_rule WHERE next_at <= ? ORDER BY next_at, id

-- How many messages a rule holds that it has held for longer than one of them.
-- name: ahead_in_rule
SELECT count(*) FROM mailqueue_hold
WHERE rule_id = ? AND id < (SELECT min(id) FROM mailqueue_hold WHERE message_id = ? AND rule_id = ?)

-- name: owed_submissions
SELECT DISTINCT submission_id FROM (
    SELECT submission_id FROM mailqueue_message
    WHERE warn_at IS NOT NULL AND state = 'queued' AND holds = 0 AND warn_at <= ?
    ORDER BY warn_at LIMIT ?)

-- name: owed_warnings
SELECT id FROM mailqueue_message
WHERE submission_id = ? AND retired_at IS NULL AND warn_at <= ? AND state = 'queued' AND holds = 0
ORDER BY id

-- name: next_expiry
SELECT min(expires_at) FROM mailqueue_message WHERE expires_at IS NOT NULL AND state = 'queued'

-- name: expired_messages
SELECT id FROM mailqueue_message
WHERE expires_at IS NOT NULL AND state = 'queued' AND expires_at <= ? ORDER BY expires_at, id LIMIT ?

-- What claim_candidates tells of messages, of some that wait: nobody has claimed them.
-- name: waiting_messages
SELECT message.id, message.submission_id, message.account_id, message.recipient, message.domain,
    message.attempts, message.claim, message.schedule, message.give_up_at, message.warn_at,
    submission.content_id, submission.sender, submission.eight_bit, submission.utf8_header,
    submission.notice_for, submission.submitted_at, content.size, message.notify, message.orcpt,
    submission.envid, submission.ret, message.priority, message.transport, message.require_tls, message.expires_at,
    submission.warn_after, submission.max_attempts, submission.not_before, message.next_attempt_at,
    message.fromid
FROM json_each(?) AS chosen
CROSS JOIN mailqueue_message AS message ON message.id = chosen.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
CROSS JOIN mailqueue_content AS content ON content.id = submission.content_id
WHERE message.state = 'queued'
ORDER BY chosen.key

-- name: read_messages
SELECT message.id, message.submission_id, account.name, submission.sender, message.recipient, message.state,
    message.holds, message.attempts, submission.submitted_at, message.claimed_at,
    CASE message.state WHEN 'queued' THEN max(message.next_attempt_at, coalesce(lane.blocked_until, 0))
        ELSE message.next_attempt_at END,
    message.give_up_at, message.schedule, message.last_error, message.retired_at, submission.message_id,
    submission.subject, content.size, message.notify, message.orcpt, submission.envid, submission.ret,
    message.priority, message.transport, message.require_tls, message.expires_at, submission.not_before,
    submission.warn_after, submission.max_attempts, lane.blocked_until, lane.blocked_by,
    (SELECT attempt.category FROM mailqueue_attempt AS attempt
        WHERE attempt.message_id = message.id ORDER BY attempt.id DESC LIMIT 1),
    submission.extra, message.fromid, message.feedback
FROM mailqueue_message AS message
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
CROSS JOIN mailqueue_content AS content ON content.id = submission.content_id
CROSS JOIN mailqueue_account AS account ON account.id = message.account_id
LEFT JOIN mailqueue_lane AS lane ON lane.priority = message.priority AND lane.account_id = message.account_id
    AND lane.domain = message.domain AND lane.transport = message.transport AND message.state = 'queued'

-- name: submission_ids
SELECT (SELECT coalesce(min(id), 1) FROM mailqueue_submission), (SELECT coalesce(max(id), 0) FROM mailqueue_submission)

-- name: submission_from
SELECT id, submitted_at FROM mailqueue_submission WHERE id >= ? ORDER BY id LIMIT 1

-- name: submission_since
SELECT min(id) FROM mailqueue_submission WHERE id >= ? AND id < ? AND submitted_at > ?

-- name: submission_until
SELECT max(id) FROM mailqueue_submission WHERE id >= ? AND id < ? AND submitted_at < ?

-- (The bound of submission_id makes it a search in the index.)
-- name: active_ids
SELECT coalesce((
        SELECT id FROM mailqueue_message WHERE retired_at IS NULL AND submission_id > 0
        ORDER BY submission_id, id LIMIT 1), 0),
    coalesce((
        SELECT id FROM mailqueue_message WHERE retired_at IS NULL AND submission_id > 0
        ORDER BY submission_id DESC, id DESC LIMIT 1), 0)

-- name: message_from
SELECT id FROM mailqueue_message WHERE submission_id >= ? ORDER BY submission_id, id LIMIT 1

-- name: message_exists
SELECT retired_at FROM mailqueue_message WHERE id = ?

-- name: exempt_through
SELECT exempt_through FROM mailqueue_message WHERE id = ?

-- name: last_message_id
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_message'), 0)

-- name: last_submission_id
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_submission'), 0)

-- name: holds_of_message
SELECT mark.rule_id, rule.id IS NOT NULL, mark.since_at, mark.actor, mark.reason, mark.until_at
FROM mailqueue_hold AS mark
LEFT JOIN mailqueue_hold_rule AS rule ON rule.id = mark.rule_id
WHERE mark.message_id = ? ORDER BY mark.id

-- name: held_by_rule
SELECT count(*) FROM mailqueue_hold WHERE rule_id = ?

-- How many messages of an account have not retired, and how many have; the highest id of any message.
-- name: mail_of_account
SELECT (SELECT count(*) FROM mailqueue_message WHERE retired_at IS NULL AND account_id = ?),
    (SELECT count(*) FROM mailqueue_message WHERE retired_at IS NOT NULL AND account_id = ?),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_message'), 0)

-- name: attempts_of_message
SELECT id, message_id, number, engine_id, started_at, duration, outcome, category, scope, transport, route_id,
    host, address, tls, tls_verified, size, code, enhanced, reply, error, transcript
FROM mailqueue_attempt WHERE message_id = ? ORDER BY id

-- name: changes
SELECT id, event, message_id, at, actor, reason, notice_id, data
FROM mailqueue_event WHERE event = 'admin' AND message_id IS NULL AND id < ? ORDER BY id DESC LIMIT ?

-- name: events_of_message
SELECT id, event, message_id, at, actor, reason, notice_id, data
FROM mailqueue_event WHERE message_id = ? ORDER BY id

-- name: last_event_id
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_event'), 0)

-- name: events_after
SELECT id, event, message_id, at, actor, reason, notice_id, data
FROM mailqueue_event WHERE id > ? ORDER BY id LIMIT ?

-- name: submitted
SELECT submission.submitted_at, submission.actor FROM mailqueue_message AS message
JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
WHERE message.id = ?

-- name: notices_of_message
SELECT id, submission_id, kind, at, content, sent_as FROM mailqueue_notice
WHERE id IN (SELECT notice_id FROM mailqueue_event WHERE message_id = ? AND notice_id IS NOT NULL) ORDER BY id

-- name: submissions_of
SELECT submission_id, id FROM mailqueue_message WHERE id IN (SELECT value FROM json_each(?))

-- What rows.original takes, of those that have retired.
-- name: originals
SELECT message.id, message.submission_id, message.account_id, submission.sender, message.recipient,
    submission.content_id, content.purged_at, submission.message_id, submission.subject, submission.eight_bit,
    submission.utf8_header, submission.notice_for, submission.envid, submission.ret, message.notify, message.orcpt,
    message.priority, message.transport, message.require_tls, submission.extra
FROM json_each(?) AS chosen
CROSS JOIN mailqueue_message AS message ON message.id = chosen.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
CROSS JOIN mailqueue_content AS content ON content.id = submission.content_id
WHERE message.retired_at IS NOT NULL
ORDER BY chosen.key

-- name: content_of
SELECT submission.content_id FROM mailqueue_message AS message
JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
WHERE message.id = ?

-- name: content
SELECT size, purged_at, data FROM mailqueue_content WHERE id = ?

-- name: content_facts
SELECT size, purged_at, data IS NOT NULL FROM mailqueue_content WHERE id = ?

-- name: inline_contents
SELECT id, data FROM mailqueue_content WHERE id IN (SELECT value FROM json_each(?)) AND data IS NOT NULL

-- Content that stands in one row is its own only piece.
-- name: inline_content
SELECT data FROM mailqueue_content WHERE id = ? AND ? = 0

-- name: chunk
SELECT data FROM mailqueue_chunk WHERE content_id = ? AND number = ?

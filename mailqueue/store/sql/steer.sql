-- Holds, by hand and by rules; accounts, transports, routes, reply rules, schedules.

-- Of these messages, the ones without a mark by hand. (A mark whose rule was removed counts as one, and none that ends.)
-- name: not_held_by_hand
SELECT json_group_array(message.id) FROM mailqueue_message AS message
WHERE message.id IN (SELECT value FROM json_each(?)) AND message.retired_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM mailqueue_hold AS mark
        WHERE mark.message_id = message.id AND mark.until_at IS NULL
            AND (mark.rule_id IS NULL
                OR NOT EXISTS (SELECT 1 FROM mailqueue_hold_rule AS rule WHERE rule.id = mark.rule_id)))

-- Where these messages wait.
-- name: lanes_of_messages
SELECT DISTINCT priority, account_id, domain, transport FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'queued'

-- name: held_of_messages
SELECT json_group_array(id) FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL AND holds > 0

-- name: release_messages
UPDATE mailqueue_message
SET holds = 0, exempt_through = max(exempt_through, coalesce((SELECT max(id) FROM mailqueue_hold_rule), 0))
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL

-- name: next_in_lanes
SELECT priority, account_id, domain, transport, min(next_attempt_at) FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'queued' AND holds = 0 GROUP BY priority, account_id, domain, transport

-- When messages are due: at a moment, or so much later; for one in delivery, after that.
-- name: reschedule
UPDATE mailqueue_message
SET next_attempt_at = CASE state WHEN 'claimed' THEN next_attempt_at
        ELSE max(?, min(give_up_at, coalesce(?, max(next_attempt_at, ?) + ?))) END,
    later_at = CASE state WHEN 'claimed' THEN
        max(?, min(give_up_at, coalesce(?, max(coalesce(later_at, next_attempt_at), ?) + ?))) END
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL RETURNING id, state = 'claimed'

-- name: reroute
UPDATE mailqueue_message SET transport = ?
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL RETURNING id, state = 'claimed'

-- name: require_tls
UPDATE mailqueue_message SET require_tls = ?
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NULL RETURNING id, state = 'claimed'

-- name: retired_of_messages
SELECT json_group_array(id) FROM mailqueue_message
WHERE id IN (SELECT value FROM json_each(?)) AND retired_at IS NOT NULL

-- name: change_so_far
UPDATE mailqueue_event SET data = ? WHERE id = ?

-- name: remove_ended_marks
DELETE FROM mailqueue_hold WHERE id IN (
    SELECT id FROM mailqueue_hold WHERE until_at IS NOT NULL AND until_at <= ? ORDER BY until_at, id LIMIT ?)
RETURNING message_id, reason

-- Count the marks of these messages anew: [message, marks].
-- name: recount_marks
UPDATE mailqueue_message
SET holds = (SELECT count(*) FROM mailqueue_hold AS mark WHERE mark.message_id = mailqueue_message.id)
WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, holds

-- name: insert_hold_rule
INSERT INTO mailqueue_hold_rule (account_id, sender_domain, sender, recipient_domain, recipient, reason, actor,
    created_at, until_at, then_do, per_minute, next_at, last_message_id)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_message'), 0)

-- name: one_hold_rule
SELECT id, account_id, sender_domain, sender, recipient_domain, recipient, reason, actor, created_at,
    marked_through < last_message_id, until_at, then_do, per_minute, ended_at, ended_by, ended_reason, next_at, let_go,
    marked_through, last_message_id
FROM mailqueue_hold_rule WHERE id = ?

-- Queued messages that a rule has not looked at yet: [id, account, sender, recipient, whether it may hold it].
-- name: unmarked_messages
SELECT message.id, message.account_id, submission.sender, message.recipient,
    message.exempt_through < ? AND NOT EXISTS (
        SELECT 1 FROM mailqueue_hold AS mark WHERE mark.message_id = message.id AND mark.rule_id = ?)
FROM mailqueue_message AS message
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
WHERE message.retired_at IS NULL AND message.id <= ?
    AND message.submission_id >= coalesce(
        (SELECT submission_id FROM mailqueue_message WHERE id <= ? ORDER BY id DESC LIMIT 1), 0)
    AND message.id > ?
ORDER BY message.submission_id, message.id
LIMIT ?

-- name: marked_through
UPDATE mailqueue_hold_rule SET marked_through = ? WHERE id = ?

-- A rule that has ended marks no more.
-- name: end_hold_rule
UPDATE mailqueue_hold_rule
SET then_do = ?, per_minute = ?, ended_at = coalesce(ended_at, ?), ended_by = ?, ended_reason = ?, next_at = ?,
    marked_through = last_message_id
WHERE id = ?

-- The first marks of a rule: [mark, message, how many marks that has, its state].
-- name: marks_of_rule
SELECT mark.id, mark.message_id, message.holds, message.state
FROM mailqueue_hold AS mark
CROSS JOIN mailqueue_message AS message ON message.id = mark.message_id
WHERE mark.rule_id = ? ORDER BY mark.id LIMIT ?

-- name: delete_marks
DELETE FROM mailqueue_hold WHERE id IN (SELECT value FROM json_each(?))

-- How many of these messages wait, and fail by the end of a rule that alone holds them.
-- name: count_failing
SELECT count(*) FROM mailqueue_hold_rule AS rule
CROSS JOIN json_each(?) AS chosen
CROSS JOIN mailqueue_message AS message ON message.id = chosen.value AND message.state = 'queued' AND message.holds = 1
CROSS JOIN mailqueue_hold AS mark ON mark.message_id = message.id AND mark.rule_id = rule.id
WHERE rule.id = ? AND rule.ended_at IS NOT NULL AND rule.then_do = 'fail'

-- So many marks more have gone; it goes on at a certain time, or as soon as it may.
-- name: count_let_go
UPDATE mailqueue_hold_rule SET let_go = let_go + ?, next_at = coalesce(?, next_at) WHERE id = ?

-- name: delete_hold_rule
DELETE FROM mailqueue_hold_rule WHERE id = ?

-- name: insert_account
INSERT INTO mailqueue_account (name, created_at) VALUES (?, ?)

-- name: set_sender_domain
INSERT OR REPLACE INTO mailqueue_sender_domain (name, separator) VALUES (?, ?)

-- name: delete_sender_domain
DELETE FROM mailqueue_sender_domain WHERE name = ?

-- name: update_account
UPDATE mailqueue_account
SET notices = ?, schedule = ?, retention = ?, keep_content = ?, on_uncertain = ?, strict = ?, messages_per_day = ?,
    new_recipients_per_day = ?, over_quota = ?, fromid = ?, suppression = ?, suppress_for = ?
WHERE id = ?

-- (By id: + keeps it from counting all that the account has.)
-- name: newer_mail_of_account
SELECT count(*) FROM mailqueue_message WHERE id > ? AND +account_id = ?

-- name: delete_account
DELETE FROM mailqueue_account WHERE id = ?

-- name: delete_lanes_of_account
DELETE FROM mailqueue_lane WHERE priority IN (0, 1, 2) AND account_id = ?

-- name: delete_keys_of_account
DELETE FROM mailqueue_idempotency WHERE account_id = ?

-- name: delete_usage_of_account
DELETE FROM mailqueue_usage WHERE account_id = ?

-- name: insert_transport
INSERT INTO mailqueue_transport (name, kind, host, port, tls, username, password, auth, ca_file, allow_private,
    reply, is_default, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: update_transport
UPDATE mailqueue_transport
SET name = ?, kind = ?, host = ?, port = ?, tls = ?, username = ?, password = ?, auth = ?, ca_file = ?,
    allow_private = ?, reply = ?, is_default = ?
WHERE id = ?

-- name: no_default_transport
UPDATE mailqueue_transport SET is_default = 0 WHERE is_default = 1

-- How many messages that have not retired name a transport: in delivery, on hold, and in its lanes.
-- name: count_named_transport
SELECT
    (SELECT count(*) FROM mailqueue_message WHERE state = 'claimed' AND transport = ?)
    + (SELECT count(*) FROM mailqueue_message
        WHERE retired_at IS NULL AND holds > 0 AND state = 'queued' AND transport = ?)
    + coalesce(sum((
        SELECT count(*) FROM mailqueue_message AS message
        WHERE message.priority = lane.priority AND message.account_id = lane.account_id
            AND message.domain = lane.domain AND message.transport = lane.transport
            AND message.state = 'queued' AND message.holds = 0)), 0)
FROM mailqueue_lane AS lane WHERE lane.transport = ?

-- name: delete_transport
DELETE FROM mailqueue_transport WHERE id = ?

-- name: insert_route
INSERT INTO mailqueue_route (position, account_id, sender_domain, recipient_domain, min_attempts, transport_id,
    created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: delete_route
DELETE FROM mailqueue_route WHERE id = ?

-- name: insert_reply_rule
INSERT INTO mailqueue_reply_rule (position, pattern, code, category, permanent, note, actor, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_reply_rule
DELETE FROM mailqueue_reply_rule WHERE id = ?

-- name: insert_schedule
INSERT INTO mailqueue_schedule (name, delays, lifetime, warn_after, created_at) VALUES (?, ?, ?, ?, ?)

-- name: insert_shaping_rule
INSERT INTO mailqueue_shaping_rule (position, transport, domain, mx, connections, per_connection, per_minute, reason,
    actor, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_shaping_rule
DELETE FROM mailqueue_shaping_rule WHERE id = ?

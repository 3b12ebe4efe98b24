-- Claims walk lanes, then take the oldest due in each: their cost does not grow with what waits.

-- Whose mail is due: [priority, account], in that order, by a step or two into the index for each whose mail waits.
-- name: due_accounts
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
SELECT json_group_array(json_array(priority, account_id)) FROM (
    SELECT priority, account_id FROM line
    WHERE account_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM mailqueue_lane AS lane
        WHERE lane.priority = line.priority AND lane.account_id = line.account_id AND lane.due_at <= ?)
    ORDER BY priority, account_id)

-- The next lanes in line of one account and priority, after the one given.
-- name: due_lanes
SELECT json_group_array(json_array(due_at, turn, domain, transport)) FROM (
    SELECT due_at, turn, domain, transport FROM mailqueue_lane
    WHERE priority = ? AND account_id = ? AND due_at <= ? AND (due_at, turn, domain, transport) > (?, ?, ?, ?)
    ORDER BY due_at, turn, domain, transport
    LIMIT ?)

-- The oldest due messages of some lanes of one account and priority, so many of each: [domain, transport] are handed in;
-- and of those, the ones to be given up by a certain time.
-- name: claim_candidates
SELECT json_group_array(json_array(id, submission_id, account_id, recipient, domain, attempts, claim, schedule,
    give_up_at, warn_at, content_id, sender, eight_bit, utf8_header, notice_for, submitted_at, size, notify, orcpt,
    envid, ret, priority, transport, require_tls, expires_at, warn_after, max_attempts, not_before, next_attempt_at,
    fromid, exempt_through))
FROM (
    SELECT message.id, message.submission_id, message.account_id, message.recipient, message.domain,
        message.attempts, message.claim, message.schedule, message.give_up_at, message.warn_at,
        submission.content_id, submission.sender, submission.eight_bit, submission.utf8_header,
        submission.notice_for, submission.submitted_at, content.size, message.notify, message.orcpt,
        submission.envid, submission.ret, message.priority, message.transport, message.require_tls,
        message.expires_at, submission.warn_after, submission.max_attempts, submission.not_before,
        message.next_attempt_at, message.fromid, message.exempt_through
    FROM json_each(?) AS place
    CROSS JOIN mailqueue_message AS message ON message.id IN (
        SELECT due.id FROM mailqueue_message AS due
        WHERE due.priority = ? AND due.account_id = ? AND due.domain = json_extract(place.value, '$[0]')
            AND due.transport = json_extract(place.value, '$[1]')
            AND due.state = 'queued' AND due.holds = 0 AND due.next_attempt_at <= ?
        ORDER BY due.next_attempt_at, due.id
        LIMIT ?) AND message.give_up_at <= ?
    CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
    CROSS JOIN mailqueue_content AS content ON content.id = submission.content_id
    ORDER BY place.key, message.next_attempt_at, message.id)

-- name: claim_messages
UPDATE mailqueue_message
SET state = 'claimed', engine_id = ?, claimed_at = ?, next_attempt_at = ? + fallback,
    claim = claim + 1, attempts = attempts + 1
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'queued' AND holds = 0 AND next_attempt_at <= ?

-- name: maybe_arrived
SELECT json_group_array(DISTINCT message_id) FROM mailqueue_attempt
WHERE message_id IN (SELECT value FROM json_each(?)) AND outcome IN ('uncertain', 'interrupted')

-- Lanes that have more to give go to the end of the line. Columns handed in: the lane, now.
-- name: end_of_line
UPDATE mailqueue_lane SET due_at = served.column5, turn = turn + 1
FROM (VALUES (?, ?, ?, ?, ?)) AS served
WHERE mailqueue_lane.priority = served.column1 AND mailqueue_lane.account_id = served.column2
    AND mailqueue_lane.domain = served.column3 AND mailqueue_lane.transport = served.column4

-- Lanes that have been looked through are due with the next that waits there, and not before their block ends.
-- name: true_due
UPDATE mailqueue_lane
SET turn = 0, due_at = max(coalesce(blocked_until, 0), (
    SELECT min(message.next_attempt_at) FROM mailqueue_message AS message
    WHERE message.priority = served.column1 AND message.account_id = served.column2
        AND message.domain = served.column3 AND message.transport = served.column4
        AND message.state = 'queued' AND message.holds = 0))
FROM (VALUES (?, ?, ?, ?)) AS served
WHERE mailqueue_lane.priority = served.column1 AND mailqueue_lane.account_id = served.column2
    AND mailqueue_lane.domain = served.column3 AND mailqueue_lane.transport = served.column4

-- Columns handed in: the lane, until when it is blocked, by which destination. A lane where nothing waits stays so.
-- Chance says which is first of those that are blocked until one moment, when there may be room for a few of them only.
-- name: block_lanes
UPDATE mailqueue_lane
SET blocked_until = shut.column5, blocked_by = shut.column6, due_at = max(due_at, shut.column5),
    turn = abs(random() % 1000000)
FROM (VALUES (?, ?, ?, ?, ?, ?)) AS shut
WHERE mailqueue_lane.priority = shut.column1 AND mailqueue_lane.account_id = shut.column2
    AND mailqueue_lane.domain = shut.column3 AND mailqueue_lane.transport = shut.column4

-- Lanes whose destination takes mail again are looked at now, in the order of the mail that waits there.
-- name: unblock_lanes
UPDATE mailqueue_lane SET blocked_until = NULL, blocked_by = NULL, due_at = min(?, (
    SELECT min(message.next_attempt_at) FROM mailqueue_message AS message
    WHERE message.priority = mailqueue_lane.priority AND message.account_id = mailqueue_lane.account_id
        AND message.domain = mailqueue_lane.domain AND message.transport = mailqueue_lane.transport
        AND message.state = 'queued' AND message.holds = 0))
FROM (
    SELECT priority, account_id, domain, transport FROM mailqueue_lane WHERE blocked_by = ? LIMIT ?) AS shut
WHERE mailqueue_lane.priority = shut.priority AND mailqueue_lane.account_id = shut.account_id
    AND mailqueue_lane.domain = shut.domain AND mailqueue_lane.transport = shut.transport

-- After a change of transports or routes nobody knows where they lead.
-- name: unblock_all_lanes
UPDATE mailqueue_lane SET blocked_until = NULL, blocked_by = NULL, due_at = min(?, (
    SELECT min(message.next_attempt_at) FROM mailqueue_message AS message
    WHERE message.priority = mailqueue_lane.priority AND message.account_id = mailqueue_lane.account_id
        AND message.domain = mailqueue_lane.domain AND message.transport = mailqueue_lane.transport
        AND message.state = 'queued' AND message.holds = 0))
WHERE blocked_by IS NOT NULL

-- One more mark each; tells of those that had none.
-- name: count_marks
UPDATE mailqueue_message SET holds = holds + 1 WHERE id IN (SELECT value FROM json_each(?)) RETURNING holds = 1

-- name: put_back
UPDATE mailqueue_message
SET state = 'queued', engine_id = NULL, claimed_at = NULL, next_attempt_at = coalesce(later_at, ?),
    attempts = attempts - 1, later_at = NULL
WHERE id = ? AND claim = ? AND state = 'claimed'
RETURNING priority, account_id, domain, transport, next_attempt_at

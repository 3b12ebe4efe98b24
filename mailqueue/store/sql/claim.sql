-- Claims walk destinations, then take the oldest due at each: their cost does not grow with what waits.

-- The next destinations in line, after the one given.
-- name: due_destinations
SELECT json_group_array(json_array(due_at, turn, domain)) FROM (
    SELECT due_at, turn, domain FROM mailqueue_destination
    WHERE due_at <= ? AND (due_at, turn, domain) > (?, ?, ?)
    ORDER BY due_at, turn, domain
    LIMIT ?)

-- The oldest due messages at each of some destinations, so many at each.
-- name: claim_candidates
SELECT json_group_array(json_array(id, submission_id, account_id, recipient, domain, attempts, claim, schedule,
    give_up_at, warn_at, content_id, sender, eight_bit, utf8_header, notice_for, submitted_at, size, notify, orcpt,
    envid, ret, exempt_through))
FROM (
    SELECT message.id, message.submission_id, message.account_id, message.recipient, message.domain,
        message.attempts, message.claim, message.schedule, message.give_up_at, message.warn_at,
        submission.content_id, submission.sender, submission.eight_bit, submission.utf8_header,
        submission.notice_for, submission.submitted_at, content.size, message.notify, message.orcpt,
        submission.envid, submission.ret, message.exempt_through
    FROM json_each(?) AS place
    CROSS JOIN mailqueue_message AS message ON message.id IN (
        SELECT due.id FROM mailqueue_message AS due
        WHERE due.domain = place.value AND due.state = 'queued' AND due.holds = 0 AND due.next_attempt_at <= ?
        ORDER BY due.next_attempt_at, due.id
        LIMIT ?)
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

-- Destinations that have more to give go to the end of the line.
-- name: end_of_line
UPDATE mailqueue_destination SET due_at = ?, turn = turn + 1
WHERE domain IN (SELECT value FROM json_each(?))

-- Destinations that have been looked through are due with the next that waits there.
-- name: true_due
UPDATE mailqueue_destination
SET turn = 0, due_at = (
    SELECT min(message.next_attempt_at) FROM mailqueue_message AS message
    WHERE message.domain = mailqueue_destination.domain AND message.state = 'queued' AND message.holds = 0)
WHERE domain IN (SELECT value FROM json_each(?))

-- One more mark each; tells of those that had none.
-- name: count_marks
UPDATE mailqueue_message SET holds = holds + 1 WHERE id IN (SELECT value FROM json_each(?)) RETURNING holds = 1

-- name: put_back
UPDATE mailqueue_message
SET state = 'queued', engine_id = NULL, claimed_at = NULL, next_attempt_at = ?, attempts = attempts - 1
WHERE id = ? AND claim = ? AND state = 'claimed'

-- Faults that the database itself cannot see; each answers with the values of a sentence in integrity.py.

-- name: messages_miscounted
SELECT meta.value, meta.key, (
    SELECT count(*) FROM mailqueue_message WHERE retired_at IS NULL AND (meta.key = 'active' OR holds > 0)) AS there
FROM mailqueue_meta AS meta WHERE meta.key IN ('active', 'held') AND meta.value <> there LIMIT ?

-- name: marks_miscounted
SELECT message.id, message.holds, count(mark.id) FROM mailqueue_message AS message
LEFT JOIN mailqueue_hold AS mark ON mark.message_id = message.id
WHERE message.retired_at IS NULL OR message.holds > 0
GROUP BY message.id HAVING message.holds <> count(mark.id) LIMIT ?

-- name: marks_of_retired
SELECT DISTINCT message.id FROM mailqueue_hold AS mark
JOIN mailqueue_message AS message ON message.id = mark.message_id
WHERE message.retired_at IS NOT NULL LIMIT ?

-- name: lane_missing
SELECT message.domain, min(message.id) FROM mailqueue_message AS message
LEFT JOIN mailqueue_lane AS lane ON lane.priority = message.priority AND lane.account_id = message.account_id
    AND lane.domain = message.domain AND lane.transport = message.transport
WHERE message.state = 'queued' AND message.holds = 0 AND lane.due_at IS NULL
GROUP BY message.priority, message.account_id, message.domain, message.transport LIMIT ?

-- A lane that had more to give is due at the time of its last turn, which is not later than the newest
-- moment that anything else tells of; one that is blocked, when that ends.
-- name: lane_late
WITH newest (at) AS (SELECT max(
    coalesce((SELECT max(claimed_at) FROM mailqueue_message WHERE state = 'claimed'), 0),
    coalesce((SELECT max(retired_at) FROM mailqueue_message WHERE retired_at IS NOT NULL), 0),
    coalesce((SELECT max(heartbeat_at) FROM mailqueue_engine), 0),
    coalesce((SELECT max(started_at) FROM mailqueue_attempt), 0)))
SELECT lane.domain, lane.due_at, min(message.next_attempt_at) FROM mailqueue_lane AS lane
JOIN mailqueue_message AS message ON lane.priority = message.priority AND lane.account_id = message.account_id
    AND lane.domain = message.domain AND lane.transport = message.transport
WHERE message.state = 'queued' AND message.holds = 0
GROUP BY lane.priority, lane.account_id, lane.domain, lane.transport
HAVING lane.due_at > max(min(message.next_attempt_at), coalesce(lane.blocked_until, 0), (SELECT at FROM newest))
LIMIT ?

-- name: claim_without_engine
SELECT message.id, message.engine_id FROM mailqueue_message AS message
LEFT JOIN mailqueue_engine AS engine ON engine.id = message.engine_id
WHERE message.state = 'claimed' AND engine.id IS NULL LIMIT ?

-- name: content_missing
SELECT message.id FROM mailqueue_message AS message
JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
LEFT JOIN mailqueue_content AS content ON content.id = submission.content_id
WHERE message.retired_at IS NULL AND (content.id IS NULL OR content.purged_at IS NOT NULL) LIMIT ?

-- name: content_not_linked
SELECT submission.id, submission.content_id FROM mailqueue_submission AS submission
JOIN mailqueue_content AS content ON content.id = submission.content_id
WHERE content.submission_id IS NOT submission.id LIMIT ?

-- name: content_of_nobody
SELECT content.id, content.submission_id FROM mailqueue_content AS content
LEFT JOIN mailqueue_submission AS submission ON submission.id = content.submission_id
WHERE content.submission_id IS NOT NULL AND submission.id IS NULL LIMIT ?

-- name: content_of_wrong_size
SELECT content.id, content.size, coalesce(length(content.data), total.octets, 0)
FROM mailqueue_content AS content
LEFT JOIN (
    SELECT content_id, sum(length(data)) AS octets, count(*) AS pieces, max(number) AS last
    FROM mailqueue_chunk GROUP BY content_id) AS total ON total.content_id = content.id
WHERE content.purged_at IS NULL AND content.submission_id IS NOT NULL
    AND (coalesce(length(content.data), total.octets, 0) <> content.size OR total.pieces <> total.last + 1)
LIMIT ?

-- name: content_not_gone
SELECT content.id FROM mailqueue_content AS content
WHERE content.purged_at IS NOT NULL
    AND (content.data IS NOT NULL
        OR content.purge_at IS NULL
            AND EXISTS (SELECT 1 FROM mailqueue_chunk AS chunk WHERE chunk.content_id = content.id)) LIMIT ?

-- name: content_kept_for_ever
SELECT content.id FROM mailqueue_content AS content
WHERE content.purged_at IS NULL AND content.purge_at IS NULL AND content.submission_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM mailqueue_message AS message
        WHERE message.submission_id = content.submission_id AND message.retired_at IS NULL) LIMIT ?

-- Attempts of a claim that came back twice may have one number: one of them is marked interrupted. A message
-- that retired while somebody else had claimed it lacks the record of that attempt until it is settled.
-- name: attempts_miscounted
SELECT message.id, message.attempts - (message.state = 'claimed') AS ended, count(DISTINCT attempt.number) AS kept
FROM mailqueue_message AS message
LEFT JOIN mailqueue_attempt AS attempt ON attempt.message_id = message.id
GROUP BY message.id
HAVING kept > message.attempts OR kept < ended - (message.retired_at IS NOT NULL)
    OR max(coalesce(attempt.number, 0)) > message.attempts LIMIT ?

-- name: attempts_twice
SELECT message_id, number FROM mailqueue_attempt
GROUP BY message_id, number
HAVING count(*) > 1 + sum(outcome = 'interrupted') LIMIT ?

-- name: fate_without_event
SELECT message.id, message.state FROM mailqueue_message AS message
WHERE message.retired_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM mailqueue_event AS event
    WHERE event.message_id = message.id AND event.event IN (
        CASE message.state WHEN 'expired' THEN 'failed' ELSE message.state END,
        CASE message.state WHEN 'delivered' THEN 'relayed' END,
        CASE message.state WHEN 'delivered' THEN 'expanded' END)) LIMIT ?

-- name: event_without_notice
SELECT event.id, event.notice_id FROM mailqueue_event AS event
LEFT JOIN mailqueue_notice AS notice ON notice.id = event.notice_id
WHERE event.notice_id IS NOT NULL AND notice.id IS NULL LIMIT ?

-- name: feedback_of_active
SELECT id, feedback FROM mailqueue_message WHERE feedback IS NOT NULL AND retired_at IS NULL LIMIT ?

-- name: feedback_without_event
SELECT message.id, message.feedback FROM mailqueue_message AS message
WHERE message.feedback IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM mailqueue_event AS event
    WHERE event.message_id = message.id AND json_extract(event.data, '$.incoming') IS NOT NULL
        AND event.event = CASE message.feedback WHEN 'bounced' THEN 'failed' ELSE message.feedback END) LIMIT ?

-- name: incoming_of_nobody
SELECT incoming.id, incoming.submission_id FROM mailqueue_incoming AS incoming
LEFT JOIN mailqueue_submission AS submission ON submission.id = incoming.submission_id
WHERE incoming.submission_id IS NOT NULL AND submission.id IS NULL LIMIT ?

-- name: submission_without_messages
SELECT submission.id FROM mailqueue_submission AS submission
WHERE NOT EXISTS (SELECT 1 FROM mailqueue_message AS message WHERE message.submission_id = submission.id) LIMIT ?

-- name: ids_out_of_order
SELECT id, submission_id FROM (
    SELECT id, submission_id, lag(submission_id) OVER (ORDER BY id) AS before FROM mailqueue_message)
WHERE before > submission_id LIMIT ?

-- name: waiting_miscounted
SELECT domain, sum(messages), sum(there) FROM (
    SELECT domain, hour_at, messages, 0 AS there FROM mailqueue_waiting
    UNION ALL
    SELECT message.domain, submission.submitted_at / 3600000000 * 3600000000, 0, 1
    FROM mailqueue_message AS message
    JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
    WHERE message.retired_at IS NULL)
GROUP BY domain, hour_at HAVING sum(messages) <> sum(there) LIMIT ?

-- What follows from other rows, counted anew.
-- name: engines_that_are_nobody
SELECT DISTINCT engine_id FROM mailqueue_message
WHERE state = 'claimed' AND engine_id NOT IN (SELECT id FROM mailqueue_engine)

-- name: remove_marks_of_retired
DELETE FROM mailqueue_hold
WHERE message_id IN (SELECT id FROM mailqueue_message WHERE retired_at IS NOT NULL)

-- name: count_marks_anew
UPDATE mailqueue_message
SET holds = CASE WHEN retired_at IS NULL
    THEN (SELECT count(*) FROM mailqueue_hold WHERE message_id = mailqueue_message.id) ELSE 0 END
WHERE retired_at IS NULL OR holds > 0

-- name: count_messages_anew
UPDATE mailqueue_meta
SET value = (
    SELECT count(*) FROM mailqueue_message WHERE retired_at IS NULL AND (mailqueue_meta.key = 'active' OR holds > 0))
WHERE key IN ('active', 'held')

-- name: forget_all_waiting
DELETE FROM mailqueue_waiting

-- name: count_waiting_anew
INSERT INTO mailqueue_waiting (domain, hour_at, messages)
SELECT message.domain, submission.submitted_at / 3600000000 * 3600000000, count(*)
FROM mailqueue_message AS message
JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
WHERE message.retired_at IS NULL
GROUP BY 1, 2

-- name: count_lanes_anew
INSERT INTO mailqueue_lane (priority, account_id, domain, transport, due_at)
SELECT priority, account_id, domain, transport, min(next_attempt_at) FROM mailqueue_message
WHERE state = 'queued' AND holds = 0
GROUP BY 1, 2, 3, 4
ON CONFLICT (priority, account_id, domain, transport)
DO UPDATE SET due_at = max(excluded.due_at, coalesce(mailqueue_lane.blocked_until, 0))

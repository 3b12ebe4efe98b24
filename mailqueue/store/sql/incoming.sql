-- What came in about mail that went out. Columns of what came in are always the same, in the order of rows.incoming.

-- The submissions that had a name from their sender, or a Message-ID, the newest first.
-- name: submissions_by_envid
SELECT json_group_array(id) FROM (SELECT id FROM mailqueue_submission WHERE envid = ? ORDER BY id DESC LIMIT ?)

-- name: submissions_by_message_id
SELECT json_group_array(id) FROM (SELECT id FROM mailqueue_submission WHERE message_id = ? ORDER BY id DESC LIMIT ?)

-- Columns of rows.sent, from here on.
-- name: sent_by_fromid
SELECT message.id, message.submission_id, message.account_id, submission.sender, message.recipient, message.orcpt,
    message.state, message.feedback
FROM json_each(?) AS named
CROSS JOIN mailqueue_message AS message ON message.fromid = named.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
ORDER BY named.key LIMIT 1

-- The messages of some submissions, so many at most.
-- name: sent_of_submissions
SELECT message.id, message.submission_id, message.account_id, submission.sender, message.recipient, message.orcpt,
    message.state, message.feedback
FROM json_each(?) AS chosen
CROSS JOIN mailqueue_message AS message ON message.submission_id = chosen.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
ORDER BY message.submission_id DESC, message.id LIMIT ?

-- Of some submissions, whose messages' ids stand together, those to [domain, recipient].
-- name: sent_to
SELECT message.id, message.submission_id, message.account_id, submission.sender, message.recipient, message.orcpt,
    message.state, message.feedback
FROM json_each(?) AS chosen
CROSS JOIN json_each(?) AS named
CROSS JOIN mailqueue_message AS message ON message.domain = json_extract(named.value, '$[0]')
    AND message.recipient = json_extract(named.value, '$[1]')
    AND message.id >= (SELECT min(id) FROM mailqueue_message WHERE submission_id = chosen.value)
    AND message.id <= (SELECT max(id) FROM mailqueue_message WHERE submission_id = chosen.value)
    AND +message.submission_id = chosen.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
ORDER BY message.submission_id DESC, message.id

-- name: insert_incoming
INSERT INTO mailqueue_incoming (at, recipient, kind, matched_by, submission_id, account_id, messages, summary, digest,
    size, correlation, actor, content)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- (A complaint says more than a bounce.)
-- name: set_feedback
UPDATE mailqueue_message SET feedback = CASE WHEN feedback = 'complained' THEN feedback ELSE ? END
WHERE id = ? AND retired_at IS NOT NULL

-- name: known_incoming
SELECT id FROM mailqueue_incoming WHERE digest = ? AND recipient IS ?

-- name: read_incoming
SELECT incoming.id, incoming.at, incoming.recipient, incoming.kind, incoming.matched_by, incoming.submission_id,
    account.name, incoming.messages, incoming.summary, incoming.size, incoming.correlation, incoming.actor
FROM mailqueue_incoming AS incoming
LEFT JOIN mailqueue_account AS account ON account.id = incoming.account_id
WHERE incoming.id = ?

-- name: incoming_before
SELECT incoming.id, incoming.at, incoming.recipient, incoming.kind, incoming.matched_by, incoming.submission_id,
    account.name, incoming.messages, incoming.summary, incoming.size, incoming.correlation, incoming.actor
FROM mailqueue_incoming AS incoming
LEFT JOIN mailqueue_account AS account ON account.id = incoming.account_id
WHERE incoming.id < ? ORDER BY incoming.id DESC LIMIT ?

-- name: incoming_about
SELECT incoming.id, incoming.at, incoming.recipient, incoming.kind, incoming.matched_by, incoming.submission_id,
    account.name, incoming.messages, incoming.summary, incoming.size, incoming.correlation, incoming.actor
FROM mailqueue_message AS message
CROSS JOIN mailqueue_incoming AS incoming ON incoming.submission_id = message.submission_id
LEFT JOIN mailqueue_account AS account ON account.id = incoming.account_id
WHERE message.id = ? AND message.id IN (SELECT value FROM json_each(incoming.messages)) ORDER BY incoming.id

-- name: content_of_incoming
SELECT content FROM mailqueue_incoming WHERE id = ?

-- name: last_incoming_id
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mailqueue_incoming'), 0)

-- What followed for messages (a list of ids) from what came in.
-- name: events_of_incoming
SELECT id, event, message_id, at, actor, reason, notice_id, data FROM mailqueue_event
WHERE message_id IN (SELECT value FROM json_each(?)) AND json_extract(data, '$.incoming') = ? ORDER BY id

-- What was about no mail. (The rest goes with its submission.)
-- name: purge_incoming
DELETE FROM mailqueue_incoming WHERE id IN (
    SELECT id FROM mailqueue_incoming WHERE at < ? AND submission_id IS NULL ORDER BY at LIMIT ?)

-- name: purge_incoming_of_submissions
DELETE FROM mailqueue_incoming WHERE submission_id IN (SELECT value FROM json_each(?))

-- What is over goes, in small steps.

-- name: outdated_messages
SELECT json_group_array(id) FROM (
    SELECT id FROM mailqueue_message
    WHERE account_id = ? AND retired_at IS NOT NULL AND retired_at <= ?
    ORDER BY retired_at LIMIT ?)

-- Of these messages, those that have retired: [message, submission, octets of content that are there].
-- name: retired_with_octets
SELECT message.id, message.submission_id, CASE WHEN content.purged_at IS NULL THEN content.size ELSE 0 END
FROM json_each(?) AS chosen
CROSS JOIN mailqueue_message AS message ON message.id = chosen.value
CROSS JOIN mailqueue_submission AS submission ON submission.id = message.submission_id
CROSS JOIN mailqueue_content AS content ON content.id = submission.content_id
WHERE message.retired_at IS NOT NULL
ORDER BY chosen.key

-- name: purge_attempts
DELETE FROM mailqueue_attempt WHERE message_id IN (SELECT value FROM json_each(?))

-- name: purge_events
DELETE FROM mailqueue_event WHERE message_id IN (SELECT value FROM json_each(?))

-- name: purge_messages
DELETE FROM mailqueue_message WHERE id IN (SELECT value FROM json_each(?))

-- Of these submissions, the ones whose last message has gone: [submission, content].
-- name: emptied_submissions
SELECT id, content_id FROM mailqueue_submission
WHERE id IN (SELECT value FROM json_each(?))
    AND NOT EXISTS (SELECT 1 FROM mailqueue_message AS message WHERE message.submission_id = mailqueue_submission.id)

-- name: purge_notices
DELETE FROM mailqueue_notice WHERE submission_id IN (SELECT value FROM json_each(?))

-- name: purge_submissions
DELETE FROM mailqueue_submission WHERE id IN (SELECT value FROM json_each(?))

-- So many pieces of these contents.
-- name: purge_chunks
DELETE FROM mailqueue_chunk WHERE rowid IN (
    SELECT rowid FROM mailqueue_chunk WHERE content_id IN (SELECT value FROM json_each(?)) LIMIT ?)

-- Of these contents, the ones that have no more pieces.
-- name: purge_contents
DELETE FROM mailqueue_content WHERE id IN (SELECT value FROM json_each(?))
    AND NOT EXISTS (SELECT 1 FROM mailqueue_chunk AS chunk WHERE chunk.content_id = mailqueue_content.id)

-- The others are nobody's: they go as what was begun and never submitted does.
-- name: disown_contents
UPDATE mailqueue_content SET submission_id = NULL WHERE id IN (SELECT value FROM json_each(?))

-- Content whose keep time is over: [content, size, whether a message still needs it].
-- name: outdated_contents
SELECT content.id, content.size, EXISTS (
    SELECT 1 FROM mailqueue_message AS message
    WHERE message.submission_id = content.submission_id AND message.retired_at IS NULL)
FROM mailqueue_content AS content
WHERE content.purge_at IS NOT NULL AND content.purge_at <= ?
ORDER BY content.purge_at LIMIT ?

-- name: no_longer_kept
UPDATE mailqueue_content SET purge_at = NULL WHERE id IN (SELECT value FROM json_each(?))

-- name: purge_octets
UPDATE mailqueue_content SET data = NULL, purged_at = coalesce(purged_at, ?)
WHERE id IN (SELECT value FROM json_each(?))

-- Of these contents, the ones that have no more pieces are gone.
-- name: purged_whole
UPDATE mailqueue_content SET purge_at = NULL
WHERE id IN (SELECT value FROM json_each(?))
    AND NOT EXISTS (SELECT 1 FROM mailqueue_chunk AS chunk WHERE chunk.content_id = mailqueue_content.id)

-- name: purge_keys
DELETE FROM mailqueue_idempotency WHERE (account_id, key) IN (
    SELECT account_id, key FROM mailqueue_idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?)

-- name: orphans
SELECT json_group_array(id) FROM (
    SELECT id FROM mailqueue_content
    WHERE submission_id IS NULL AND created_at < ? ORDER BY created_at LIMIT ?)

-- name: purge_tally
DELETE FROM mailqueue_tally WHERE hour_at < ?

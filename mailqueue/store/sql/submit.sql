-- Submit: one content, one submission, a message per recipient. (Their rows are gathered: batch.sql.)

-- name: find_key
SELECT fingerprint, result FROM mailqueue_idempotency WHERE account_id = ? AND key = ?

-- name: insert_key
INSERT INTO mailqueue_idempotency (account_id, key, fingerprint, result, created_at)
VALUES (?, ?, ?, ?, ?)

-- name: begin_content
INSERT INTO mailqueue_content (size, created_at) VALUES (?, ?)

-- name: append_chunk
INSERT INTO mailqueue_chunk (content_id, number, data)
SELECT id, ?, ? FROM mailqueue_content WHERE id = ? AND submission_id IS NULL

-- name: insert_chunk
INSERT INTO mailqueue_chunk (content_id, number, data) VALUES (?, ?, ?)

-- Only content that is there whole.
-- name: link_content
UPDATE mailqueue_content SET submission_id = ?
WHERE id = ? AND submission_id IS NULL
    AND size = (SELECT coalesce(sum(length(data)), 0) FROM mailqueue_chunk WHERE content_id = mailqueue_content.id)

-- What accounts with a quota have sent, and to whom.

-- name: usage_of_account
SELECT hour_at, messages, new_recipients FROM mailqueue_usage WHERE account_id = ? AND hour_at >= ?

-- name: count_use
INSERT INTO mailqueue_usage (account_id, hour_at, messages, new_recipients)
VALUES (?, ?, ?, ?)
ON CONFLICT (account_id, hour_at) DO UPDATE
SET messages = mailqueue_usage.messages + excluded.messages,
    new_recipients = mailqueue_usage.new_recipients + excluded.new_recipients

-- Of these recipients, the ones that are known.
-- name: known_recipients
SELECT recipient, first_at FROM mailqueue_known_recipient
WHERE account_id = ? AND recipient IN (SELECT value FROM json_each(?))

-- name: insert_known_recipient
INSERT INTO mailqueue_known_recipient (account_id, recipient, first_at)
VALUES (?, ?, ?)

-- name: purge_usage
DELETE FROM mailqueue_usage WHERE account_id = ? AND hour_at < ?

-- name: purge_known_recipients
DELETE FROM mailqueue_known_recipient WHERE (account_id, recipient) IN (
    SELECT account_id, recipient FROM mailqueue_known_recipient WHERE first_at < ? ORDER BY first_at LIMIT ?)

-- name: forget_recipients
DELETE FROM mailqueue_known_recipient WHERE (account_id, recipient) IN (
    SELECT account_id, recipient FROM mailqueue_known_recipient WHERE account_id = ? LIMIT ?)

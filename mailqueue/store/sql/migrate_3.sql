-- From version 2 to version 3 of the schema. This text does not change any more once it is released: schema.sql goes on without it.

-- What a submission may say about when it is sent, and for how long it is tried.
ALTER TABLE mailqueue_submission ADD COLUMN not_before INTEGER;
ALTER TABLE mailqueue_submission ADD COLUMN warn_after INTEGER;
ALTER TABLE mailqueue_submission ADD COLUMN max_attempts INTEGER;

-- What goes first, by which way, how safely, and until when.
ALTER TABLE mailqueue_message ADD COLUMN priority INTEGER NOT NULL DEFAULT 1 CHECK (priority = 0 OR priority = 1 OR priority = 2);
ALTER TABLE mailqueue_message ADD COLUMN transport TEXT NOT NULL DEFAULT '';
ALTER TABLE mailqueue_message ADD COLUMN require_tls INTEGER CHECK (require_tls = 0 OR require_tls = 1);
ALTER TABLE mailqueue_message ADD COLUMN expires_at INTEGER;
ALTER TABLE mailqueue_message ADD COLUMN wish TEXT CHECK (wish = 'fail' OR wish = 'drop');
ALTER TABLE mailqueue_message ADD COLUMN wish_actor TEXT;
ALTER TABLE mailqueue_message ADD COLUMN wish_reason TEXT;
ALTER TABLE mailqueue_message ADD COLUMN later_at INTEGER;
CREATE INDEX mailqueue_message_expires ON mailqueue_message (expires_at) WHERE expires_at IS NOT NULL AND state = 'queued';

-- Limits for destinations, and how far they are used.
CREATE TABLE mailqueue_shaping_rule (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    position       INTEGER NOT NULL DEFAULT 0,
    transport      TEXT,
    domain         TEXT,
    mx             TEXT,
    connections    INTEGER CHECK (connections > 0),
    per_connection INTEGER CHECK (per_connection > 0),
    per_minute     INTEGER CHECK (per_minute > 0),
    reason         TEXT    NOT NULL DEFAULT '',
    actor          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL
);
CREATE TABLE mailqueue_pace (
    rule_id INTEGER PRIMARY KEY NOT NULL,
    next_at INTEGER NOT NULL
);
CREATE TABLE mailqueue_slot (
    rule_id   INTEGER NOT NULL,
    engine_id INTEGER NOT NULL,
    taken     INTEGER NOT NULL CHECK (taken > 0),
    PRIMARY KEY (rule_id, engine_id)
) WITHOUT ROWID;

-- Where mail waits, by priority and account too; a destination is now what its mail leads to.
DROP TABLE mailqueue_destination;
CREATE TABLE mailqueue_destination (
    name          TEXT    PRIMARY KEY NOT NULL,
    failures      INTEGER NOT NULL,
    since_at      INTEGER NOT NULL,
    blocked_until INTEGER,
    canary_at     INTEGER,
    last_error    TEXT    NOT NULL,
    changed       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX mailqueue_destination_changed ON mailqueue_destination (changed);
CREATE TABLE mailqueue_lane (
    priority      INTEGER NOT NULL,
    account_id    INTEGER NOT NULL,
    domain        TEXT    NOT NULL,
    transport     TEXT    NOT NULL,
    due_at        INTEGER,
    turn          INTEGER NOT NULL DEFAULT 0,
    blocked_until INTEGER,
    blocked_by    TEXT,
    PRIMARY KEY (priority, account_id, domain, transport)
) WITHOUT ROWID;
CREATE INDEX mailqueue_lane_due ON mailqueue_lane (priority, account_id, due_at, turn) WHERE due_at IS NOT NULL;
CREATE INDEX mailqueue_lane_blocked ON mailqueue_lane (blocked_by) WHERE blocked_by IS NOT NULL;
DROP INDEX mailqueue_message_due;
CREATE INDEX mailqueue_message_due ON mailqueue_message (priority, account_id, domain, transport, next_attempt_at)
    WHERE state = 'queued' AND holds = 0;
INSERT INTO mailqueue_lane (priority, account_id, domain, transport, due_at)
SELECT priority, account_id, domain, transport, min(next_attempt_at) FROM mailqueue_message
WHERE state = 'queued' AND holds = 0 GROUP BY priority, account_id, domain, transport;
INSERT INTO mailqueue_meta (key, value) VALUES ('changes', 0);

-- How much an account may send, and what it has sent; marks that end by themselves.
ALTER TABLE mailqueue_account ADD COLUMN messages_per_day INTEGER CHECK (messages_per_day > 0);
ALTER TABLE mailqueue_account ADD COLUMN new_recipients_per_day INTEGER CHECK (new_recipients_per_day > 0);
ALTER TABLE mailqueue_account ADD COLUMN over_quota TEXT NOT NULL DEFAULT 'reject' CHECK (over_quota IN ('reject', 'hold', 'drop'));
CREATE TABLE mailqueue_usage (
    account_id     INTEGER NOT NULL,
    hour_at        INTEGER NOT NULL,
    messages       INTEGER NOT NULL,
    new_recipients INTEGER NOT NULL,
    PRIMARY KEY (account_id, hour_at)
) WITHOUT ROWID;
CREATE TABLE mailqueue_known_recipient (
    account_id INTEGER NOT NULL,
    recipient  TEXT    NOT NULL,
    first_at   INTEGER NOT NULL,
    PRIMARY KEY (account_id, recipient)
) WITHOUT ROWID;
CREATE INDEX mailqueue_known_recipient_first ON mailqueue_known_recipient (first_at);
ALTER TABLE mailqueue_hold ADD COLUMN until_at INTEGER;
CREATE INDEX mailqueue_hold_until ON mailqueue_hold (until_at) WHERE until_at IS NOT NULL;
-- What lists of messages are chosen by.
CREATE INDEX mailqueue_submission_message_id ON mailqueue_submission (message_id);
CREATE INDEX mailqueue_submission_sender
    ON mailqueue_submission (substr(sender, length(rtrim(sender, replace(sender, '@', ''))) + 1), sender);
CREATE INDEX mailqueue_message_recipient ON mailqueue_message (domain, recipient);
DROP INDEX mailqueue_message_retention;
CREATE INDEX mailqueue_message_account ON mailqueue_message (account_id, retired_at);
CREATE INDEX mailqueue_message_undelivered ON mailqueue_message (state, retired_at)
    WHERE retired_at IS NOT NULL AND state <> 'delivered';

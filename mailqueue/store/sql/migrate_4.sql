-- From version 3 to version 4 of the schema. This text does not change any more once it is released: schema.sql goes on without it.

-- Return addresses of their own, and suppression, by account.
ALTER TABLE mailqueue_account ADD COLUMN fromid INTEGER NOT NULL DEFAULT 0 CHECK (fromid IN (0, 1));
ALTER TABLE mailqueue_account ADD COLUMN suppression INTEGER NOT NULL DEFAULT 1 CHECK (suppression IN (0, 1));
ALTER TABLE mailqueue_account ADD COLUMN suppress_for INTEGER;

-- How hold rules end.
ALTER TABLE mailqueue_hold_rule ADD COLUMN until_at INTEGER;
ALTER TABLE mailqueue_hold_rule ADD COLUMN then_do TEXT NOT NULL DEFAULT 'release' CHECK (then_do IN ('release', 'fail', 'keep'));
ALTER TABLE mailqueue_hold_rule ADD COLUMN ended_at INTEGER;
ALTER TABLE mailqueue_hold_rule ADD COLUMN ended_by TEXT;
ALTER TABLE mailqueue_hold_rule ADD COLUMN ended_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE mailqueue_hold_rule ADD COLUMN per_minute INTEGER CHECK (per_minute > 0);
ALTER TABLE mailqueue_hold_rule ADD COLUMN next_at INTEGER;
ALTER TABLE mailqueue_hold_rule ADD COLUMN let_go INTEGER NOT NULL DEFAULT 0;

-- What an engine was told of where to send all its mail.
ALTER TABLE mailqueue_engine ADD COLUMN relay TEXT;

-- What travels along, and what comes back.
ALTER TABLE mailqueue_submission ADD COLUMN extra TEXT;
CREATE INDEX mailqueue_submission_envid ON mailqueue_submission (envid) WHERE envid IS NOT NULL;
ALTER TABLE mailqueue_message ADD COLUMN fromid TEXT;
ALTER TABLE mailqueue_message ADD COLUMN feedback TEXT CHECK (feedback = 'bounced' OR feedback = 'complained');
CREATE UNIQUE INDEX mailqueue_message_fromid ON mailqueue_message (fromid) WHERE fromid IS NOT NULL;

CREATE TABLE mailqueue_sender_domain (
    name      TEXT PRIMARY KEY NOT NULL,
    separator TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE mailqueue_waiting (
    domain   TEXT    NOT NULL,
    hour_at  INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (domain, hour_at)
) WITHOUT ROWID;
CREATE TABLE mailqueue_tally (
    hour_at INTEGER NOT NULL,
    what    TEXT    NOT NULL,
    detail  TEXT    NOT NULL,
    times   INTEGER NOT NULL,
    PRIMARY KEY (hour_at, what, detail)
) WITHOUT ROWID;
CREATE TABLE mailqueue_suppression (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL,
    base        TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    cause       TEXT    NOT NULL CHECK (cause IN ('code', 'failures', 'complaint', 'manual', 'import')),
    reason      TEXT    NOT NULL,
    message_id  INTEGER,
    incoming_id INTEGER,
    evidence    TEXT,
    actor       TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER
);
CREATE UNIQUE INDEX mailqueue_suppression_base ON mailqueue_suppression (account_id, base);
CREATE INDEX mailqueue_suppression_expires ON mailqueue_suppression (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE mailqueue_strike (
    account_id INTEGER NOT NULL,
    base       TEXT    NOT NULL,
    message_id INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (account_id, base, message_id)
) WITHOUT ROWID;
CREATE INDEX mailqueue_strike_at ON mailqueue_strike (at);
CREATE TABLE mailqueue_incoming (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            INTEGER NOT NULL,
    recipient     TEXT,
    kind          TEXT    NOT NULL,
    matched_by    TEXT CHECK (matched_by IN ('fromid', 'envid', 'message-id')),
    submission_id INTEGER,
    account_id    INTEGER,
    messages      TEXT    NOT NULL,
    summary       TEXT    NOT NULL,
    digest        BLOB    NOT NULL,
    size          INTEGER NOT NULL,
    correlation   TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    content       BLOB    NOT NULL
);
CREATE UNIQUE INDEX mailqueue_incoming_digest ON mailqueue_incoming (digest, recipient);
CREATE INDEX mailqueue_incoming_submission ON mailqueue_incoming (submission_id) WHERE submission_id IS NOT NULL;
CREATE INDEX mailqueue_incoming_at ON mailqueue_incoming (at);
CREATE TABLE mailqueue_endpoint (
    account_id    INTEGER PRIMARY KEY NOT NULL,
    url           TEXT    NOT NULL,
    events        TEXT    NOT NULL,
    authorization TEXT,
    secrets       TEXT    NOT NULL,
    allow_private INTEGER NOT NULL DEFAULT 0 CHECK (allow_private IN (0, 1)),
    disabled_at   INTEGER,
    created_at    INTEGER NOT NULL
);
CREATE TABLE mailqueue_webhook (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id      INTEGER NOT NULL,
    event_id        INTEGER NOT NULL,
    event           TEXT    NOT NULL,
    message_id      INTEGER NOT NULL,
    after_id        INTEGER,
    payload         TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'claimed', 'delivered', 'failed', 'canceled')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    engine_id       INTEGER,
    claim           INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    retired_at      INTEGER
);
CREATE INDEX mailqueue_webhook_due ON mailqueue_webhook (account_id, next_attempt_at) WHERE state = 'queued' AND after_id IS NULL;
CREATE INDEX mailqueue_webhook_active ON mailqueue_webhook (id) WHERE retired_at IS NULL;
CREATE INDEX mailqueue_webhook_claimed ON mailqueue_webhook (engine_id) WHERE state = 'claimed';
CREATE INDEX mailqueue_webhook_message ON mailqueue_webhook (message_id);
CREATE INDEX mailqueue_webhook_account ON mailqueue_webhook (account_id, retired_at);
CREATE TABLE mailqueue_webhook_attempt (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES mailqueue_webhook (id),
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration   INTEGER NOT NULL,
    status     INTEGER,
    answer     TEXT,
    error      TEXT
);
CREATE INDEX mailqueue_webhook_attempt_webhook ON mailqueue_webhook_attempt (webhook_id);

-- What waits is counted from now on, beginning with what is there.
INSERT INTO mailqueue_waiting (domain, hour_at, messages)
SELECT m.domain, s.submitted_at / 3600000000 * 3600000000, count(*)
FROM mailqueue_message AS m
JOIN mailqueue_submission AS s ON s.id = m.submission_id
WHERE m.retired_at IS NULL
GROUP BY 1, 2;

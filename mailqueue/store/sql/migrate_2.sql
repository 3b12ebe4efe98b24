-- From version 1 to version 2 of the schema. This text does not change any more: schema.sql goes on without it.
--
-- A table whose constraints change is made anew as ..._new; store/migrate.py fills it from the old one and puts it in its place.

-- Logging in, TLS that is demanded, and transports that need them.
CREATE TABLE mailqueue_transport_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    kind          TEXT    NOT NULL CHECK (kind IN ('direct', 'relay', 'submission', 'submissions', 'fail')),
    host          TEXT,
    port          INTEGER NOT NULL DEFAULT 25,
    tls           TEXT    NOT NULL DEFAULT 'opportunistic'
                  CHECK (tls IN ('opportunistic', 'none', 'required', 'verified')),
    username      TEXT,
    password      TEXT,
    auth          TEXT
                  CHECK (auth IN ('SCRAM-SHA-256', 'CRAM-MD5', 'PLAIN', 'LOGIN')),
    ca_file       TEXT,
    allow_private INTEGER NOT NULL DEFAULT 0 CHECK (allow_private IN (0, 1)),
    reply         TEXT,
    is_default    INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    created_at    INTEGER NOT NULL,
    CHECK ((kind IN ('relay', 'submission', 'submissions')) = (host IS NOT NULL)),
    CHECK ((kind = 'fail') = (reply IS NOT NULL)),
    CHECK ((username IS NULL) = (password IS NULL))
);

-- Routes of an account, and for what has failed so often.
CREATE TABLE mailqueue_route_new (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    position         INTEGER NOT NULL DEFAULT 0,
    account_id       INTEGER REFERENCES mailqueue_account (id),
    sender_domain    TEXT,
    recipient_domain TEXT,
    min_attempts     INTEGER NOT NULL DEFAULT 0 CHECK (min_attempts >= 0),
    transport_id     INTEGER NOT NULL REFERENCES mailqueue_transport (id),
    created_at       INTEGER NOT NULL
);

-- What replies mean, as the operator says.
CREATE TABLE mailqueue_reply_rule (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    position   INTEGER NOT NULL DEFAULT 0,
    pattern    TEXT    NOT NULL,
    code       TEXT,
    category   TEXT    NOT NULL,
    permanent  INTEGER CHECK (permanent IN (0, 1)),
    note       TEXT    NOT NULL DEFAULT '',
    actor      TEXT    NOT NULL,
    created_at INTEGER NOT NULL
);

-- What the sender wishes to be told (RFC 3461).
ALTER TABLE mailqueue_submission ADD COLUMN envid TEXT;
ALTER TABLE mailqueue_submission ADD COLUMN ret TEXT CHECK (ret IN ('FULL', 'HDRS'));
ALTER TABLE mailqueue_message ADD COLUMN notify TEXT;
ALTER TABLE mailqueue_message ADD COLUMN orcpt TEXT;

-- Notices of good news.
CREATE TABLE mailqueue_notice_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    submission_id INTEGER NOT NULL REFERENCES mailqueue_submission (id),
    kind          TEXT    NOT NULL CHECK (kind IN ('failed', 'delayed', 'delivered', 'relayed', 'expanded')),
    at            INTEGER NOT NULL,
    content       BLOB    NOT NULL,
    sent_as       INTEGER
);

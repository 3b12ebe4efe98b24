-- The whole schema of mailqueue, version 4, readable from top to bottom.
--
-- Every table is called mailqueue_..., so that all of them can live in an application's own database
-- and join its transactions. Nothing here relies on triggers or on cascades of foreign keys.
--
-- Moments are INTEGER microseconds since 1970 UTC (columns ..._at); lengths of time are INTEGER microseconds.
-- Addresses are stored as they go on the wire: local part in NFC, domain in lower-case A-labels or a literal.
-- (Checks of the busy tables say OR, not IN: SQLite makes a table of an IN list anew for each row it checks.)
-- Ids made by AUTOINCREMENT are never used again after a commit: people type them and logs keep them.

-- Facts about these tables themselves, one row each:
--   schema    value = the version of this schema
--   wake      value rises with each commit that gives an engine something to look at
--   settings  value rises with each change of accounts, transports, routes, schedules, hold, reply or shaping rules
--   changes   value rises with each change of mailqueue_destination
--   active    value = how many messages have not retired
--   held      value = how many of them are on hold
--   log:N     value = when schema version N was reached, note = by which release
CREATE TABLE mailqueue_meta (
    key   TEXT    PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL,
    note  TEXT
);

-- Who sends. 'default' exists from the start.
CREATE TABLE mailqueue_account (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    notices      TEXT    CHECK (notices IN ('keep', 'queue', 'none')), -- where delivery notices go; NULL: keep
    schedule     TEXT,             -- name of the retry schedule of its mail; NULL: standard
    retention    INTEGER NOT NULL DEFAULT 2592000000000, -- how long a retired message stays in the history (30 days)
    keep_content INTEGER NOT NULL DEFAULT 604800000000,  -- how long content stays that was not delivered to all (7 days)
    on_uncertain TEXT    NOT NULL DEFAULT 'retry' CHECK (on_uncertain IN ('retry', 'hold', 'fail')), -- what becomes of mail that may have arrived
    strict       INTEGER NOT NULL DEFAULT 0 CHECK (strict IN (0, 1)), -- 1: refuse what standards forbid (submit's default)
    created_at   INTEGER NOT NULL,
    messages_per_day       INTEGER CHECK (messages_per_day > 0), -- in any 24 hours; NULL: no quota
    new_recipients_per_day INTEGER CHECK (new_recipients_per_day > 0), -- of those it has not written to before; NULL: no quota
    over_quota   TEXT    NOT NULL DEFAULT 'reject' CHECK (over_quota IN ('reject', 'hold', 'drop')), -- what becomes of mail over a quota
    fromid       INTEGER NOT NULL DEFAULT 0 CHECK (fromid IN (0, 1)), -- 1: a return address of its own for each message
    suppression  INTEGER NOT NULL DEFAULT 1 CHECK (suppression IN (0, 1)), -- 0: its mail goes to addresses on its suppression list, too, and none is put there
    suppress_for INTEGER             -- how long what engines put there stays; NULL: until somebody takes it away
);

-- What is wished for the mail from a domain.
CREATE TABLE mailqueue_sender_domain (
    name      TEXT PRIMARY KEY NOT NULL, -- in A-labels
    separator TEXT NOT NULL            -- what stands between the local part and the rest that makes a return address unique
) WITHOUT ROWID;

-- What accounts with a quota have sent, by hours: any 25 hours in a row hold no more than the quota.
CREATE TABLE mailqueue_usage (
    account_id     INTEGER NOT NULL, -- of mailqueue_account
    hour_at        INTEGER NOT NULL, -- when the hour begins; of mail on hold until there is room, the hour in which it may go
    messages       INTEGER NOT NULL, -- recipients of all mail, notices left out
    new_recipients INTEGER NOT NULL, -- of these, the ones it had not written to before
    PRIMARY KEY (account_id, hour_at)
) WITHOUT ROWID;

-- Whom accounts with a quota of new recipients have written to.
CREATE TABLE mailqueue_known_recipient (
    account_id INTEGER NOT NULL,     -- of mailqueue_account
    recipient  TEXT    NOT NULL,     -- RCPT TO
    first_at   INTEGER NOT NULL,     -- when the first message was submitted, or may go where it was over a quota
    PRIMARY KEY (account_id, recipient)
) WITHOUT ROWID;
CREATE INDEX mailqueue_known_recipient_first ON mailqueue_known_recipient (first_at);

-- A way out: to the receivers' own MX hosts, to one host that takes everything, or to a refusal.
CREATE TABLE mailqueue_transport (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    kind          TEXT    NOT NULL CHECK (kind IN ('direct', 'relay', 'submission', 'submissions', 'fail')),
    host          TEXT,            -- relay, submission, submissions: name or address of the next hop; else NULL
    port          INTEGER NOT NULL DEFAULT 25, -- all but fail: TCP port of the next hop
    tls           TEXT    NOT NULL DEFAULT 'opportunistic' -- 'required': TLS or no delivery; 'verified': with a certificate valid for the host's name
                  CHECK (tls IN ('opportunistic', 'none', 'required', 'verified')),
    username      TEXT,            -- for AUTH; NULL: no AUTH
    password      TEXT,            -- as it is: whoever may read this file may read it; NULL: no AUTH
    auth          TEXT             -- the mechanism to use; NULL: the best that both sides know
                  CHECK (auth IN ('SCRAM-SHA-256', 'CRAM-MD5', 'PLAIN', 'LOGIN')),
    ca_file       TEXT,            -- certificates that others must be signed by, PEM; NULL: those of the system
    allow_private INTEGER NOT NULL DEFAULT 0 CHECK (allow_private IN (0, 1)), -- direct: also loopback and private addresses from DNS
    reply         TEXT,            -- fail: the reply it answers, e.g. '550 5.7.1 not from here'; else NULL
    is_default    INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)), -- 1: takes what no route matches
    created_at    INTEGER NOT NULL,
    CHECK ((kind IN ('relay', 'submission', 'submissions')) = (host IS NOT NULL)),
    CHECK ((kind = 'fail') = (reply IS NOT NULL)),
    CHECK ((username IS NULL) = (password IS NULL))
);
CREATE UNIQUE INDEX mailqueue_transport_default ON mailqueue_transport (is_default) WHERE is_default = 1;

-- Which mail takes which transport, the first match: routes of an account first, then those that name a domain, then
-- the others; among these by position, then id.
CREATE TABLE mailqueue_route (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    position         INTEGER NOT NULL DEFAULT 0,
    account_id       INTEGER REFERENCES mailqueue_account (id), -- NULL: any
    sender_domain    TEXT,         -- NULL: any; with a leading dot: its subdomains too
    recipient_domain TEXT,         -- NULL: any; with a leading dot: its subdomains too
    min_attempts     INTEGER NOT NULL DEFAULT 0 CHECK (min_attempts >= 0), -- only messages whose attempts have failed so often at least
    transport_id     INTEGER NOT NULL REFERENCES mailqueue_transport (id),
    created_at       INTEGER NOT NULL
);

-- Retry schedules made by the operator; the shipped ones are in mailqueue/model/schedule.py.
CREATE TABLE mailqueue_schedule (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    delays     TEXT    NOT NULL,   -- the readable form, e.g. '5m, 15m, 30m, 1h, 2h, 3h*'
    lifetime   INTEGER NOT NULL,   -- given up after this long
    warn_after INTEGER,            -- a delay notice after this long; NULL: none
    created_at INTEGER NOT NULL
);

-- Rules that hold mail. Every criterion that is not NULL must match; a rule with none matches all mail.
CREATE TABLE mailqueue_hold_rule (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id       INTEGER REFERENCES mailqueue_account (id),
    sender_domain    TEXT,
    sender           TEXT,
    recipient_domain TEXT,
    recipient        TEXT,
    reason           TEXT    NOT NULL DEFAULT '',
    actor            TEXT    NOT NULL, -- who made it
    created_at       INTEGER NOT NULL,
    last_message_id  INTEGER NOT NULL, -- the highest message id when it was made: those up to here are marked in steps
    marked_through   INTEGER NOT NULL DEFAULT 0, -- queued messages up to this id have been looked at
    until_at         INTEGER,        -- it ends then; NULL: when somebody removes it
    then_do          TEXT    NOT NULL DEFAULT 'release' CHECK (then_do IN ('release', 'fail', 'keep')), -- what becomes then of what only it holds
    ended_at         INTEGER,        -- it holds nothing new since, and goes once its marks have gone; NULL: it is at work
    ended_by         TEXT,           -- who ended it; NULL: its time did
    ended_reason     TEXT    NOT NULL DEFAULT '', -- why they did
    per_minute       INTEGER CHECK (per_minute > 0), -- so many of its messages are released in a minute, once it has ended; NULL: at once
    next_at          INTEGER,        -- an engine sees to its end then: that begins, or goes on; NULL: it has none
    let_go           INTEGER NOT NULL DEFAULT 0 -- so many of its marks have gone since it ended
);

-- What replies mean, as the operator says: these rules are asked by position, then id, before the shipped ones.
CREATE TABLE mailqueue_reply_rule (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    position   INTEGER NOT NULL DEFAULT 0,
    pattern    TEXT    NOT NULL,   -- regular expression, searched in the whole text of the reply
    code       TEXT,               -- '450', '4??', '5*' ...; NULL: any reply code
    category   TEXT    NOT NULL,   -- mailqueue.model.attempt.Category
    permanent  INTEGER CHECK (permanent IN (0, 1)), -- NULL: as the code says; 0: it is tried again; 1: it is not
    note       TEXT    NOT NULL DEFAULT '', -- why, for people
    actor      TEXT    NOT NULL,   -- who made it
    created_at INTEGER NOT NULL
);

-- Engines at work. A claim belongs to an engine; when its engine is dead, the claim returns to the queue.
CREATE TABLE mailqueue_engine (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    host          TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    process_start TEXT    NOT NULL, -- start time of the process, as its kernel says it; '' where unknown
    boot_id       TEXT    NOT NULL, -- which boot of which kernel; '' where unknown
    pid_namespace TEXT    NOT NULL, -- where the pid is valid; '' where unknown
    started_at    INTEGER NOT NULL,
    heartbeat_at  INTEGER NOT NULL,
    relay         TEXT             -- HOST:PORT that takes all its mail, whatever transports there are; NULL: none does
);

-- Limits for what goes to one destination, or to several together: the first rule that matches, by position, then id.
CREATE TABLE mailqueue_shaping_rule (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    position       INTEGER NOT NULL DEFAULT 0,
    transport      TEXT,           -- name; NULL: any
    domain         TEXT,           -- of the recipient; NULL: any; with a leading dot: its subdomains too
    mx             TEXT,           -- name of one of the hosts that the mail goes to; NULL: any; with a leading dot: all below it too
    connections    INTEGER CHECK (connections > 0),    -- at once, of all engines together; NULL: no limit
    per_connection INTEGER CHECK (per_connection > 0), -- messages on one connection; NULL: no limit of its own
    per_minute     INTEGER CHECK (per_minute > 0),     -- messages in any minute, of all engines together; NULL: no limit
    reason         TEXT    NOT NULL DEFAULT '',        -- why, for people
    actor          TEXT    NOT NULL, -- who made it
    created_at     INTEGER NOT NULL
);

-- How far a shaping rule's messages a minute are spoken for.
CREATE TABLE mailqueue_pace (
    rule_id INTEGER PRIMARY KEY NOT NULL, -- of mailqueue_shaping_rule
    next_at INTEGER NOT NULL              -- when the next message may go, were there no burst to spend
);

-- Connections that engines have by a shaping rule that limits them.
CREATE TABLE mailqueue_slot (
    rule_id   INTEGER NOT NULL,    -- of mailqueue_shaping_rule
    engine_id INTEGER NOT NULL,    -- of mailqueue_engine; its rows go with it
    taken     INTEGER NOT NULL CHECK (taken > 0),
    PRIMARY KEY (rule_id, engine_id)
) WITHOUT ROWID;

-- Destinations in trouble, or that were: a transport and the next hop that it leads to.
CREATE TABLE mailqueue_destination (
    name          TEXT    PRIMARY KEY NOT NULL, -- transport and next hop: 'relay mx.example.net:25', 'direct mx1.example.net,mx2.example.net'
    failures      INTEGER NOT NULL, -- tries that failed in a row; 0: it is well again
    since_at      INTEGER NOT NULL, -- when that began
    blocked_until INTEGER,          -- nothing goes there before; after it, one message goes and tells. NULL: not blocked
    canary_at     INTEGER,          -- when that message was let through; NULL: none is on its way
    last_error    TEXT    NOT NULL, -- what the last failure was, in a line
    changed       INTEGER NOT NULL  -- the number of meta's `changes` that this row was written with
) WITHOUT ROWID;
CREATE INDEX mailqueue_destination_changed ON mailqueue_destination (changed);

-- Where mail waits: one row for each priority, account, recipient domain, and transport that messages name themselves.
-- Claims walk this table, so that their cost does not grow with the number of messages that wait.
CREATE TABLE mailqueue_lane (
    priority      INTEGER NOT NULL, -- as of its messages
    account_id    INTEGER NOT NULL, -- as of its messages
    domain        TEXT    NOT NULL, -- as of its messages
    transport     TEXT    NOT NULL, -- as of its messages
    due_at        INTEGER,          -- never later than its next message, its last turn, or the end of its block; earlier costs one look in vain; NULL: nothing waits
    turn          INTEGER NOT NULL DEFAULT 0, -- among equal due_at, lower is first: how often it was served since it last had no more to give; after a block, by chance
    blocked_until INTEGER,          -- its destination takes nothing before; NULL, or past: not blocked
    blocked_by    TEXT,             -- that destination; NULL: none
    PRIMARY KEY (priority, account_id, domain, transport)
) WITHOUT ROWID;
CREATE INDEX mailqueue_lane_due ON mailqueue_lane (priority, account_id, due_at, turn) WHERE due_at IS NOT NULL;
CREATE INDEX mailqueue_lane_blocked ON mailqueue_lane (blocked_by) WHERE blocked_by IS NOT NULL;

-- Content, once per submission. Up to 256 KiB in `data`, larger in mailqueue_chunk.
CREATE TABLE mailqueue_content (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    submission_id INTEGER,         -- whose it is; NULL: being written, no submission has it yet
    size          INTEGER NOT NULL, -- octets on the wire, CRLF line ends, before dot-stuffing
    created_at    INTEGER NOT NULL,
    purge_at      INTEGER,         -- the octets go then, or when no message needs them any more; NULL: with the last message, or they are gone
    purged_at     INTEGER,         -- when they went, but for pieces that may still be there until purge_at is NULL; NULL: they are here
    data          BLOB             -- NULL: in mailqueue_chunk, or purged
);
CREATE INDEX mailqueue_content_unlinked ON mailqueue_content (created_at) WHERE submission_id IS NULL;
CREATE INDEX mailqueue_content_purge ON mailqueue_content (purge_at) WHERE purge_at IS NOT NULL;

CREATE TABLE mailqueue_chunk (
    content_id INTEGER NOT NULL REFERENCES mailqueue_content (id),
    number     INTEGER NOT NULL,   -- from 0
    data       BLOB    NOT NULL,   -- 256 KiB each but for the last
    PRIMARY KEY (content_id, number)
);

-- One call of submit: one content, one sender, one or more messages.
CREATE TABLE mailqueue_submission (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id   INTEGER NOT NULL REFERENCES mailqueue_account (id),
    content_id   INTEGER NOT NULL REFERENCES mailqueue_content (id),
    sender       TEXT    NOT NULL, -- MAIL FROM; '' is the null return path
    message_id   TEXT    NOT NULL, -- the Message-ID field, with its brackets
    subject      TEXT,             -- decoded, for people; NULL: the content has none
    eight_bit    INTEGER NOT NULL CHECK (eight_bit IN (0, 1)),   -- the body has octets above 127
    utf8_header  INTEGER NOT NULL CHECK (utf8_header IN (0, 1)), -- the header has octets above 127
    notice_for   INTEGER,          -- the submission this is a delivery notice for; NULL: ordinary mail
    actor        TEXT    NOT NULL, -- who submitted it
    submitted_at INTEGER NOT NULL,
    envid        TEXT,             -- ENVID of MAIL FROM (RFC 3461 4.4), decoded; NULL: none
    ret          TEXT CHECK (ret IN ('FULL', 'HDRS')), -- RET of MAIL FROM (RFC 3461 4.3); NULL: not said
    not_before   INTEGER,          -- no attempt before this (future release, RFC 4865); NULL: at once
    warn_after   INTEGER,          -- a delay notice after this length of time; 0: none; NULL: as the schedule says
    max_attempts INTEGER,          -- given up after so many attempts; NULL: by time alone
    extra        TEXT              -- what travels along for whoever asks about it, a JSON object of texts; NULL: nothing
);
CREATE INDEX mailqueue_submission_message_id ON mailqueue_submission (message_id);
CREATE INDEX mailqueue_submission_envid ON mailqueue_submission (envid) WHERE envid IS NOT NULL;
-- By the sender's domain (what follows the last @), then the whole sender.
CREATE INDEX mailqueue_submission_sender
    ON mailqueue_submission (substr(sender, length(rtrim(sender, replace(sender, '@', ''))) + 1), sender);

-- Idempotency keys: written with their submission, kept at least 24 hours, whatever happens to the submission's history.
CREATE TABLE mailqueue_idempotency (
    account_id    INTEGER NOT NULL REFERENCES mailqueue_account (id),
    key           TEXT    NOT NULL,
    fingerprint   BLOB    NOT NULL, -- SHA-256 of what was submitted
    result        TEXT    NOT NULL, -- the Submission that was returned, as JSON
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX mailqueue_idempotency_created ON mailqueue_idempotency (created_at);

-- One recipient of a submission, in the queue and, once retired, in the history: it retires in place.
CREATE TABLE mailqueue_message (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    submission_id   INTEGER NOT NULL REFERENCES mailqueue_submission (id),
    account_id      INTEGER NOT NULL REFERENCES mailqueue_account (id),
    recipient       TEXT    NOT NULL, -- RCPT TO
    domain          TEXT    NOT NULL, -- of the recipient
    state           TEXT    NOT NULL CHECK (state = 'queued' OR state = 'claimed' OR state = 'delivered' OR state = 'failed'
                        OR state = 'expired' OR state = 'suppressed' OR state = 'canceled'),
    holds           INTEGER NOT NULL DEFAULT 0 CHECK (holds >= 0), -- marks in mailqueue_hold; above 0: not claimed
    exempt_through  INTEGER NOT NULL DEFAULT 0, -- hold rules up to this id hold it no more: it was released from them
    attempts        INTEGER NOT NULL DEFAULT 0, -- attempts begun
    claim           INTEGER NOT NULL DEFAULT 0, -- rises with each claim; a settlement must name the claim it is for
    engine_id       INTEGER,        -- whose claim it is; NULL unless claimed
    claimed_at      INTEGER,        -- when the running attempt was claimed; NULL unless claimed
    next_attempt_at INTEGER,        -- due then; while claimed: the fallback, should the engine die; NULL: retired
    fallback        INTEGER NOT NULL, -- length of time after a claim at which it is due again if its engine dies
    schedule        TEXT    NOT NULL, -- name of its retry schedule
    give_up_at      INTEGER NOT NULL, -- no attempt is planned after this
    warn_at         INTEGER,        -- a delay notice is owed then; NULL: never tried yet, none wanted, or given
    last_error      TEXT,           -- what the last attempt came to, or why it was given up without one, in a line; NULL: none failed yet
    retired_at      INTEGER,        -- NULL: in the queue
    notify          TEXT,           -- NOTIFY of RCPT TO (RFC 3461 4.1): 'never', or some of success,failure,delay; NULL: not said
    orcpt           TEXT,           -- ORCPT of RCPT TO (RFC 3461 4.2), 'rfc822;b@example.org', decoded; NULL: none
    priority        INTEGER NOT NULL DEFAULT 1 CHECK (priority = 0 OR priority = 1 OR priority = 2), -- 0: interactive, 1: normal, 2: bulk
    transport       TEXT    NOT NULL DEFAULT '', -- the transport it takes, whatever the routes say; '': as they say
    require_tls     INTEGER CHECK (require_tls = 0 OR require_tls = 1), -- RFC 8689; 1: REQUIRETLS, 0: TLS-Required: No; NULL: not said
    expires_at      INTEGER,        -- it is given up then, on hold or not; NULL: by its lifetime alone
    wish            TEXT CHECK (wish = 'fail' OR wish = 'drop'), -- what becomes of it unless the attempt that ran delivers it; NULL: nothing was said
    wish_actor      TEXT,           -- who said so
    wish_reason     TEXT,           -- and why
    later_at        INTEGER,        -- rescheduled during an attempt: due then after it; NULL: as its schedule says
    fromid          TEXT,           -- what makes its return address unique; NULL: it has the sender's
    feedback        TEXT CHECK (feedback = 'bounced' OR feedback = 'complained'), -- what came back after it had retired; NULL: nothing
    CHECK ((state = 'queued' OR state = 'claimed') = (retired_at IS NULL)),
    CHECK ((state = 'claimed') = (engine_id IS NOT NULL)),
    CHECK ((state = 'claimed') = (claimed_at IS NOT NULL)),
    CHECK ((retired_at IS NULL) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX mailqueue_message_due ON mailqueue_message (priority, account_id, domain, transport, next_attempt_at)
    WHERE state = 'queued' AND holds = 0;
CREATE INDEX mailqueue_message_expires ON mailqueue_message (expires_at) WHERE expires_at IS NOT NULL AND state = 'queued';
-- (Ids of submissions and of their messages rise together, so this is the order of ids too.)
CREATE INDEX mailqueue_message_active ON mailqueue_message (submission_id) WHERE retired_at IS NULL;
CREATE INDEX mailqueue_message_held ON mailqueue_message (id) WHERE retired_at IS NULL AND holds > 0;
CREATE INDEX mailqueue_message_claimed ON mailqueue_message (engine_id) WHERE state = 'claimed';
CREATE INDEX mailqueue_message_warn ON mailqueue_message (warn_at) WHERE warn_at IS NOT NULL AND state = 'queued' AND holds = 0;
CREATE INDEX mailqueue_message_submission ON mailqueue_message (submission_id);
CREATE INDEX mailqueue_message_recipient ON mailqueue_message (domain, recipient);
CREATE INDEX mailqueue_message_retired ON mailqueue_message (retired_at) WHERE retired_at IS NOT NULL;
-- An account's mail: what is in the queue, in the order of ids, then its history.
CREATE INDEX mailqueue_message_account ON mailqueue_message (account_id, retired_at);
CREATE INDEX mailqueue_message_undelivered ON mailqueue_message (state, retired_at)
    WHERE retired_at IS NOT NULL AND state <> 'delivered';
CREATE UNIQUE INDEX mailqueue_message_fromid ON mailqueue_message (fromid) WHERE fromid IS NOT NULL;

-- How many messages wait for the receivers of a domain, by the hour in which they were submitted.
CREATE TABLE mailqueue_waiting (
    domain   TEXT    NOT NULL,     -- of the recipient
    hour_at  INTEGER NOT NULL,     -- when the hour begins
    messages INTEGER NOT NULL,     -- that have not retired; those on hold and in delivery count
    PRIMARY KEY (domain, hour_at)
) WITHOUT ROWID;

-- What happened in an hour, counted.
CREATE TABLE mailqueue_tally (
    hour_at INTEGER NOT NULL,      -- when the hour begins
    what    TEXT    NOT NULL,      -- 'submitted', 'retired', an event, or 'trouble': an attempt that did not deliver
    detail  TEXT    NOT NULL,      -- retired: the state; trouble: category, reply code and enhanced code, with spaces between; else ''
    times   INTEGER NOT NULL,
    PRIMARY KEY (hour_at, what, detail)
) WITHOUT ROWID;

-- The history by its own name.
CREATE VIEW mailqueue_retired AS SELECT * FROM mailqueue_message WHERE retired_at IS NOT NULL;

-- Marks that keep a message from being claimed. They go when the message is released or retires; the events stay.
CREATE TABLE mailqueue_hold (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id INTEGER NOT NULL REFERENCES mailqueue_message (id),
    rule_id    INTEGER,            -- NULL: by hand, or by an engine. A rule that was removed leaves its marks: they count as by hand then
    since_at   INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    reason     TEXT    NOT NULL DEFAULT '',
    until_at   INTEGER             -- an engine takes the mark away then; NULL: it stays until the message is released
);
CREATE INDEX mailqueue_hold_message ON mailqueue_hold (message_id);
CREATE INDEX mailqueue_hold_rule_id ON mailqueue_hold (rule_id);
CREATE INDEX mailqueue_hold_until ON mailqueue_hold (until_at) WHERE until_at IS NOT NULL;

-- One try to deliver one message, written when it is settled. (Before that, the claim on the message stands for it.)
CREATE TABLE mailqueue_attempt (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id   INTEGER NOT NULL REFERENCES mailqueue_message (id),
    number       INTEGER NOT NULL, -- of this message, from 1
    engine_id    INTEGER NOT NULL, -- who made it; engines' rows go, their ids are not used again
    started_at   INTEGER NOT NULL,
    duration     INTEGER NOT NULL, -- length of time
    outcome      TEXT    NOT NULL CHECK (outcome = 'delivered' OR outcome = 'deferred' OR outcome = 'failed'
                     OR outcome = 'uncertain' OR outcome = 'interrupted'),
    category     TEXT    NOT NULL, -- mailqueue.model.attempt.Category
    scope        TEXT,             -- what the trouble is charged to: session, host, destination, message, recipient; NULL: none
    transport    TEXT,             -- name; NULL: none was chosen
    route_id     INTEGER,          -- which route chose it; NULL: the default transport
    host         TEXT,             -- name of the server; NULL: none was reached
    address      TEXT,             -- its IP address and port, '192.0.2.1:25' or '[2001:db8::1]:25'
    tls          TEXT,             -- 'TLSv1.3'; NULL: in the clear
    tls_verified TEXT,             -- how the server's name was verified; NULL: not
    size         INTEGER,          -- octets of content sent; NULL: none
    code         INTEGER,          -- reply code; NULL: the server said nothing
    enhanced     TEXT,             -- enhanced status code, of the reply or chosen by us
    reply        TEXT,             -- all the server said, lines separated by LF
    error        TEXT,             -- our words for what went wrong; NULL: nothing
    transcript   TEXT              -- the SMTP dialogue of a failure, without content; NULL: none kept
);
CREATE INDEX mailqueue_attempt_message ON mailqueue_attempt (message_id);

-- What happened to a message, beside its submission and its attempts, written in the transaction that made it happen.
CREATE TABLE mailqueue_event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    event      TEXT    NOT NULL CHECK (event = 'held' OR event = 'released' OR event = 'delayed' OR event = 'delivered'
                   OR event = 'relayed' OR event = 'expanded' OR event = 'failed' OR event = 'suppressed'
                   OR event = 'canceled' OR event = 'complained' OR event = 'unrecognized' OR event = 'admin'),
    message_id INTEGER,            -- NULL: about no single message
    at         INTEGER NOT NULL,
    actor      TEXT,               -- NULL: the engine
    reason     TEXT,               -- a line for people; NULL: none
    notice_id  INTEGER,            -- the delivery notice that told the sender; NULL: none did
    data       TEXT                -- further facts as a JSON object; NULL: none
);
CREATE INDEX mailqueue_event_message ON mailqueue_event (message_id);

-- Delivery notices (RFC 3464), kept with the history of the submission they are about.
CREATE TABLE mailqueue_notice (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    submission_id INTEGER NOT NULL REFERENCES mailqueue_submission (id),
    kind          TEXT    NOT NULL CHECK (kind IN ('failed', 'delayed', 'delivered', 'relayed', 'expanded')),
    at            INTEGER NOT NULL,
    content       BLOB    NOT NULL, -- the whole notice
    sent_as       INTEGER          -- the submission that carries it to the sender; NULL: it is only kept
);
CREATE INDEX mailqueue_notice_submission ON mailqueue_notice (submission_id);

-- Whom an account writes to no more: mail to these retires at once.
CREATE TABLE mailqueue_suppression (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL, -- of mailqueue_account
    base        TEXT    NOT NULL,  -- what is looked up: the address without case and what its domain does not tell apart
    address     TEXT    NOT NULL,  -- as it was written to, or given
    cause       TEXT    NOT NULL CHECK (cause IN ('code', 'failures', 'complaint', 'manual', 'import')), -- why it is here
    reason      TEXT    NOT NULL,  -- a line for people
    message_id  INTEGER,           -- the message that showed it; NULL: none did. It may have been purged
    incoming_id INTEGER,           -- the report that did; NULL: none did
    evidence    TEXT,              -- what was judged, a JSON object, to be judged again; NULL: nobody judged
    actor       TEXT,              -- who put it here; NULL: an engine
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER            -- it counts no more then; NULL: it stays
);
CREATE UNIQUE INDEX mailqueue_suppression_base ON mailqueue_suppression (account_id, base);
CREATE INDEX mailqueue_suppression_expires ON mailqueue_suppression (expires_at) WHERE expires_at IS NOT NULL;

-- Messages that failed for an address since the last that was delivered to it: so many over so long suppress it.
CREATE TABLE mailqueue_strike (
    account_id INTEGER NOT NULL,   -- of mailqueue_account
    base       TEXT    NOT NULL,   -- as in mailqueue_suppression
    message_id INTEGER NOT NULL,   -- which failed; it may have been purged
    at         INTEGER NOT NULL,
    PRIMARY KEY (account_id, base, message_id)
) WITHOUT ROWID;
CREATE INDEX mailqueue_strike_at ON mailqueue_strike (at);

-- What came in about mail that went out: reports of failure, complaints, and what is neither.
CREATE TABLE mailqueue_incoming (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            INTEGER NOT NULL,
    recipient     TEXT,            -- the address it came to; NULL: not said
    kind          TEXT    NOT NULL, -- 'bounce', 'complaint', or a mailqueue.mail.incoming.Kind
    matched_by    TEXT CHECK (matched_by IN ('fromid', 'envid', 'message-id')), -- how it was matched; NULL: it was not
    submission_id INTEGER,         -- what it is about; NULL: it was not matched
    account_id    INTEGER,         -- whose that is; NULL: it was not matched
    messages      TEXT    NOT NULL, -- which messages it is about, a JSON list of their ids
    summary       TEXT    NOT NULL, -- a line for people
    digest        BLOB    NOT NULL, -- SHA-256 of what was looked at, the first 8 MiB: what comes twice is taken once
    size          INTEGER NOT NULL, -- octets of that
    correlation   TEXT    NOT NULL, -- what its lines in the log are found by
    actor         TEXT    NOT NULL, -- who handed it in
    content       BLOB    NOT NULL -- its beginning, at most 64 KiB
);
CREATE UNIQUE INDEX mailqueue_incoming_digest ON mailqueue_incoming (digest, recipient);
CREATE INDEX mailqueue_incoming_submission ON mailqueue_incoming (submission_id) WHERE submission_id IS NOT NULL;
CREATE INDEX mailqueue_incoming_at ON mailqueue_incoming (at);

-- Where an account's events are posted.
CREATE TABLE mailqueue_endpoint (
    account_id    INTEGER PRIMARY KEY NOT NULL, -- of mailqueue_account
    url           TEXT    NOT NULL,
    events        TEXT    NOT NULL, -- which, with commas between
    authorization TEXT,            -- the field of that name; NULL: none
    secrets       TEXT    NOT NULL, -- what they are signed with, the newest first, with spaces between
    allow_private INTEGER NOT NULL DEFAULT 0 CHECK (allow_private IN (0, 1)), -- also loopback and private addresses
    disabled_at   INTEGER,         -- it said that it is gone (410), then: nothing is posted since; NULL: it is at work
    created_at    INTEGER NOT NULL
);

-- Events on their way to an endpoint and, once retired, the history of those: written with the event that it tells of.
CREATE TABLE mailqueue_webhook (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id      INTEGER NOT NULL, -- of mailqueue_account
    event_id        INTEGER NOT NULL, -- of mailqueue_event; it may have been purged
    event           TEXT    NOT NULL, -- its name
    message_id      INTEGER NOT NULL, -- of mailqueue_message; it may have been purged
    after_id        INTEGER,       -- the one about the same message that must retire before; NULL: it is the first
    payload         TEXT    NOT NULL, -- what is posted, JSON
    created_at      INTEGER NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'claimed', 'delivered', 'failed', 'canceled')),
    attempts        INTEGER NOT NULL DEFAULT 0, -- begun
    next_attempt_at INTEGER,       -- due then; while claimed: the fallback, should the engine die; NULL: retired
    engine_id       INTEGER,       -- whose claim it is; NULL unless claimed
    claim           INTEGER NOT NULL DEFAULT 0, -- rises with each claim
    last_error      TEXT,          -- what the last attempt came to; NULL: none failed
    retired_at      INTEGER        -- NULL: on its way
);
CREATE INDEX mailqueue_webhook_due ON mailqueue_webhook (account_id, next_attempt_at) WHERE state = 'queued' AND after_id IS NULL;
CREATE INDEX mailqueue_webhook_active ON mailqueue_webhook (id) WHERE retired_at IS NULL;
CREATE INDEX mailqueue_webhook_claimed ON mailqueue_webhook (engine_id) WHERE state = 'claimed';
CREATE INDEX mailqueue_webhook_message ON mailqueue_webhook (message_id);
CREATE INDEX mailqueue_webhook_account ON mailqueue_webhook (account_id, retired_at);

-- One try to post an event.
CREATE TABLE mailqueue_webhook_attempt (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES mailqueue_webhook (id),
    number     INTEGER NOT NULL,   -- of this webhook, from 1
    started_at INTEGER NOT NULL,
    duration   INTEGER NOT NULL,   -- length of time
    status     INTEGER,            -- HTTP status; NULL: there was no answer
    answer     TEXT,               -- the first 512 octets of what was answered; NULL: nothing was
    error      TEXT                -- our words for what went wrong; NULL: nothing
);
CREATE INDEX mailqueue_webhook_attempt_webhook ON mailqueue_webhook_attempt (webhook_id);

-- The rows that are there from the start.
INSERT INTO mailqueue_meta (key, value) VALUES ('schema', 4), ('wake', 0), ('settings', 1), ('changes', 0), ('active', 0), ('held', 0);
INSERT INTO mailqueue_meta (key, value) VALUES ('log:4', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);
INSERT INTO mailqueue_account (name, created_at) VALUES ('default', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);

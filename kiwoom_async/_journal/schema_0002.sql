-- Journal, schema 2: the life of an order, reports of the feed, closed days. Applied in one transaction by store.py;
-- never edited once released.

-- What else the broker has told of a number. Where filled_amount is NULL, average_fill_price is the broker's own.
ALTER TABLE claims ADD COLUMN action TEXT NOT NULL DEFAULT 'new';
ALTER TABLE claims ADD COLUMN quantity INTEGER;
ALTER TABLE claims ADD COLUMN filled_amount TEXT;
ALTER TABLE claims ADD COLUMN filled_at TEXT;
ALTER TABLE claims ADD COLUMN leaves_at TEXT;
ALTER TABLE claims ADD COLUMN replaced_by TEXT;
UPDATE claims SET (action, quantity) = (
    SELECT json_extract(request, '$.action'), json_extract(request, '$.quantity') FROM attempts
    WHERE attempts.client_order_id = claims.client_order_id AND attempts.number = claims.attempt
);

-- What may still be in the book stays cheap to find, and so does the modify that took what was left of an order.
CREATE INDEX claims_open ON claims (account)
    WHERE action <> 'cancel' AND (status IS NULL OR status IN ('working', 'partially_filled'));
CREATE INDEX claims_modifies ON claims (account, ledger, day) WHERE action = 'modify';

-- What happens to orders, as strategies hear it.
CREATE TABLE order_events (
    sequence        INTEGER PRIMARY KEY,
    account         TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    recorded_at     TEXT NOT NULL,
    event           TEXT NOT NULL
) STRICT;
CREATE INDEX order_events_by_account ON order_events (account, sequence);
CREATE INDEX order_events_by_order ON order_events (client_order_id, sequence);
CREATE TRIGGER order_events_are_never_changed BEFORE UPDATE ON order_events
    BEGIN SELECT RAISE(ABORT, 'order events are append-only'); END;
CREATE TRIGGER order_events_are_never_deleted BEFORE DELETE ON order_events
    BEGIN SELECT RAISE(ABORT, 'order events are append-only'); END;

-- Reports of the feed about numbers that nobody has claimed yet. takes_from: a modify that took effect names it.
CREATE TABLE kept_reports (
    account         TEXT NOT NULL,
    ledger          TEXT NOT NULL,
    day             TEXT NOT NULL,
    n               INTEGER NOT NULL,
    broker_order_id TEXT NOT NULL,
    takes_from      TEXT,
    report          TEXT NOT NULL,
    PRIMARY KEY (account, ledger, day, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_reports_of ON kept_reports (account, ledger, day, broker_order_id);
CREATE INDEX kept_modifies ON kept_reports (account, ledger, day, takes_from) WHERE takes_from IS NOT NULL;

-- How the feed names the terminal of our own orders whose number came by an answer.
CREATE TABLE terminals (
    account  TEXT NOT NULL,
    ledger   TEXT NOT NULL,
    terminal TEXT NOT NULL,
    PRIMARY KEY (account, ledger, terminal)
) STRICT, WITHOUT ROWID;

-- Days of a ledger on which something of ours went out, until their books are closed.
CREATE TABLE open_days (
    account TEXT NOT NULL,
    ledger  TEXT NOT NULL,
    day     TEXT NOT NULL,
    PRIMARY KEY (account, ledger, day)
) STRICT, WITHOUT ROWID;
INSERT INTO open_days
    SELECT account, ledger, day FROM attempts WHERE state <> 'prepared'
    UNION SELECT account, ledger, day FROM claims;

CREATE TABLE closed_days (
    account   TEXT NOT NULL,
    ledger    TEXT NOT NULL,
    day       TEXT NOT NULL,
    closed_at TEXT NOT NULL,
    evidence  TEXT NOT NULL,
    PRIMARY KEY (account, ledger, day)
) STRICT, WITHOUT ROWID;

-- Certificates of continuity. Monotonic stamps are seconds, valid within boot_id only.
CREATE TABLE feed_sessions (
    account  TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    runner   TEXT NOT NULL,
    boot_id  TEXT NOT NULL,
    since    REAL NOT NULL,
    since_at TEXT NOT NULL,
    heard    REAL NOT NULL,
    ended    REAL,
    reason   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;

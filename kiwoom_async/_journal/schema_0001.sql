-- Journal, schema 1. Applied in one transaction by store.py; never edited once released.

-- One row per client order id, for ever: the idempotency key never expires.
CREATE TABLE intents (
    client_order_id TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    request         TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    resend_within   REAL,
    max_attempts    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The present state of every send. Monotonic stamps are seconds, valid within boot_id only.
CREATE TABLE attempts (
    client_order_id TEXT NOT NULL REFERENCES intents,
    number          INTEGER NOT NULL CHECK (number >= 1),
    account         TEXT NOT NULL,
    ledger          TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    request         TEXT NOT NULL,
    state           TEXT NOT NULL,
    day             TEXT NOT NULL,
    mark            INTEGER NOT NULL,
    runner          TEXT NOT NULL,
    boot_id         TEXT NOT NULL,
    dispatched_at   TEXT NOT NULL,
    dispatched      REAL NOT NULL,
    write_until     REAL NOT NULL,
    ended           REAL,
    ended_at        TEXT,
    is_answered     INTEGER NOT NULL DEFAULT 0,
    broker_order_id TEXT,
    resolved_by     TEXT,
    reason          TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (client_order_id, number)
) STRICT, WITHOUT ROWID;

-- What is open stays cheap to find, however long the history grows.
CREATE INDEX attempts_open ON attempts (account, fingerprint, state)
    WHERE state IN ('prepared', 'dispatched', 'unknown', 'candidates');
CREATE INDEX attempts_absent ON attempts (account, day) WHERE state IN ('not_accepted', 'unresolved_at_close');

-- Everything that ever happened, with its evidence.
CREATE TABLE history (
    sequence        INTEGER PRIMARY KEY,
    client_order_id TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    at              TEXT NOT NULL,
    event           TEXT NOT NULL,
    state           TEXT NOT NULL,
    evidence        TEXT NOT NULL
) STRICT;
CREATE INDEX history_of ON history (client_order_id, sequence);
CREATE TRIGGER history_is_never_changed BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_is_never_deleted BEFORE DELETE ON history
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

-- A broker's number belongs to one attempt, and an attempt has one number. The last report of the order beside it.
CREATE TABLE claims (
    account            TEXT NOT NULL,
    ledger             TEXT NOT NULL,
    day                TEXT NOT NULL,
    broker_order_id    TEXT NOT NULL,
    client_order_id    TEXT NOT NULL,
    attempt            INTEGER NOT NULL,
    claimed_at         TEXT NOT NULL,
    status             TEXT,
    filled_quantity    INTEGER NOT NULL DEFAULT 0,
    average_fill_price TEXT,
    leaves_quantity    INTEGER,
    PRIMARY KEY (account, ledger, day, broker_order_id),
    UNIQUE (client_order_id, attempt)
) STRICT, WITHOUT ROWID;

-- Orders on the account that are proven to be somebody else's.
CREATE TABLE foreign_orders (
    account         TEXT NOT NULL,
    ledger          TEXT NOT NULL,
    day             TEXT NOT NULL,
    broker_order_id TEXT NOT NULL,
    channel         TEXT NOT NULL,
    declared_at     TEXT NOT NULL,
    PRIMARY KEY (account, ledger, day, broker_order_id)
) STRICT, WITHOUT ROWID;

-- The highest order number known, per account, ledger and day: older orders can never be candidates.
CREATE TABLE high_water (
    account TEXT NOT NULL,
    ledger  TEXT NOT NULL,
    day     TEXT NOT NULL,
    number  INTEGER NOT NULL,
    PRIMARY KEY (account, ledger, day)
) STRICT, WITHOUT ROWID;

-- How the ledger names the channel of our own acknowledged orders.
CREATE TABLE channels (
    account TEXT NOT NULL,
    ledger  TEXT NOT NULL,
    channel TEXT NOT NULL,
    PRIMARY KEY (account, ledger, channel)
) STRICT, WITHOUT ROWID;

-- Clients that send. Each holds an operating-system lock as long as it lives, so a dead one is known at once.
CREATE TABLE runners (
    runner     TEXT PRIMARY KEY,
    process    INTEGER NOT NULL,
    started_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One holder at a time; the epoch grows with every change of hands.
CREATE TABLE leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    expires REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Journal, schema 4: what the monitors of the assumptions have found. Applied in one transaction by store.py;
-- never edited once released.

-- One row per account and kind: when it was found first and last, how often, and the last text.
CREATE TABLE breaches (
    account  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    first_at TEXT NOT NULL,
    last_at  TEXT NOT NULL,
    times    INTEGER NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (account, kind)
) STRICT, WITHOUT ROWID;

-- Orders that turned up after a proof of absence stay cheap to count, however long the history grows.
CREATE INDEX attempts_late ON attempts (account, state) WHERE state IN ('revived', 'duplicate');

-- An earlier release counted them and kept no finding.
INSERT INTO breaches
    SELECT account, state, min(dispatched_at), max(dispatched_at), count(*),
        'found by an earlier release; the last is order ' || max(client_order_id)
    FROM attempts WHERE state IN ('revived', 'duplicate') GROUP BY account, state;

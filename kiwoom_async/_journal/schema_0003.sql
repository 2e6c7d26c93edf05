-- Journal, schema 3: the kill switch, what counts toward limits, dry runs. Applied in one transaction by store.py;
-- never edited once released.

-- The last row is the state of the switch, for every account of the file.
CREATE TABLE kill_switch (
    sequence   INTEGER PRIMARY KEY,
    is_engaged INTEGER NOT NULL CHECK (is_engaged IN (0, 1)),
    reason     TEXT NOT NULL,
    by         TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE TRIGGER kill_switch_is_never_changed BEFORE UPDATE ON kill_switch
    BEGIN SELECT RAISE(ABORT, 'the record of the kill switch is append-only'); END;
CREATE TRIGGER kill_switch_is_never_deleted BEFORE DELETE ON kill_switch
    BEGIN SELECT RAISE(ABORT, 'the record of the kill switch is append-only'); END;

-- What each send of a new order or a modify counts, and whether it still does. value: KRW; NULL where nobody knows it.
CREATE TABLE counted_sends (
    client_order_id TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    account         TEXT NOT NULL,
    day             TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    orders          INTEGER NOT NULL,
    quantity        INTEGER NOT NULL,
    value           TEXT,
    is_counted      INTEGER NOT NULL CHECK (is_counted IN (0, 1)),
    PRIMARY KEY (client_order_id, attempt)
) STRICT, WITHOUT ROWID;

-- Their sums per Korean day and symbol; the symbol '' is the whole day. unvalued counts the sends without a value.
CREATE TABLE day_totals (
    account  TEXT NOT NULL,
    day      TEXT NOT NULL,
    symbol   TEXT NOT NULL,
    orders   INTEGER NOT NULL,
    quantity INTEGER NOT NULL,
    value    TEXT NOT NULL,
    unvalued INTEGER NOT NULL,
    PRIMARY KEY (account, day, symbol)
) STRICT, WITHOUT ROWID;

-- A release before this one counted nothing. Only the latest day can be the present one. Products that no integer of
-- SQLite holds are a REAL there, and count as not known.
INSERT INTO counted_sends
    SELECT client_order_id, number, account, day, json_extract(request, '$.symbol'), 1,
        json_extract(request, '$.quantity'),
        iif(typeof(json_extract(request, '$.quantity') * json_extract(request, '$.price')) = 'integer',
            CAST(json_extract(request, '$.quantity') * json_extract(request, '$.price') AS TEXT), NULL),
        1
    FROM attempts
    WHERE day = (SELECT max(day) FROM attempts) AND json_extract(request, '$.action') = 'new'
        AND state NOT IN ('prepared', 'refused', 'not_sent', 'not_accepted');
INSERT INTO counted_sends
    SELECT client_order_id, number, account, day, json_extract(request, '$.symbol'), 0, 0, NULL, 1
    FROM attempts
    WHERE day = (SELECT max(day) FROM attempts) AND json_extract(request, '$.action') = 'modify'
        AND state NOT IN ('prepared', 'refused', 'not_sent', 'not_accepted');
INSERT INTO day_totals
    SELECT account, day, symbol, sum(orders), sum(quantity), CAST(CAST(total(value) AS INTEGER) AS TEXT),
        sum(value IS NULL)
    FROM counted_sends GROUP BY account, day, symbol;
INSERT INTO day_totals
    SELECT account, day, '', sum(orders), sum(quantity), CAST(CAST(total(value) AS INTEGER) AS TEXT),
        sum(value IS NULL)
    FROM counted_sends GROUP BY account, day;

-- Orders that were only rehearsed. Nothing that sends or reconciles ever reads this table.
CREATE TABLE dry_orders (
    client_order_id TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    request         TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    resend_within   REAL,
    max_attempts    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Journal, schema 6: what the sender of an order relied on. Applied in one transaction by store.py; never edited once
-- released.

-- JSON: the bounds in seconds, and whether the account is its alone. NULL where an earlier release sent it.
ALTER TABLE attempts ADD COLUMN relied_on TEXT;

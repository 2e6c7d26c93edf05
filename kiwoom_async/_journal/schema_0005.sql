-- Journal: which file this is, for the seal that lies outside of it; where duplicates are. Applied in one transaction by
-- store.py; never edited once released.

-- The first row names the file. A file that was accepted by a person although it had fallen behind its seal has a new name
-- from then on, that of the row: the old one belongs to the file that went further. accepted_by is empty in the first row,
-- and in the rows, which name nothing, that tell of another file that lay in the place of this one.
CREATE TABLE identities (
    sequence    INTEGER PRIMARY KEY,
    identity    TEXT NOT NULL UNIQUE,
    at          TEXT NOT NULL,
    accepted_by TEXT NOT NULL,
    reason      TEXT NOT NULL,
    missing     INTEGER NOT NULL CHECK (missing >= 0)
) STRICT;
CREATE TRIGGER identities_are_never_changed BEFORE UPDATE ON identities
    BEGIN SELECT RAISE(ABORT, 'the record of identities is append-only'); END;
CREATE TRIGGER identities_are_never_deleted BEFORE DELETE ON identities
    BEGIN SELECT RAISE(ABORT, 'the record of identities is append-only'); END;

-- Orders that one id has twice on the book stay cheap to find: there should be none.
CREATE INDEX attempts_duplicate ON attempts (account, day) WHERE state = 'duplicate';

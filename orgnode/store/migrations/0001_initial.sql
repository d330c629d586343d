-- Everything that a node keeps. The signed notes are the truth; signals, events, counts and tree
-- nodes follow from them. Days count from 1970-01-01 UTC, times are seconds since then.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- A member's log and how far it is followed; the log of this node itself is one of them.
CREATE TABLE log (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    size       INTEGER NOT NULL CHECK (size >= 0),
    frontier   BLOB    NOT NULL,
    checkpoint BLOB,            -- newest signed checkpoint whose entries are all here
    target     BLOB,            -- newer signed checkpoint that is being followed
    evidence   BLOB             -- proof that the log has two histories
) STRICT;

CREATE TRIGGER log_never_shrinks BEFORE UPDATE OF size ON log WHEN NEW.size < OLD.size
BEGIN SELECT RAISE(ABORT, 'a log never shrinks'); END;

-- Signed checkpoints seen. One size of one log has one root, whatever the program asks for.
CREATE TABLE checkpoint (
    log  INTEGER NOT NULL REFERENCES log (id),
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB    NOT NULL CHECK (length(root) = 32),
    note BLOB    NOT NULL,
    PRIMARY KEY (log, size)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER checkpoint_has_one_root BEFORE UPDATE ON checkpoint
WHEN NEW.root <> OLD.root OR NEW.log <> OLD.log OR NEW.size <> OLD.size
BEGIN SELECT RAISE(ABORT, 'second root'); END;

CREATE TRIGGER checkpoint_is_for_ever BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never forgotten'); END;

-- Entries, the exact bytes. Ids rise in order of arrival over all logs.
CREATE TABLE entry (
    id       INTEGER PRIMARY KEY,
    log      INTEGER NOT NULL REFERENCES log (id),
    idx      INTEGER NOT NULL CHECK (idx >= 0),
    leaf     BLOB    NOT NULL CHECK (length(leaf) = 32),
    kind     TEXT,              -- NULL: the envelope could not be read
    day      INTEGER,
    expires  INTEGER,
    outcome  TEXT    NOT NULL CHECK (outcome IN ('accepted', 'refused', 'deferred', 'lapsed')),
    error    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    retry    INTEGER NOT NULL,  -- 1: to be looked at again (body to come, newer version)
    body     TEXT    NOT NULL CHECK (body IN ('present', 'erased', 'missing')),
    received REAL    NOT NULL,
    note     BLOB    NOT NULL,
    UNIQUE (log, idx)
) STRICT;

CREATE INDEX entry_by_leaf ON entry (leaf);
CREATE INDEX entry_expiring ON entry (expires) WHERE body = 'present';
CREATE INDEX entry_retry ON entry (log, idx) WHERE retry = 1;
CREATE INDEX entry_refused ON entry (outcome) WHERE outcome = 'refused';
CREATE INDEX entry_refused_of ON entry (log) WHERE outcome = 'refused';

-- What can be erased: salt and body. An erased body's row is gone.
CREATE TABLE body (
    entry INTEGER PRIMARY KEY REFERENCES entry (id),
    salt  BLOB NOT NULL CHECK (length(salt) = 32),
    body  BLOB NOT NULL
) STRICT;

-- Accepted signals. NULLs where content was erased; tokens are read from the body.
CREATE TABLE signal (
    entry        INTEGER PRIMARY KEY REFERENCES entry (id),
    log          INTEGER NOT NULL,
    band         INTEGER NOT NULL,
    category     TEXT    NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('live', 'retracted', 'expired', 'erased')),
    technique    TEXT,
    confidence   INTEGER,
    direct       INTEGER,
    derived_from BLOB,
    barrier      TEXT
) STRICT;

-- Retractions accepted, also of signals whose content is not known (yet).
CREATE TABLE retraction (
    log    INTEGER NOT NULL REFERENCES log (id),
    target BLOB    NOT NULL,
    entry  INTEGER NOT NULL REFERENCES entry (id),
    reason TEXT    NOT NULL,
    PRIMARY KEY (log, target)
) STRICT, WITHOUT ROWID;

-- The feed, without content: that is read from the signal when the event is.
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, even after trimming
    type     TEXT    NOT NULL CHECK (type IN ('signal', 'retraction', 'refused', 'evidence')),
    at       REAL    NOT NULL,
    log      INTEGER NOT NULL REFERENCES log (id),
    entry    INTEGER REFERENCES entry (id),
    band     INTEGER,
    category TEXT,
    detail   TEXT
) STRICT;

CREATE TABLE outcome_count (
    log     INTEGER NOT NULL REFERENCES log (id),
    outcome TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (log, outcome)
) STRICT, WITHOUT ROWID;

-- Hashes of perfect subtrees at tile levels: 2^8, 2^16, ... leaves (C2SP tlog-tiles).
CREATE TABLE node (
    log   INTEGER NOT NULL REFERENCES log (id),
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (log, level, idx)
) STRICT, WITHOUT ROWID;

-- Incidents, encrypted; erased by deleting the wrapped key and the ciphertext.
CREATE TABLE vault (
    id          TEXT PRIMARY KEY,
    entry_id    TEXT,
    day         INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    wrapped_key BLOB    NOT NULL,
    sealed      BLOB    NOT NULL
) STRICT;

CREATE INDEX vault_expiring ON vault (expires);

-- Idempotency: HMACs of callers' references, so that an incident is published once.
CREATE TABLE reference (
    mac      BLOB PRIMARY KEY CHECK (length(mac) = 32),
    incident TEXT NOT NULL,
    entry_id TEXT
) STRICT, WITHOUT ROWID;

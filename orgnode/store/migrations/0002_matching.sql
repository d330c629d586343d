-- Matching: which signals hold a token, what people said of signals, what was promoted; the
-- committee's meter. All but the meter and the misconduct follow from the entries.

-- When its content was accepted here: a body that came late does not age while nobody can read it.
ALTER TABLE signal ADD COLUMN live_since REAL NOT NULL DEFAULT 0;
-- The entry's id, again: a check asks for dozens of signals, and their entries lie far apart.
ALTER TABLE signal ADD COLUMN leaf BLOB NOT NULL DEFAULT x'';
UPDATE signal SET (live_since, leaf) = (SELECT received, leaf FROM entry WHERE id = signal.entry);

-- Tokens of live signals. `log` lies between, so that the holders among logs are found without
-- reading every signal of one that holds a token a thousand times.
CREATE TABLE token (
    token BLOB    NOT NULL CHECK (length(token) = 32),
    log   INTEGER NOT NULL REFERENCES log (id),
    entry INTEGER NOT NULL REFERENCES signal (entry),
    PRIMARY KEY (token, log, entry)
) STRICT, WITHOUT ROWID;

-- Tokens of this node's own live signals, and how far they are from being promoted.
CREATE TABLE own_token (
    token    BLOB    PRIMARY KEY,
    entry    INTEGER NOT NULL REFERENCES signal (entry),  -- the newest own signal that holds it
    others   INTEGER NOT NULL CHECK (others >= 0),        -- how many other logs hold it
    promoted INTEGER NOT NULL CHECK (promoted IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX own_token_open ON own_token (others) WHERE promoted = 0;

-- What a member says of a signal: its newest word only. It may come before the signal does.
CREATE TABLE sighting (
    target  BLOB    NOT NULL CHECK (length(target) = 32),
    log     INTEGER NOT NULL REFERENCES log (id),
    entry   INTEGER NOT NULL REFERENCES entry (id),
    verdict TEXT    NOT NULL CHECK (verdict IN ('confirm', 'deny')),
    PRIMARY KEY (target, log)
) STRICT, WITHOUT ROWID;

CREATE INDEX sighting_by_entry ON sighting (entry);

-- Promoted windows: the token of an input is public from then on. Whether a promotion is worth
-- anything is told by whose signals, among those that it names, this node has held with the token:
-- `held_by` are the names of their logs, sorted, and `held` is how many. It only ever grows.
CREATE TABLE promotion (
    input   BLOB    NOT NULL CHECK (length(input) = 32),
    log     INTEGER NOT NULL REFERENCES log (id),
    entry   INTEGER NOT NULL REFERENCES entry (id),
    token   BLOB    NOT NULL CHECK (length(token) = 32),
    since   REAL    NOT NULL,  -- when its content was accepted here, as `signal.live_since`
    held    INTEGER NOT NULL CHECK (held >= 0),
    held_by TEXT    NOT NULL,
    PRIMARY KEY (input, log, entry)
) STRICT, WITHOUT ROWID;

CREATE INDEX promotion_by_token ON promotion (token);
CREATE INDEX promotion_by_entry ON promotion (entry);

CREATE TRIGGER promotion_keeps_its_holders BEFORE UPDATE ON promotion
WHEN NEW.held < OLD.held OR NEW.since <> OLD.since
BEGIN SELECT RAISE(ABORT, 'what a promotion was worth is never taken back'); END;

-- The signals that a promotion names as evidence. `held` is 1 once one was here, direct and with the
-- token; it stays so when the signal ends.
CREATE TABLE promotion_source (
    input  BLOB    NOT NULL,
    entry  INTEGER NOT NULL REFERENCES entry (id),
    source BLOB    NOT NULL CHECK (length(source) = 32),
    held   INTEGER NOT NULL CHECK (held IN (0, 1)),
    PRIMARY KEY (input, entry, source)
) STRICT, WITHOUT ROWID;

-- Evidence that is not here yet.
CREATE INDEX promotion_source_awaited ON promotion_source (source) WHERE held = 0;

-- Evaluations that this node, as a seat of the committee, did for each member on each day.
CREATE TABLE charge (
    day      INTEGER NOT NULL,
    asker    TEXT    NOT NULL,
    elements INTEGER NOT NULL CHECK (elements >= 0),
    PRIMARY KEY (day, asker)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER charge_never_shrinks BEFORE UPDATE ON charge
WHEN NEW.elements < OLD.elements OR NEW.day <> OLD.day OR NEW.asker <> OLD.asker
BEGIN SELECT RAISE(ABORT, 'a charge never shrinks'); END;

-- Signed answers that are provably wrong, with the requests that they answer.
CREATE TABLE misconduct (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    member  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    request BLOB NOT NULL,
    answer  BLOB NOT NULL,
    at      REAL NOT NULL
) STRICT;

CREATE INDEX misconduct_of ON misconduct (member, kind);

CREATE TRIGGER misconduct_stays_as_it_is BEFORE UPDATE ON misconduct
BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END;

CREATE TRIGGER misconduct_is_for_ever BEFORE DELETE ON misconduct
BEGIN SELECT RAISE(ABORT, 'evidence is never forgotten'); END;

-- The windows behind an own signal's tokens are in the vault.
CREATE INDEX vault_by_entry ON vault (entry_id) WHERE entry_id IS NOT NULL;

-- More types of events; a CHECK can't be altered. Numbers go on where they stopped.
CREATE TABLE event_anew (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    type     TEXT    NOT NULL CHECK (type IN ('signal', 'retraction', 'refused', 'evidence',
                                              'sighting', 'promotion', 'misconduct')),
    at       REAL    NOT NULL,
    log      INTEGER NOT NULL REFERENCES log (id),
    entry    INTEGER REFERENCES entry (id),
    band     INTEGER,
    category TEXT,
    detail   TEXT
) STRICT;

INSERT INTO event_anew SELECT * FROM event;
DELETE FROM sqlite_sequence WHERE name = 'event_anew';
INSERT INTO sqlite_sequence SELECT 'event_anew', seq FROM sqlite_sequence WHERE name = 'event';
DROP TABLE event;
ALTER TABLE event_anew RENAME TO event;

-- Tokens of the signals that are here already. `token_bytes` is given by the program.
INSERT INTO token
SELECT token_bytes(t.value), s.log, s.entry
FROM signal s JOIN body b ON b.entry = s.entry, json_each(CAST(b.body AS TEXT), '$.tokens') t
WHERE s.status = 'live';

INSERT INTO own_token
SELECT t.token, max(t.entry),
       (SELECT count(DISTINCT o.log) FROM token o WHERE o.token = t.token AND o.log <> t.log), 0
FROM token t
WHERE t.log = (SELECT id FROM log WHERE name =
               (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'owner.name'))
GROUP BY t.token;

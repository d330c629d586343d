-- Certification: an entry counts once a certificate covers it, a checkpoint of its log with the
-- cosignatures of a quorum. What is stored so far has none: it is provisional until one comes.

-- How many entries the newest certificate covers.
ALTER TABLE log ADD COLUMN certified INTEGER NOT NULL DEFAULT 0
    CHECK (certified BETWEEN 0 AND size);

CREATE TRIGGER log_stays_certified BEFORE UPDATE OF certified ON log
WHEN NEW.certified < OLD.certified
BEGIN SELECT RAISE(ABORT, 'what is certified stays so'); END;

-- Beside `log`, whose rows are written again with every entry: a certificate has many kilobytes.
CREATE TABLE certificate (
    log  INTEGER PRIMARY KEY REFERENCES log (id),
    note BLOB    NOT NULL
) STRICT;

-- What this node has cosigned last of each log. It never goes back, and no size has two roots.
CREATE TABLE witnessed (
    log  INTEGER PRIMARY KEY REFERENCES log (id),
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB    NOT NULL CHECK (length(root) = 32),
    note BLOB    NOT NULL -- the checkpoint as the log signed it, without cosignatures
) STRICT;

CREATE TRIGGER witnessed_is_one_history BEFORE UPDATE ON witnessed
WHEN NEW.log <> OLD.log OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'cosigned is cosigned'); END;

CREATE TRIGGER witnessed_is_for_ever BEFORE DELETE ON witnessed
BEGIN SELECT RAISE(ABORT, 'cosigned is cosigned'); END;

-- Entries whose body is awaited: a witness cosigns nothing beyond the first of them. Of an entry
-- that can't be read yet (it has no `kind`) no body is kept or awaited.
CREATE INDEX entry_awaited ON entry (log, idx)
WHERE retry = 1 AND body = 'missing' AND kind IS NOT NULL;

-- Entries of evidence that could not be read yet: one of them may accuse a log already.
CREATE INDEX entry_unread ON entry (log, idx) WHERE retry = 1 AND kind = 'evidence';

-- How many entries that stand (their note is in order) a log has of each day, retractions apart;
-- `counted` of them are of kinds that use up the day's quota.
CREATE TABLE log_day (
    log     INTEGER NOT NULL REFERENCES log (id),
    day     INTEGER NOT NULL,
    entries INTEGER NOT NULL CHECK (entries >= 0),
    counted INTEGER NOT NULL CHECK (counted BETWEEN 0 AND entries),
    PRIMARY KEY (log, day)
) STRICT, WITHOUT ROWID;

-- Logs that a log holds accepted evidence against, by name; `entry` is the newest of it.
CREATE TABLE accusation (
    log     INTEGER NOT NULL REFERENCES log (id),
    accused TEXT    NOT NULL,
    entry   INTEGER NOT NULL REFERENCES entry (id),
    PRIMARY KEY (log, accused)
) STRICT, WITHOUT ROWID;

-- Members' signed word that they did what an own retraction asks for.
CREATE TABLE receipt (
    retraction BLOB NOT NULL CHECK (length(retraction) = 32),
    member     TEXT NOT NULL,
    note       BLOB NOT NULL,
    at         REAL NOT NULL,
    PRIMARY KEY (retraction, member)
) STRICT, WITHOUT ROWID;

CREATE INDEX retraction_by_entry ON retraction (entry);

-- Tokens of withdrawn signals, as SHA-256 of each, for the tokens are erased: a signal of the same
-- log that stands after the retraction (`entry`) and is dated `until` or earlier does not hold them.
-- Whatever it is dated, it does not hold them here until the day `rest` has passed, which follows
-- from the day on which this node got to know of the retraction.
CREATE TABLE cooldown (
    log    INTEGER NOT NULL REFERENCES log (id),
    digest BLOB    NOT NULL CHECK (length(digest) = 32),
    entry  INTEGER NOT NULL REFERENCES entry (id),
    until  INTEGER NOT NULL,
    rest   INTEGER NOT NULL,
    PRIMARY KEY (log, digest, entry)
) STRICT, WITHOUT ROWID;

-- Certified signals (`entry`) some of whose tokens rest here, and are to be looked at again.
CREATE TABLE resting (
    entry INTEGER PRIMARY KEY REFERENCES entry (id),
    rest  INTEGER NOT NULL
) STRICT;

CREATE INDEX resting_by_day ON resting (rest);

-- `provisional` is 1 for what happened to a signal before it was certified. A CHECK can't be
-- altered, so the table is made anew; numbers go on where they stopped.
CREATE TABLE event_anew (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    type        TEXT    NOT NULL CHECK (type IN ('signal', 'provisional', 'retraction', 'refused',
                                                 'evidence', 'sighting', 'promotion',
                                                 'misconduct')),
    at          REAL    NOT NULL,
    log         INTEGER NOT NULL REFERENCES log (id),
    entry       INTEGER REFERENCES entry (id),
    band        INTEGER,
    category    TEXT,
    detail      TEXT,
    provisional INTEGER NOT NULL CHECK (provisional IN (0, 1))
) STRICT;

-- Certification tells of signals, sightings and promotions again. Retractions stay news to those
-- who were told of the signals.
INSERT INTO event_anew
SELECT seq, CASE type WHEN 'signal' THEN 'provisional' ELSE type END, at, log, entry, band,
       category, detail, type IN ('signal', 'sighting', 'promotion')
FROM event;

DELETE FROM sqlite_sequence WHERE name = 'event_anew';
INSERT INTO sqlite_sequence SELECT 'event_anew', seq FROM sqlite_sequence WHERE name = 'event';
DROP TABLE event;
ALTER TABLE event_anew RENAME TO event;

-- What follows from entries only once they are certified; it is read from their bodies again then.
DELETE FROM token;
DELETE FROM own_token;
DELETE FROM sighting;
DELETE FROM promotion_source;
DELETE FROM promotion;

-- A log that shows an older checkpoint than before is not suspended any more: a mirror does so, and
-- a member that was restored from a backup.
DELETE FROM event WHERE type = 'evidence' AND log IN
    (SELECT id FROM log WHERE json_extract(CAST(evidence AS TEXT), '$.kind') = 'shrink');
UPDATE log SET evidence = NULL
WHERE json_extract(CAST(evidence AS TEXT), '$.kind') = 'shrink';

-- Bodies of withdrawn signals are not waited for any more.
UPDATE entry SET outcome = 'lapsed', error = 'ErasedBodyError', reason = 'its log retracts it, and its body was erased',
                 retry = 0, body = 'erased'
WHERE retry = 1 AND kind = 'signal' AND EXISTS
    (SELECT 1 FROM retraction r WHERE r.log = entry.log AND r.target = entry.leaf);

DELETE FROM outcome_count;
INSERT INTO outcome_count SELECT log, outcome, count(*) FROM entry GROUP BY log, outcome;

INSERT INTO log_day
SELECT log, day, count(*), count(*) FROM entry
WHERE kind IS NOT NULL AND kind <> 'retraction' AND error NOT IN
    ('DatedAheadError', 'DuplicateEntryError', 'ExpiryBeforeDayError', 'ExpiryTooFarError',
     'ExpiryTooSoonError')
GROUP BY log, day;

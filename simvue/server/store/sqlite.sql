-- The embedded store.  Keys are integers that never leave the store; ids are the 22
-- characters of the wire.  Times are microseconds since the epoch, except where noted.
-- JSON is text, so that NaN and infinities survive; what filters look at is in `attr`.

CREATE TABLE folder (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL UNIQUE,
    name TEXT,
    description TEXT,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    ttl INTEGER,
    starred INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE run (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,               -- SHA-256 of the body it was registered with
    name TEXT NOT NULL,
    description TEXT,
    folder INTEGER NOT NULL REFERENCES folder (key),
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    started INTEGER,
    endtime INTEGER,
    modified INTEGER NOT NULL,
    seen REAL NOT NULL,                 -- the last sign of life, in seconds of our own clock
    heartbeat_timeout NUMERIC,          -- seconds; NULL is for ever
    ttl INTEGER,
    starred INTEGER NOT NULL DEFAULT 0,
    abort TEXT,                         -- the reason; NULL is nobody asked
    metadata TEXT NOT NULL,
    system TEXT NOT NULL,
    visibility TEXT NOT NULL,
    notifications TEXT NOT NULL,
    alerts TEXT NOT NULL
);
CREATE INDEX run_created ON run (created);
CREATE INDEX run_folder ON run (folder);
CREATE INDEX run_name ON run (name);
CREATE INDEX run_running ON run (seen) WHERE status = 'running';

-- Runs that were deleted: a spool found months later must not raise them from the dead.
CREATE TABLE tombstone (
    id TEXT PRIMARY KEY,
    deleted INTEGER NOT NULL
) WITHOUT ROWID;

-- What filters see of a run's metadata and system, or of a folder's metadata (one of run and
-- folder is set): numbers in num, texts in txt, bools in both, containers and null in neither.
CREATE TABLE attr (
    run INTEGER REFERENCES run (key) ON DELETE CASCADE,
    folder INTEGER REFERENCES folder (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    num,
    txt TEXT
);
CREATE INDEX attr_run ON attr (run) WHERE run IS NOT NULL;
CREATE INDEX attr_folder ON attr (folder) WHERE folder IS NOT NULL;
-- Each attribute is in one of these: a commit writes every index page that it touches.
CREATE INDEX attr_num ON attr (name, num, run, folder) WHERE num IS NOT NULL;
CREATE INDEX attr_txt ON attr (name, txt, run, folder) WHERE txt IS NOT NULL;
CREATE INDEX attr_none ON attr (name, run, folder) WHERE num IS NULL AND txt IS NULL;

CREATE TABLE tag (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    colour TEXT NOT NULL,
    description TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE TABLE run_tag (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    tag INTEGER NOT NULL REFERENCES tag (key) ON DELETE CASCADE,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;
CREATE INDEX run_tag_tag ON run_tag (tag);
CREATE TABLE folder_tag (
    folder INTEGER NOT NULL REFERENCES folder (key) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    tag INTEGER NOT NULL REFERENCES tag (key) ON DELETE CASCADE,
    PRIMARY KEY (folder, place)
) WITHOUT ROWID;
CREATE INDEX folder_tag_tag ON folder_tag (tag);

-- A writer's key gives the order of first arrival.  The rows of bodies without a writer are
-- those of a writer without a name, numbered as they come.
CREATE TABLE writer (
    key INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (run, id)
);
CREATE TABLE span (
    writer INTEGER NOT NULL REFERENCES writer (key) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (writer, first)
) WITHOUT ROWID;

-- Summaries of a metric.  min, max and total are of the finite values only; last is a number,
-- or a text where SQLite has no such number ('NaN', integers from 2**63).
CREATE TABLE metric (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    finite INTEGER NOT NULL,
    total REAL NOT NULL,
    min,
    max,
    last,
    step INTEGER NOT NULL,
    time REAL,
    timestamp INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- A shape is an ordered set of metric names.  One without a run belongs to a run that is
-- being deleted: its bodies go in slices, so that nobody waits for a large one.
CREATE TABLE shape (
    key INTEGER PRIMARY KEY,
    run INTEGER REFERENCES run (key) ON DELETE SET NULL,
    digest BLOB NOT NULL,
    names TEXT NOT NULL,
    UNIQUE (run, digest)
);
CREATE TABLE body (
    key INTEGER PRIMARY KEY,
    shape INTEGER NOT NULL REFERENCES shape (key),
    writer INTEGER NOT NULL,
    first INTEGER NOT NULL,             -- the number of the row at place 0
    chunk BLOB NOT NULL
);
CREATE INDEX body_shape ON body (shape, writer, first);

CREATE TABLE event (
    key INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    log_level TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX event_run ON event (run, timestamp);

CREATE TABLE token (
    digest TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    tenant TEXT NOT NULL,
    is_admin INTEGER NOT NULL,
    expires REAL NOT NULL,
    extra TEXT NOT NULL
) WITHOUT ROWID;

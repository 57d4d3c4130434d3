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
    notifications TEXT NOT NULL
);
CREATE INDEX run_created ON run (created);
CREATE INDEX run_folder ON run (folder);
CREATE INDEX run_name ON run (name);
CREATE INDEX run_running ON run (seen) WHERE status = 'running';
CREATE INDEX run_ttl ON run (ttl) WHERE ttl IS NOT NULL;

-- Runs that were deleted: a spool found months later must not raise them from the dead.
CREATE TABLE tombstone (
    id TEXT PRIMARY KEY,
    deleted INTEGER NOT NULL
) WITHOUT ROWID;

-- What filters see of a run's metadata and system, or of the metadata of a folder or an artifact
-- (one of the three is set): numbers in num, texts in txt, bools in both, containers and null in
-- neither.
CREATE TABLE attr (
    run INTEGER REFERENCES run (key) ON DELETE CASCADE,
    folder INTEGER REFERENCES folder (key) ON DELETE CASCADE,
    artifact INTEGER REFERENCES artifact (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    num,
    txt TEXT
);
CREATE UNIQUE INDEX attr_run ON attr (run, name) WHERE run IS NOT NULL;
CREATE UNIQUE INDEX attr_folder ON attr (folder, name) WHERE folder IS NOT NULL;
CREATE UNIQUE INDEX attr_artifact ON attr (artifact, name) WHERE artifact IS NOT NULL;
-- Each attribute is in one of these: a commit writes every index page that it touches.
CREATE INDEX attr_num ON attr (name, num, run, folder, artifact) WHERE num IS NOT NULL;
CREATE INDEX attr_txt ON attr (name, txt, run, folder, artifact) WHERE txt IS NOT NULL;
CREATE INDEX attr_none ON attr (name, run, folder, artifact) WHERE num IS NULL AND txt IS NULL;

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

-- A definition is the wire's `alert` member as JSON with sorted keys, so that equal ones are
-- equal texts; NULL for alerts of users.
CREATE TABLE alert (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,               -- SHA-256 of the body it was created with
    name TEXT NOT NULL,
    description TEXT,
    source TEXT NOT NULL,
    definition TEXT,
    notification TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    abort INTEGER NOT NULL,
    auto INTEGER NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX alert_name ON alert (name);
CREATE TABLE run_alert (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    alert INTEGER NOT NULL REFERENCES alert (key) ON DELETE CASCADE,
    place INTEGER,                      -- in the run's list; NULL is not attached, only a status
    status TEXT,                        -- NULL until somebody sets it
    PRIMARY KEY (run, alert)
) WITHOUT ROWID;
CREATE INDEX run_alert_alert ON run_alert (alert);

-- The processes that share a run, in the attempt in which each took part.
CREATE TABLE process (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    launch TEXT NOT NULL,               -- the same for all ranks of a launch
    rank INTEGER,
    size INTEGER,                       -- how many ranks the launch has; NULL is nobody knows
    status TEXT NOT NULL,
    PRIMARY KEY (run, id)
) WITHOUT ROWID;

-- A writer's key gives the order of first arrival.  The rows of bodies without a writer are
-- those of a writer without a name, numbered as they come.
CREATE TABLE writer (
    key INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    rank INTEGER,                       -- of its process in a run that ranks share
    dropped INTEGER NOT NULL DEFAULT 0, -- rows that it lost to a full queue
    UNIQUE (run, id)
);
CREATE TABLE span (
    writer INTEGER NOT NULL REFERENCES writer (key) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (writer, first)
) WITHOUT ROWID;

-- Bodies without row numbers that came lately, by the SHA-256 of their bytes.
CREATE TABLE recent (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    stored INTEGER NOT NULL,
    PRIMARY KEY (run, digest)
) WITHOUT ROWID;
CREATE INDEX recent_stored ON recent (run, stored);

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
    key INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: what is new has a greater one
    shape INTEGER NOT NULL REFERENCES shape (key),
    writer INTEGER NOT NULL,
    first INTEGER NOT NULL,             -- the number of the row at place 0
    rows INTEGER NOT NULL DEFAULT 0,    -- how many it has; 0 until an upgrade has counted them
    chunk BLOB NOT NULL
);
CREATE INDEX body_shape ON body (shape, writer, first);

-- Where the rows of a run begin and end along each axis; a time that no row has is NULL.
CREATE TABLE extent (
    run INTEGER PRIMARY KEY REFERENCES run (key) ON DELETE CASCADE,
    step_low INTEGER NOT NULL,
    step_high INTEGER NOT NULL,
    time_low REAL,
    time_high REAL,
    timestamp_low INTEGER NOT NULL,
    timestamp_high INTEGER NOT NULL
);

-- Rows of folds that lie among the blobs, one behind the other: where those can be had by range.
CREATE TABLE pack (
    key INTEGER PRIMARY KEY,
    place TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL
);

-- Bodies that were folded.  At level 0 a fold holds rows of one shape and writer, and cells that
-- sum them up; above it, cells that sum up those of its children, and no rows.
CREATE TABLE fold (
    key INTEGER PRIMARY KEY,
    shape INTEGER NOT NULL REFERENCES shape (key),
    writer INTEGER NOT NULL,
    level INTEGER NOT NULL,
    parent INTEGER,                     -- the fold of the next level that sums it up
    sealed INTEGER NOT NULL,            -- large enough to be left as it is
    first INTEGER NOT NULL,             -- its least row number
    rows INTEGER NOT NULL,
    step_low INTEGER NOT NULL,
    step_high INTEGER NOT NULL,
    time_low REAL,
    time_high REAL,
    timestamp_low INTEGER NOT NULL,
    timestamp_high INTEGER NOT NULL,
    ascending INTEGER NOT NULL,         -- bits 1, 2, 4: its rows ascend in step, time, timestamp
    cells BLOB NOT NULL,
    axes BLOB,                          -- NULL above level 0, and in a pack
    pack INTEGER REFERENCES pack (key), -- where axes, and rows of its chunks, lie instead
    start INTEGER,                      -- of axes in the pack, in bytes
    size INTEGER
);
CREATE INDEX fold_shape ON fold (shape, parent, level, writer, first);
CREATE INDEX fold_pack ON fold (pack) WHERE pack IS NOT NULL;
CREATE INDEX fold_loose ON fold (shape) WHERE level = 0 AND sealed AND pack IS NULL;
CREATE TABLE chunk (
    key INTEGER PRIMARY KEY,
    fold INTEGER NOT NULL REFERENCES fold (key) ON DELETE CASCADE,
    metric INTEGER NOT NULL,            -- its place among the names of the shape
    cells BLOB NOT NULL,
    rows BLOB,                          -- NULL above level 0, and in a pack
    start INTEGER,                      -- of rows in the pack of the fold, in bytes
    size INTEGER,
    UNIQUE (fold, metric)
);
CREATE TRIGGER fold_gone AFTER DELETE ON fold
WHEN OLD.pack IS NOT NULL AND NOT EXISTS (SELECT 1 FROM fold WHERE pack = OLD.pack)
BEGIN
    DELETE FROM pack WHERE key = OLD.pack;
END;

-- Work that one process does for all that share the store.
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until REAL NOT NULL                 -- in seconds of the store's clock
) WITHOUT ROWID;

CREATE TABLE event (
    key INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    log_level TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX event_run ON event (run, timestamp);

CREATE TABLE tenant (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    is_enabled INTEGER NOT NULL,
    max_request_rate INTEGER NOT NULL,
    max_runs INTEGER NOT NULL,
    max_data_volume INTEGER NOT NULL,
    created INTEGER NOT NULL
);
-- What a user has made names its owner: those who leave stay its owners.
CREATE TABLE "user" (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL REFERENCES tenant (key) ON DELETE CASCADE,
    fullname TEXT NOT NULL,
    email TEXT NOT NULL,
    is_manager INTEGER NOT NULL,
    is_admin INTEGER NOT NULL,
    is_readonly INTEGER NOT NULL,
    is_enabled INTEGER NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX user_tenant ON "user" (tenant);
-- Storages are names under which artifacts are kept; those of files all lie in the one folder.
CREATE TABLE storage (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    backend TEXT NOT NULL,
    config TEXT NOT NULL,               -- with its secrets, which no answer holds
    is_default INTEGER NOT NULL,
    is_enabled INTEGER NOT NULL,
    is_tenant_useable INTEGER NOT NULL,
    created INTEGER NOT NULL
);
INSERT INTO storage VALUES (
    1, substr(hex(randomblob(11)), 1, 22), 'admin', 'default', 'File', '{}', 1, 1, 1,
    strftime('%s', 'now') * 1000000
);

-- Bytes, each content once.  A place is never used again: a blob of the same content, stored
-- after the first was deleted, has another.
CREATE TABLE blob (
    key INTEGER PRIMARY KEY,
    checksum TEXT NOT NULL UNIQUE,      -- SHA-256, hexadecimal
    size INTEGER NOT NULL,
    place TEXT NOT NULL
);
-- Places that no blob and no pack has: being written (busy), or left by one that is no more.
CREATE TABLE litter (
    place TEXT PRIMARY KEY,
    busy INTEGER NOT NULL,
    since INTEGER NOT NULL DEFAULT 0    -- when it was begun
) WITHOUT ROWID;

CREATE TABLE artifact (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,               -- SHA-256 of the body it was registered with
    name TEXT NOT NULL,
    original_path TEXT NOT NULL,
    size INTEGER NOT NULL,              -- as its client said; the blob knows better
    mime_type TEXT NOT NULL,
    checksum TEXT NOT NULL,
    metadata TEXT NOT NULL,
    storage INTEGER NOT NULL REFERENCES storage (key),
    blob INTEGER REFERENCES blob (key), -- NULL until it is uploaded
    created INTEGER NOT NULL
);
CREATE INDEX artifact_checksum ON artifact (checksum);
CREATE INDEX artifact_blob ON artifact (blob) WHERE blob IS NOT NULL;
CREATE INDEX artifact_storage ON artifact (storage);
CREATE TABLE run_artifact (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    artifact INTEGER NOT NULL REFERENCES artifact (key) ON DELETE CASCADE,
    category TEXT NOT NULL,
    PRIMARY KEY (run, artifact)
) WITHOUT ROWID;
CREATE INDEX run_artifact_artifact ON run_artifact (artifact);

-- However the last run of an artifact goes, the artifact goes with it, and its bytes with the
-- last artifact that has them.
CREATE TRIGGER run_artifact_gone AFTER DELETE ON run_artifact
WHEN NOT EXISTS (SELECT 1 FROM run_artifact WHERE artifact = OLD.artifact)
BEGIN
    DELETE FROM artifact WHERE key = OLD.artifact;
END;
CREATE TRIGGER artifact_gone AFTER DELETE ON artifact
WHEN OLD.blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM artifact WHERE blob = OLD.blob)
BEGIN
    DELETE FROM blob WHERE key = OLD.blob;
END;
CREATE TRIGGER blob_gone AFTER DELETE ON blob
BEGIN
    INSERT INTO litter (place, busy) VALUES (OLD.place, 0);
END;
CREATE TRIGGER pack_gone AFTER DELETE ON pack
BEGIN
    INSERT INTO litter (place, busy) VALUES (OLD.place, 0);
END;

-- Grids, and the arrays that runs log on them.  A field is one metric of a run on one grid; one
-- without a run belongs to a run that is being deleted, as with shapes.
CREATE TABLE grid (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    grid TEXT NOT NULL,                 -- the ticks of each axis
    labels TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE TABLE field (
    key INTEGER PRIMARY KEY,
    run INTEGER REFERENCES run (key) ON DELETE SET NULL,
    name TEXT NOT NULL,
    grid INTEGER NOT NULL REFERENCES grid (key),
    UNIQUE (run, name, grid)
);
CREATE INDEX field_grid ON field (grid);
CREATE TABLE tensor (
    key INTEGER PRIMARY KEY,
    field INTEGER NOT NULL REFERENCES field (key),
    step INTEGER NOT NULL,
    time REAL,
    timestamp INTEGER NOT NULL,
    dtype TEXT NOT NULL,                -- numpy's: <f8, <i8 or <u8
    shape TEXT NOT NULL,
    data BLOB NOT NULL                  -- compressed by zstd
);
CREATE INDEX tensor_step ON tensor (field, step, timestamp);

CREATE TABLE token (
    key INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,        -- SHA-256 of its text, which nobody keeps
    id TEXT NOT NULL UNIQUE,
    "user" INTEGER NOT NULL REFERENCES "user" (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires REAL NOT NULL
);
CREATE INDEX token_user ON token ("user");

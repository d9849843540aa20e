"""The tables of catalog.db, and how an older file becomes a newer one; `connection` does it.

MIGRATIONS[n] takes `user_version` n to n + 1. A script that was released is never edited; a change
is a new script at the end. Times are microseconds since 1970, UTC.
"""

MIGRATIONS = (
    """
    CREATE TABLE models (
      model_id     TEXT PRIMARY KEY,
      create_time  INTEGER NOT NULL,
      next_version INTEGER NOT NULL CHECK (next_version > 0)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE versions (
      model_id        TEXT    NOT NULL REFERENCES models ON DELETE CASCADE,
      version         INTEGER NOT NULL CHECK (version > 0),
      create_time     INTEGER NOT NULL,
      architecture    TEXT    NOT NULL,
      family          TEXT    NOT NULL,
      parameter_count INTEGER NOT NULL,
      context_length  INTEGER NOT NULL,
      vocabulary_size INTEGER NOT NULL,
      dtype           TEXT    NOT NULL,
      byte_size       INTEGER NOT NULL,
      digest          TEXT    NOT NULL,
      license         TEXT    NOT NULL,
      source          TEXT    NOT NULL,
      chat            INTEGER NOT NULL CHECK (chat IN (0, 1)),
      PRIMARY KEY (model_id, version)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE aliases (
      model_id TEXT    NOT NULL,
      alias    TEXT    NOT NULL,
      version  INTEGER NOT NULL,
      PRIMARY KEY (model_id, alias),
      FOREIGN KEY (model_id, version) REFERENCES versions ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX aliases_by_version ON aliases (model_id, version);

    CREATE TABLE wanted (
      model_id   TEXT    NOT NULL,
      version    INTEGER NOT NULL,
      keep_alive REAL,
      dtype      TEXT    NOT NULL,
      PRIMARY KEY (model_id, version),
      FOREIGN KEY (model_id, version) REFERENCES versions ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE operations (
      position       INTEGER PRIMARY KEY AUTOINCREMENT,
      operation_id   TEXT    NOT NULL UNIQUE,
      kind           TEXT    NOT NULL,
      target         TEXT    NOT NULL,
      state          TEXT    NOT NULL
        CHECK (state IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'INTERRUPTED')),
      request_id     TEXT    UNIQUE,
      payload_digest TEXT    NOT NULL,
      create_time    INTEGER NOT NULL,
      end_time       INTEGER,
      result         BLOB
    ) STRICT;
    CREATE INDEX operations_running ON operations (state) WHERE state = 'RUNNING';

    CREATE TABLE events (
      operation_id TEXT    NOT NULL REFERENCES operations (operation_id) ON DELETE CASCADE,
      sequence     INTEGER NOT NULL CHECK (sequence > 0),
      create_time  INTEGER NOT NULL,
      payload      BLOB    NOT NULL,
      PRIMARY KEY (operation_id, sequence)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    DELETE FROM events; -- progress of operations that have ended, in another encoding
    ALTER TABLE operations ADD COLUMN durable INTEGER NOT NULL DEFAULT 0 CHECK (durable IN (0, 1));
    ALTER TABLE operations ADD COLUMN phase TEXT NOT NULL DEFAULT ''
      CHECK (phase IN ('', 'QUEUED', 'RUNNING', 'PAUSED'));

    CREATE TABLE datasets (
      dataset_id   TEXT PRIMARY KEY,
      create_time  INTEGER NOT NULL,
      next_version INTEGER NOT NULL CHECK (next_version > 0)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE dataset_versions (
      dataset_id  TEXT    NOT NULL REFERENCES datasets ON DELETE CASCADE,
      version     INTEGER NOT NULL CHECK (version > 0),
      create_time INTEGER NOT NULL,
      kind        TEXT    NOT NULL,
      row_count   INTEGER NOT NULL,
      byte_size   INTEGER NOT NULL,
      digest      TEXT    NOT NULL,
      license     TEXT    NOT NULL,
      source      TEXT    NOT NULL,
      PRIMARY KEY (dataset_id, version)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE evaluations (
      position      INTEGER PRIMARY KEY AUTOINCREMENT,
      evaluation_id TEXT    NOT NULL UNIQUE,
      model_id      TEXT    NOT NULL,
      version       INTEGER NOT NULL,
      create_time   INTEGER NOT NULL,
      summary       BLOB    NOT NULL
    ) STRICT;
    CREATE INDEX evaluations_by_version ON evaluations (model_id, version);
    """,
    """
    CREATE TABLE promotions (
      position        INTEGER PRIMARY KEY AUTOINCREMENT,
      model_id        TEXT    NOT NULL REFERENCES models ON DELETE CASCADE,
      alias           TEXT    NOT NULL,
      version         INTEGER NOT NULL,
      previous        INTEGER,
      cause           TEXT    NOT NULL CHECK (cause IN ('PROMOTED', 'SET', 'PUBLISHED')),
      operation_id    TEXT    NOT NULL,
      create_time     INTEGER NOT NULL,
      watching        TEXT,
      probation_end   INTEGER,
      rollback_time   INTEGER,
      rollback_reason TEXT    NOT NULL DEFAULT '',
      automatic       INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1))
    ) STRICT;
    CREATE INDEX promotions_by_alias ON promotions (model_id, alias, position);

    CREATE TABLE gate_policies (
      model_id   TEXT NOT NULL REFERENCES models ON DELETE CASCADE,
      alias      TEXT NOT NULL,
      conditions TEXT NOT NULL,
      PRIMARY KEY (model_id, alias)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE probes (
      digest   TEXT NOT NULL, -- of the version's manifest
      setting  TEXT NOT NULL, -- what computed it, where bits may differ
      numbers  TEXT NOT NULL,
      PRIMARY KEY (digest, setting)
    ) STRICT, WITHOUT ROWID;

    -- Wanted by its number, not through an alias that may move.
    ALTER TABLE wanted ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
    """,
    """
    CREATE TABLE feedback (
      position      INTEGER PRIMARY KEY AUTOINCREMENT,
      feedback_id   TEXT    NOT NULL UNIQUE,
      create_time   INTEGER NOT NULL,
      generation    TEXT    NOT NULL,
      model_id      TEXT    NOT NULL,
      version       INTEGER NOT NULL,
      model_digest  TEXT    NOT NULL,
      kind          TEXT    NOT NULL
        CHECK (kind IN ('UP', 'DOWN', 'EDIT', 'BETTER', 'TIE', 'WORSE')),
      other_version TEXT    NOT NULL,
      consent       INTEGER NOT NULL CHECK (consent IN (0, 1)),
      tenant        TEXT    NOT NULL,
      subject       TEXT    NOT NULL,
      prompt        TEXT    NOT NULL,
      answer        TEXT    NOT NULL,
      other_answer  TEXT    NOT NULL,
      edit          TEXT    NOT NULL,
      comment       TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX feedback_by_model ON feedback (model_id, version);
    CREATE INDEX feedback_by_subject ON feedback (subject) WHERE subject <> '';

    CREATE TABLE feedback_exports (
      feedback_id TEXT    NOT NULL REFERENCES feedback (feedback_id) ON DELETE CASCADE,
      dataset_id  TEXT    NOT NULL,
      version     INTEGER NOT NULL,
      PRIMARY KEY (feedback_id, dataset_id, version)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE versions ADD COLUMN notes TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE tokens (
      token_id      TEXT    NOT NULL PRIMARY KEY,
      name          TEXT    NOT NULL,
      role          TEXT    NOT NULL CHECK (role IN ('use', 'manage', 'admin')),
      tenant        TEXT    NOT NULL,
      salt          BLOB    NOT NULL,
      digest        BLOB    NOT NULL, -- SHA-256 of the salt and the secret
      create_time   INTEGER NOT NULL,
      expire_time   INTEGER,
      revoke_time   INTEGER,
      last_use_time INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX tokens_by_name ON tokens (name) WHERE revoke_time IS NULL;
    """,
    """
    ALTER TABLE operations ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    CREATE INDEX operations_by_tenant ON operations (tenant, position);
    """,
)

CREATE TABLE experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, artifact_location TEXT NOT NULL,
    lifecycle TEXT NOT NULL DEFAULT 'active', created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE TABLE experiment_tags (
    experiment INTEGER NOT NULL REFERENCES experiments, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (experiment, key)) STRICT, WITHOUT ROWID;
INSERT INTO experiments (id, name, artifact_location, created, updated)
    VALUES (0, 'Default', 'mlflow-artifacts:/0', unixepoch() * 1000, unixepoch() * 1000);

CREATE TABLE runs (
    id TEXT PRIMARY KEY, experiment INTEGER NOT NULL REFERENCES experiments, name TEXT NOT NULL, user TEXT NOT NULL,
    status TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, artifact_uri TEXT NOT NULL,
    lifecycle TEXT NOT NULL DEFAULT 'active') STRICT;
CREATE INDEX runs_by_experiment ON runs (experiment, started);
CREATE TABLE run_tags (
    run TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;
CREATE INDEX run_tags_by_value ON run_tags (key, value);
CREATE TABLE run_params (
    run TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;
CREATE TABLE metrics (
    run TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, timestamp INTEGER NOT NULL, step INTEGER NOT NULL,
    value REAL NOT NULL, is_nan INTEGER NOT NULL,
    PRIMARY KEY (run, key, timestamp, step, value, is_nan)) STRICT, WITHOUT ROWID;
CREATE TABLE latest_metrics (
    run TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, timestamp INTEGER NOT NULL, step INTEGER NOT NULL,
    value REAL NOT NULL, is_nan INTEGER NOT NULL,
    PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;
CREATE TABLE run_datasets (
    run TEXT NOT NULL REFERENCES runs, name TEXT NOT NULL, digest TEXT NOT NULL, source_type TEXT NOT NULL,
    source TEXT NOT NULL, schema TEXT, profile TEXT, tags TEXT NOT NULL, context TEXT,
    PRIMARY KEY (run, name, digest)) STRICT;
CREATE TABLE run_models (
    run TEXT NOT NULL REFERENCES runs, direction TEXT NOT NULL, model TEXT NOT NULL, step INTEGER NOT NULL,
    PRIMARY KEY (run, direction, model, step)) STRICT, WITHOUT ROWID;

CREATE TABLE logged_models (
    id TEXT PRIMARY KEY, experiment INTEGER NOT NULL REFERENCES experiments, name TEXT NOT NULL,
    artifact_uri TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, status INTEGER NOT NULL,
    model_type TEXT, source_run TEXT, lifecycle TEXT NOT NULL DEFAULT 'active') STRICT;
CREATE INDEX logged_models_by_experiment ON logged_models (experiment, created);
CREATE TABLE logged_model_tags (
    model TEXT NOT NULL REFERENCES logged_models, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (model, key)) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_params (
    model TEXT NOT NULL REFERENCES logged_models, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (model, key)) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_metrics (
    model TEXT NOT NULL REFERENCES logged_models, key TEXT NOT NULL, timestamp INTEGER NOT NULL,
    step INTEGER NOT NULL, run TEXT NOT NULL, value REAL NOT NULL, is_nan INTEGER NOT NULL,
    dataset_name TEXT, dataset_digest TEXT,
    PRIMARY KEY (model, key, timestamp, step, run)) STRICT, WITHOUT ROWID;

CREATE TABLE registered_models (
    name TEXT PRIMARY KEY, created INTEGER NOT NULL, updated INTEGER NOT NULL, description TEXT NOT NULL) STRICT;
CREATE TABLE registered_model_tags (
    name TEXT NOT NULL REFERENCES registered_models ON UPDATE CASCADE ON DELETE CASCADE,
    key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name, key)) STRICT, WITHOUT ROWID;
CREATE TABLE model_aliases (
    name TEXT NOT NULL REFERENCES registered_models ON UPDATE CASCADE ON DELETE CASCADE,
    alias TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (name, alias)) STRICT, WITHOUT ROWID;
CREATE TABLE model_versions (
    name TEXT NOT NULL REFERENCES registered_models ON UPDATE CASCADE ON DELETE CASCADE,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, stage TEXT NOT NULL,
    description TEXT NOT NULL, source TEXT NOT NULL, storage TEXT NOT NULL, run TEXT NOT NULL, run_link TEXT NOT NULL,
    PRIMARY KEY (name, version)) STRICT;
CREATE INDEX model_versions_by_run ON model_versions (run);
CREATE TABLE model_version_tags (
    name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (name, version, key),
    FOREIGN KEY (name, version) REFERENCES model_versions ON UPDATE CASCADE ON DELETE CASCADE) STRICT, WITHOUT ROWID;

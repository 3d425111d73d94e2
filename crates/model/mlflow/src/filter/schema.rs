//! What each search knows.

use super::Entity;

/// The entities and attributes of one search.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Words before the point, and the entity each means.
    pub prefixes: &'static [(&'static str, Entity)],
    /// Attributes that hold text.
    pub text: &'static [&'static str],
    /// Attributes that hold whole numbers.
    pub numbers: &'static [&'static str],
    /// Attributes that may be compared with a list.
    pub lists: &'static [&'static str],
    /// Entities that know `IS NULL`.
    pub nullable: &'static [Entity],
    /// Other names of attributes.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Attributes that results may be ordered by.
    pub order: &'static [&'static str],
    /// `IN` also works on tags and parameters (only for logged models).
    pub lists_everywhere: bool,
}

const TAGS: [(&str, Entity); 3] =
    [("attribute", Entity::Attribute), ("tag", Entity::Tag), ("tags", Entity::Tag)];

/// Runs.
pub const RUNS: Schema = Schema {
    prefixes: &[
        ("metric", Entity::Metric),
        ("metrics", Entity::Metric),
        ("parameter", Entity::Param),
        ("parameters", Entity::Param),
        ("param", Entity::Param),
        ("params", Entity::Param),
        ("tag", Entity::Tag),
        ("tags", Entity::Tag),
        ("attribute", Entity::Attribute),
        ("attributes", Entity::Attribute),
        ("attr", Entity::Attribute),
        ("run", Entity::Attribute),
        ("dataset", Entity::Dataset),
        ("datasets", Entity::Dataset),
    ],
    text: &["run_id", "run_name", "status", "artifact_uri", "user_id"],
    numbers: &["start_time", "end_time"],
    lists: &["run_id"],
    nullable: &[Entity::Param, Entity::Tag],
    aliases: &[
        ("created", "start_time"),
        ("Created", "start_time"),
        ("run name", "run_name"),
        ("Run name", "run_name"),
        ("Run Name", "run_name"),
    ],
    order: &["start_time", "end_time", "status", "artifact_uri", "user_id", "run_name", "run_id"],
    lists_everywhere: false,
};

/// Experiments.
pub const EXPERIMENTS: Schema = Schema {
    prefixes: &TAGS,
    text: &["name", "experiment_id"],
    numbers: &["creation_time", "last_update_time"],
    lists: &["experiment_id"],
    nullable: &[Entity::Tag],
    aliases: &[],
    order: &["name", "experiment_id", "creation_time", "last_update_time"],
    lists_everywhere: false,
};

/// Registered models.
pub const REGISTERED_MODELS: Schema = Schema {
    prefixes: &TAGS,
    text: &["name"],
    numbers: &[],
    lists: &["name"],
    nullable: &[],
    aliases: &[("timestamp", "last_updated_timestamp")],
    order: &["name", "last_updated_timestamp"],
    lists_everywhere: false,
};

/// Versions of registered models.
pub const MODEL_VERSIONS: Schema = Schema {
    prefixes: &TAGS,
    text: &["name", "run_id", "source_path"],
    numbers: &["version_number"],
    lists: &["name", "run_id"],
    nullable: &[],
    aliases: &[],
    order: &["name", "version_number", "creation_timestamp", "last_updated_timestamp"],
    lists_everywhere: false,
};

/// Logged models.
pub const LOGGED_MODELS: Schema = Schema {
    prefixes: &[
        ("attributes", Entity::Attribute),
        ("metrics", Entity::Metric),
        ("params", Entity::Param),
        ("tags", Entity::Tag),
    ],
    text: &["name", "model_id", "model_type", "source_run_id", "experiment_id", "artifact_location"],
    numbers: &["status", "creation_timestamp_ms", "last_updated_timestamp_ms"],
    lists: &["name", "model_id", "model_type", "source_run_id"],
    nullable: &[],
    aliases: &[
        ("creation_time", "creation_timestamp_ms"),
        ("creation_timestamp", "creation_timestamp_ms"),
        ("last_updated_timestamp", "last_updated_timestamp_ms"),
    ],
    order: &[
        "name",
        "model_id",
        "model_type",
        "status",
        "creation_timestamp_ms",
        "last_updated_timestamp_ms",
    ],
    lists_everywhere: true,
};

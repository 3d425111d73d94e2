//! Charts and directories become manifests.

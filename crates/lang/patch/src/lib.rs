//! Patches of objects: merge patch, JSON patch, strategic merge and three-way diffs.

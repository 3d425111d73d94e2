//! Desired against live: comparison, plan, health and waves.

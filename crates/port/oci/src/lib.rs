//! OCI images: content store, building, pulling, pushing.

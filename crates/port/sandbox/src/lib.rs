//! Processes in namespaces of their own, or as plain processes where the kernel refuses.

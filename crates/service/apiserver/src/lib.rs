//! A Kubernetes-style API for any resource.

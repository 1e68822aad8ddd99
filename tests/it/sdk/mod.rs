//! The official SDKs, unmodified.

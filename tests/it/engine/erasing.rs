//! Forgetting and deactivating, to the end and cut short.

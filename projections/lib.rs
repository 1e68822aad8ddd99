//! What can be asked of Rollcall.

//! What becomes of the log when something breaks.

//! What is promised: every test name is a sentence that can be false.

//! After an erasure nobody sees the person, at no moment.

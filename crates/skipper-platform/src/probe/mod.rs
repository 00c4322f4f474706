//! One health attempt.

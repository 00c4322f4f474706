//! The doors. Each is thin: it translates a request, calls one verb, and translates the answer.

pub mod own;

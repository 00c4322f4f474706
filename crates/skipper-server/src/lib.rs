//! For whom: the verbs with their rules, the API in front of them, who may call it, and the server's configuration.

pub mod api;

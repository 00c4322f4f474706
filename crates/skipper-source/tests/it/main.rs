//! What the crate promises, from outside.

mod application;
mod archive;
mod classic;
mod index;
mod mustache;
mod package;
mod property;
mod starter;
mod support;
mod values;
mod yaml;
mod zip_bytes;

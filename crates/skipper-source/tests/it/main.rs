//! What the crate promises, from outside.

mod app;
mod application;
mod archive;
mod classic;
mod index;
mod kind;
mod mustache;
mod original;
mod package;
mod property;
mod starter;
mod support;
mod tenant;
mod values;
mod yaml;
mod zip_bytes;

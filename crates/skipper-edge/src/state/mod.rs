//! What the edge has been told, who may tell it, and how it survives: the owner of the table.

mod books;
mod journal;
mod registry;

pub(crate) use self::{
    journal::{Journal, Record},
    registry::{Change, Registry, Restored},
};

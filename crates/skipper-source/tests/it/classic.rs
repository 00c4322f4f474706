//! Packages of the field: own fixtures always, the body of vectors where `SKIPPER_VECTORS` names its folder.

mod golden;
mod reading;
mod rendering;
mod vectors;

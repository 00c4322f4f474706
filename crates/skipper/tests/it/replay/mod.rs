//! The original's exchanges, asked again and compared.

mod compare;
mod exchange;
mod m1;
mod v2;

use std::path::PathBuf;

/// Where the recorded exchanges lie: `SKIPPER_VECTORS`. `None`, and a line, where it is not set.
fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("SKIPPER_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: replaying the original's exchanges needs their folder in SKIPPER_VECTORS");
    }
    folder
}

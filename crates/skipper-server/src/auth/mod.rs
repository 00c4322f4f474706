//! Who asks: bearer tokens, tokens and a configured password by Basic authentication, and the one rule under which none is needed.
//!
//! What they may do is decided by [`skipper_core::policy::decide`], which every verb asks.

mod authenticate;
mod loopback;
pub(crate) mod node;
pub(crate) mod oidc;

pub(crate) use authenticate::{authenticate, is_signed};
pub use loopback::{NotLocal, judge};

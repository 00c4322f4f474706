//! Ids of deploys: `dep_` and the rollout's id as a ULID, which has the same 128 bits.

use skipper_core::id::RolloutId;
use uuid::Uuid;

const PREFIX: &str = "dep_";
/// Crockford's 32 digits, as slip writes them.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// The id of a rollout as a deploy's.
pub(super) fn of(rollout: RolloutId) -> String {
    let bits = rollout.uuid().as_u128();
    let digits = (0..LENGTH).rev().map(|at| char::from(DIGITS[usize::try_from(bits >> (5 * at) & 31).unwrap_or(0)]));
    PREFIX.chars().chain(digits).collect()
}

/// The rollout of a deploy's id, in either case.
pub(crate) fn parse(text: &str) -> Option<RolloutId> {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == LENGTH)?;
    let mut bits = 0_u128;
    for digit in digits.bytes().map(|digit| digit.to_ascii_lowercase()) {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        // More than 128 bits are nobody's id.
        bits = bits.checked_mul(32)?.checked_add(u128::try_from(value).ok()?)?;
    }
    Some(RolloutId::from_uuid(Uuid::from_u128(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_and_what_is_none_does_not() {
        for bits in [0, 1, 0x0197_0000_0000_7000_8000_0000_0000_0001, u128::MAX] {
            let id = RolloutId::from_uuid(Uuid::from_u128(bits));
            let text = of(id);
            assert_eq!(text.len(), 30);
            assert_eq!(parse(&text), Some(id), "{text}");
        }
        for wrong in [
            "",
            "dep_",
            "dep_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "dep_0000000000000000000000000u",
            "00000000000000000000000000",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

//! Numbers of rows on the wire. What is built in is numbered below zero, and clients read positive numbers.

/// The number on the wire of a row numbered [`LOWEST`]: above what any other row gets, and exact as a floating-point number.
const BUILT_IN: i64 = 9_000_000_000_000;
/// No row has a lower number.
const LOWEST: i64 = -1_000_000;

/// The number on the wire.
pub(in crate::api::releases) const fn shown(num: i64) -> i64 {
    if num < 0 { BUILT_IN + num - LOWEST } else { num }
}

/// The row that a number on the wire means, as it stands in a path.
pub(in crate::api::releases) fn meant(text: &str) -> Option<i64> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0)?;
    Some(if number >= BUILT_IN { number - BUILT_IN + LOWEST } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_is_positive() {
        for num in [1, 42, 1 << 40, -1, -7, LOWEST] {
            assert!(shown(num) > 0);
            assert_eq!(meant(&shown(num).to_string()), Some(num));
        }
        assert!(shown(-1) > shown(-2), "the order stays");
        for text in ["", "0", "-1", "x", "1.0", "99999999999999999999"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}

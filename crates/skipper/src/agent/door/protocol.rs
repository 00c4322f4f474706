use std::ops::RangeInclusive;

use skipper_source::fleet::PROTOCOL;

/// Why server and agent do not go together, if they do not. `said` is the server's header: `2`, or `1-2`; what is neither says nothing.
pub(super) fn mismatch(said: &str) -> Option<String> {
    let range = range(said)?;
    if range.contains(&PROTOCOL) {
        return None;
    }
    let own = env!("CARGO_PKG_VERSION");
    let (low, high) = (range.start(), range.end());
    let advice = if PROTOCOL < *low {
        "upgrade this agent to the version of the server"
    } else {
        "upgrade the server to the version of this agent, or run an older agent"
    };
    Some(format!(
        "the server speaks protocol {low} to {high}, and this agent (version {own}) speaks {PROTOCOL}: {advice}"
    ))
}

fn range(said: &str) -> Option<RangeInclusive<u32>> {
    let (low, high) = said.split_once('-').unwrap_or((said, said));
    let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    (low <= high).then_some(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_without_ours_is_a_mismatch() {
        assert_eq!(PROTOCOL, 1, "these are written for it");
        for fine in ["1", "0-1", "1-2", "1 - 3", "", "x", "2-", "3-1"] {
            assert_eq!(mismatch(fine), None, "{fine}");
        }
        assert!(mismatch("2-3").expect("excluded").contains("upgrade this agent"));
        assert!(mismatch("0").expect("excluded").contains("upgrade the server"));
    }
}

//! Spans and sizes as people write them.

use std::time::Duration;

/// Units of time, longest name first, so that `ms` is not read as `m`.
const SPANS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 7] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("B", 1)];

/// Parses `500ms`, `30s`, `1h30m`, `7d`.
///
/// # Errors
///
/// A sentence that says how a span is written.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is not a span of time: write it as 500ms, 30s, 1h30m or 7d", shorten(text));
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = &rest[digits..unit_end];
        let factor = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        millis = number.checked_mul(factor).and_then(|m| millis.checked_add(m)).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    Ok(Duration::from_millis(millis))
}

/// Parses a size in bytes: `1048576`, `512KiB`, `64MiB`, `64Mi`.
///
/// # Errors
///
/// A sentence that says how a size is written.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a size: write it as 65536, 512KiB, 64MiB or 1GiB", shorten(text));
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim_start();
    let factor = match unit {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up_and_need_a_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "-1s", "1w", "1.5h", "99999999999999999999s", "ü"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [("17", 17), ("1KiB", 1024), ("64MiB", 64 << 20), ("2Gi", 2 << 30), ("3 B", 3)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "1MB", "-1", "1.5GiB", "99999999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}

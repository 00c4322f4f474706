//! Durations as Spring's shell takes them for `--timeout-expression`.

use std::time::Duration;

/// Reads `PT15M`, `P1DT2H`, `90s`, `5m`, `1500`: ISO 8601, or a number with `ns`, `ms`, `s`, `m`, `h` or `d` in any case;
/// without a unit it is milliseconds.
///
/// # Errors
///
/// It is none of these, or below zero.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write PT15M, 15m, 90s or 1500 (milliseconds)");
    let nanos = iso(text).or_else(|| simple(text)).ok_or_else(wrong)?;
    let nanos = u128::try_from(nanos)
        .map_err(|_| format!("`{text}` is below zero; how long to wait is PT15M, 15m, 90s or 1500"))?;
    let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| wrong())?;
    Ok(Duration::new(secs, u32::try_from(nanos % 1_000_000_000).unwrap_or_default()))
}

/// For the wire.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds of a unit; the empty one is milliseconds.
fn unit(word: &str) -> Option<i128> {
    Some(match word.to_ascii_lowercase().as_str() {
        "ns" => 1,
        "us" => 1_000,
        "" | "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

fn simple(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: i64 = digits[..end].parse().ok()?;
    let nanos = i128::from(number) * unit(&digits[end..])?;
    Some(if text.starts_with('-') { -nanos } else { nanos })
}

/// `[-+]PnDTnHnMn.nS`, each number with a sign of its own, at least one of them.
fn iso(text: &str) -> Option<i128> {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let rest = rest.strip_prefix(['P', 'p'])?;
    let (days, time) = match rest.find(['T', 't']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if time == Some("") || (days.is_empty() && time.is_none()) {
        return None;
    }
    let total = parts(days, &['D'])? + parts(time.unwrap_or_default(), &['H', 'M', 'S'])?;
    Some(if text.starts_with('-') { -total } else { total })
}

/// Numbers, each with one of the units, in their order.
fn parts(text: &str, units: &[char]) -> Option<i128> {
    let (mut rest, mut left, mut total) = (text, units, 0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, word) = (&rest[..end], rest[end..].chars().next()?.to_ascii_uppercase());
        let at = left.iter().position(|unit| *unit == word)?;
        left = &left[at + 1..];
        total += scaled(number, word)?;
        rest = &rest[end + 1..];
    }
    Some(total)
}

fn scaled(number: &str, word: char) -> Option<i128> {
    let size = unit(&word.to_string())?;
    let (whole, fraction) = match number.split_once(['.', ',']) {
        // Only seconds have one.
        Some((whole, fraction)) if word == 'S' => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if fraction.len() > 9 || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse::<i128>().ok()? };
    let nanos = if whole.starts_with('-') { -nanos } else { nanos };
    let whole: i64 = whole.parse().ok()?;
    Some(i128::from(whole) * size + nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_the_original_is_read() {
        for (text, millis) in [
            ("1500", 1500),
            ("+1500", 1500),
            ("90s", 90_000),
            ("5m", 300_000),
            ("5M", 300_000),
            ("2H", 7_200_000),
            ("1d", 86_400_000),
            ("250ms", 250),
            ("2000000ns", 2),
            ("PT15M", 900_000),
            ("pt0.5s", 500),
            ("PT-1H90M", 1_800_000),
            ("P1DT2H3M4.5S", 93_784_500),
            ("-PT-6H", 21_600_000),
            ("P2D", 172_800_000),
        ] {
            assert_eq!(parse(text).map(|span| span.as_millis()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_none_or_below_zero_is_refused() {
        for text in [
            "",
            "abc",
            "5x",
            "PT",
            "P",
            "1.5s",
            "PT1.5H",
            "PT5M3H",
            "-5s",
            "-PT6H3M",
            "5 m",
            "PT5",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[-+PTptDHMSnsmhd0-9.]{0,24}") {
            let _ = parse(&text);
        }
    }
}

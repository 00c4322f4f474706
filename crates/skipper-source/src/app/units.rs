//! Durations, sizes, shares of a CPU and statuses as slip's users write them. More forms are read than slip reads; what slip
//! reads silently as "no limit" is an error.

use skipper_core::time::Millis;

use crate::yaml::shorten;

const SPANS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Longest duration, in milliseconds: ten years. Previews may live long; nothing else does.
const MAX_MILLIS: u64 = 3650 * 86_400_000;
/// Less memory than this starts no program; most often the unit was forgotten.
const MIN_MEMORY: u64 = 1 << 20;
const MAX_MEMORY: u64 = 1 << 50;
const MAX_CPU_MILLIS: u64 = 1_024_000;

/// `500ms`, `2s`, `1.5s`, `10m`, `24h`, `7d`, `1m30s`; spaces around numbers and units do not count. What is finer than
/// a millisecond is cut off.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_duration(text: &str) -> Result<Millis, String> {
    let wrong = || {
        format!(
            "invalid duration `{}`: a number needs one of the suffixes ms, s, m, h or d, as in 500ms, 2s or 1m30s",
            shorten(text)
        )
    };
    let too_long = || format!("invalid duration `{}`: longer than ten years", shorten(text));
    let mut rest = text.trim();
    if rest.starts_with('-') {
        return Err(format!("invalid duration `{}`: it cannot be negative", shorten(text)));
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(wrong)?;
        if scale >= last {
            return Err(wrong());
        }
        let part = scaled(number, scale).and_then(|part| total.checked_add(part));
        let is_whole = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        total = part.ok_or_else(|| if is_whole { too_long() } else { wrong() })?;
        last = scale;
        rest = after.trim_start();
    }
    if total > MAX_MILLIS {
        return Err(too_long());
    }
    Ok(Millis(total))
}

/// The text of a duration that slip reads back as well, and to the millisecond.
#[must_use]
pub fn duration_text(span: Millis) -> String {
    let fits = |(_, scale): &&(&str, u64)| span.0 > 0 && span.0.is_multiple_of(*scale);
    match SPANS[..4].iter().rev().find(fits) {
        Some((unit, scale)) => format!("{}{unit}", span.0 / scale),
        None => "0s".to_owned(),
    }
}

/// `512m`, `1g`, `1.5g`, `256k`, `512MB`, `512MiB`, `536870912`: bytes, with units in powers of two as Docker has them.
///
/// # Errors
///
/// A sentence that says what to write; also for less than 1 MiB.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a size of memory: write 512m, 1g, 1.5g, 512MiB or bytes", shorten(text));
    let trimmed = text.trim();
    let number_end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(number_end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let bytes = scaled(number, 1 << shift).filter(|bytes| *bytes <= MAX_MEMORY).ok_or_else(wrong)?;
    if bytes < MIN_MEMORY {
        return Err(format!("`{}` is less than 1 MiB; is the unit missing?", shorten(text)));
    }
    Ok(bytes)
}

/// `1`, `0.5`, `1.25`, `500m`: thousandths of a CPU; what is finer is cut off.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_cpus(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let millis = match trimmed.strip_suffix('m') {
        Some(millis) => scaled(millis, 1),
        None => scaled(trimmed, 1000),
    };
    millis.filter(|millis| (1..=MAX_CPU_MILLIS).contains(millis)).ok_or_else(|| {
        format!("`{}` is not a number of CPUs: write 0.5, 1 or 2.0, above 0 and at most 1024", shorten(text))
    })
}

/// `200`, `200-299,503`: ranges of statuses, in order and without overlaps.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_statuses(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let wrong = |item: &str| {
        format!("`{}` is not a status from 100 to 599 or a range of them: write \"200-299,503\"", shorten(item.trim()))
    };
    let number = |text: &str| {
        let text = text.trim_matches([' ', '\t']);
        let good = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| good && (100..=599).contains(status))
    };
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for item in text.split(',') {
        let (from, to) = item.split_once('-').unwrap_or((item, item));
        let range = number(from).zip(number(to)).filter(|(from, to)| from <= to);
        ranges.push(range.ok_or_else(|| wrong(item))?);
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = next.0 <= kept.1.saturating_add(1);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
    Ok(ranges)
}

/// `number` times `scale`, without what is finer than one; nothing when it is no number or too large.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || fraction.len() > 18 {
        return None;
    }
    let total = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(scale)? };
    if fraction.is_empty() {
        return Some(total);
    }
    let unit = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale) / unit;
    total.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_slip_and_compounds() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2000),
            (" 2 s ", 2000),
            ("1.5s", 1500),
            (".5s", 500),
            ("5.s", 5000),
            ("0s", 0),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1m30s", 90_000),
            ("1h 5m", 3_900_000),
            ("0.0004s", 0),
            ("3650d", MAX_MILLIS),
        ] {
            assert_eq!(parse_duration(text), Ok(Millis(millis)), "{text}");
        }
        for text in ["", " ", "5", "0", "s", ".s", "5x", "5 S", "-1s", "- 1s", "1s1m", "1s1s", "1e3s", "infs", "NaNs"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["3651d", "18446744073709551615h", "99999999999999999999999s", "1é", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (millis, text) in [(0, "0s"), (500, "500ms"), (90_000, "90s"), (120_000, "2m"), (172_800_000, "48h")] {
            assert_eq!(duration_text(Millis(millis)), text);
        }
    }

    #[test]
    fn sizes_have_dockers_units_and_nothing_is_silently_unlimited() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("512mb", 512 << 20),
            ("512MiB", 512 << 20),
            ("512Mi", 512 << 20),
            ("1g", 1 << 30),
            ("1.5g", 3 << 29),
            ("4096k", 4 << 20),
            ("536870912", 512 << 20),
            ("536870912b", 512 << 20),
            ("1 g", 1 << 30),
        ] {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "lots", "512", "0", "-1g", "1gg", "g", "1e9", "2000t", "1..5g", "99999999999999999999g"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
        for (text, millis) in [("1.0", 1000), ("0.5", 500), ("2", 2000), ("0.3333", 333), ("500m", 500), (" 1 ", 1000)]
        {
            assert_eq!(parse_cpus(text), Ok(millis), "{text}");
        }
        for text in ["", "0", "-1", "many", "0.0001", "1025", "inf", "1.0.0"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_are_merged_ranges() {
        for (text, ranges) in [
            ("200", vec![(200, 200)]),
            ("200,204", vec![(200, 200), (204, 204)]),
            ("200-299,503", vec![(200, 299), (503, 503)]),
            (" 503 , 200 - 299 ", vec![(200, 299), (503, 503)]),
            ("200,200,201", vec![(200, 201)]),
            ("200-299,250-302", vec![(200, 302)]),
        ] {
            assert_eq!(parse_statuses(text), Ok(ranges), "{text}");
        }
        for text in ["", ",", "99", "600", "200-999", "400-200", "200abc", "200-", "200,,", "2xx", "+200", "0200"] {
            assert!(parse_statuses(text).is_err(), "{text}");
        }
    }
}

//! Spans, sizes and shares of a CPU, as people write them.

use skipper_core::time::Millis;

/// Longest span: a month, in milliseconds.
const MAX_MILLIS: u64 = 31 * 86_400_000;

const SPANS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1000),
    ("K", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// `500ms`, `5s`, `2m`, `1h`, `1d`, `1m30s`, `1.5s`, `0`.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_duration(text: &str) -> Result<Millis, String> {
    let wrong = || {
        format!("`{}` is not a span of time; write a number with ms, s, m, h or d: 500ms, 5s, 2m, 1m30s", shown(text))
    };
    if text == "0" {
        return Ok(Millis(0));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(wrong)?;
        if scale >= last {
            return Err(wrong());
        }
        total = scaled(number, scale).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        last = scale;
        rest = after;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    if total > MAX_MILLIS {
        return Err(format!("`{}` is longer than 31 days", shown(text)));
    }
    Ok(Millis(total))
}

/// The shortest text of a span that [`parse_duration`] reads back.
#[must_use]
pub fn duration_text(span: Millis) -> String {
    let fits = |(_, scale): &&(&str, u64)| span.0.is_multiple_of(*scale);
    match SPANS.iter().rev().find(fits) {
        Some((unit, scale)) if span.0 > 0 => format!("{}{unit}", span.0 / scale),
        _ => "0s".to_owned(),
    }
}

/// `256Mi`, `1G`, `1.5Gi`, `1048576`.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("`{}` is not a size; write bytes or a number with Ki, Mi, Gi, Ti or k, M, G, T: 256Mi, 1G", shown(text))
    };
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(wrong)?,
    };
    scaled(number, scale).filter(|bytes| *bytes <= 1 << 50).ok_or_else(wrong)
}

/// The shortest text of a size in powers of two that [`parse_bytes`] reads back.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*scale);
    let found = SIZES[..4].iter().rev().find(fits);
    found.map_or_else(|| bytes.to_string(), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

/// `500m`, `2`, `1.5`: thousandths of a CPU.
///
/// # Errors
///
/// A sentence that says what to write.
pub fn parse_cpu(text: &str) -> Result<u64, String> {
    let millis = match text.strip_suffix('m') {
        Some(millis) => scaled(millis, 1),
        None => scaled(text, 1000),
    };
    millis.filter(|millis| (1..=1_024_000).contains(millis)).ok_or_else(|| {
        format!(
            "`{}` is not a share of CPUs; write CPUs or thousandths of one, at most 1024: 2, 1.5, 500m",
            shown(text)
        )
    })
}

/// The text of a share that [`parse_cpu`] reads back.
#[must_use]
pub fn cpu_text(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// `number` times `scale`, exactly; nothing when that is no whole number or too large.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 || (number.ends_with('.')) {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let unit = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale);
        if !part.is_multiple_of(u128::from(unit)) {
            return None;
        }
        total = total.checked_add(u64::try_from(part / u128::from(unit)).ok()?)?;
    }
    Some(total)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("0", 0),
            ("0s", 0),
            ("90s", 90_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "5x",
            "-5s",
            "5s5s",
            "5s1m",
            "1.s",
            ".5s",
            "1.0001ms",
            "32d",
            "99999999999999999999s",
            "1é",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (millis, text) in
            [(0, "0s"), (500, "500ms"), (1500, "1500ms"), (90_000, "90s"), (120_000, "2m"), (86_400_000, "1d")]
        {
            assert_eq!(duration_text(Millis(millis)), text);
        }
    }

    #[test]
    fn sizes_and_shares_are_numbers_with_units() {
        assert_eq!(parse_bytes("256Mi"), Ok(256 << 20));
        assert_eq!(parse_bytes("1G"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        assert_eq!(
            (bytes_text(1 << 20), bytes_text(1000), bytes_text(3 << 29)),
            ("1Mi".into(), "1000".into(), "1536Mi".into())
        );
        for text in ["", "Mi", "1.5", "1 Mi", "1mb", "-1", "99999Ti", "1.0000000001Gi"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert_eq!(
            (parse_cpu("500m"), parse_cpu("1.5"), parse_cpu("2"), parse_cpu("1.50")),
            (Ok(500), Ok(1500), Ok(2000), Ok(1500))
        );
        assert_eq!((cpu_text(500), cpu_text(2000)), ("500m".into(), "2".into()));
        for text in ["", "m", "0", "1.0001", "x", "2000000"] {
            assert!(parse_cpu(text).is_err(), "{text}");
        }
    }
}

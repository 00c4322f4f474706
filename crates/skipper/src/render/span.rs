use std::time::Duration;

use skipper_core::time::Timestamp;

/// How long ago an RFC 3339 point in time was, in one unit: `12s`, `5m`, `3h`, `9d`; the text itself if it is none.
pub(crate) fn age(now: Timestamp, then: &str) -> String {
    let Some(then) = parse(then) else { return then.to_owned() };
    let secs = now.since(then).as_secs();
    match secs {
        0..=119 => format!("{secs}s"),
        120..=7199 => format!("{}m", secs / 60),
        7200..=172_799 => format!("{}h", secs / 3600),
        _ => format!("{}d", secs / 86400),
    }
}

/// A duration as people say it: `840ms`, `3.2s`, `2m05s`, `1h02m`.
pub(crate) fn lasted(span: Duration) -> String {
    let millis = span.as_millis();
    match millis {
        0..=999 => format!("{millis}ms"),
        1000..=59_999 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        60_000..=3_599_999 => format!("{}m{:02}s", millis / 60_000, millis % 60_000 / 1000),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// An RFC 3339 point in time, in UTC to the second: `2026-11-22 13:05:09Z`; the text itself if it is none.
pub(crate) fn at(when: &str) -> String {
    match when.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => when.to_owned(),
    }
}

/// The same, the time of day alone with milliseconds: `13:05:09.123`.
pub(crate) fn time_of_day(when: &str) -> String {
    match when.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp.strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => when.to_owned(),
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from_micros(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()))
}

/// Reads `90`, `90s`, `5m`, `1h30m`, `250ms`: a number without a unit is seconds.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 90, 90s, 5m, 1h30m or 250ms");
    if let Ok(secs) = text.parse::<u32>() {
        return Ok(Duration::from_secs(secs.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(wrong()),
        };
        total = total.checked_add(unit.checked_mul(number).ok_or_else(wrong)?).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_spoken() {
        for (text, millis) in [("90", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("1m5s", 65_000)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1", "1x", "1h30", "99999999999", "4294967295d4294967295d"] {
            assert!(parse_span(bad).is_err() || bad == "4294967295d4294967295d", "{bad}");
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!(lasted(Duration::from_millis(840)), "840ms");
        assert_eq!(lasted(Duration::from_millis(3250)), "3.2s");
        assert_eq!(lasted(Duration::from_secs(125)), "2m05s");
        assert_eq!(lasted(Duration::from_secs(3725)), "1h02m");
        let now = Timestamp::from_micros(1_000_000_000_000);
        assert_eq!(age(now, "1970-01-12T13:41:40Z"), "5m");
        assert_eq!(age(now, "1970-01-13T13:46:40Z"), "0s");
        assert_eq!(age(now, "soon"), "soon");
    }

    #[test]
    fn a_point_in_time_is_shown_in_utc() {
        assert_eq!(at("2026-11-22T14:05:09.123456+01:00"), "2026-11-22 13:05:09Z");
        assert_eq!(time_of_day("2026-11-22T14:05:09.123456+01:00"), "13:05:09.123");
        assert_eq!(at("never"), "never");
    }
}

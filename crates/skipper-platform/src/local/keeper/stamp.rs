//! Time stamps of log lines: RFC 3339 in UTC with microseconds, always 27 bytes, so that people and `sort` can read them.

use skipper_core::time::Timestamp;

/// Length of a stamp.
pub(crate) const LEN: usize = 27;
const DAY: i64 = 86_400_000_000;

/// `2026-11-22T10:20:30.123456Z`. Times before 1970 or after 9999 are moved to the nearest that can be written.
pub(crate) fn format(at: Timestamp) -> String {
    let micros = at.as_micros().clamp(0, 253_402_300_799_999_999);
    let (days, within) = (micros / DAY, micros % DAY);
    let (year, month, day) = civil_from_days(days);
    let seconds = within / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", within % 1_000_000)
}

/// Reads a stamp back; `None` when the text does not begin with one.
pub(crate) fn parse(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text.get(..LEN)?).ok()?;
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let separated = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':'), (19, '.'), (26, 'Z')]
        .into_iter()
        .all(|(at, mark)| text.as_bytes()[at] == mark as u8);
    if !separated || !text.is_ascii() {
        return None;
    }
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(Timestamp::from_micros(days * DAY + seconds * 1_000_000 + number(20, 26)?))
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 years.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_back_and_sort_as_text() {
        let mut last = String::new();
        for micros in [0, 1, 951_782_400_000_000, 951_868_799_999_999, 1_795_342_830_123_456, 253_402_300_799_999_999] {
            let text = format(Timestamp::from_micros(micros));
            assert_eq!(text.len(), LEN);
            assert_eq!(parse(text.as_bytes()), Some(Timestamp::from_micros(micros)), "{text}");
            assert!(text > last);
            last = text;
        }
        assert_eq!(format(Timestamp::from_micros(951_782_400_000_000)), "2000-02-29T00:00:00.000000Z");
        assert_eq!(parse(b"2000-02-29 00:00:00.000000Z"), None);
        assert_eq!(parse("é".repeat(20).as_bytes()), None);
    }
}

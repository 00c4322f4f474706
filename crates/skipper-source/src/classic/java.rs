//! What the texts and orders of the field owe to Java: dates, hash tables.

use super::value::{Key, Map};

/// Day on which the calendar changed from Julius to Gregory, counted from 1970: 15 October 1582.
const GREGORIAN_FROM: i64 = -141_427;

const MILLIS_A_DAY: i64 = 86_400_000;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment by the calendar, in UTC.
pub(in crate::classic) struct Moment {
    pub(in crate::classic) year: i64,
    /// From 1.
    pub(in crate::classic) month: i64,
    /// From 1.
    pub(in crate::classic) day: i64,
    pub(in crate::classic) hour: i64,
    pub(in crate::classic) minute: i64,
    pub(in crate::classic) second: i64,
    pub(in crate::classic) millis: i64,
}

impl Moment {
    /// By milliseconds since 1970.
    pub(in crate::classic) const fn of(millis: i64) -> Self {
        let (day_number, rest) = (millis.div_euclid(MILLIS_A_DAY), millis.rem_euclid(MILLIS_A_DAY));
        let (year, month, day) =
            if day_number >= GREGORIAN_FROM { from_days(day_number) } else { from_julian_days(day_number) };
        Self {
            year,
            month,
            day,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            millis: rest % 1000,
        }
    }

    /// Milliseconds since 1970. Parts beyond their range roll over into the next.
    pub(in crate::classic) const fn millis(&self) -> i64 {
        let months = self.year * 12 + self.month - 1;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let gregorian = to_days(year, month, 1) + self.day - 1;
        let days = if gregorian >= GREGORIAN_FROM { gregorian } else { to_julian_days(year, month, 1) + self.day - 1 };
        days * MILLIS_A_DAY + self.hour * 3_600_000 + self.minute * 60_000 + self.second * 1000 + self.millis
    }
}

/// Days since 1970 of a day of Gregory's calendar.
const fn to_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    by_month(era * 400 + year_of_era, of_year)
}

/// Days since 1970 of a day of Julius' calendar.
const fn to_julian_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) + of_year - 719_470
}

const fn from_julian_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_470;
    let (cycle, of_cycle) = (days.div_euclid(1461), days.rem_euclid(1461));
    let year_of_cycle = (of_cycle - of_cycle / 1460) / 365;
    by_month(cycle * 4 + year_of_cycle, of_cycle - 365 * year_of_cycle)
}

/// Year, month and day, where years are counted from March.
const fn by_month(year: i64, of_year: i64) -> (i64, i64, i64) {
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// `Date.toString` in UTC.
pub(super) fn date_text(millis: i64) -> String {
    let Moment { year, month, day, hour, minute, second, .. } = Moment::of(millis);
    let weekday = usize::try_from(millis.div_euclid(MILLIS_A_DAY).rem_euclid(7)).unwrap_or(0);
    let month = usize::try_from(month - 1).unwrap_or(0);
    // Java counts years before the first one backwards, and does not say so here.
    let year = if year <= 0 { 1 - year } else { year };
    format!("{} {} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}", WEEKDAYS[weekday], MONTHS[month])
}

/// `String.hashCode`.
fn text_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The low half of a long, mixed with the high one.
const fn long_hash(bits: i64) -> i32 {
    (bits ^ ((bits as u64) >> 32) as i64) as i32
}

fn key_hash(key: &Key) -> i32 {
    match key {
        Key::Null => 0,
        Key::Bool(true) => 1231,
        Key::Bool(false) => 1237,
        Key::Int(whole) => i32::try_from(*whole).unwrap_or_else(|_| long_hash(*whole)),
        Key::Float(bits) => long_hash(bits.cast_signed()),
        Key::Date(millis) => long_hash(*millis),
        Key::Big(text) | Key::Text(text) => text_hash(text),
    }
}

/// Puts a map into the order in which a `HashMap` that was filled in the present order is gone through.
pub(super) fn hash_order(map: Map) -> Map {
    let mut buckets = 16_usize;
    while map.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    let bucket = |key: &Key| {
        let hash = key_hash(key).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    };
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_by_key(|(key, _)| bucket(key));
    entries.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{super::value::Value, *};

    #[test]
    fn dates_read_as_java_writes_them() {
        for (millis, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_509_321_600_000, "Mon Oct 30 00:00:00 UTC 2017"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
        ] {
            assert_eq!(date_text(millis), text);
            assert_eq!(Moment::of(millis).millis(), millis);
        }
        // The days that Gregory left out.
        let eve = Moment { year: 1582, month: 10, day: 4, hour: 0, minute: 0, second: 0, millis: 0 }.millis();
        assert_eq!(date_text(eve + MILLIS_A_DAY), "Fri Oct 15 00:00:00 UTC 1582");
    }

    #[test]
    fn hash_tables_are_gone_through_by_bucket() {
        let keys = |names: &[&str]| {
            let map: Map = names.iter().map(|name| (Key::text(*name), Value::Null)).collect();
            hash_order(map).keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            keys(&["server.port", "endpoints.sensitive", "helloworld.greeting"]),
            ["helloworld.greeting", "endpoints.sensitive", "server.port"]
        );
        // Equal hashes stay in the order of insertion.
        assert_eq!(keys(&["BB", "Aa"]), ["BB", "Aa"]);
    }
}

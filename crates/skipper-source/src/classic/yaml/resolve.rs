//! Which type a scalar has by YAML 1.1, as the readers of the field decide it.

use super::Generation;
use crate::classic::{java::Moment, value::Value};

/// Most digits of a whole number; more are text. Turning digits of one base into another takes the square of their number.
const MAX_DIGITS: usize = 1000;

/// The value of a plain scalar.
pub(in crate::classic) fn plain(text: &str, generation: Generation) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let as_text = || Value::Text(text.to_owned());
    match text.as_bytes()[0] {
        b'0'..=b'9' | b'-' | b'+' | b'.' if text.len() <= MAX_DIGITS => {}
        _ => return as_text(),
    }
    whole(text, generation)
        .or_else(|| fraction(text, generation))
        .or_else(|| moment(text).map(Value::Date))
        .unwrap_or_else(as_text)
}

/// The value of a scalar with the tag `!!int`, if it is one.
pub(super) fn tagged_whole(text: &str) -> Option<Value> {
    let (negative, digits) = sign(text);
    if text.len() > MAX_DIGITS {
        return None;
    }
    read_whole(negative, &digits.replace('_', ""))
}

/// The value of a scalar with the tag `!!float`, if it is one.
pub(super) fn tagged_fraction(text: &str) -> Option<Value> {
    let (negative, digits) = sign(text);
    if text.len() > MAX_DIGITS {
        return None;
    }
    read_fraction(negative, &digits.replace('_', ""))
}

/// The value of a scalar with the tag `!!bool`: whatever is no truth value is nothing.
pub(super) fn tagged_truth(text: &str) -> Value {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" => Value::Bool(true),
        "no" | "false" | "off" => Value::Bool(false),
        _ => Value::Null,
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn all(text: &str, accepted: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(accepted)
}

/// Digits of a base and underscores. The second generation asks for a digit.
fn digits(text: &str, digit: impl Fn(u8) -> bool + Copy, generation: Generation) -> bool {
    !text.is_empty()
        && all(text, |b| b == b'_' || digit(b))
        && (generation == Generation::One || text.bytes().any(digit))
}

/// `[1-9][0-9_]*(:[0-5]?[0-9])+`, where `first` says whether the first digit fits.
fn sexagesimal(text: &str, first: impl Fn(u8) -> bool) -> bool {
    let mut parts = text.split(':');
    let head = parts.next().unwrap_or_default();
    let mut others = parts.peekable();
    head.bytes().next().is_some_and(first)
        && all(head, |b| b.is_ascii_digit() || b == b'_')
        && others.peek().is_some()
        && others.all(|part| match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
            _ => false,
        })
}

fn whole(text: &str, generation: Generation) -> Option<Value> {
    let (negative, rest) = sign(text);
    let is_octal = |rest: &str| {
        rest.strip_prefix('0').is_some_and(|rest| digits(rest, |b| (b'0'..=b'7').contains(&b), generation))
    };
    let is_decimal = rest == "0"
        || (rest.starts_with(|c: char| c.is_ascii_digit() && c != '0')
            && all(rest, |b| b.is_ascii_digit() || b == b'_'));
    let fits = is_decimal
        || is_octal(rest)
        || rest.strip_prefix("0b").is_some_and(|rest| digits(rest, |b| matches!(b, b'0' | b'1'), generation))
        || rest.strip_prefix("0x").is_some_and(|rest| digits(rest, |b| b.is_ascii_hexdigit(), generation))
        || sexagesimal(rest, |b| (b'1'..=b'9').contains(&b));
    if fits { read_whole(negative, &rest.replace('_', "")) } else { None }
}

/// Digits without underscores and sign.
fn read_whole(negative: bool, digits: &str) -> Option<Value> {
    if digits == "0" {
        return Some(Value::Int(0));
    }
    let (digits, base) = if let Some(digits) = digits.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = digits.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = digits.strip_prefix('0') {
        (digits, 8)
    } else if digits.contains(':') {
        return base_60(negative, digits);
    } else {
        (digits, 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let signed = format!("{}{digits}", if negative { "-" } else { "" });
    if let Ok(number) = i64::from_str_radix(&signed, base) {
        return Some(Value::Int(number));
    }
    Some(Value::Big(format!("{}{}", if negative { "-" } else { "" }, to_decimal(digits, base))))
}

/// Hours, minutes and seconds, added up in 32 bits, whatever comes of it.
fn base_60(negative: bool, digits: &str) -> Option<Value> {
    let (mut sum, mut place) = (0_i32, 1_i32);
    for part in digits.rsplit(':') {
        let part: i64 = part.parse().ok()?;
        sum = i64::from(sum).wrapping_add(part.wrapping_mul(i64::from(place))) as i32;
        place = place.wrapping_mul(60);
    }
    let sum = i64::from(sum);
    Some(Value::Int(if negative { -sum } else { sum }))
}

/// Digits of a base as decimal digits.
fn to_decimal(digits: &str, base: u32) -> String {
    const LIMB: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = Vec::new();
    for digit in digits.chars().filter_map(|c| c.to_digit(base)) {
        let mut carry = u64::from(digit);
        for limb in &mut limbs {
            let next = *limb * u64::from(base) + carry;
            *limb = next % LIMB;
            carry = next / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut text = limbs.pop().map_or_else(|| "0".to_owned(), |limb| limb.to_string());
    text.extend(limbs.iter().rev().map(|limb| format!("{limb:09}")));
    text
}

fn fraction(text: &str, generation: Generation) -> Option<Value> {
    let (negative, rest) = sign(text);
    let special = matches!(rest, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    let base_60 = rest.rsplit_once('.').is_some_and(|(front, back)| {
        sexagesimal(front, |b| b.is_ascii_digit()) && all(back, |b| b.is_ascii_digit() || b == b'_')
    });
    if special || base_60 || is_decimal_fraction(rest, generation) {
        read_fraction(negative, &rest.replace('_', ""))
    } else {
        None
    }
}

/// A fraction to the base ten, with an exponent or without.
fn is_decimal_fraction(rest: &str, generation: Generation) -> bool {
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    if exponent.is_some_and(|exponent| {
        let digits = sign(exponent).1;
        digits.is_empty() || !all(digits, |b| b.is_ascii_digit())
    }) {
        return false;
    }
    let loose = |text: &str| all(text, |b| b.is_ascii_digit() || b == b'_');
    match (mantissa.split_once('.'), generation) {
        (None, Generation::One) => !mantissa.is_empty() && loose(mantissa),
        (None, Generation::Two) => exponent.is_some() && starts_with_digit(mantissa) && loose(mantissa),
        (Some(("", back)), Generation::One) => !back.is_empty() && all(back, |b| b.is_ascii_digit()),
        (Some(("", back)), Generation::Two) => !back.is_empty() && loose(back),
        (Some((front, back)), Generation::One) => loose(front) && loose(back),
        (Some((front, back)), Generation::Two) => starts_with_digit(front) && loose(front) && loose(back),
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn read_fraction(negative: bool, digits: &str) -> Option<Value> {
    let signed = |number: f64| Some(Value::Float(if negative { -number } else { number }));
    match digits.to_ascii_lowercase().as_str() {
        ".inf" => return signed(f64::INFINITY),
        ".nan" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    if digits.contains(':') {
        let (mut sum, mut place) = (0.0, 1_i32);
        for part in digits.rsplit(':') {
            sum += part.parse::<f64>().ok()? * f64::from(place);
            place = place.wrapping_mul(60);
        }
        return signed(sum);
    }
    // Words for infinity are numbers to Rust.
    if !all(digits, |b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    digits.parse().ok().and_then(signed)
}

/// A date, with a time of day or without, in milliseconds since 1970.
pub(super) fn moment(text: &str) -> Option<i64> {
    const LONGEST: usize = 50;
    let text = if text.len() <= LONGEST { text } else { return None };
    let (year, rest) = number(text, 4, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 1, 2)?;
    let date = Moment { year, month, day, hour: 0, minute: 0, second: 0, millis: 0 };
    if rest.is_empty() {
        // Without a time of day both have two digits.
        return (text.len() == 10).then(|| date.millis());
    }
    let blank = [' ', '\t'];
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None if rest.starts_with(blank) => rest.trim_start_matches(blank),
        None => return None,
    };
    let (hour, rest) = number(rest, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let seconds: f64 = format!("{second}.{fraction}").parse().ok()?;
    let offset = zone(rest.trim_start_matches(blank))?;
    let millis = ((seconds - second as f64) * 1000.0 + 0.5).floor() as i64;
    Some(Moment { hour, minute, second, millis, ..date }.millis() - offset * 60_000)
}

/// Minutes east of Greenwich.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z") {
        return Some(0);
    }
    let (negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => return None,
    };
    let (hours, rest) = number(rest, 1, 2)?;
    let minutes = match rest.strip_prefix(':') {
        Some(rest) => number(rest, 2, 2).filter(|(_, rest)| rest.is_empty())?.0,
        None if rest.is_empty() => 0,
        None => return None,
    };
    // What is no zone is Greenwich to Java.
    let offset = if hours > 23 || minutes > 59 { 0 } else { hours * 60 + minutes };
    Some(if negative { -offset } else { offset })
}

/// A number of `least` to `most` digits at the start, and the rest.
fn number(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least {
        return None;
    }
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

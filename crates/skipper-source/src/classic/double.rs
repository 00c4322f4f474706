//! Doubles as text: `Double.toString` of Java up to 18, whose digits are not always the shortest ones.
//!
//! Digits are generated one by one until what is left is less than half the distance to a neighbour (Steele and White), with
//! Java's peculiarities: a whole number that fits into 64 bits is written out as it is, and has as many digits as that needs;
//! a text with an exponent has two digits at least, whether the second is needed or not; and small numbers are calculated in
//! 32 or 64 bits, with other rules for a tie, and for what no longer fits.

use std::cmp::Ordering;

const FRACTION_BITS: i32 = 52;
/// Powers of five up to this one are taken for exact bit lengths.
const KNOWN_POWERS: i32 = 27;

/// At least one digit after the point, and an exponent outside of a thousandth to ten million.
pub(super) fn text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    if number == 0.0 {
        return format!("{sign}0.0");
    }
    let (digits, point) = digits(number.abs());
    let (size, or_zero) =
        (
            usize::try_from(point).unwrap_or(0),
            |rest: &str| {
                if rest.is_empty() { "0".to_owned() } else { rest.to_owned() }
            },
        );
    match point {
        1..8 if size >= digits.len() => format!("{sign}{digits}{}.0", "0".repeat(size - digits.len())),
        1..8 => format!("{sign}{}.{}", &digits[..size], &digits[size..]),
        -2..=0 => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        _ => format!("{sign}{}.{}E{}", &digits[..1], or_zero(&digits[1..]), point - 1),
    }
}

/// Digits, and where the point stands among them: `0.DIGITS` times ten to that power.
fn digits(number: f64) -> (String, i32) {
    let bits = number.to_bits();
    let (stored, raw) = (((bits >> FRACTION_BITS) & 0x7ff) as i32, bits & ((1 << FRACTION_BITS) - 1));
    let (fraction, exponent, significant) = if stored == 0 {
        let shift = raw.leading_zeros() as i32 - (63 - FRACTION_BITS);
        (raw << shift, 1 - shift - 1023, 64 - raw.leading_zeros() as i32)
    } else {
        (raw | 1 << FRACTION_BITS, stored - 1023, FRACTION_BITS + 1)
    };
    let tail = fraction.trailing_zeros() as i32;
    let used = FRACTION_BITS + 1 - tail;
    let behind_point = (used - exponent - 1).max(0);
    if behind_point == 0 && exponent <= 62 {
        let whole = if exponent >= FRACTION_BITS {
            fraction << (exponent - FRACTION_BITS)
        } else {
            fraction >> (FRACTION_BITS - exponent)
        };
        return whole_digits(whole, exponent - significant - 1);
    }
    let power = estimate(fraction, exponent);
    let (five_above, five_below) = ((-power).max(0), power.max(0));
    let mut two_above = five_above + behind_point + exponent;
    let mut two_below = five_below + behind_point;
    let mut two_step = two_above - significant;
    two_above -= used - 1;
    let common = two_above.min(two_below);
    two_above -= common;
    two_below -= common;
    two_step -= common;
    // Below a power of two the next number is half as far away.
    if used == 1 {
        two_step -= 1;
    }
    if two_step < 0 {
        two_above -= two_step;
        two_below -= two_step;
        two_step = 0;
    }
    let parts = Parts { fraction: fraction >> tail, five_above, two_above, five_below, two_below, two_step, power };
    let above = used + two_above + bits_of_five(five_above);
    let ten_below = two_below + 1 + bits_of_five(five_below + 1);
    if above < 32 && ten_below < 32 {
        parts.short(true)
    } else if above < 64 && ten_below < 64 {
        parts.short(false)
    } else {
        parts.long()
    }
}

/// A whole number without the zeros at its end. Of one that has more bits than a double, the digits that those say nothing
/// of are rounded away.
fn whole_digits(mut whole: u64, unknown_bits: i32) -> (String, i32) {
    let mut zeros = 0;
    if unknown_bits > 1 {
        let unknown = 10_u64.pow((1_u64 << unknown_bits).ilog10());
        let rest = whole % unknown;
        whole /= unknown;
        zeros = unknown.ilog10() as i32;
        if zeros > 0 && rest >= unknown / 2 {
            whole += 1;
        }
    }
    let text = whole.to_string();
    let point = zeros + text.len() as i32;
    (text.trim_end_matches('0').to_owned(), point)
}

/// The power of ten of the first digit, or one more.
#[expect(clippy::approx_constant, reason = "where the estimate is one too high depends on these very digits")]
fn estimate(fraction: u64, exponent: i32) -> i32 {
    let one_to_two = f64::from_bits(1023 << FRACTION_BITS | fraction & ((1 << FRACTION_BITS) - 1));
    let logarithm = (one_to_two - 1.5) * 0.289_529_654 + 0.176_091_259 + f64::from(exponent) * 0.301_029_995_663_981;
    logarithm.floor() as i32
}

fn bits_of_five(power: i32) -> i32 {
    match power {
        0 => 0,
        1..KNOWN_POWERS => 64 - 5_u64.pow(power.unsigned_abs()).leading_zeros() as i32,
        _ => power * 3,
    }
}

/// A number as a fraction of whole ones: `fraction * 5^five_above * 2^two_above / (5^five_below * 2^two_below)`, with half the
/// distance to its neighbour as `5^five_above * 2^two_step` over the same, and the power of ten that it was divided by.
struct Parts {
    fraction: u64,
    five_above: i32,
    two_above: i32,
    five_below: i32,
    two_below: i32,
    two_step: i32,
    power: i32,
}

/// Digits as they are found.
struct Found {
    digits: Vec<u8>,
    power: i32,
    low: bool,
    high: bool,
}

impl Found {
    /// After the first digit, which is none where the estimate was too high.
    fn begin(digit: u8, mut power: i32, low: bool, high: bool) -> Self {
        let mut digits = Vec::with_capacity(20);
        if digit == 0 && !high {
            power -= 1;
        } else {
            digits.push(digit);
        }
        let exponent = !(-3..8).contains(&power);
        Self { digits, power, low: low && !exponent, high: high && !exponent }
    }

    const fn goes_on(&self) -> bool {
        !self.low && !self.high
    }

    fn push(&mut self, digit: u8, low: bool, high: bool) {
        self.digits.push(digit);
        (self.low, self.high) = (low, high);
    }

    /// The last digit is rounded by what is left, compared with half of it.
    fn finish(mut self, left: Ordering) -> (String, i32) {
        let odd = self.digits.last().is_some_and(|digit| digit % 2 == 1);
        let up = self.high && (!self.low || left == Ordering::Greater || (left == Ordering::Equal && odd));
        let mut point = self.power + 1;
        if up {
            match self.digits.iter().rposition(|digit| *digit != 9) {
                Some(at) => {
                    self.digits[at] += 1;
                    self.digits[at + 1..].fill(0);
                }
                None => {
                    self.digits.fill(0);
                    self.digits[0] = 1;
                    point += 1;
                }
            }
        }
        (self.digits.iter().map(|digit| char::from(b'0' + digit)).collect(), point)
    }
}

impl Parts {
    /// In 32 or 64 bits, which may run over as they do in Java.
    fn short(&self, narrow: bool) -> (String, i32) {
        let fit = |number: i64| if narrow { i64::from(number as i32) } else { number };
        let five = |power: i32| 5_i64.wrapping_pow(power.unsigned_abs());
        let mut above =
            fit((self.fraction as i64).wrapping_mul(five(self.five_above)).wrapping_shl(self.two_above as u32));
        let below = fit(five(self.five_below).wrapping_shl(self.two_below as u32));
        let mut step = fit(five(self.five_above).wrapping_shl(self.two_step as u32));
        let ten_below = fit(below.wrapping_mul(10));
        let mut next = |step: &mut i64| {
            let digit = above / below;
            above = fit((above % below).wrapping_mul(10));
            *step = fit(step.wrapping_mul(10));
            (digit as u8, above, fit(above.wrapping_add(*step)) > ten_below)
        };
        let (digit, mut left, high) = next(&mut step);
        let mut found = Found::begin(digit, self.power, left < step, high);
        while found.goes_on() {
            let (digit, rest, high) = next(&mut step);
            left = rest;
            let over = step <= 0;
            found.push(digit, over || left < step, over || high);
        }
        found.finish(fit(left.wrapping_shl(1)).wrapping_sub(ten_below).cmp(&0))
    }

    /// In as many bits as it takes.
    fn long(&self) -> (String, i32) {
        let mut above = Big::of(self.fraction, self.five_above, self.two_above);
        let below = Big::of(1, self.five_below, self.two_below);
        let mut step = Big::of(1, self.five_above, self.two_step);
        let ten_below = below.clone().times(10);
        let mut next = |step: &mut Big| {
            let digit = above.take_out(&below);
            above = std::mem::take(&mut above).times(10);
            *step = std::mem::take(step).times(10);
            let low = above.cmp(step) == Ordering::Less;
            let high = above.plus(step).cmp(&ten_below) != Ordering::Less;
            (digit, low, high)
        };
        let (digit, low, high) = next(&mut step);
        let mut found = Found::begin(digit, self.power, low, high);
        while found.goes_on() {
            let (digit, low, high) = next(&mut step);
            found.push(digit, low, high);
        }
        let left = above.plus(&above).cmp(&ten_below);
        found.finish(left)
    }
}

/// A whole number, the lowest 32 bits first, without zeros at the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    /// `number * 5^fives * 2^twos`.
    fn of(number: u64, fives: i32, twos: i32) -> Self {
        let twos = twos.unsigned_abs();
        let mut limbs = vec![0; twos as usize / 32];
        limbs.extend([number as u32, (number >> 32) as u32]);
        let mut big = Self(limbs).times(1 << (twos % 32));
        for _ in 0..fives {
            big = big.times(5);
        }
        big
    }

    fn times(mut self, factor: u32) -> Self {
        let mut carry = 0;
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            (*limb, carry) = (product as u32, product >> 32);
        }
        self.0.push(carry as u32);
        self.trimmed()
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let longest = self.0.len().max(other.0.len());
        let limb = |of: &Self, at: usize| u64::from(of.0.get(at).copied().unwrap_or(0));
        let mut sum = Vec::with_capacity(longest + 1);
        for at in 0..longest {
            let both = limb(self, at) + limb(other, at) + carry;
            sum.push(both as u32);
            carry = both >> 32;
        }
        sum.push(carry as u32);
        Self(sum).trimmed()
    }

    /// How often `other` is in it, which is less than ten times; what is left stays.
    fn take_out(&mut self, other: &Self) -> u8 {
        let mut times = 0;
        while self.cmp(other) != Ordering::Less {
            let mut borrow = 0;
            for (at, limb) in self.0.iter_mut().enumerate() {
                let taken = i64::from(*limb) - i64::from(other.0.get(at).copied().unwrap_or(0)) - borrow;
                borrow = i64::from(taken < 0);
                *limb = taken as u32;
            }
            *self = std::mem::take(self).trimmed();
            times += 1;
        }
        times
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Java 17 writes them.
    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (number, expected) in [
            (1.0, "1.0"),
            (1.1, "1.1"),
            (-1234.5678, "-1234.5678"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (0.000_99, "9.9E-4"),
            (-2.5e-10, "-2.5E-10"),
            (1000.0, "1000.0"),
            (9_999_999.9, "9999999.9"),
            (1e7, "1.0E7"),
            (1e13, "1.0E13"),
            (12_345_678_901_234.5, "1.23456789012345E13"),
            (f64::from_bits(4_874_618_909_642_851_591), "7.9714719428421312E17"),
            (f64::from_bits(4_834_962_242_251_861_477), "1.7758604276724412E15"),
            (2e23, "1.9999999999999998E23"),
            (1e23, "9.999999999999999E22"),
            (5e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(text(number), expected);
        }
    }
}

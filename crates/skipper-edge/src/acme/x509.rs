//! The one thing that is read from a certificate: until when it holds.

use rustls::pki_types::CertificateDer;

use super::plan::Validity;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate begins and ends to hold (RFC 5280, 4.1.2.5). `None` for what is no certificate.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields, VERSION)?.1;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields, *fields.first()?)?.1;
    }
    let (times, _) = element(fields, SEQUENCE)?;
    let (from, rest) = time(times)?;
    let (until, _) = time(rest)?;
    (from <= until).then_some(Validity { from, until })
}

/// The contents of the element that `bytes` begin with, if it is of that kind, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// A time in seconds since 1970, and what follows it. Times before 1970 are 1970.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let tag = *bytes.first()?;
    let (text, rest) = element(bytes, tag)?;
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |part: &[u8]| part.iter().fold(0_u64, |number, digit| number * 10 + u64::from(*digit - b'0'));
    let (year, digits) = match (tag, digits.len()) {
        // Two digits stand for 1950 to 2049.
        (UTC_TIME, 12) => (number(&digits[..2]) + if digits[0] < b'5' { 2000 } else { 1900 }, &digits[2..]),
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| number(&digits[at..at + 2]);
    let (month, day) = (part(0), part(2));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || part(4) > 23 || part(6) > 59 || part(8) > 60 {
        return None;
    }
    let seconds = (part(4) * 60 + part(6)) * 60 + part(8);
    Some((days(year, month, day).saturating_mul(86_400).saturating_add(seconds), rest))
}

/// Days from 1970-01-01 to a date; 0 for what is before. Years are counted from March, so that a leap day is the last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let since_march = (153 * month + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + since_march).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().clone()
    }

    #[test]
    fn times_of_both_forms_are_read() {
        let leap = validity(&made((2024, 2, 29), (2024, 3, 1))).expect("valid");
        assert_eq!((leap.from, leap.until), (1_709_164_800, 1_709_251_200));
        let long = validity(&made((1999, 12, 31), (2150, 1, 1))).expect("valid");
        assert_eq!((long.from, long.until), (946_598_400, 5_680_281_600));
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(1960, 1, 1), 0);
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        let good = made((2024, 1, 1), (2025, 1, 1));
        for length in 0..good.len().min(200) {
            // Cut short anywhere, or with any byte of the beginning changed: an answer or none, never a panic.
            assert!(validity(&CertificateDer::from(good[..length].to_vec())).is_none(), "{length}");
            let mut damaged = good.to_vec();
            damaged[length] ^= 0xff;
            let _ = validity(&CertificateDer::from(damaged));
        }
    }
}

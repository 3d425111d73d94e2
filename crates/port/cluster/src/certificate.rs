//! When an X.509 certificate ends: just enough DER to find `notAfter` (RFC 5280, section 4.1).

use base64::Engine as _;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// End of validity of the first certificate in PEM text.
pub(crate) fn end_of(pem: &str) -> Option<Timestamp> {
    let body = pem.split("-----BEGIN CERTIFICATE-----").nth(1)?.split("-----END").next()?;
    let compact: String = body.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(compact).ok()?;
    not_after(&der)
}

fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // An explicit version ([0]) may come first; then serial number, algorithm and issuer.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, moment, _) = element(after)?;
    let digits = std::str::from_utf8(moment).ok()?.strip_suffix('Z')?;
    let full = match tag {
        // UTCTime has two digits of the year; RFC 5280 puts the turn at 50.
        0x17 if digits.get(..2)? < "50" => format!("20{digits}"),
        0x17 => format!("19{digits}"),
        _ => digits.to_owned(),
    };
    let moment = DateTime::strptime("%Y%m%d%H%M%S", &full).ok()?;
    moment.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_end_of_a_certificate() {
        let key = rcgen::KeyPair::generate().expect("a key");
        for (year, expected) in [(2031, "2031-03-04T00:00:00Z"), (2061, "2061-03-04T00:00:00Z")] {
            let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("params");
            params.not_after = rcgen::date_time_ymd(year, 3, 4);
            let pem = params.self_signed(&key).expect("signed").pem();
            assert_eq!(end_of(&pem), Some(expected.parse().expect("a moment")));
        }
        assert_eq!(end_of("nothing"), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}

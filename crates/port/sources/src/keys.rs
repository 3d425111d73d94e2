//! Keys and certificates for charts, made with this machine's randomness and clock.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use galley_render::{Keys, Wanted};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RsaKeySize, SanType,
};

/// Most bytes of a password that bcrypt looks at.
const MAX_PASSWORD: usize = 72;

/// Makes them here.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnKeys {
    /// Certificates begin now.
    pub now: jiff::Timestamp,
}

impl Keys for OwnKeys {
    fn private_key(&self, kind: &str) -> Result<String, String> {
        let pair = match kind {
            "" | "rsa" => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
            "ecdsa" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            "ed25519" => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            other => return Ok(format!("Unknown type {other}")),
        };
        Ok(pem(&pair.map_err(|error| error.to_string())?))
    }

    fn certificate(&self, wanted: &Wanted) -> Result<(String, String), String> {
        let told = |error: rcgen::Error| error.to_string();
        let pair = match &wanted.key {
            Some(key) => KeyPair::from_pem(key).map_err(|error| format!("error parsing key: {error}"))?,
            None => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(told)?,
        };
        let params = params(wanted, self.now)?;
        let certificate = match &wanted.issuer {
            None => params.self_signed(&pair),
            Some((certificate, key)) => {
                let key = KeyPair::from_pem(key).map_err(|error| format!("error parsing key: {error}"))?;
                let issuer = Issuer::from_ca_cert_pem(certificate, key)
                    .map_err(|error| format!("error parsing certificate: {error}"))?;
                params.signed_by(&pair, &issuer)
            }
        };
        let key = wanted.key.clone().unwrap_or_else(|| pem(&pair));
        Ok((certificate.map_err(told)?.pem().replace('\r', ""), key))
    }

    fn bcrypt(&self, password: &str) -> Result<String, String> {
        if password.len() > MAX_PASSWORD {
            return Ok(
                "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned()
            );
        }
        let salt = *uuid::Uuid::new_v4().as_bytes();
        let hash = bcrypt::hash_with_salt(password, 10, salt).map_err(|error| error.to_string())?;
        Ok(hash.format_for_version(bcrypt::Version::TwoA))
    }
}

fn params(wanted: &Wanted, now: jiff::Timestamp) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(wanted.hosts.clone()).map_err(|error| error.to_string())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wanted.name.as_str());
    for address in &wanted.addresses {
        let parsed = address.parse().map_err(|_| format!("error parsing ip: {address}"))?;
        params.subject_alt_names.push(SanType::IpAddress(parsed));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    if wanted.is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    }
    let start = std::time::SystemTime::from(now);
    let days = u64::try_from(wanted.days).unwrap_or(0).min(365 * 1000);
    params.not_before = start.into();
    params.not_after = (start + std::time::Duration::from_secs(days * 86_400)).into();
    Ok(params)
}

/// RSA keys in their own form, as charts and servers know them; others as PKCS 8.
fn pem(pair: &KeyPair) -> String {
    let der = pair.serialize_der();
    match pkcs1(&der) {
        Some(inner) => {
            let text = STANDARD.encode(inner);
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"))
        }
        None => pair.serialize_pem().replace('\r', ""),
    }
}

/// The RSA key within PKCS 8: version, algorithm (1.2.840.113549.1.1.1), key.
fn pkcs1(der: &[u8]) -> Option<&[u8]> {
    const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (0x30, content, _) = element(der)? else { return None };
    let (0x02, _, rest) = element(content)? else { return None };
    let (0x30, algorithm, rest) = element(rest)? else { return None };
    let (0x04, key, _) = element(rest)? else { return None };
    algorithm.starts_with(&RSA).then_some(key)
}

/// Tag and content of the first element, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length) = (*der.first()?, *der.get(1)?);
    let (length, start) = match length {
        0..=0x7f => (usize::from(length), 2),
        _ => {
            let count = usize::from(length & 0x7f);
            let bytes = der.get(2..2 + count).filter(|_| count <= 4)?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + count)
        }
    };
    Some((tag, der.get(start..start + length)?, der.get(start + length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_an_authority() {
        let authority = Wanted { name: "ca".to_owned(), days: 1, is_authority: true, ..Wanted::default() };
        let issuer = OwnKeys::default().certificate(&authority).unwrap();
        assert!(issuer.1.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        let wanted = Wanted {
            name: "web".to_owned(),
            hosts: vec!["web.local".to_owned()],
            addresses: vec!["10.0.0.1".to_owned()],
            days: 1,
            issuer: Some(issuer),
            ..Wanted::default()
        };
        let (certificate, _) = OwnKeys::default().certificate(&wanted).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
    }
}

//! The private certificate authority and the server's certificate.
//!
//! The authority lives in the state directory for ten years; the server's certificate is made anew at each start, for
//! a year, and never touches the disk.

use std::{fmt, net::IpAddr, path::Path, sync::Arc};

use galley_units::{Clock, Secret};
use jiff::{ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::files;
use crate::Error;

const YEARS: i64 = 10;

/// A certificate authority of one's own.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    clock: Arc<dyn Clock>,
}

/// What a server needs for TLS: its certificate and key.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<rustls::ServerConfig>);

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuthority")
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl CertificateAuthority {
    /// The authority in `dir` (`ca.key` and `ca.crt`); makes one if there is none.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Certificate`].
    pub fn load_or_create(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let (key_path, certificate_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        let stored = files::read(&key_path)?.zip(files::read(&certificate_path)?);
        let params = authority_params(clock.as_ref())?;
        let (key, pem) = match stored {
            Some((key, pem)) => (KeyPair::from_pem(&key).map_err(Error::Certificate)?, pem),
            None => {
                let key = KeyPair::generate().map_err(Error::Certificate)?;
                let pem = params.self_signed(&key).map_err(Error::Certificate)?.pem();
                files::write(&key_path, Secret::new(key.serialize_pem()).expose())?;
                files::write(&certificate_path, &pem)?;
                (key, pem)
            }
        };
        Ok(CertificateAuthority { issuer: Issuer::new(params, key), pem, clock })
    }

    /// The authority's certificate, for those who shall trust it.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server with these names and addresses.
    ///
    /// # Errors
    /// [`Error::Certificate`] if a name is no DNS name, [`Error::Tls`].
    pub fn server_tls(&self, names: &[&str], addresses: &[IpAddr]) -> Result<ServerTls, Error> {
        let all: Vec<String> = names
            .iter()
            .map(|name| (*name).to_owned())
            .chain(addresses.iter().map(IpAddr::to_string))
            .collect();
        let mut params = CertificateParams::new(all).map_err(Error::Certificate)?;
        params.distinguished_name.push(DnType::CommonName, "galley");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, self.clock.as_ref(), 1);
        let key = KeyPair::generate().map_err(Error::Certificate)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::Certificate)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(Error::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(ServerTls(Arc::new(config)))
    }
}

/// The same for every start, so that a certificate made later names the issuer that was made first.
fn authority_params(clock: &dyn Clock) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new()).map_err(Error::Certificate)?;
    params.distinguished_name.push(DnType::CommonName, "galley local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, clock, YEARS);
    Ok(params)
}

/// From yesterday, so that a clock that is a little late does no harm.
fn set_validity(params: &mut CertificateParams, clock: &dyn Clock, years: i64) {
    let today = clock.now().to_zoned(TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let first = today.checked_sub(1.day()).unwrap_or(today);
    let last = today.checked_add(years.years()).unwrap_or(today);
    params.not_before = day(first);
    params.not_after = day(last);
}

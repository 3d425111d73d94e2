//! Keys, certificates and hashes of passwords, which charts may ask for and which only the outside can make.

use std::rc::Rc;

use galley_sprig::Value;
use galley_sprig::value::{Entries, Object};

/// A certificate that a chart asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its common name.
    pub name: String,
    /// IP addresses it is good for.
    pub addresses: Vec<String>,
    /// Host names it is good for.
    pub hosts: Vec<String>,
    /// How long it is good for.
    pub days: i64,
    /// It may sign others.
    pub is_authority: bool,
    /// Its key as PEM; a new one if there is none.
    pub key: Option<String>,
    /// Certificate and key, as PEM, of who signs it; nobody: itself.
    pub issuer: Option<(String, String)>,
}

/// Makes keys, certificates and hashes of passwords.
pub trait Keys {
    /// A private key as PEM: `rsa`, `ecdsa` or `ed25519`.
    ///
    /// # Errors
    /// In words.
    fn private_key(&self, kind: &str) -> Result<String, String>;

    /// A certificate and its key, both as PEM.
    ///
    /// # Errors
    /// In words.
    fn certificate(&self, wanted: &Wanted) -> Result<(String, String), String>;

    /// The bcrypt hash of a password.
    ///
    /// # Errors
    /// In words.
    fn bcrypt(&self, password: &str) -> Result<String, String>;
}

/// The functions that need somebody who makes keys.
pub(crate) const NAMES: [&str; 10] = [
    "bcrypt",
    "htpasswd",
    "genPrivateKey",
    "buildCustomCert",
    "genCA",
    "genCAWithKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
];

/// Calls one of [`NAMES`].
pub(crate) fn call(keys: &dyn Keys, name: &str, a: &[Value]) -> Result<Value, String> {
    let text = |index: usize| {
        a.get(index).and_then(Value::as_text).map(str::to_owned).ok_or_else(|| wrong(name, "a text", index))
    };
    let days = |index: usize| match a.get(index) {
        Some(Value::Int(days, _)) => Ok(*days),
        _ => Err(wrong(name, "a number of days", index)),
    };
    let mut wanted = Wanted::default();
    match name {
        "bcrypt" => return keys.bcrypt(&text(0)?).map(Value::from),
        "htpasswd" => {
            let user = text(0)?;
            if user.contains(':') {
                return Ok(Value::text(format!("invalid username: {user}")));
            }
            return Ok(Value::from(format!("{user}:{}", keys.bcrypt(&text(1)?)?)));
        }
        "genPrivateKey" => return keys.private_key(&text(0)?).map(Value::from),
        "buildCustomCert" => {
            let decoded = |index: usize| {
                let decode = galley_sprig::find("b64dec").ok_or("b64dec is missing")?;
                let found = (decode.run)(&galley_sprig::Context::default(), &[Value::from(text(index)?)])?;
                Ok::<String, String>(found.as_text().unwrap_or_default().to_owned())
            };
            return Ok(certificate(decoded(0)?, decoded(1)?));
        }
        "genCA" | "genCAWithKey" => {
            wanted = Wanted { name: text(0)?, days: days(1)?, is_authority: true, ..wanted };
            if name == "genCAWithKey" {
                wanted.key = Some(text(2)?);
            }
        }
        _ => {
            let given = |index: usize| a.get(index).map(texts).unwrap_or_default();
            wanted =
                Wanted { name: text(0)?, addresses: given(1), hosts: given(2), days: days(3)?, ..wanted };
            let mut next = 4;
            if name.starts_with("genSigned") {
                let (Some(cert), Some(key)) = (field(a.get(next), "Cert"), field(a.get(next), "Key")) else {
                    return Err(wrong(name, "a certificate", next));
                };
                wanted.issuer = Some((cert, key));
                next += 1;
            }
            if name.ends_with("WithKey") {
                wanted.key = Some(text(next)?);
            }
        }
    }
    let (cert, key) = keys.certificate(&wanted)?;
    Ok(certificate(cert, key))
}

fn wrong(name: &str, what: &str, index: usize) -> String {
    format!("{name} wants {what} as argument {}", index + 1)
}

/// A list as texts.
fn texts(value: &Value) -> Vec<String> {
    match value.plain() {
        Value::List(list) => list.items().iter().map(galley_sprig::print::show).collect(),
        _ => Vec::new(),
    }
}

fn field(value: Option<&Value>, name: &str) -> Option<String> {
    match value {
        Some(Value::Object(object)) => object.field(name)?.as_text().map(str::to_owned),
        Some(Value::Map(map)) => map.get(name)?.as_text().map(str::to_owned),
        _ => None,
    }
}

/// What templates see as a certificate.
#[derive(Debug)]
struct Certificate(Entries);

fn certificate(cert: String, key: String) -> Value {
    let fields = [("Cert", cert), ("Key", key)];
    Value::Object(Rc::new(Certificate(
        fields.into_iter().map(|(name, text)| (Rc::from(name), Value::from(text))).collect(),
    )))
}

impl Object for Certificate {
    fn type_name(&self) -> &str {
        "sprig.certificate"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn method(&self, _: &str, _: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn show(&self) -> String {
        let fields: Vec<String> = self.0.values().map(galley_sprig::print::show).collect();
        format!("{{{}}}", fields.join(" "))
    }

    fn json(&self) -> serde_json::Value {
        let fields = self.0.iter().map(|(key, value)| {
            (key.to_string(), serde_json::Value::from(value.as_text().unwrap_or_default()))
        });
        serde_json::Value::Object(fields.collect())
    }
}

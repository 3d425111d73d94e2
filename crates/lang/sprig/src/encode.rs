//! Encodings and digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use crate::codec::{Layout, encode};
use crate::function::{Context, Function, Param, function, int, sized, text};
use crate::raw::{bytes_of, text_of};
use crate::value::Value;

use Param::{Any, Int, Text};

const PLAIN: Layout = Layout { pretty: false, html: true };

pub(crate) const FUNCTIONS: &[Function] = &[
    function("b64enc", &[Text], None, |_, a| sized(base64(&bytes_of(text(a, 0))))),
    function("b64dec", &[Text], None, |_, a| {
        // Line ends are allowed between the letters; a mistake is the result, not an error.
        let letters: String = text(a, 0).chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match STANDARD.decode(&letters) {
            Ok(bytes) => Ok(Value::from(text_of(&bytes))),
            Err(_) => Ok(Value::text(format!("illegal base64 data at input byte {}", bad_base64(&letters)))),
        }
    }),
    function("b32enc", &[Text], None, |_, a| sized(base32(&bytes_of(text(a, 0))))),
    function("b32dec", &[Text], None, |_, a| Ok(Value::text(unbase32(text(a, 0))))),
    function("sha1sum", &[Text], None, |_, a| {
        Ok(Value::text(hex(&sha1::Sha1::digest(bytes_of(text(a, 0))))))
    }),
    function("sha256sum", &[Text], None, |_, a| {
        Ok(Value::text(hex(&sha2::Sha256::digest(bytes_of(text(a, 0))))))
    }),
    function("sha512sum", &[Text], None, |_, a| {
        Ok(Value::text(hex(&sha2::Sha512::digest(bytes_of(text(a, 0))))))
    }),
    function("adler32sum", &[Text], None, |_, a| Ok(Value::text(adler32(&bytes_of(text(a, 0))).to_string()))),
    function("toJson", &[Any], None, |_, a| sized(encode(&a[0], PLAIN).unwrap_or_default())),
    function("mustToJson", &[Any], None, |_, a| sized(encode(&a[0], PLAIN)?)),
    function("toPrettyJson", &[Any], None, |_, a| {
        sized(encode(&a[0], Layout { pretty: true, ..PLAIN }).unwrap_or_default())
    }),
    function("mustToPrettyJson", &[Any], None, |_, a| {
        sized(encode(&a[0], Layout { pretty: true, ..PLAIN })?)
    }),
    function("toRawJson", &[Any], None, |_, a| sized(encode(&a[0], Layout { html: false, ..PLAIN })?)),
    function("mustToRawJson", &[Any], None, |_, a| sized(encode(&a[0], Layout { html: false, ..PLAIN })?)),
    function("mustFromJson", &[Text], None, |_, a| from_json(text(a, 0))),
    function("randAlphaNum", &[Int], None, |c, a| {
        letters(c, a, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    }),
    function("randAlpha", &[Int], None, |c, a| {
        letters(c, a, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    }),
    function("randNumeric", &[Int], None, |c, a| letters(c, a, b"0123456789")),
    function("randAscii", &[Int], None, |c, a| {
        let all: Vec<u8> = (32..127).collect();
        letters(c, a, &all)
    }),
    function("randBytes", &[Int], None, |context, a| {
        let count = usize::try_from(int(a, 0)).map_err(|_| "negative count".to_owned())?;
        sized(base64(&context.random(count)?))
    }),
    function("uuidv4", &[], None, |context, _| {
        let mut bytes = context.random(16)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let text = hex(&bytes);
        let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
        Ok(Value::text(parts.join("-")))
    }),
    function("bcrypt", &[Text], None, |_, _| absent("bcrypt")),
    function("htpasswd", &[Text, Text], None, |_, _| absent("htpasswd")),
    function("genPrivateKey", &[Text], None, |_, _| absent("genPrivateKey")),
    function("derivePassword", &[], Some(Any), |_, _| absent("derivePassword")),
    function("buildCustomCert", &[], Some(Any), |_, _| absent("buildCustomCert")),
    function("genCA", &[], Some(Any), |_, _| absent("genCA")),
    function("genCAWithKey", &[], Some(Any), |_, _| absent("genCAWithKey")),
    function("genSelfSignedCert", &[], Some(Any), |_, _| absent("genSelfSignedCert")),
    function("genSelfSignedCertWithKey", &[], Some(Any), |_, _| absent("genSelfSignedCertWithKey")),
    function("genSignedCert", &[], Some(Any), |_, _| absent("genSignedCert")),
    function("genSignedCertWithKey", &[], Some(Any), |_, _| absent("genSignedCertWithKey")),
    function("encryptAES", &[Text, Text], None, |_, _| absent("encryptAES")),
    function("decryptAES", &[Text, Text], None, |_, _| absent("decryptAES")),
];

/// Keys and certificates made while rendering would change with every rendering.
fn absent(name: &str) -> Result<Value, String> {
    Err(format!("`{name}` is not supported: make keys, certificates and passwords outside of the chart"))
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Where Go would say that base64 goes wrong.
fn bad_base64(letters: &str) -> usize {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    letters.find(|c| !good(c)).unwrap_or(letters.len() / 4 * 4)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut five = [0u8; 5];
        five[..chunk.len()].copy_from_slice(chunk);
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let used = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            let letter = BASE32[(bits >> (35 - index * 5)) as usize & 31];
            out.push(if index < used { char::from(letter) } else { '=' });
        }
    }
    out
}

/// The decoded text, or Go's message.
fn unbase32(text: &str) -> String {
    let letters: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let end = letters.iter().position(|byte| *byte == b'=').unwrap_or(letters.len());
    let wrong = |at: usize| format!("illegal base32 data at input byte {at}");
    if !letters.len().is_multiple_of(8) {
        return wrong(letters.len() / 8 * 8);
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for (at, letter) in letters[..end].iter().enumerate() {
        let Some(value) = BASE32.iter().position(|known| known == letter) else { return wrong(at) };
        bits = bits << 5 | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    text_of(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

/// JSON read with every number a float.
pub(crate) fn from_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map(|json| Value::from_json(&json)).map_err(|error| error.to_string())
}

/// Letters drawn evenly from an alphabet.
fn letters(context: &Context, a: &[Value], alphabet: &[u8]) -> Result<Value, String> {
    let count = usize::try_from(int(a, 0)).map_err(|_| "negative count".to_owned())?.min(1 << 20);
    let limit = 256 / alphabet.len() * alphabet.len();
    let mut out = String::with_capacity(count);
    // Draws beyond the last whole multiple are thrown away; half are kept at worst.
    for _ in 0..64 {
        for byte in context.random(count.max(16))? {
            if out.len() < count && usize::from(byte) < limit {
                out.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
        if out.len() >= count {
            return Ok(Value::from(out));
        }
    }
    Err("the source of randomness repeats itself".to_owned())
}

//! Reading Kubernetes' protobuf bodies, which Go's typed clients (`kubectl create configmap`) send.
//!
//! The numbers and types of the fields are in a table written by `proto/generate.py`; this module turns a message into
//! the JSON that the same client would have sent. Answers are always JSON, which these clients read too. Messages
//! come from outside: every length is checked and the depth is bounded.

use std::{collections::HashMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Deeper messages are refused; the kinds that are read have about ten levels.
const DEEPEST: usize = 40;
/// Before every message.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A value whose zero says nothing.
    Plain,
    /// A value whose zero means something.
    Pointer,
    /// A message whose fields belong to the one around it.
    Inline,
    List,
    Table,
}

struct Field {
    name: &'static str,
    form: Form,
    kind: &'static str,
}

type Messages = HashMap<&'static str, HashMap<u64, Field>>;

static MESSAGES: LazyLock<Messages> = LazyLock::new(|| {
    let lines = include_str!("../proto/messages.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split('|');
            (parts.next().unwrap_or_default(), parts.filter_map(read_field).collect())
        })
        .collect()
});

fn read_field(text: &'static str) -> Option<(u64, Field)> {
    let mut words = text.split(' ');
    let (number, name, kind) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (form, kind) = [("*", Form::Pointer), ("^", Form::Inline), ("[]", Form::List), ("{}", Form::Table)]
        .into_iter()
        .find_map(|(mark, form)| kind.strip_prefix(mark).map(|kind| (form, kind)))
        .unwrap_or((Form::Plain, kind));
    Some((number, Field { name, form, kind }))
}

/// Reads a body; the error is a sentence.
pub(crate) fn decode(body: &[u8]) -> Result<Value, String> {
    let inner = body.strip_prefix(MAGIC).ok_or("the body does not begin like a Kubernetes message")?;
    let (mut head, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for entry in entries(inner) {
        match entry? {
            (1, Wire::Bytes(bytes)) => head = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = ("", "");
    for entry in entries(head) {
        match entry? {
            (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
            (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
            _ => {}
        }
    }
    let group = api_version.rsplit_once('/').map_or("core", |(group, _)| group);
    let package = if kind == "DeleteOptions" { "meta" } else { group.split('.').next().unwrap_or_default() };
    let mut object = Map::new();
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    let name = format!("{package}.{kind}");
    if !MESSAGES.contains_key(name.as_str()) {
        return Err(format!("{kind} in version \"{api_version}\" is only read as JSON or YAML"));
    }
    object.extend(message(&name, raw, 0)?);
    Ok(Value::Object(object))
}

/// Writes the OpenAPI schema of a message, and of all that it holds, into `schemas`: names and types of the fields
/// that JSON has. `false` if there is no such message.
pub(crate) fn add_schemas(name: &str, schemas: &mut Map<String, Value>) -> bool {
    let Some(fields) = MESSAGES.get(name) else { return false };
    if schemas.contains_key(name) {
        return true;
    }
    // Put there first: some messages hold themselves.
    schemas.insert(name.to_owned(), Value::Null);
    let mut properties = Map::new();
    let mut sorted: Vec<(&u64, &Field)> = fields.iter().collect();
    sorted.sort_by_key(|(number, _)| **number);
    for (_, field) in sorted {
        let kind = schema_of(field.kind, schemas);
        match field.form {
            Form::Plain | Form::Pointer => {
                properties.insert(field.name.into(), kind);
            }
            Form::List => {
                properties.insert(field.name.into(), json!({"type": "array", "items": kind}));
            }
            Form::Table => {
                properties.insert(field.name.into(), json!({"type": "object", "additionalProperties": kind}));
            }
            Form::Inline => {
                let inlined = schemas.get(field.kind).and_then(|schema| schema["properties"].as_object());
                properties.extend(inlined.cloned().unwrap_or_default());
            }
        }
    }
    schemas.insert(name.to_owned(), json!({"type": "object", "properties": properties}));
    true
}

fn schema_of(kind: &str, schemas: &mut Map<String, Value>) -> Value {
    match kind {
        "string" | "resource.Quantity" => json!({"type": "string"}),
        "bytes" => json!({"type": "string", "format": "byte"}),
        "bool" => json!({"type": "boolean"}),
        "int32" | "int64" => json!({"type": "integer", "format": kind}),
        "double" => json!({"type": "number", "format": "double"}),
        "meta.Time" | "meta.MicroTime" => json!({"type": "string", "format": "date-time"}),
        "intstr.IntOrString" => json!({"type": "string", "format": "int-or-string"}),
        message if add_schemas(message, schemas) => {
            json!({"allOf": [{"$ref": format!("#/components/schemas/{message}")}]})
        }
        _ => json!({"type": "object"}),
    }
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed(u64),
}

/// The fields of a message as they come: number and value.
fn entries<'a>(mut rest: &'a [u8]) -> impl Iterator<Item = Result<(u64, Wire<'a>), String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = entry(&mut rest);
        if entry.is_err() {
            rest = &[];
        }
        Some(entry)
    })
}

fn entry<'a>(rest: &mut &'a [u8]) -> Result<(u64, Wire<'a>), String> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Wire::Number(varint(rest)?),
        1 => Wire::Fixed(take(rest, 8)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|error| error.to_string())?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => Wire::Fixed(take(rest, 4)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))),
        other => return Err(format!("the message has a field of unknown wire type {other}")),
    };
    Ok((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(length).ok_or("the message ends too early")?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for shift in (0..70).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("the message has a number that is too long".into())
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "the message has text that is not UTF-8".into())
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    let fields = MESSAGES.get(name).ok_or_else(|| format!("{name} is not read from protobuf"))?;
    if depth > DEEPEST {
        return Err("the message is nested too deeply".into());
    }
    let mut object = Map::new();
    for entry in entries(bytes) {
        let (number, wire) = entry?;
        let Some(field) = fields.get(&number) else { continue };
        match field.form {
            Form::List => {
                let item = value(field.kind, &wire, depth)?;
                let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(item);
                }
            }
            Form::Table => {
                let (key, item) = pair(field.kind, &wire, depth)?;
                let table = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(table) = table {
                    table.insert(key, item);
                }
            }
            Form::Inline => match wire {
                Wire::Bytes(bytes) => object.extend(message(field.kind, bytes, depth + 1)?),
                _ => return Err(format!("the field {} is no message", field.name)),
            },
            Form::Plain | Form::Pointer => {
                let value = value(field.kind, &wire, depth)?;
                if !value.is_null() && (field.form == Form::Pointer || !is_zero(&value)) {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(object)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// An entry of a map: field 1 the key, field 2 the value.
fn pair(kind: &str, wire: &Wire<'_>, depth: usize) -> Result<(String, Value), String> {
    let Wire::Bytes(bytes) = wire else { return Err("an entry of a map is no message".into()) };
    // What is absent is empty.
    let (mut key, mut item) = (String::new(), value(kind, &Wire::Bytes(&[]), depth)?);
    for entry in entries(bytes) {
        match entry? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?.to_owned(),
            (2, wire) => item = value(kind, &wire, depth)?,
            _ => {}
        }
    }
    Ok((key, item))
}

fn value(kind: &str, wire: &Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (kind, wire) {
        ("bool", Wire::Number(number)) => Value::Bool(*number != 0),
        // Negative numbers are written with all 64 bits.
        ("int32" | "int64", Wire::Number(number)) => Value::from(number.cast_signed()),
        ("double", Wire::Fixed(bits)) => Value::from(f64::from_bits(*bits)),
        ("string", Wire::Bytes(bytes)) => Value::from(text(bytes)?),
        ("bytes", Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (kind, Wire::Bytes(bytes)) => match kind {
            "meta.Time" | "meta.MicroTime" => time(kind, bytes)?,
            "resource.Quantity" => first_text(bytes)?.into(),
            "intstr.IntOrString" => int_or_string(bytes)?,
            "meta.FieldsV1" | "runtime.RawExtension" => {
                let json = first_text(bytes)?;
                if json.is_empty() {
                    Value::Null
                } else {
                    serde_json::from_str(json).map_err(|e| e.to_string())?
                }
            }
            "authentication.ExtraValue" | "authorization.ExtraValue" => {
                let items = entries(bytes).map(|entry| match entry? {
                    (1, Wire::Bytes(bytes)) => Ok(Value::from(text(bytes)?)),
                    _ => Ok(Value::Null),
                });
                Value::Array(items.collect::<Result<_, String>>()?)
            }
            name => Value::Object(message(name, bytes, depth + 1)?),
        },
        _ => return Err(format!("a field of type {kind} has another type in the message")),
    })
}

/// The text of field 1.
fn first_text(bytes: &[u8]) -> Result<&str, String> {
    for entry in entries(bytes) {
        if let (1, Wire::Bytes(bytes)) = entry? {
            return text(bytes);
        }
    }
    Ok("")
}

fn time(kind: &str, bytes: &[u8]) -> Result<Value, String> {
    let (mut seconds, mut nanos) = (None, 0);
    for entry in entries(bytes) {
        match entry? {
            (1, Wire::Number(number)) => seconds = Some(number.cast_signed()),
            (2, Wire::Number(number)) => nanos = i32::try_from(number).unwrap_or(0),
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let moment = Timestamp::new(seconds, nanos).map_err(|error| error.to_string())?;
    Ok(Value::from(if kind == "meta.MicroTime" {
        moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    } else {
        galley_units::rfc3339(moment)
    }))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut string) = (false, 0, "");
    for entry in entries(bytes) {
        match entry? {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => string = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).expect("short")];
        bytes.extend(content);
        bytes
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let head = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &head), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_and_its_empty_fields() {
        let metadata = [field(1, b"a"), field(2, b""), field(8, b"")].concat();
        let entry = |key: &[u8], value: &[u8]| field(2, &[field(1, key), field(2, value)].concat());
        let raw = [field(1, &metadata), entry(b"k", b"v"), entry(b"empty", b"")].concat();
        let read = decode(&body("v1", "ConfigMap", &raw)).expect("reads");
        assert_eq!(
            read,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v", "empty": ""}})
        );
    }

    #[test]
    fn zero_replicas_are_kept_and_inlined_fields_are_lifted() {
        let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
        let pod = field(1, &volume);
        let template = field(2, &pod);
        let spec = [vec![1 << 3, 0], field(3, &template)].concat();
        let read = decode(&body("apps/v1", "Deployment", &field(2, &spec))).expect("reads");
        assert_eq!(
            read["spec"],
            json!({"replicas": 0, "template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}})
        );
    }

    #[test]
    fn options_of_any_group_and_special_types() {
        let read = decode(&body("apps/v1", "DeleteOptions", &[1 << 3, 0])).expect("reads");
        assert_eq!(read["gracePeriodSeconds"], 0);
        assert_eq!(int_or_string(&[vec![1 << 3, 1], field(3, b"25%")].concat()).expect("reads"), "25%");
        assert_eq!(int_or_string(&[1 << 3, 0, 2 << 3, 80]).expect("reads"), 80);
        assert_eq!(time("meta.Time", &[1 << 3, 60]).expect("reads"), "1970-01-01T00:01:00Z");
    }

    #[test]
    fn schemas_hold_all_that_a_kind_reaches() {
        let mut schemas = Map::new();
        assert!(add_schemas("core.Pod", &mut schemas));
        let volume = &schemas["core.Volume"]["properties"];
        assert_eq!(volume["name"], json!({"type": "string"}));
        assert!(volume["emptyDir"].is_object() && volume.get("volumeSource").is_none());
        assert!(schemas.values().all(|schema| schema["type"] == "object"));
        assert!(!add_schemas("core.Nothing", &mut schemas));
    }

    #[test]
    fn damaged_messages_are_refused() {
        let good = body("v1", "ConfigMap", &field(1, &field(1, b"a")));
        for end in 1..good.len() - 1 {
            // Cut anywhere, it is refused or has lost something; it never panics.
            let _ = decode(&good[..end]);
        }
        assert!(decode(b"{}").is_err());
        assert!(decode(&good[..good.len() - 1]).is_err());
        assert!(decode(&body("test.dev/v1", "Widget", b"")).is_err());
        assert!(decode(&body("v1", "ConfigMap", &[0xff; 20])).is_err());
    }

    #[test]
    fn every_type_in_the_table_is_known() {
        let special = [
            "meta.Time",
            "meta.MicroTime",
            "resource.Quantity",
            "intstr.IntOrString",
            "meta.FieldsV1",
            "runtime.RawExtension",
            "authentication.ExtraValue",
            "authorization.ExtraValue",
        ];
        let scalar = ["string", "bytes", "bool", "int32", "int64", "double"];
        for field in MESSAGES.values().flat_map(HashMap::values) {
            let known = MESSAGES.contains_key(field.kind)
                || special.contains(&field.kind)
                || scalar.contains(&field.kind);
            assert!(known, "{} {}", field.name, field.kind);
        }
        assert!(MESSAGES.len() > 250);
    }
}

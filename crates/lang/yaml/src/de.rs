//! Reads trees into types, with a place for every complaint.
//!
//! A mistake is placed at the innermost value that was being read. As in Kubernetes, a known field that is null
//! counts as absent.

use std::fmt;
use std::rc::Rc;

use galley_problem::{Kind as ProblemKind, Problem, did_you_mean};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use crate::resolve::Scalar;
use crate::tree::{At, Entry, Kind, Node};

/// A complaint, with its place once it is known.
#[derive(Debug)]
pub(crate) struct Error {
    code: &'static str,
    what: String,
    remedy: Option<String>,
    at: Option<At>,
}

impl Error {
    fn new(code: &'static str, what: String) -> Self {
        Error { code, what, remedy: None, at: None }
    }

    fn or_at(mut self, at: At) -> Self {
        self.at.get_or_insert(at);
        self
    }

    /// The problem as a person reads it.
    pub(crate) fn into_problem(self, file: &str) -> Problem {
        let (line, column) = self.at.unwrap_or((1, 1));
        let mut problem = Problem::new(self.code, ProblemKind::Invalid, self.what).at(file, line, column);
        problem.remedy = self.remedy;
        problem
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

/// A complaint of serde's in the form of a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::new("G0304", sentence(&message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let name = name_of(&found);
        let mut error = Error::new("G0304", format!("This is {name}, but {expected} is expected here."));
        if expected.to_string().contains("string") && !matches!(found, Unexpected::Map | Unexpected::Seq) {
            error.remedy = Some("Put it in quotes to make it text.".to_owned());
        }
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Error::new("G0303", format!("There is no field `{field}` here."));
        error.remedy = Some(match did_you_mean(field, expected.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None if expected.is_empty() => "Remove it: no fields are known here.".to_owned(),
            None => format!("Known fields: {}.", quoted(expected)),
        });
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Error::new("G0304", format!("`{variant}` is not one of the values allowed here."));
        error.remedy = Some(match did_you_mean(variant, expected.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => format!("Allowed: {}.", quoted(expected)),
        });
        error
    }

    fn missing_field(field: &'static str) -> Self {
        Error::new("G0304", format!("The field `{field}` is missing."))
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn name_of(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(value) if value.chars().count() > 40 => "a text".to_owned(),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Unit | Unexpected::Option => "empty".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Deserializer over one node.
#[derive(Clone, Copy)]
pub(crate) struct NodeReader<'a>(pub(crate) &'a Node);

impl<'de> Deserializer<'de> for NodeReader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.0.kind {
            Kind::Sequence(items) => visit_sequence(items, visitor),
            Kind::Mapping(entries) => visit_mapping(entries, None, visitor),
            Kind::Scalar { text, scalar, .. } => match scalar {
                Scalar::Null => visitor.visit_unit(),
                Scalar::Bool(value) => visitor.visit_bool(*value),
                Scalar::Int(value) => visitor.visit_i64(*value),
                Scalar::Uint(value) => visitor.visit_u64(*value),
                Scalar::Float(value) => {
                    match crate::value::float(*value).and_then(|number| number.as_i64()) {
                        Some(integral) => visitor.visit_i64(integral),
                        None => visitor.visit_f64(*value),
                    }
                }
                Scalar::Text => visitor.visit_str(text),
            },
        };
        result.map_err(|error| error.or_at(self.0.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        result.map_err(|error| error.or_at(self.0.at))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|error| error.or_at(self.0.at))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Kind::Mapping(entries) = &self.0.kind else { return self.deserialize_any(visitor) };
        visit_mapping(entries, Some(fields), visitor).map_err(|error| error.or_at(self.0.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.0.kind {
            Kind::Scalar { text, scalar, .. } if *scalar != Scalar::Null => {
                visitor.visit_enum(Variant { name: text, at: self.0.at, content: None })
            }
            Kind::Mapping(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant {
                    name: &entry.name,
                    at: entry.key_at,
                    content: Some(&entry.value),
                }),
                _ => Err(de::Error::custom("exactly one key is expected here")),
            },
            _ => Err(de::Error::custom("a name is expected here")),
        };
        result.map_err(|error| error.or_at(self.0.at))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier
    }
}

fn visit_sequence<'de, V: Visitor<'de>>(items: &[Rc<Node>], visitor: V) -> Result<V::Value, Error> {
    let mut rest = Items(items.iter());
    let value = visitor.visit_seq(&mut rest)?;
    match rest.0.next() {
        Some(extra) => {
            Err(Error::new("G0304", "The list has more items than expected.".to_owned()).or_at(extra.at))
        }
        None => Ok(value),
    }
}

fn visit_mapping<'de, V: Visitor<'de>>(
    entries: &[Entry],
    known: Option<&'static [&'static str]>,
    visitor: V,
) -> Result<V::Value, Error> {
    visitor.visit_map(Entries { rest: entries.iter(), known, current: None })
}

struct Items<'a>(std::slice::Iter<'a, Rc<Node>>);

impl<'de> SeqAccess<'de> for &mut Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|node| seed.deserialize(NodeReader(node))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    /// Fields of the struct that is read; null counts as absent for them.
    known: Option<&'static [&'static str]>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let absent = |entry: &&Entry| {
            entry.value.is_null() && self.known.is_some_and(|known| known.contains(&&*entry.name))
        };
        self.current = self.rest.find(|entry| !absent(entry));
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(KeyReader(&entry.name)).map(Some).map_err(|error| error.or_at(entry.key_at))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry =
            self.current.take().ok_or_else(|| <Error as de::Error>::custom("a value was read twice"))?;
        seed.deserialize(NodeReader(&entry.value)).map_err(|error| error.or_at(entry.value.at))
    }
}

/// Deserializer of a key: text, but also numbers and booleans for maps keyed by them.
struct KeyReader<'a>(&'a str);

macro_rules! parsed_keys {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for KeyReader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed_keys!(
        deserialize_bool visit_bool bool, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct Variant<'a> {
    name: &'a str,
    at: At,
    content: Option<&'a Node>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        let value = seed.deserialize(name).map_err(|error| error.or_at(self.at))?;
        Ok((value, Content(self.content)))
    }
}

struct Content<'a>(Option<&'a Node>);

impl Content<'_> {
    fn node(&self) -> Result<&Node, Error> {
        self.0.ok_or_else(|| de::Error::custom("a mapping with one key is expected here"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            Some(node) if !node.is_null() => {
                Err(<Error as de::Error>::custom("no value is expected here").or_at(node.at))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(NodeReader(self.node()?))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        NodeReader(self.node()?).deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        NodeReader(self.node()?).deserialize_struct("", fields, visitor)
    }
}

//! Versions and constraints as Helm compares them (`>=1.25-0 <2`, `^1.2`, `1.x || 2.x`).

use std::cmp::Ordering;
use std::rc::Rc;

use crate::function::{Function, Param, function, text};
use crate::value::{IntType, Object, Value};

use Param::Text;

pub(crate) const FUNCTIONS: &[Function] = &[
    function("semver", &[Text], None, |_, a| {
        Ok(Value::Object(Rc::new(Version::parse(text(a, 0)).ok_or("invalid semantic version")?)))
    }),
    function("semverCompare", &[Text, Text], None, |_, a| {
        let groups = constraints(text(a, 0))?;
        let version = Version::parse(text(a, 1)).ok_or("invalid semantic version")?;
        Ok(Value::Bool(groups.iter().any(|group| {
            let pre = group.iter().any(|constraint| !constraint.version.pre.is_empty());
            group.iter().all(|constraint| constraint.allows(&version, pre))
        })))
    }),
];

/// A version; missing parts are 0, a leading `v` is allowed.
#[derive(Clone, Debug)]
struct Version {
    original: String,
    numbers: [u64; 3],
    pre: String,
    metadata: String,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) =
            rest.split_once('+').map_or((rest, None), |(rest, metadata)| (rest, Some(metadata)));
        let (rest, pre) = rest.split_once('-').map_or((rest, None), |(rest, pre)| (rest, Some(pre)));
        let mut numbers = [0; 3];
        let parts: Vec<&str> = rest.split('.').collect();
        if parts.len() > 3 {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(&parts) {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *number = part.parse().ok()?;
        }
        let words = |text: Option<&str>| {
            let good =
                |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            text.is_none_or(|text| text.split('.').all(good))
        };
        let leading_zero =
            |word: &str| word.len() > 1 && word.starts_with('0') && word.bytes().all(|b| b.is_ascii_digit());
        if !words(pre) || !words(metadata) || pre.is_some_and(|pre| pre.split('.').any(leading_zero)) {
            return None;
        }
        Some(Version {
            original: text.to_owned(),
            numbers,
            pre: pre.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
        })
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_pre(&self.pre, &other.pre))
    }

    fn canonical(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let part =
            |mark: char, text: &str| if text.is_empty() { String::new() } else { format!("{mark}{text}") };
        format!("{major}.{minor}.{patch}{}{}", part('-', &self.pre), part('+', &self.metadata))
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        _ => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let number = |at: usize| Ok(Value::Int(self.numbers[at] as i64, IntType::Uint64));
        let other = || match arguments {
            [Value::Object(object)] => {
                Version::parse(&object.show()).ok_or_else(|| "invalid semantic version".to_owned())
            }
            _ => Err("wrong type for value; expected *semver.Version".to_owned()),
        };
        let bumped = |numbers: [u64; 3]| {
            let original = String::new();
            let mut version = Version { original, numbers, pre: String::new(), metadata: String::new() };
            version.original = version.canonical();
            Ok(Value::Object(Rc::new(version)))
        };
        let [major, minor, patch] = self.numbers;
        Some(match name {
            "Major" => number(0),
            "Minor" => number(1),
            "Patch" => number(2),
            "Prerelease" => Ok(Value::text(&self.pre)),
            "Metadata" => Ok(Value::text(&self.metadata)),
            "Original" => Ok(Value::text(&self.original)),
            "String" => Ok(Value::text(self.canonical())),
            "Compare" => other().map(|other| Value::Int(self.compare(&other) as i64, IntType::Int)),
            "Equal" => other().map(|other| Value::Bool(self.compare(&other).is_eq())),
            "LessThan" => other().map(|other| Value::Bool(self.compare(&other).is_lt())),
            "GreaterThan" => other().map(|other| Value::Bool(self.compare(&other).is_gt())),
            "IncMajor" => bumped([major + 1, 0, 0]),
            "IncMinor" => bumped([major, minor + 1, 0]),
            "IncPatch" if !self.pre.is_empty() => bumped(self.numbers),
            "IncPatch" => bumped([major, minor, patch + 1]),
            _ => return None,
        })
    }

    fn show(&self) -> String {
        self.canonical()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::Value::from(self.canonical())
    }
}

/// Which parts of a constraint's version are given: `1.x` has a major only.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

#[derive(Debug)]
struct Constraint {
    operator: &'static str,
    version: Version,
    given: Given,
}

const OPERATORS: [&str; 11] = [">=", "=>", "<=", "=<", "!=", "~>", "=", ">", "<", "~", "^"];

/// Groups joined by `||`, each of constraints that must all hold.
fn constraints(text: &str) -> Result<Vec<Vec<Constraint>>, String> {
    text.split("||")
        .map(|group| parse_group(group).ok_or_else(|| format!("improper constraint: {group}")))
        .collect()
}

fn parse_group(group: &str) -> Option<Vec<Constraint>> {
    let mut found = Vec::new();
    let mut rest = group.trim_start();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)).unwrap_or("");
        rest = rest[operator.len()..].trim_start();
        let length = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
        let (version, given) = parse_partial(&rest[..length])?;
        rest = rest[length..].trim_start();
        // `1.2 - 1.4` is a range.
        if let Some(high) = rest.strip_prefix("- ").filter(|_| operator.is_empty()) {
            let high = high.trim_start();
            let length = high.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(high.len());
            let (upper, upper_given) = parse_partial(&high[..length])?;
            found.push(Constraint { operator: ">=", version, given });
            found.push(Constraint { operator: "<=", version: upper, given: upper_given });
            rest = high[length..].trim_start();
        } else {
            found.push(Constraint { operator, version, given });
        }
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return None;
            }
        }
    }
    Some(found)
}

fn parse_partial(text: &str) -> Option<(Version, Given)> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let (numbers, tail) = plain.split_at(end);
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let wild = |part: Option<&&str>| part.is_none_or(|part| matches!(*part, "x" | "X" | "*"));
    let given = match (wild(parts.first()), wild(parts.get(1)), wild(parts.get(2))) {
        (true, ..) => Given::Nothing,
        (_, true, _) => Given::Major,
        (.., true) => Given::Minor,
        _ => Given::All,
    };
    let pre = tail.split('+').next().unwrap_or_default();
    let full = match given {
        Given::Nothing => format!("0.0.0{pre}"),
        Given::Major => format!("{}.0.0{pre}", parts[0]),
        Given::Minor => format!("{}.{}.0{pre}", parts[0], parts[1]),
        Given::All => plain.to_owned(),
    };
    Some((Version::parse(&full)?, given))
}

impl Constraint {
    fn allows(&self, version: &Version, pre: bool) -> bool {
        if !version.pre.is_empty() && !pre {
            return false;
        }
        let order = version.compare(&self.version);
        let ([major, minor, _], [wanted_major, wanted_minor, _]) = (version.numbers, self.version.numbers);
        let loose = self.given != Given::All;
        match self.operator {
            "!=" if loose => {
                let same = match self.given {
                    Given::Minor => (major, minor) == (wanted_major, wanted_minor),
                    Given::Major => major == wanted_major,
                    _ => major == wanted_major && minor == wanted_minor,
                };
                let pre_differs = self.given == Given::Minor
                    && (!version.pre.is_empty() || !self.version.pre.is_empty())
                    && version.pre != self.version.pre;
                !same || pre_differs
            }
            "!=" => order.is_ne(),
            ">" if loose => match self.given {
                Given::Major => major > wanted_major,
                Given::Minor => (major, minor) > (wanted_major, wanted_minor),
                _ => order.is_gt(),
            },
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" if loose => {
                major < wanted_major
                    || major == wanted_major && (minor <= wanted_minor || self.given == Given::Major)
            }
            "<=" | "=<" => order.is_le(),
            "^" => order.is_ge() && self.caret(version),
            "~" | "~>" => self.tilde(version, order),
            _ if loose => self.tilde(version, order),
            _ => order.is_eq(),
        }
    }

    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        if order.is_lt() {
            return false;
        }
        if self.version.numbers == [0; 3] && !matches!(self.given, Given::Major | Given::Minor) {
            return true;
        }
        version.numbers[0] == self.version.numbers[0]
            && (version.numbers[1] == self.version.numbers[1] || self.given == Given::Major)
    }

    fn caret(&self, version: &Version) -> bool {
        let ([major, minor, patch], [wanted_major, wanted_minor, wanted_patch]) =
            (version.numbers, self.version.numbers);
        if self.given == Given::Nothing {
            return true;
        }
        if wanted_major > 0 || self.given == Given::Major {
            return major == wanted_major;
        }
        if major > 0 {
            return false;
        }
        if wanted_minor > 0 || self.given == Given::Minor {
            return minor == wanted_minor;
        }
        minor == 0 && patch == wanted_patch
    }
}

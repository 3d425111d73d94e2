//! Functions over points in time. Zones other than UTC count as UTC.

use jiff::Timestamp;

use crate::function::{Context, Function, Param, function, text};
use crate::time::{Time, parse_duration, show_duration};
use crate::value::{IntType, Value};

use Param::{Any, Text, Time as Date};

pub(crate) const FUNCTIONS: &[Function] = &[
    function("now", &[], None, |context, _| context.now().map(Value::Time)),
    function("date", &[Text, Any], None, |context, a| in_zone(context, text(a, 0), &a[1])),
    function("htmlDate", &[Any], None, |context, a| in_zone(context, "2006-01-02", &a[0])),
    function("htmlDateInZone", &[Any, Text], None, |context, a| in_zone(context, "2006-01-02", &a[0])),
    function("dateInZone", &[Text, Any, Text], None, |context, a| in_zone(context, text(a, 0), &a[1])),
    function("date_in_zone", &[Text, Any, Text], None, |context, a| in_zone(context, text(a, 0), &a[1])),
    function("dateModify", &[Text, Date], None, |_, a| Ok(modify(a).unwrap_or_else(|_| a[1].clone()))),
    function("date_modify", &[Text, Date], None, |_, a| Ok(modify(a).unwrap_or_else(|_| a[1].clone()))),
    function("mustDateModify", &[Text, Date], None, |_, a| modify(a)),
    function("must_date_modify", &[Text, Date], None, |_, a| modify(a)),
    function("toDate", &[Text, Text], None, |_, a| {
        Ok(Value::Time(Time::parse(text(a, 0), text(a, 1)).unwrap_or_else(|_| Time::zero())))
    }),
    function("mustToDate", &[Text, Text], None, |_, a| Time::parse(text(a, 0), text(a, 1)).map(Value::Time)),
    function("unixEpoch", &[Date], None, |_, a| match &a[0] {
        Value::Time(time) => Ok(Value::text(time.unix().to_string())),
        _ => Ok(Value::Nil),
    }),
    function("ago", &[Any], None, |context, a| {
        let seconds = nanoseconds_since(context, &moment(context, &a[0])?)? as f64 / 1e9;
        Ok(Value::text(show_duration(seconds.round() as i128 * 1_000_000_000)))
    }),
    function("duration", &[Any], None, |_, a| {
        let seconds = match &a[0] {
            Value::Int(value, IntType::Int64) => *value,
            Value::Text(text) => text.parse().unwrap_or(0),
            _ => 0,
        };
        Ok(Value::text(show_duration(i128::from(seconds) * 1_000_000_000)))
    }),
    function("durationRound", &[Any], None, |context, a| {
        let duration = match &a[0] {
            Value::Text(text) => parse_duration(text).unwrap_or(0),
            Value::Int(value, IntType::Int64) => i128::from(*value),
            Value::Time(time) => nanoseconds_since(context, time)?,
            _ => 0,
        };
        Ok(Value::text(round(duration)))
    }),
];

/// The point in time an argument means: a time, seconds since 1970, or else now.
fn moment(context: &Context, value: &Value) -> Result<Time, String> {
    match value {
        Value::Time(time) => Ok(time.clone()),
        Value::Int(seconds, IntType::Int64 | IntType::Int | IntType::Int32) => {
            Timestamp::from_second(*seconds).map(Time::utc).map_err(|_| "the time is out of range".to_owned())
        }
        _ => context.now(),
    }
}

fn nanoseconds_since(context: &Context, time: &Time) -> Result<i128, String> {
    Ok(context.now()?.timestamp().as_nanosecond() - time.timestamp().as_nanosecond())
}

fn in_zone(context: &Context, layout: &str, value: &Value) -> Result<Value, String> {
    Ok(Value::text(moment(context, value)?.in_utc().format(layout)))
}

fn modify(a: &[Value]) -> Result<Value, String> {
    let by = parse_duration(text(a, 0))?;
    match &a[1] {
        Value::Time(time) => Ok(Value::Time(time.plus(by))),
        other => Ok(other.clone()),
    }
}

/// The largest unit only: `2h`, `3mo`.
fn round(nanoseconds: i128) -> String {
    const SECOND: u128 = 1_000_000_000;
    let total = nanoseconds.unsigned_abs();
    for (unit, name) in [
        (SECOND * 3600 * 24 * 365, "y"),
        (SECOND * 3600 * 24 * 30, "mo"),
        (SECOND * 3600 * 24, "d"),
        (SECOND * 3600, "h"),
        (SECOND * 60, "m"),
        (SECOND, "s"),
    ] {
        if total > unit {
            return format!("{}{name}", total / unit);
        }
    }
    "0s".to_owned()
}

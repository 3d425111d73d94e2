//! Functions over lists. None of them changes a list in place.

use crate::function::{Function, MAX_ITEMS, Param, function, int, list, sized_list};
use crate::math::to_int;
use crate::value::{Elem, IntType, List, Value};

use Param::{Any, Int};

/// A function with a twin whose name begins with `must`.
macro_rules! twice {
    ($name:literal, $must:literal, $params:expr, $rest:expr, $body:expr) => {
        [function($name, $params, $rest, $body), function($must, $params, $rest, $body)]
    };
}

const PAIRS: [[Function; 2]; 14] = [
    twice!("append", "mustAppend", &[Any, Any], None, |_, a| push(a, "Cannot push on")),
    twice!("push", "mustPush", &[Any, Any], None, |_, a| push(a, "Cannot push on")),
    twice!("prepend", "mustPrepend", &[Any, Any], None, |_, a| {
        let list = list(a, 0, "Cannot prepend on")?;
        sized_list(std::iter::once(&a[1]).chain(list.items()).cloned().collect(), Elem::Any)
    }),
    twice!("first", "mustFirst", &[Any], None, |_, a| {
        Ok(list(a, 0, "Cannot find first on")?.items().first().cloned().unwrap_or_default())
    }),
    twice!("last", "mustLast", &[Any], None, |_, a| {
        Ok(list(a, 0, "Cannot find last on")?.items().last().cloned().unwrap_or_default())
    }),
    twice!("rest", "mustRest", &[Any], None, |_, a| {
        let list = list(a, 0, "Cannot find rest on")?;
        Ok(Value::List(
            list.items().split_first().map_or(List::nil(Elem::Any), |(_, rest)| List::new(rest.to_vec())),
        ))
    }),
    twice!("initial", "mustInitial", &[Any], None, |_, a| {
        let list = list(a, 0, "Cannot find initial on")?;
        Ok(Value::List(
            list.items().split_last().map_or(List::nil(Elem::Any), |(_, rest)| List::new(rest.to_vec())),
        ))
    }),
    twice!("reverse", "mustReverse", &[Any], None, |_, a| {
        let list = list(a, 0, "Cannot find reverse on")?;
        Ok(Value::List(List::new(list.items().iter().rev().cloned().collect())))
    }),
    twice!("compact", "mustCompact", &[Any], None, |_, a| {
        let list = list(a, 0, "Cannot compact on")?;
        Ok(Value::List(List::new(list.items().iter().filter(|item| item.truth()).cloned().collect())))
    }),
    twice!("uniq", "mustUniq", &[Any], None, |_, a| {
        let list = list(a, 0, "Cannot find uniq on")?;
        let mut unique: Vec<Value> = Vec::new();
        for item in list.items() {
            if unique.len() > 10_000 {
                return Err("the list has too many different items".to_owned());
            }
            if !unique.iter().any(|known| known.deep_equal(item)) {
                unique.push(item.clone());
            }
        }
        Ok(Value::List(List::new(unique)))
    }),
    twice!("without", "mustWithout", &[Any], Some(Any), |_, a| {
        let list = list(a, 0, "Cannot find without on")?;
        let stays = |item: &&Value| !a[1..].iter().any(|unwanted| unwanted.deep_equal(item));
        Ok(Value::List(List::new(list.items().iter().filter(stays).cloned().collect())))
    }),
    twice!("has", "mustHas", &[Any, Any], None, |_, a| {
        if a[1].is_nil() {
            return Ok(Value::Bool(false));
        }
        let list = list(a, 1, "Cannot find has on")?;
        Ok(Value::Bool(list.items().iter().any(|item| item.deep_equal(&a[0]))))
    }),
    twice!("slice", "mustSlice", &[Any], Some(Any), |_, a| slice(a)),
    twice!("chunk", "mustChunk", &[Int, Any], None, |_, a| {
        let list = list(a, 1, "Cannot chunk")?;
        let size =
            usize::try_from(int(a, 0)).ok().filter(|size| *size > 0).ok_or("chunk size must be positive")?;
        let chunks = list.items().chunks(size).map(|chunk| Value::List(List::new(chunk.to_vec())));
        Ok(Value::List(List::typed(chunks.collect(), Elem::Lists)))
    }),
];

const SINGLE: [Function; 4] = [
    function("list", &[], Some(Any), |_, a| Ok(Value::List(List::new(a.to_vec())))),
    function("tuple", &[], Some(Any), |_, a| Ok(Value::List(List::new(a.to_vec())))),
    function("concat", &[], Some(Any), |_, a| {
        let mut all = Vec::new();
        for index in 0..a.len() {
            let part =
                list(a, index, "Cannot concat").map_err(|error| match error.starts_with("Cannot") {
                    true => format!("{error} as list"),
                    false => error,
                })?;
            all.extend(part.items().iter().cloned());
        }
        if all.is_empty() { Ok(Value::List(List::nil(Elem::Any))) } else { sized_list(all, Elem::Any) }
    }),
    function("until", &[Int], None, |_, a| {
        let count = int(a, 0);
        range(0, count, if count < 0 { -1 } else { 1 })
    }),
];

/// The table, flattened at compile time.
pub(crate) const FUNCTIONS: &[Function] = &{
    let mut all = [SINGLE[0]; PAIRS.len() * 2 + SINGLE.len() + 1];
    let mut at = 0;
    while at < PAIRS.len() {
        all[at * 2] = PAIRS[at][0];
        all[at * 2 + 1] = PAIRS[at][1];
        at += 1;
    }
    let mut single = 0;
    while single < SINGLE.len() {
        all[PAIRS.len() * 2 + single] = SINGLE[single];
        single += 1;
    }
    all[PAIRS.len() * 2 + SINGLE.len()] =
        function("untilStep", &[Int, Int, Int], None, |_, a| range(int(a, 0), int(a, 1), int(a, 2)));
    all
};

fn push(a: &[Value], what: &str) -> Result<Value, String> {
    let list = list(a, 0, what)?;
    sized_list(list.items().iter().chain([&a[1]]).cloned().collect(), Elem::Any)
}

fn slice(a: &[Value]) -> Result<Value, String> {
    let list = list(a, 0, "")
        .map_err(|_| format!("list should be type of slice or array but {}", a[0].kind_name()))?;
    let length = list.items().len();
    if length == 0 {
        return Ok(Value::Nil);
    }
    let start = a.get(1).map_or(0, to_int);
    let end = a.get(2).map_or(length as i64, to_int);
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match range.filter(|(start, end)| start <= end && *end <= length) {
        Some((start, end)) => Ok(Value::List(List::typed(list.items()[start..end].to_vec(), list.elem()))),
        None => Err("reflect.Value.Slice: slice index out of bounds".to_owned()),
    }
}

/// Whole numbers from `start` up or down to before `stop`.
pub(crate) fn steps(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    if stop < start && step >= 0 || stop >= start && step <= 0 {
        return Ok(numbers);
    }
    let mut at = start;
    while if stop < start { at > stop } else { at < stop } {
        if numbers.len() >= MAX_ITEMS {
            return Err(format!("the list has more than {MAX_ITEMS} items"));
        }
        numbers.push(at);
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(numbers)
}

fn range(start: i64, stop: i64, step: i64) -> Result<Value, String> {
    let numbers = steps(start, stop, step)?.into_iter().map(|number| Value::Int(number, IntType::Int));
    Ok(Value::List(List::typed(numbers.collect(), Elem::Int)))
}

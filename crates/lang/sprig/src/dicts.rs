//! Functions over maps. `set`, `unset` and `merge` change the map they are given, as in sprig.

use std::rc::Rc;

use crate::function::{Function, Param, function, map, text};
use crate::print::strval;
use crate::value::{Entries, List, MAX_DEPTH, Map, MapType, Value};

use Param::{Any, Map as Dict, Text};

pub(crate) const FUNCTIONS: &[Function] = &[
    function("dict", &[], Some(Any), |_, a| {
        let mut entries = Entries::new();
        for pair in a.chunks(2) {
            entries
                .insert(Rc::from(strval(&pair[0])), pair.get(1).cloned().unwrap_or_else(|| Value::text("")));
        }
        Ok(Value::Map(Map::new(entries)))
    }),
    function("get", &[Dict, Text], None, |_, a| {
        Ok(map(a, 0).get(text(a, 1)).unwrap_or_else(|| Value::text("")))
    }),
    function("set", &[Dict, Text, Any], None, |_, a| {
        map(a, 0).set(text(a, 1), a[2].clone());
        Ok(a[0].clone())
    }),
    function("unset", &[Dict, Text], None, |_, a| {
        let removed = map(a, 0).entries_mut().remove(text(a, 1));
        drop(removed);
        Ok(a[0].clone())
    }),
    function("hasKey", &[Dict, Text], None, |_, a| {
        Ok(Value::Bool(map(a, 0).entries().contains_key(text(a, 1))))
    }),
    function("pluck", &[Text], Some(Dict), |_, a| {
        let found = (1..a.len()).filter_map(|index| map(a, index).get(text(a, 0)));
        Ok(Value::List(List::new(found.collect())))
    }),
    function("keys", &[], Some(Dict), |_, a| {
        // Go's order is random; ours is that of the keys.
        let keys = (0..a.len()).flat_map(|index| map(a, index).entries().keys().cloned().collect::<Vec<_>>());
        Ok(Value::texts(keys.collect::<Vec<_>>()))
    }),
    function("values", &[Dict], None, |_, a| {
        Ok(Value::List(List::new(map(a, 0).entries().values().cloned().collect())))
    }),
    function("pick", &[Dict], Some(Text), |_, a| {
        let source = map(a, 0);
        let picked = (1..a.len()).filter_map(|index| {
            let key = text(a, index);
            source.get(key).map(|value| (Rc::from(key), value))
        });
        Ok(Value::Map(Map::new(picked.collect())))
    }),
    function("omit", &[Dict], Some(Text), |_, a| {
        let stays = |key: &str| !(1..a.len()).any(|index| text(a, index) == key);
        let source = map(a, 0);
        let kept = source
            .entries()
            .iter()
            .filter(|(key, _)| stays(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Ok(Value::Map(Map::new(kept)))
    }),
    function("merge", &[Dict], Some(Dict), |_, a| merge_all(a, false)),
    function("mustMerge", &[Dict], Some(Dict), |_, a| merge_all(a, false)),
    function("mergeOverwrite", &[Dict], Some(Dict), |_, a| merge_all(a, true)),
    function("mustMergeOverwrite", &[Dict], Some(Dict), |_, a| merge_all(a, true)),
    function("deepCopy", &[Any], None, |_, a| deep_copy(&a[0], 0)),
    function("mustDeepCopy", &[Any], None, |_, a| deep_copy(&a[0], 0)),
    function("dig", &[], Some(Any), |_, a| dig(a)),
];

fn merge_all(a: &[Value], overwrite: bool) -> Result<Value, String> {
    let target = map(a, 0);
    for index in 1..a.len() {
        merge(&target, &map(a, index), overwrite, 0)?;
    }
    Ok(Value::Map(target))
}

/// Adds what `source` has and `target` lacks, or has only as an empty value; with `overwrite`, all of it.
/// Maps on both sides are merged.
fn merge(target: &Map, source: &Map, overwrite: bool, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("the maps are nested too deeply".to_owned());
    }
    if target.is_same(source) {
        return Ok(());
    }
    let pairs: Vec<(Rc<str>, Value)> = source.entries().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    for (key, value) in pairs {
        let present = target.get(&key);
        match (&present, &value) {
            (_, Value::Nil) if !overwrite => {}
            (Some(Value::Map(inner)), Value::Map(value))
                if inner.kind() != MapType::Text && value.kind() != MapType::Text =>
            {
                merge(inner, value, overwrite, depth + 1)?;
            }
            (Some(old), _) if !overwrite && old.truth() => {}
            _ => target.set(&key, value),
        }
    }
    Ok(())
}

fn deep_copy(value: &Value, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err("the value is nested too deeply".to_owned());
    }
    Ok(match value {
        Value::Nil => {
            return Err("deepCopy error: reflect: call of reflect.Value.Interface on zero Value".to_owned());
        }
        Value::List(list) => {
            let items = list.items().iter().map(|item| copy_item(item, depth)).collect::<Result<_, _>>()?;
            Value::List(List::typed(items, list.elem()))
        }
        Value::Map(map) => {
            let copy = |(key, value): (&Rc<str>, &Value)| Ok((key.clone(), copy_item(value, depth)?));
            Value::Map(Map::typed(map.entries().iter().map(copy).collect::<Result<_, String>>()?, map.kind()))
        }
        other => other.clone(),
    })
}

fn copy_item(value: &Value, depth: usize) -> Result<Value, String> {
    if value.is_nil() { Ok(Value::Nil) } else { deep_copy(value, depth + 1) }
}

/// `dig "a" "b" default $dict`.
fn dig(a: &[Value]) -> Result<Value, String> {
    let [keys @ .., default, root] = a else { return Err("dig needs at least three arguments".to_owned()) };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".to_owned());
    }
    let not_a = |value: &Value, what: &str| {
        let found = if value.is_nil() { "nil".to_owned() } else { value.type_name() };
        Err(format!("interface conversion: interface {{}} is {found}, not {what}"))
    };
    let mut at = root.clone();
    for key in keys {
        let Value::Map(map) = &at else { return not_a(&at, "map[string]interface {}") };
        if map.kind() != MapType::Any {
            return not_a(&at, "map[string]interface {}");
        }
        let Some(key) = key.as_text() else { return not_a(key, "string") };
        match map.get(key) {
            Some(next) => at = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(at)
}

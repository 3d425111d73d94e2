//! Defaults, choices, types and failing on purpose.

use crate::function::{Function, Param, function, text};
use crate::value::Value;

use Param::{Any, Bool, Text};

pub(crate) const FUNCTIONS: &[Function] = &[
    function("default", &[Any], Some(Any), |_, a| {
        Ok(a.get(1).filter(|given| given.truth()).unwrap_or(&a[0]).clone())
    }),
    function("empty", &[Any], None, |_, a| Ok(Value::Bool(!a[0].truth()))),
    function("coalesce", &[], Some(Any), |_, a| {
        Ok(a.iter().find(|value| value.truth()).cloned().unwrap_or_default())
    }),
    function("all", &[], Some(Any), |_, a| Ok(Value::Bool(a.iter().all(Value::truth)))),
    function("any", &[], Some(Any), |_, a| Ok(Value::Bool(a.iter().any(Value::truth)))),
    function("ternary", &[Any, Any, Bool], None, |_, a| Ok(a[usize::from(!a[2].truth())].clone())),
    function("fail", &[Text], None, |_, a| Err(text(a, 0).to_owned())),
    function("typeOf", &[Any], None, |_, a| Ok(Value::text(a[0].type_name()))),
    function("typeIs", &[Text, Any], None, |_, a| Ok(Value::Bool(text(a, 0) == a[1].type_name()))),
    function("typeIsLike", &[Text, Any], None, |_, a| {
        let (wanted, found) = (text(a, 0), a[1].type_name());
        Ok(Value::Bool(wanted == found || found.strip_prefix('*') == Some(wanted)))
    }),
    function("kindOf", &[Any], None, |_, a| Ok(Value::text(a[0].kind_name()))),
    function("kindIs", &[Text, Any], None, |_, a| Ok(Value::Bool(text(a, 0) == a[1].kind_name()))),
    function("deepEqual", &[Any, Any], None, |_, a| Ok(Value::Bool(a[0].deep_equal(&a[1])))),
    function("getHostByName", &[Text], None, |_, _| Ok(Value::text(""))),
];

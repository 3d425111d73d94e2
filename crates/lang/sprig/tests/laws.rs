//! What holds for any function: with arguments of the right types it answers or fails, and never panics.

use galley_sprig::value::{Elem, IntType, List, Map, MapType};
use galley_sprig::{Context, Param, Time, Value, find, names, print, to_json};
use proptest::prelude::*;
use proptest::sample::select;

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\n\t]{0,12}",
        any::<String>(),
        select(vec![
            "",
            "a",
            "é😀",
            "(",
            "[a-z]+",
            "$1",
            "1.2.3",
            ">=1 <2",
            "1 - 2",
            "^0",
            "v1-rc.1+b",
            "2006-01-02",
            "15:04:05.000Z07:00",
            "-1.5h",
            "9223372036854775807s",
            "http://u@h:1/p?q#f",
            "://",
            "%zz",
            "//x",
            "a: [1]",
            "{\"a\": 1}",
            "YQ==",
            "NBSWY3DP",
            "FooBar9Baz",
            "__a--b",
            "%v%d%[3]*.[2]*[1]f",
            "UTC",
            "0x1f",
            "1_0",
            "a/../b",
            ".",
        ])
        .prop_map(str::to_owned),
    ]
}

fn ints() -> impl Strategy<Value = i64> {
    prop_oneof![-5i64..70, select(vec![0, -1, i64::MAX, i64::MIN, 1 << 40, 1_000_001])]
}

fn values() -> impl Strategy<Value = Value> {
    let kinds = select(vec![IntType::Int, IntType::Int64, IntType::Uint64]);
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        (ints(), kinds).prop_map(|(value, kind)| Value::Int(value, kind)),
        prop_oneof![any::<f64>(), -100f64..100.0].prop_map(Value::Float),
        texts().prop_map(Value::from),
        times(),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| Value::List(List::new(items))),
            Just(Value::List(List::nil(Elem::Any))),
            prop::collection::vec(texts(), 0..4).prop_map(Value::texts),
            prop::collection::btree_map("[a-c]|scheme|host|path", inner, 0..4).prop_map(|map| {
                let entries = map.into_iter().map(|(key, value)| (key.as_str().into(), value));
                Value::Map(Map::typed(entries.collect(), MapType::Any))
            }),
        ]
    })
}

fn times() -> impl Strategy<Value = Value> {
    (-62_000_000_000i64..200_000_000_000).prop_map(|seconds| {
        jiff::Timestamp::from_second(seconds).map_or(Value::Nil, |at| Value::Time(Time::utc(at)))
    })
}

fn of(param: Param) -> BoxedStrategy<Value> {
    match param {
        Param::Any => values().boxed(),
        Param::Text => texts().prop_map(Value::from).boxed(),
        Param::Int => ints().prop_map(|value| Value::Int(value, IntType::Int)).boxed(),
        Param::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Param::Float => any::<f64>().prop_map(Value::Float).boxed(),
        Param::Texts => prop::collection::vec(texts(), 0..4).prop_map(Value::texts).boxed(),
        Param::Time => times().boxed(),
        Param::Map => values()
            .prop_map(|value| match value {
                Value::Map(map) => Value::Map(map),
                other => Value::map([("a", other)]),
            })
            .boxed(),
    }
}

fn calls() -> impl Strategy<Value = (&'static str, Vec<Value>)> {
    (select(names()), 0usize..4).prop_flat_map(|(name, more)| {
        let function = find(name).expect("a name that was listed");
        let rest = function.rest.into_iter().flat_map(|param| std::iter::repeat_n(param, more));
        let arguments: Vec<BoxedStrategy<Value>> =
            function.params.iter().copied().chain(rest).map(of).collect();
        (Just(name), arguments)
    })
}

fn context() -> Context {
    let mut state = 1u32;
    let random = move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
    };
    Context::new(jiff::Timestamp::from_second(1_700_000_000).expect("a valid time"), Box::new(random))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn functions_answer_or_fail((name, arguments) in calls()) {
        let function = find(name).expect("a name that was listed");
        if let Ok(value) = (function.run)(&context(), &arguments) {
            // The result can be printed and encoded.
            let _ = print::show(&value);
            let _ = to_json(&value);
            prop_assert!(value.deep_equal(&value.clone()) || print::show(&value).contains("NaN"), "{}", name);
        }
    }

    #[test]
    fn formats_print_something(format in texts(), arguments in prop::collection::vec(values(), 0..3)) {
        let _ = print::sprintf(&format, &arguments);
    }
}

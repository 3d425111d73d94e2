//! The eleven classes of Food-11, in the order of the model's outputs.

/// Number of classes.
pub const CLASS_COUNT: usize = 11;

/// The classes, by index.
pub const CLASSES: [&str; CLASS_COUNT] = [
    "Bread",
    "Dairy product",
    "Dessert",
    "Egg",
    "Fried food",
    "Meat",
    "Noodles/Pasta",
    "Rice",
    "Seafood",
    "Soup",
    "Vegetable/Fruit",
];

/// The class that a folder is named after: `4_Fried_food`, `Fried food`, `fried-food`, `4`.
///
/// Case, and the difference between space, `_`, `-` and `/`, do not matter. A leading number must agree with the name.
///
/// ```
/// assert_eq!(galley_ml::class_of_folder("6_Noodles-Pasta"), Some(6));
/// assert_eq!(galley_ml::class_of_folder("vegetable_fruit"), Some(10));
/// assert_eq!(galley_ml::class_of_folder("3_Bread"), None);
/// ```
pub fn class_of_folder(name: &str) -> Option<usize> {
    let (number, rest) = match name.split_once(['_', '-', ' ']) {
        Some((number, rest)) => match number.parse::<usize>() {
            Ok(number) => (Some(number), rest),
            Err(_) => (None, name),
        },
        None => match name.parse::<usize>() {
            Ok(number) => return (number < CLASS_COUNT).then_some(number),
            Err(_) => (None, name),
        },
    };
    let wanted = folded(rest);
    let index = CLASSES.iter().position(|class| folded(class) == wanted)?;
    number.is_none_or(|number| number == index).then_some(index)
}

/// Letters and digits only, in lower case.
fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_name_and_by_number() {
        for (index, class) in CLASSES.iter().enumerate() {
            assert_eq!(class_of_folder(class), Some(index));
            assert_eq!(class_of_folder(&index.to_string()), Some(index));
            let folder = format!("{index}_{}", class.replace([' ', '/'], "_"));
            assert_eq!(class_of_folder(&folder), Some(index), "{folder}");
        }
        assert_eq!(class_of_folder("11"), None);
        assert_eq!(class_of_folder("Pizza"), None);
    }
}

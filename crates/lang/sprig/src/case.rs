//! Words and their letters: `title`, `snakecase`, `camelcase` and their kind.

/// Go's `strings.Title`: the first letter of every word in upper case.
pub(crate) fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let separated = if previous.is_ascii() {
            !(previous.is_ascii_alphanumeric() || previous == '_')
        } else {
            !previous.is_alphanumeric() && previous.is_whitespace()
        };
        if separated {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
        previous = letter;
    }
    out
}

/// The first letter of every word in lower case.
pub(crate) fn untitle(text: &str) -> String {
    let mut fresh = true;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_whitespace() {
            fresh = true;
            out.push(letter);
        } else if std::mem::take(&mut fresh) {
            out.extend(letter.to_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Upper case becomes lower and the other way round.
pub(crate) fn swap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_uppercase() {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
    }
    out
}

/// The first character of every word.
pub(crate) fn initials(text: &str) -> String {
    text.split_whitespace().filter_map(|word| word.chars().next()).collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

fn upper(c: char) -> char {
    c.to_uppercase().next().unwrap_or(c)
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// `some_words` as `SomeWords`; connectors at the ends and doubled ones stay.
pub(crate) fn pascal(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let start = letters.iter().take_while(|c| is_connector(**c)).count();
    let mut out: String = letters[..start].iter().collect();
    let Some(first) = letters.get(start) else { return out };
    let mut shouting = first.is_uppercase();
    let mut current = upper(*first);
    for next in &letters[start + 1..] {
        let previous = current;
        current = *next;
        if is_connector(current) && is_connector(previous) {
            out.push(previous);
        } else if is_connector(previous) {
            shouting = current.is_uppercase();
            current = upper(current);
        } else {
            if shouting {
                shouting = current.is_uppercase();
                current = if shouting { lower(current) } else { current };
            }
            out.push(previous);
        }
    }
    out.push(current);
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

fn kind_of(c: char) -> Kind {
    match c {
        c if is_connector(c) => Kind::Connector,
        c if is_punctuation(c) => Kind::Punctuation,
        c if c.is_uppercase() => Kind::Upper,
        c if c.is_alphabetic() => Kind::Alphabet,
        c if c.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}

/// Splits into words: `HTTPServer2x` is `HTTP`, `Server`, `2`, `x`.
fn split(text: &str) -> Vec<(Kind, String)> {
    let letters: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let kind = kind_of(letters[at]);
        let mut end = at + 1;
        let run = |from: usize, wanted: &dyn Fn(char) -> bool| {
            from + letters[from..].iter().take_while(|c| wanted(**c)).count()
        };
        match kind {
            Kind::Upper => match letters.get(end).copied().map(kind_of) {
                Some(Kind::Upper) => {
                    end = run(end, &char::is_uppercase);
                    // The last capital begins the next word: `HTTPStatus` is `HTTP` and `Status`.
                    if letters.get(end).is_some_and(|c| c.is_alphabetic()) {
                        end -= 1;
                    }
                }
                Some(Kind::Alphabet) => end = run(end, &|c| kind_of(c) == Kind::Alphabet),
                _ => {}
            },
            kind => end = run(end, &|c| kind_of(c) == kind),
        }
        words.push((kind, letters[at..end].iter().collect()));
        at = end;
    }
    words
}

/// `FirstName` as `first_name`, with numbers kept with what they follow: `Bld4Floor` is `bld4_floor`.
pub(crate) fn words(text: &str, connector: char) -> String {
    let words = split(text);
    let mut out = String::new();
    let write = |out: &mut String, (kind, word): &(Kind, String)| match kind {
        Kind::Connector => out.extend(word.chars().map(|_| connector)),
        Kind::Upper => out.extend(word.chars().map(lower)),
        _ => out.push_str(word),
    };
    let kind_at = |index: usize| words.get(index).map(|(kind, _)| *kind);
    let joins = |kind: Option<Kind>| !matches!(kind, None | Some(Kind::Punctuation | Kind::Connector));
    let run = |out: &mut String, mut index: usize| {
        while matches!(kind_at(index), Some(Kind::Alphabet | Kind::Number)) {
            write(out, &words[index]);
            index += 1;
        }
        index
    };
    let mut at = 0;
    while at < words.len() {
        if at + 1 == words.len() {
            write(&mut out, &words[at]);
            break;
        }
        let previous = words[at].0;
        write(&mut out, &words[at]);
        at += 1;
        match previous {
            Kind::Number => {
                at = run(&mut out, at);
                if joins(kind_at(at)) {
                    out.push(connector);
                }
            }
            Kind::Connector | Kind::Punctuation => {}
            _ if kind_at(at) != Some(Kind::Number) => {
                if joins(kind_at(at)) {
                    out.push(connector);
                }
            }
            _ if at + 1 == words.len() => {}
            _ => {
                let number = at;
                at += 1;
                if kind_at(at) == Some(Kind::Alphabet) {
                    // Lower case after a number: the number begins a word.
                    out.push(connector);
                    write(&mut out, &words[number]);
                    at = run(&mut out, at);
                } else {
                    write(&mut out, &words[number]);
                }
                if joins(kind_at(at)) {
                    out.push(connector);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        for (text, snake) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("GO PATH", "go_path"),
            ("GO-PATH", "go_path"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
        ] {
            assert_eq!(words(text, '_'), snake);
        }
        assert_eq!(pascal("http_server"), "HttpServer");
        assert_eq!(pascal("_complex__case_"), "_Complex_Case_");
        assert_eq!(pascal("GOLANG_IS_GREAT"), "GolangIsGreat");
    }
}

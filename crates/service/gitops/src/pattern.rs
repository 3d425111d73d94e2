//! Patterns as Argo CD writes them: `*`, `**`, `?`, `[a-z]`, `{a,b}`; `*` also matches `/`.

/// Whether the whole text matches.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    // A bound on alternatives keeps a hostile pattern from costing more than its length deserves.
    alternatives(pattern, 64).iter().any(|pattern| {
        let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        plain(&pattern, &text)
    })
}

/// `a{b,c}d` as `abd` and `acd`.
fn alternatives(pattern: &str, limit: usize) -> Vec<String> {
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(next) = open.pop() {
        let parts = next.find('{').and_then(|start| Some((start, start + next[start..].find('}')?)));
        match parts {
            Some((start, end)) if open.len() + done.len() < limit => {
                let choices = next[start + 1..end].split(',');
                open.extend(choices.map(|choice| format!("{}{choice}{}", &next[..start], &next[end + 1..])));
            }
            _ => done.push(next),
        }
    }
    done
}

/// Greedy matching with one point of return: linear for one `*`, quadratic at worst.
fn plain(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], text[t]),
            Some(c) => (*c == text[t]).then_some(1),
            None => None,
        };
        match (step, back) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((star, from))) => {
                back = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of a class such as `[a-z]` if it has the character.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|p| *p == ']')? + 2;
    let (negated, inside) = match pattern[1] {
        '!' | '^' => (true, &pattern[2..end]),
        _ => (false, &pattern[1..end]),
    };
    let mut found = false;
    let mut n = 0;
    while n < inside.len() {
        if inside.get(n + 1) == Some(&'-') && n + 2 < inside.len() {
            found |= (inside[n]..=inside[n + 2]).contains(&c);
            n += 3;
        } else {
            found |= inside[n] == c;
            n += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "anything/at/all", true),
            ("*.yaml", "a/b.yaml", true),
            ("*.yaml", "a/b.yml", false),
            ("{*.yml,*.yaml}", "x.yml", true),
            ("env-[a-c]?", "env-b1", true),
            ("env-[!a-c]", "env-b", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("", "", true),
            ("[", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}

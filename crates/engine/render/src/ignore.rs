//! `.helmignore`: which files of a folder are not part of the chart.

/// Patterns, in their order.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    /// `!pattern`: everything that does not match is ignored.
    negate: bool,
    /// `pattern/`: folders only.
    folder: bool,
    /// The pattern holds a slash and is matched against the whole path.
    whole: bool,
}

impl Ignore {
    pub(crate) fn read(text: &str) -> Ignore {
        let rules = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ignore { rules: rules.map(rule).collect() }
    }

    /// Whether a file, or a folder that it is in, is ignored.
    pub(crate) fn matches(&self, path: &str) -> bool {
        if self.rules.is_empty() || matches!(path, "Chart.yaml" | ".helmignore") {
            return false;
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.ignores(&path[..end], end < path.len()))
    }

    fn ignores(&self, path: &str, is_folder: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.rules.iter().any(|rule| {
            if rule.folder && !is_folder {
                return rule.negate;
            }
            glob(&rule.pattern, if rule.whole { path } else { name }) != rule.negate
        })
    }
}

fn rule(line: &str) -> Rule {
    let (negate, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (folder, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
    let whole = line.contains('/');
    Rule { pattern: line.trim_start_matches('/').to_owned(), negate, folder, whole }
}

/// `*` and `?` within one name, `[a-z]`, and `\` before a letter that means itself.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where to go on if what follows a star does not fit: one letter further.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('?') if text[t] != '/' => Some(p + 1),
            Some('[') => class(&pattern[p..], text[t]).map(|length| p + length),
            Some('\\') if pattern.get(p + 1) == Some(&text[t]) => Some(p + 2),
            Some(letter) if *letter == text[t] && !matches!(letter, '?' | '\\') => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after, from))) if text[from] != '/' => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// The length of a class that holds the letter.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let end = pattern.iter().skip(1).position(|c| *c == ']')? + 1;
    let inside = &pattern[1..end];
    let (negate, inside) = match inside.first() {
        Some('^' | '!') => (true, &inside[1..]),
        _ => (false, inside),
    };
    let mut at = 0;
    let mut found = false;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            found |= (inside[at]..=inside[at + 2]).contains(&letter);
            at += 3;
        } else {
            found |= inside[at] == letter;
            at += 1;
        }
    }
    (found != negate && letter != '/').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_helm() {
        let ignore = Ignore::read("# c\n*.bak\n.git/\n/notes.md\ndocs/*.txt\n");
        for (path, ignored) in [
            ("a.bak", true),
            ("templates/x.bak", true),
            (".git/config", true),
            ("notes.md", true),
            ("docs/a.txt", true),
            ("docs/a.md", false),
            ("templates/a.yaml", false),
            ("Chart.yaml", false),
        ] {
            assert_eq!(ignore.matches(path), ignored, "{path}");
        }
        assert!(glob("a*b?[0-9]", "axxbc7"));
        assert!(!glob("a*b", "a/b"));
    }
}

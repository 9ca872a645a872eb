//! Quoting words for a POSIX shell.

/// Quotes a word, if it needs to be.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

/// Quotes words and joins them to a command line.
pub(super) fn line(words: &[String]) -> String {
    words.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, quoted) in [("a", "a"), ("", "''"), ("a b", "'a b'"), ("it's", r#"'it'"'"'s'"#), ("$x", "'$x'")] {
            assert_eq!(word(text), quoted);
        }
        assert_eq!(line(&["sh".into(), "-c".into(), "exit 7".into()]), "sh -c 'exit 7'");
    }
}

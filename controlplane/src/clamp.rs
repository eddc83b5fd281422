//! What comes from a host is cut to what is kept of it (TR-110).
//!
//! Apart from the domain's files because more than one keeps such texts.

/// The beginning of a text, at most `bytes_max` long, cut between two characters.
pub(crate) fn clamp(text: &str, bytes_max: usize) -> &str {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::clamp;

    /// TR-096
    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, bytes_max, expected) in [
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("aä", 2, "a"),
            ("aä", 3, "aä"),
            ("😀😀", 7, "😀"),
            ("😀", 3, ""),
        ] {
            assert_eq!(clamp(text, bytes_max), expected, "{text} at {bytes_max}");
        }
    }
}

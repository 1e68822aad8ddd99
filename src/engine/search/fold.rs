//! Names as they are compared: without case, accents and other forms of the same letter.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use zeroize::Zeroizing;

/// Folds a text. It has no control characters.
pub(super) fn fold(text: &str) -> Zeroizing<String> {
    let mut folded = Zeroizing::new(String::with_capacity(text.len() * 2));
    let letters = text.chars().flat_map(char::to_lowercase).nfkd().filter(|letter| !is_combining_mark(*letter));
    for letter in letters {
        if folded.capacity() - folded.len() < letter.len_utf8() {
            // A text that grows by itself leaves a copy behind that nobody overwrites.
            let mut larger = Zeroizing::new(String::with_capacity(folded.capacity() * 2 + letter.len_utf8()));
            larger.push_str(&folded);
            folded = larger;
        }
        folded.push(if letter.is_control() { ' ' } else { letter });
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_reader_takes_for_the_same_fold_to_the_same() {
        for (text, folded) in [
            ("Ada", "ada"),
            ("ÉMILIE du Châtelet", "emilie du chatelet"),
            ("E\u{301}milie", "emilie"),
            ("Ｆｕｌｌ", "full"),
            ("ﬁnn", "finn"),
            ("İstanbul", "istanbul"),
            ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
            ("Ёлка", "елка"),
            ("a\nb\u{0}c", "a b c"),
            ("", ""),
            ("山田", "山田"),
        ] {
            assert_eq!(*fold(text), folded, "{text}");
        }
        // One letter of three bytes becomes eighteen.
        let long = "\u{fdfa}".repeat(50);
        assert!(fold(&long).len() > long.len() * 2);
    }
}

//! "Did you mean …?": the known word that is nearest to an unknown one.

/// Words longer than this are not compared: the distance takes time in the product of both lengths.
const LONGEST: usize = 64;
/// Most words that are compared; whoever has more of them is not helped by a guess.
const MOST: usize = 500;

/// The nearest of `known` within a third of the word's length in edits, if there is one.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody means anything by an empty one.
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len() <= LONGEST && *candidate != word)
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown word: the nearest known one, or else all of them when they are few.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(word, known.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<&str> = known.into_iter().take(31).collect();
    (1..=30).contains(&all.len()).then(|| format!("known here: {}", all.join(", ")))
}

/// Damerau-Levenshtein distance (optimal string alignment): insert, delete, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replace = last[j] + usize::from(a[i] != b[j]);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_within_a_third_of_its_length() {
        assert_eq!(nearest("greting", ["greeting", "grating", "port"]), Some("grating"));
        assert_eq!(nearest("greetnig", ["greeting", "port"]), Some("greeting"));
        assert_eq!(nearest("Replicas", ["replicas"]), Some("replicas"));
        assert_eq!(nearest("xyz", ["greeting"]), None);
        assert_eq!(nearest("", ["a", "bc"]), None);
        assert_eq!(nearest(&"a".repeat(100), ["a"]), None);
    }
}

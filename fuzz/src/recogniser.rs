//! What an external recogniser answers. The module stands in the engine, beside a server that has no place here, so it
//! is taken by its path.
#![allow(dead_code)]

#[path = "../../engine/src/recogniser/answer.rs"]
mod answer;

/// Whatever is answered about a text, what is taken of it lies in the text, without blanks at its ends.
pub fn recogniser(data: &[u8]) {
    let text = "Née à Orléans, Mme Anne  Martin écrit à Zoé.\n\u{1f600} ";
    let places = answer::Places::new(text);
    for entities in [answer::of_analyzer(data), answer::of_chat(data)].into_iter().flatten() {
        for entity in &entities {
            let Some((start, end)) = places.of(entity) else { continue };
            let words: String = text.chars().skip(start).take(end - start).collect();
            assert!(start < end && end <= text.chars().count(), "{start}..{end}");
            assert_eq!(words, words.trim());
        }
    }
}

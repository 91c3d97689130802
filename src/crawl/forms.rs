//! What the choices of a form amount to: the references that a browser would ask for when a reader picks each of
//! the finite choices of a GET form in turn. So the "smart answers" of a site are mirrored, question by question,
//! without anybody writing their URLs down. A field of free text has no finite choices: its form is sent with the
//! text that it begins with, or not at all when that is empty.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::content::{Button, Choice, Form};

/// A longer reference is no URL ([`PageUrl`](crate::site::PageUrl) has the same bound).
const REFERENCE_BYTES_MAX: usize = 8192;

/// Combinations looked at per reference that is wanted, when many of them turn out to be the same one: forty check
/// boxes of one name and value are 2⁴⁰ combinations and 41 references.
const TRIES_PER_REFERENCE: usize = 16;

/// Text to bytes, in the encoding of the document: [`Charset::query_bytes`](crate::content::Charset::query_bytes).
pub type Encode<'a> = &'a dyn Fn(&str) -> Cow<'_, [u8]>;

/// What a form leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `action?name=value&…`, relative like every reference of the document; none twice. One that begins with `?`
    /// comes from a form without an action and goes to the document itself, whatever its `<base>`.
    pub references: Vec<String>,
    /// Combinations that are not among them: those beyond the cap, too long for a URL, or in want of a text.
    pub left_out: u64,
}

/// Every combination of a form's choices, `cap` at most. In order: the first option of each field first, the last
/// field varied fastest and the button faster still. When there are more than `cap`, each option of each field is
/// first tried alone, so that what is left out are combinations and not options.
pub fn enumerate(form: &Form, cap: usize, encode: Encode<'_>) -> Choices {
    let grid = Grid::of(form, encode);
    let total = grid.total();
    let mut found = Found::up_to(cap);
    if !wants_text(form) && total > 0 {
        if total > cap as u64 {
            grid.try_alone(&mut found);
        }
        grid.try_all(&mut found);
    }
    Choices {
        left_out: match found.is_complete {
            true => found.too_long,
            false => total.saturating_sub(found.references.len() as u64),
        },
        references: found.references,
    }
}

/// The encoded pieces of a query, to be picked from.
struct Grid {
    /// For each field its options, as `name=value`; `None` sends nothing.
    fields: Vec<Vec<Option<String>>>,
    /// The ways to send it: where to, and what the button adds.
    ways: Vec<(String, Option<String>)>,
}

impl Grid {
    fn of(form: &Form, encode: Encode<'_>) -> Grid {
        let pair = |name: &str, value: &str| {
            Some(
                [
                    encoded(name, encode),
                    "=".to_owned(),
                    encoded(value, encode),
                ]
                .concat(),
            )
        };
        let options = |field: &crate::content::Field| {
            let mut options = match &field.choice {
                Choice::Fixed(value) | Choice::Open(value) => vec![pair(&field.name, value)],
                Choice::OneOf(values) if values.is_empty() => vec![None],
                Choice::OneOf(values) => values
                    .iter()
                    .map(|value| pair(&field.name, value))
                    .collect(),
                Choice::Optional(value) => vec![None, pair(&field.name, value)],
            };
            keep_first_of_each(&mut options);
            options
        };
        let own_action = form.action.as_deref();
        let way = |button: &Button| {
            let action = button.action.as_deref().or(own_action);
            let sends = button.sends.as_ref();
            let piece = sends.and_then(|(name, value)| pair(name, value));
            (without_query(action.unwrap_or_default()).to_owned(), piece)
        };
        let mut ways: Vec<_> = match form.buttons.is_empty() {
            true => vec![way(&Button::default())],
            false => form
                .buttons
                .iter()
                .filter(|button| !button.is_post)
                .map(way)
                .collect(),
        };
        keep_first_of_each(&mut ways);
        Grid {
            fields: form.fields.iter().map(options).collect(),
            ways,
        }
    }

    /// How many options each field has; the ways to send it last.
    fn sizes(&self) -> Vec<usize> {
        let fields = self.fields.iter().map(Vec::len);
        fields.chain([self.ways.len()]).collect()
    }

    fn total(&self) -> u64 {
        let sizes = self.sizes().into_iter();
        sizes.fold(1, |product, size| product.saturating_mul(size as u64))
    }

    /// The first option of all fields, then every other option of each field while the rest stays so.
    fn try_alone(&self, found: &mut Found) {
        let sizes = self.sizes();
        let mut picks = vec![0; sizes.len()];
        if !found.is_full() {
            found.take(self.reference(&picks));
        }
        for field in (0..sizes.len()).rev() {
            for pick in 1..sizes[field] {
                if found.is_full() {
                    return;
                }
                picks[field] = pick;
                found.take(self.reference(&picks));
            }
            picks[field] = 0;
        }
    }

    fn try_all(&self, found: &mut Found) {
        let sizes = self.sizes();
        let mut picks = vec![0; sizes.len()];
        found.too_long = 0;
        while !found.is_full() {
            found.take(self.reference(&picks));
            // The last field that has a further option takes it, those behind it begin again.
            let Some(field) = (0..sizes.len()).rfind(|at| picks[*at] + 1 < sizes[*at]) else {
                found.is_complete = true;
                return;
            };
            picks[field] += 1;
            picks[field + 1..].fill(0);
        }
    }

    /// `None` where it would be no URL.
    fn reference(&self, picks: &[usize]) -> Option<String> {
        let (way, picks) = picks
            .split_last()
            .expect("the way to send it is picked last");
        let (action, button) = &self.ways[*way];
        let chosen = self
            .fields
            .iter()
            .zip(picks)
            .map(|(options, pick)| &options[*pick]);
        let mut reference = [action, "?"].concat();
        let start = reference.len();
        for piece in chosen.chain([button]).flatten() {
            if reference.len() > start {
                reference.push('&');
            }
            reference.push_str(piece);
            if reference.len() > REFERENCE_BYTES_MAX {
                return None;
            }
        }
        Some(reference)
    }
}

/// What has been found so far.
struct Found {
    references: Vec<String>,
    known: HashSet<String>,
    cap: usize,
    tries: usize,
    too_long: u64,
    /// Every combination has been looked at.
    is_complete: bool,
}

impl Found {
    fn up_to(cap: usize) -> Found {
        Found {
            references: Vec::new(),
            known: HashSet::new(),
            cap,
            tries: 0,
            too_long: 0,
            is_complete: false,
        }
    }

    fn take(&mut self, reference: Option<String>) {
        self.tries += 1;
        match reference {
            Some(reference) if self.known.insert(reference.clone()) => {
                self.references.push(reference);
            }
            Some(_) => {}
            None => self.too_long += 1,
        }
    }

    fn is_full(&self) -> bool {
        let tries_max = self.cap.saturating_mul(TRIES_PER_REFERENCE);
        self.references.len() >= self.cap || self.tries >= tries_max
    }
}

/// Whether a reader would have to write something first.
fn wants_text(form: &Form) -> bool {
    let is_empty = |choice: &Choice| matches!(choice, Choice::Open(text) if text.is_empty());
    form.fields.iter().any(|field| is_empty(&field.choice))
}

/// Where a form sends to: sending replaces the query of its action (HTML standard, "mutate action URL").
fn without_query(action: &str) -> &str {
    let end = action.find(['?', '#']);
    &action[..end.unwrap_or(action.len())]
}

fn keep_first_of_each<T: Clone + std::hash::Hash + Eq>(items: &mut Vec<T>) {
    let mut known = HashSet::new();
    items.retain(|item| known.insert(item.clone()));
}

/// As `application/x-www-form-urlencoded` (URL standard, section 5.2), line ends as forms send them.
fn encoded(text: &str, encode: Encode<'_>) -> String {
    let text = match text.contains(['\r', '\n']) {
        true => text
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .replace('\n', "\r\n"),
        false => text.to_owned(),
    };
    let mut out = String::with_capacity(text.len());
    for &byte in encode(&text).iter() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::Field;
    use crate::site::PageUrl;

    fn utf8(text: &str) -> Cow<'_, [u8]> {
        text.as_bytes().into()
    }

    fn field(name: &str, choice: Choice) -> Field {
        Field {
            name: name.to_owned(),
            choice,
        }
    }

    fn one_of(name: &str, values: &[&str]) -> Field {
        field(
            name,
            Choice::OneOf(values.iter().map(|value| value.to_string()).collect()),
        )
    }

    fn form(action: Option<&str>, fields: Vec<Field>) -> Form {
        Form {
            action: action.map(str::to_owned),
            fields,
            buttons: Vec::new(),
        }
    }

    fn button(name: &str, value: &str) -> Button {
        Button {
            sends: Some((name.to_owned(), value.to_owned())),
            ..Button::default()
        }
    }

    fn found(form: &Form, cap: usize) -> (Vec<String>, u64) {
        let choices = enumerate(form, cap, &utf8);
        (choices.references, choices.left_out)
    }

    #[test]
    fn each_choice_is_one_reference() {
        // Promise: fields in their order, the last one varied fastest; what is not chosen is not sent.
        let fields = vec![
            field("lang", Choice::Fixed("en".into())),
            one_of("response", &["yes", "no"]),
            field("more", Choice::Optional("on".into())),
            one_of("empty", &[]),
        ];
        let (references, left_out) = found(&form(Some("/y?old=1#f"), fields), 500);
        assert_eq!(
            references,
            [
                "/y?lang=en&response=yes",
                "/y?lang=en&response=yes&more=on",
                "/y?lang=en&response=no",
                "/y?lang=en&response=no&more=on",
            ]
        );
        assert_eq!(left_out, 0);
    }

    #[test]
    fn buttons_are_ways_to_send() {
        // Promise: each named button and each formaction is one way, those that post are none, and a form whose
        // buttons all post leads nowhere. One without anything to send goes to its action.
        let mut asked = form(None, vec![one_of("a", &["1", "2"])]);
        asked.buttons = vec![
            Button::default(),
            button("go", "next"),
            Button {
                action: Some("/other?x".into()),
                ..Button::default()
            },
            Button {
                action: Some("/post".into()),
                is_post: true,
                ..Button::default()
            },
            Button::default(),
        ];
        let (references, left_out) = found(&asked, 500);
        assert_eq!(
            references,
            [
                "?a=1",
                "?a=1&go=next",
                "/other?a=1",
                "?a=2",
                "?a=2&go=next",
                "/other?a=2"
            ]
        );
        assert_eq!(left_out, 0);
        asked.buttons = vec![Button {
            is_post: true,
            ..Button::default()
        }];
        assert_eq!(found(&asked, 500), (vec![], 0));
        assert_eq!(
            found(&form(Some("/start"), vec![]), 500),
            (vec!["/start?".to_owned()], 0)
        );
    }

    #[test]
    fn values_are_sent_as_a_browser_sends_them() {
        // Promise: form-urlencoded, in the document's encoding, what it lacks as a reference, lines with CR LF;
        // checked against what becomes of it as a URL, too.
        fn windows(text: &str) -> Cow<'_, [u8]> {
            encoding_rs::WINDOWS_1252.encode(text).0
        }
        let fields = vec![one_of(
            "q é",
            &["a b+c&d=e", "x\ny\r\rz", "*-._~", "\u{416}"],
        )];
        let choices = enumerate(&form(Some("/s"), fields), 500, &windows);
        assert_eq!(
            choices.references,
            [
                "/s?q+%E9=a+b%2Bc%26d%3De",
                "/s?q+%E9=x%0D%0Ay%0D%0A%0D%0Az",
                "/s?q+%E9=*-._%7E",
                "/s?q+%E9=%26%231046%3B",
            ]
        );
        let page = PageUrl::parse("https://h.org/a").unwrap();
        let joined = page.join(&choices.references[2]).unwrap();
        assert_eq!(joined.target(), "/s?q+%E9=*-._~");
    }

    #[test]
    fn a_field_of_free_text_has_one_choice_or_none() {
        // Promise: the text that it begins with is sent; without one the form is left out, and counted.
        let text = |text: &str| field("q", Choice::Open(text.to_owned()));
        let asked = form(Some("/s"), vec![text("tax"), one_of("a", &["1", "2"])]);
        assert_eq!(found(&asked, 500).0, ["/s?q=tax&a=1", "/s?q=tax&a=2"]);
        let asked = form(Some("/s"), vec![text(""), one_of("a", &["1", "2"])]);
        assert_eq!(found(&asked, 500), (vec![], 2));
    }

    #[test]
    fn a_cap_leaves_out_combinations_and_not_options() {
        // Promise: with more combinations than the cap, every option of every field still occurs; what is left
        // out is counted, and never made: 2⁶⁴ combinations cost no more than a few.
        let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
        let digits: Vec<&str> = digits.iter().map(String::as_str).collect();
        let asked = form(
            None,
            ["a", "b", "c"].map(|name| one_of(name, &digits)).to_vec(),
        );
        let (references, left_out) = found(&asked, 40);
        assert_eq!((references.len(), left_out), (40, 960));
        assert_eq!(
            references[..3],
            ["?a=0&b=0&c=0", "?a=0&b=0&c=1", "?a=0&b=0&c=2"]
        );
        for name in ["a", "b", "c"] {
            for digit in &digits {
                let piece = format!("{name}={digit}");
                assert!(
                    references.iter().any(|text| text.contains(&piece)),
                    "{piece}"
                );
            }
        }
        let boxes = |count: usize| {
            let fields =
                (0..count).map(|at| field(&format!("b{at}"), Choice::Optional("1".into())));
            form(None, fields.collect())
        };
        assert_eq!(found(&boxes(70), 500).1, u64::MAX - 500);
        assert_eq!(found(&boxes(3), 0), (vec![], 8));
        let same = form(None, vec![field("b", Choice::Optional("1".into())); 40]);
        let (references, _) = found(&same, 500);
        assert!(references.len() < 500 && references.contains(&"?b=1&b=1".to_owned()));
        let long = "x".repeat(9_000);
        assert_eq!(
            found(&form(None, vec![one_of("a", &["1", &long])]), 9),
            (vec!["?a=1".into()], 1)
        );
    }

    fn any_form() -> impl Strategy<Value = Form> {
        let choice = prop_oneof![
            "[a-z é&]{0,3}".prop_map(Choice::Fixed),
            prop::collection::vec("[a-z =]{0,3}", 1..4).prop_map(Choice::OneOf),
            "[a-z]{1,2}".prop_map(Choice::Optional),
        ];
        let fields = prop::collection::vec(choice, 0..5);
        let names = prop::collection::hash_set("[a-z]{1,3}", 0..3);
        (fields, names).prop_map(|(choices, buttons)| Form {
            action: Some("/a".to_owned()),
            fields: choices
                .into_iter()
                .enumerate()
                .map(|(at, choice)| field(&format!("F{at}"), choice))
                .collect(),
            buttons: buttons.iter().map(|name| button(name, "1")).collect(),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn there_are_as_many_references_as_combinations(form in any_form(), cap in 0usize..40) {
            // Promise: the product of the choices, all distinct; under a cap the rest is counted.
            let sizes = form.fields.iter().map(|field| match &field.choice {
                Choice::OneOf(values) => values.iter().collect::<HashSet<_>>().len(),
                Choice::Optional(_) => 2,
                _ => 1,
            });
            let product: usize = sizes.product::<usize>() * form.buttons.len().max(1);
            let (references, left_out) = found(&form, product);
            prop_assert_eq!((references.len(), left_out), (product, 0));
            let distinct: HashSet<&String> = references.iter().collect();
            prop_assert_eq!(distinct.len(), product);
            let (some, left_out) = found(&form, cap);
            prop_assert_eq!(some.len(), cap.min(product));
            prop_assert_eq!(some.len() as u64 + left_out, product as u64);
            prop_assert!(some.iter().all(|reference| distinct.contains(reference)));
        }
    }
}

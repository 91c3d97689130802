//! What a reader of a page sees, and what could be filled in: visible text and forms. It watches the walk that
//! looks for links, and only where somebody has asked.
//!
//! Elements are taken as they are written: which `<p>` a browser would close on its own changes no word and no
//! control. Nothing inside a `<template>` is there.

use std::collections::HashMap;

use super::form::{Button, Choice, Field, Form};
use super::html::{is_get, read};
use super::tags::{AttributeName, Element, Tag, Watch};
use super::{Asked, Charset, Span, references};

/// So many controls and options of one page are taken. A form with more has more combinations than anybody
/// would ask for.
const CONTROLS_MAX: usize = 10_000;

/// Elements in the midst of a line: they separate no words. Sorted.
const INLINE: [&[u8]; 34] = [
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"data", b"del",
    b"dfn", b"em", b"font", b"i", b"ins", b"kbd", b"label", b"mark", b"nobr", b"q", b"rp", b"rt",
    b"ruby", b"s", b"samp", b"small", b"span", b"strike", b"strong", b"sub", b"sup", b"time", b"u",
];

/// Collects text and forms of one document.
pub(super) struct Reader<'a> {
    body: &'a [u8],
    charset: Charset,
    asked: Asked,
    text: Words,
    /// How many `<template>` elements are open.
    template_depth: usize,
    forms: Vec<Open>,
    /// Which of `forms` is open; forms do not nest.
    form: Option<usize>,
    controls: Vec<Control>,
    fieldsets: Vec<Fieldset>,
    /// How many of `fieldsets` are disabled.
    disabled_depth: usize,
    select: Option<Select>,
    /// How many controls and options have been met.
    count: usize,
}

/// A form on the way: its controls may stand anywhere.
struct Open {
    id: Option<Vec<u8>>,
    is_get: bool,
    form: Form,
}

/// Where a control belongs.
enum Owner {
    /// The form around it, if there is one.
    Around(Option<usize>),
    /// The form with this id, wherever it stands.
    Named(Vec<u8>),
}

struct Control {
    owner: Owner,
    is: Is,
}

enum Is {
    Field(Field),
    /// One of a group: name and value.
    Radio(String, String),
    /// One that says itself how it is sent, or not.
    Button(Button, Method),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Own,
    OfForm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fieldset {
    Enabled,
    Disabled,
}

/// A `<select>` that is open.
struct Select {
    /// `None` where nothing of it is sent.
    name: Option<String>,
    owner: Owner,
    is_multiple: bool,
    is_group_disabled: bool,
    options: Vec<Choosable>,
}

struct Choosable {
    value: Option<String>,
    is_disabled: bool,
    label: Words,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], charset: Charset, asked: Asked) -> Reader<'a> {
        Reader {
            body,
            charset,
            asked,
            text: Words::default(),
            template_depth: 0,
            forms: Vec::new(),
            form: None,
            controls: Vec::new(),
            fieldsets: Vec::new(),
            disabled_depth: 0,
            select: None,
            count: 0,
        }
    }

    /// The forms that are sent with GET, and the text if it was asked for.
    pub(super) fn finish(mut self) -> (Vec<Form>, Option<String>) {
        self.end_select();
        let text = self.asked.text.then_some(self.text.text);
        let forms = assembled(self.forms, self.controls);
        (forms, text)
    }

    fn value(&self, tag: &Tag, name: AttributeName) -> Option<String> {
        let mut room = Vec::new();
        let value = read(self.charset, tag.value(name)?.of(self.body), &mut room);
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    fn is_disabled(&self, tag: &Tag) -> bool {
        tag.value(AttributeName::Disabled).is_some() || self.disabled_depth > 0
    }

    fn owner(&self, tag: &Tag) -> Owner {
        match tag.value(AttributeName::Form) {
            Some(id) => Owner::Named(id.of(self.body).to_vec()),
            None => Owner::Around(self.form),
        }
    }

    /// Counts a control or an option; whether it is still one of those that are taken.
    fn counted(&mut self) -> bool {
        self.count += 1;
        self.count <= CONTROLS_MAX
    }

    fn start_control(&mut self, tag: &Tag) {
        match tag.element {
            Element::Form if self.form.is_none() => self.start_form(tag),
            Element::Fieldset => self.start_fieldset(tag),
            Element::Input => self.input(tag),
            Element::Button => self.button(tag),
            Element::Textarea => self.textarea(tag),
            Element::Select => self.start_select(tag),
            Element::Optgroup => {
                let is_disabled = tag.value(AttributeName::Disabled).is_some();
                if let Some(select) = &mut self.select {
                    select.is_group_disabled = is_disabled;
                }
            }
            Element::Option => self.option(tag),
            _ => {}
        }
    }

    fn end_control(&mut self, element: Element) {
        match element {
            Element::Form => self.form = None,
            Element::Fieldset => {
                let is_disabled = self.fieldsets.pop() == Some(Fieldset::Disabled);
                self.disabled_depth -= usize::from(is_disabled);
            }
            Element::Select => self.end_select(),
            Element::Optgroup => {
                if let Some(select) = &mut self.select {
                    select.is_group_disabled = false;
                }
            }
            _ => {}
        }
    }

    fn start_fieldset(&mut self, tag: &Tag) {
        let is_disabled = tag.value(AttributeName::Disabled).is_some();
        self.disabled_depth += usize::from(is_disabled);
        self.fieldsets.push(match is_disabled {
            true => Fieldset::Disabled,
            false => Fieldset::Enabled,
        });
    }

    fn start_form(&mut self, tag: &Tag) {
        if !self.counted() {
            return;
        }
        let method = tag.value(AttributeName::Method);
        let form = Form {
            action: self.value(tag, AttributeName::Action),
            ..Form::default()
        };
        self.form = Some(self.forms.len());
        self.forms.push(Open {
            id: tag
                .value(AttributeName::Id)
                .map(|id| id.of(self.body).to_vec()),
            is_get: is_get(method.map(|method| method.of(self.body))),
            form,
        });
    }

    fn input(&mut self, tag: &Tag) {
        let kind = tag.value(AttributeName::Type);
        let kind = kind.map(|kind| kind.of(self.body).to_ascii_lowercase());
        let kind = kind.as_deref().unwrap_or(b"text");
        if matches!(kind, b"submit" | b"image") {
            return self.submit(tag, kind);
        }
        let Some(name) = self.sent_name(tag) else {
            return;
        };
        let value = self.value(tag, AttributeName::Value);
        let text = || value.clone().unwrap_or_default();
        // What a browser sends for a box without a value.
        let ticked = || value.clone().unwrap_or_else(|| "on".into());
        let choice = match kind {
            b"reset" | b"button" => return,
            b"radio" => return self.push(tag, Is::Radio(name, ticked())),
            b"checkbox" => Choice::Optional(ticked()),
            b"hidden" => Choice::Fixed(text()),
            _ => Choice::Open(text()),
        };
        self.push(tag, Is::Field(Field { name, choice }));
    }

    fn textarea(&mut self, tag: &Tag) {
        let Some(name) = self.sent_name(tag) else {
            return;
        };
        let text = tag.text.map_or(&b""[..], |text| text.of(self.body));
        let mut room = Vec::new();
        let text = self.charset.value(text);
        let text = references::decode_text(&text, &mut room);
        // The line end behind the tag is not part of the text.
        let text = text.strip_prefix(b"\r").unwrap_or(text);
        let text = text.strip_prefix(b"\n").unwrap_or(text);
        let choice = Choice::Open(String::from_utf8_lossy(text).into_owned());
        self.push(tag, Is::Field(Field { name, choice }));
    }

    fn button(&mut self, tag: &Tag) {
        let kind = tag.value(AttributeName::Type);
        let kind = kind.map(|kind| kind.of(self.body).to_ascii_lowercase());
        if !matches!(kind.as_deref(), Some(b"button" | b"reset")) {
            self.submit(tag, b"submit");
        }
    }

    fn submit(&mut self, tag: &Tag, kind: &[u8]) {
        if self.is_disabled(tag) {
            return;
        }
        // An image sends where it was hit, which leads nowhere else than a plain button.
        let name = match kind {
            b"image" => None,
            _ => self.value(tag, AttributeName::Name),
        };
        let name = name.filter(|name| !name.is_empty());
        let value = self.value(tag, AttributeName::Value).unwrap_or_default();
        let method = tag.value(AttributeName::Formmethod);
        let button = Button {
            sends: name.map(|name| (name, value)),
            action: self.value(tag, AttributeName::Formaction),
            is_post: !is_get(method.map(|method| method.of(self.body))),
        };
        let method = match method {
            Some(_) => Method::Own,
            None => Method::OfForm,
        };
        self.push(tag, Is::Button(button, method));
    }

    /// The name under which a control sends; `None` for one that sends nothing.
    fn sent_name(&self, tag: &Tag) -> Option<String> {
        if self.is_disabled(tag) {
            return None;
        }
        self.value(tag, AttributeName::Name)
            .filter(|name| !name.is_empty())
    }

    fn push(&mut self, tag: &Tag, is: Is) {
        if self.counted() {
            let owner = self.owner(tag);
            self.controls.push(Control { owner, is });
        }
    }

    fn start_select(&mut self, tag: &Tag) {
        self.end_select();
        if self.counted() {
            self.select = Some(Select {
                name: self.sent_name(tag),
                owner: self.owner(tag),
                is_multiple: tag.value(AttributeName::Multiple).is_some(),
                is_group_disabled: false,
                options: Vec::new(),
            });
        }
    }

    fn option(&mut self, tag: &Tag) {
        if self.select.is_none() || !self.counted() {
            return;
        }
        let value = self.value(tag, AttributeName::Value);
        let is_disabled = tag.value(AttributeName::Disabled).is_some();
        if let Some(select) = &mut self.select {
            select.options.push(Choosable {
                value,
                is_disabled: is_disabled || select.is_group_disabled,
                label: Words::default(),
            });
        }
    }

    fn end_select(&mut self) {
        let Some(select) = self.select.take() else {
            return;
        };
        let Some(name) = select.name else {
            return;
        };
        let options = select.options.into_iter();
        let values = options
            .filter(|option| !option.is_disabled)
            .map(|option| option.value.unwrap_or(option.label.text));
        let mut push = |choice| {
            let name = name.clone();
            self.controls.push(Control {
                owner: match &select.owner {
                    Owner::Around(form) => Owner::Around(*form),
                    Owner::Named(id) => Owner::Named(id.clone()),
                },
                is: Is::Field(Field { name, choice }),
            });
        };
        if select.is_multiple {
            values.for_each(|value| push(Choice::Optional(value)));
            return;
        }
        let values: Vec<String> = values.collect();
        if !values.is_empty() {
            push(Choice::OneOf(values));
        }
    }

    /// Text that is not decoded further.
    fn see(&mut self, text: &[u8]) {
        if self.asked.text {
            self.text.add(text);
        }
        let option = self
            .select
            .as_mut()
            .and_then(|select| select.options.last_mut());
        if let Some(option) = option
            && option.value.is_none()
        {
            option.label.add(text);
        }
    }

    fn see_written(&mut self, text: Span) {
        if self.template_depth > 0 || (!self.asked.text && self.select.is_none()) {
            return;
        }
        let mut room = Vec::new();
        let text = self.charset.value(text.of(self.body));
        let text = references::decode_text(&text, &mut room);
        self.see(text);
    }

    fn separate(&mut self, name: Span) {
        let name = name.of(self.body).to_ascii_lowercase();
        if self.asked.text && INLINE.binary_search(&name.as_slice()).is_err() {
            self.text.separate();
        }
    }
}

impl Watch for Reader<'_> {
    fn text(&mut self, text: Span) {
        self.see_written(text);
    }

    fn literal(&mut self, text: Span) {
        if self.template_depth == 0 {
            let text = self.charset.value(text.of(self.body)).into_owned();
            self.see(&text);
        }
    }

    fn start(&mut self, tag: &Tag) {
        self.separate(tag.name);
        if tag.element == Element::Template {
            self.template_depth += 1;
        }
        if self.template_depth > 0 {
            return;
        }
        if self.asked.forms {
            self.start_control(tag);
        }
        let Some(text) = tag.text else {
            return;
        };
        match tag.element {
            Element::Title | Element::Textarea => self.see_written(text),
            // What stays as it is written: `<xmp>` and `<plaintext>` are seen, the rest is for other browsers.
            Element::Raw | Element::Plaintext => {
                let name = tag.name.of(self.body);
                if !name[..2].eq_ignore_ascii_case(b"no") {
                    self.literal(text);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, element: Element, name: Span, _: Span) {
        self.separate(name);
        if element == Element::Template {
            self.template_depth = self.template_depth.saturating_sub(1);
        } else if self.template_depth == 0 && self.asked.forms {
            self.end_control(element);
        }
    }
}

/// Puts the controls into their forms, in the order of the document, and drops the forms that are not sent
/// with GET, not even by a button of their own.
fn assembled(mut forms: Vec<Open>, controls: Vec<Control>) -> Vec<Form> {
    let mut by_id = HashMap::new();
    for (index, form) in forms.iter().enumerate() {
        if let Some(id) = form.id.clone().filter(|id| !id.is_empty()) {
            by_id.entry(id).or_insert(index);
        }
    }
    // Where in its form the group of a radio button stands.
    let mut groups: HashMap<(usize, String), usize> = HashMap::new();
    for control in controls {
        let index = match control.owner {
            Owner::Around(form) => form,
            Owner::Named(id) => by_id.get(&id).copied(),
        };
        let Some(index) = index else {
            continue;
        };
        let is_get = forms[index].is_get;
        let form = &mut forms[index].form;
        match control.is {
            Is::Field(field) => form.fields.push(field),
            Is::Button(button, method) => form.buttons.push(Button {
                is_post: button.is_post || (method == Method::OfForm && !is_get),
                ..button
            }),
            Is::Radio(name, value) => {
                let group = groups.entry((index, name.clone())).or_insert_with(|| {
                    let choice = Choice::OneOf(Vec::new());
                    form.fields.push(Field { name, choice });
                    form.fields.len() - 1
                });
                if let Choice::OneOf(values) = &mut form.fields[*group].choice {
                    values.push(value);
                }
            }
        }
    }
    let is_sent =
        |open: &Open| open.is_get || open.form.buttons.iter().any(|button| !button.is_post);
    let sent = forms.into_iter().filter(is_sent);
    sent.map(|form| form.form).collect()
}

/// Text in which white space is one space, and none at its ends.
#[derive(Default)]
struct Words {
    text: String,
    is_separated: bool,
}

impl Words {
    fn add(&mut self, text: &[u8]) {
        for piece in String::from_utf8_lossy(text).split_inclusive(char::is_whitespace) {
            let word = piece.trim_end_matches(char::is_whitespace);
            if !word.is_empty() {
                if self.is_separated && !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.is_separated = false;
                self.text.push_str(word);
            }
            self.is_separated |= word.len() < piece.len();
        }
    }

    fn separate(&mut self) {
        self.is_separated = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::check::document;
    use crate::content::{CanonicalRules, Kind, parse};

    fn asked(forms: bool, text: bool, body: &str) -> (Vec<Form>, Option<String>) {
        let asked = Asked {
            forms,
            text,
            sitemap: false,
        };
        let document = crate::content::Document {
            asked,
            ..document(Kind::Html, body.as_bytes())
        };
        let parsed = parse(&document, &CanonicalRules::default());
        (parsed.forms, parsed.text)
    }

    #[test]
    fn text_is_what_a_reader_sees() {
        // One trap each; white space is collapsed, and blocks separate words where inline elements do not.
        let rows = [
            ("<title>A &amp; B</title><p>c<p>d", "A & B c d"),
            ("<p>a<b>b</b>c <i> d</i>\n\te", "abc d e"),
            ("a<br>b<td>c</td>d<img>e", "a b c d e"),
            ("<style>a</style><script>b</script>c<!-- d -->e", "ce"),
            ("a<template>b<template></template>c</template>d", "a d"),
            (
                "&eacute;&nbsp;&lt;x&#8364;&hellip;",
                "\u{e9} <x\u{20ac}\u{2026}",
            ),
            ("1 < 2 <3", "1 < 2 <3"),
            (
                "<textarea>a&amp;b</textarea><xmp>c&amp;</xmp>",
                "a&b c&amp;",
            ),
            (
                "<noscript>a</noscript><iframe>b</iframe><noframes>c</noframes>",
                "a",
            ),
            ("<svg><text>a</text><![CDATA[<b&amp;]]></svg>", "a <b&amp;"),
            ("", ""),
        ];
        for (body, expected) in rows {
            assert_eq!(
                asked(false, true, body).1.as_deref(),
                Some(expected),
                "{body}"
            );
        }
        assert_eq!(asked(false, false, "a"), (Vec::new(), None));
    }

    fn field(name: &str, choice: Choice) -> Field {
        Field {
            name: name.into(),
            choice,
        }
    }

    fn one_of(name: &str, values: &[&str]) -> Field {
        let values = values.iter().map(|value| value.to_string());
        field(name, Choice::OneOf(values.collect()))
    }

    #[test]
    fn a_form_has_what_a_browser_would_send() {
        let (forms, _) = asked(
            true,
            false,
            "<form action='/a?b&amp;c' method=GET><input type=hidden name=h value='1&amp;2'>
             <input type=radio name=r value=x><input type=radio name=r value=y checked><input name=t value=z>
             <input type=checkbox name=c><select name=s><option>One  <b>two</b><option value=3>three
             <option disabled>four<optgroup disabled><option>five</optgroup><option value=''>six</select>
             <select name=m multiple><option value=1><option value=2></select>
             <input type=radio name=r value=z><textarea name=a>\nhello</textarea><input name=''><input>
             <input disabled name=d><fieldset disabled><input name=e><fieldset><input name=f></fieldset></fieldset>
             <input type=reset name=g><button type=button name=i></button>
             <button name=b value=1>Go</button><input type=submit formaction=/other><input type=image name=j src=k>
             <button formmethod=post name=p></button></form>",
        );
        let expected = Form {
            action: Some("/a?b&c".into()),
            fields: vec![
                field("h", Choice::Fixed("1&2".into())),
                one_of("r", &["x", "y", "z"]),
                field("t", Choice::Open("z".into())),
                field("c", Choice::Optional("on".into())),
                one_of("s", &["One two", "3", ""]),
                field("m", Choice::Optional("1".into())),
                field("m", Choice::Optional("2".into())),
                field("a", Choice::Open("hello".into())),
            ],
            buttons: vec![
                Button {
                    sends: Some(("b".into(), "1".into())),
                    ..Button::default()
                },
                Button {
                    action: Some("/other".into()),
                    ..Button::default()
                },
                Button::default(),
                Button {
                    sends: Some(("p".into(), "".into())),
                    is_post: true,
                    ..Button::default()
                },
            ],
        };
        assert_eq!(forms, [expected]);
    }

    #[test]
    fn controls_find_their_form_and_post_forms_are_left_out() {
        let (forms, _) = asked(
            true,
            false,
            "<input form=late name=a><input name=nobody><form method=post><input name=b><form><input name=c></form>
             <!-- <form><input name=d></form> --><template><form><input name=e></form></template>
             <form id=late><input name=f form=none></form><button form=late>x</button><select form=late name=g><option>1",
        );
        let expected = Form {
            action: None,
            fields: vec![field("a", Choice::Open(String::new())), one_of("g", &["1"])],
            buttons: vec![Button::default()],
        };
        assert_eq!(forms, [expected]);
    }

    #[test]
    fn a_button_may_send_a_post_form_with_get() {
        let (forms, _) = asked(
            true,
            false,
            "<form method=post><input name=a><button>x</button><button formmethod=get formaction=/b>y</button></form>
             <form method=post><input name=b><button formmethod=post>x</button></form>",
        );
        let buttons = vec![
            Button {
                is_post: true,
                ..Button::default()
            },
            Button {
                action: Some("/b".into()),
                ..Button::default()
            },
        ];
        let expected = Form {
            action: None,
            fields: vec![field("a", Choice::Open(String::new()))],
            buttons,
        };
        assert_eq!(forms, [expected]);
    }

    #[test]
    fn more_controls_than_anybody_needs_are_left_out() {
        let body = format!("<form>{}", "<input name=a>".repeat(2 * CONTROLS_MAX));
        let (forms, _) = asked(true, false, &body);
        // The form itself counts as one.
        assert_eq!(forms[0].fields.len(), CONTROLS_MAX - 1);
    }

    #[test]
    fn inline_elements_are_sorted() {
        assert!(INLINE.is_sorted());
    }
}

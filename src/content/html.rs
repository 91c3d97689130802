//! What the start tags of an HTML, XHTML or SVG document say: links, the base, volatile values.

use std::borrow::Cow;
use std::collections::HashMap;

use super::canonical::Wire;
use super::links::{is_skipped, trim};
use super::tags::{self, Attribute, AttributeName, Element, Nobody, Tag, Tags, Watch};
use super::{
    BuiltIn, Charset, Collector, Role, Span, canonical, css, data, instruction, is_space,
    references, script, skip_space, volatile,
};

/// Names of `<meta>` elements whose content is a token made for each answer.
const META_TOKENS: [&[u8]; 3] = [b"csrf-token", b"_csrf", b"csrf"];

/// Names of `<input>` elements whose value is one: Rails, Django, ASP.NET, Spring, Symfony, Laravel
/// and those who copied them.
const INPUT_TOKENS: [&[u8]; 7] = [
    b"authenticity_token",
    b"csrfmiddlewaretoken",
    b"__RequestVerificationToken",
    b"_csrf",
    b"_csrf_token",
    b"_token",
    b"csrf_token",
];

/// Properties, names and item properties of `<meta>` elements whose content is a picture, a film or a sound.
const META_ASSETS: [&[u8]; 23] = [
    b"og:image",
    b"og:image:url",
    b"og:image:secure_url",
    b"og:video",
    b"og:video:url",
    b"og:video:secure_url",
    b"og:audio",
    b"og:audio:url",
    b"og:audio:secure_url",
    b"twitter:image",
    b"twitter:image:src",
    b"twitter:player:stream",
    b"thumbnail",
    b"image",
    b"logo",
    b"thumbnailurl",
    b"contenturl",
    b"msapplication-tileimage",
    b"msapplication-config",
    b"msapplication-square70x70logo",
    b"msapplication-square150x150logo",
    b"msapplication-wide310x150logo",
    b"msapplication-square310x310logo",
];

/// The same for pages. `og:url` is what `<link rel=canonical>` is, for other readers.
const META_PAGES: [&[u8]; 4] = [
    b"og:url",
    b"twitter:player",
    b"embedurl",
    b"msapplication-starturl",
];

/// Relations of `<link>` elements and `Link` headers that name a part of the document itself.
const REL_ASSETS: [&[u8]; 12] = [
    b"stylesheet",
    b"icon",
    b"preload",
    b"modulepreload",
    b"manifest",
    b"apple-touch-icon",
    b"apple-touch-icon-precomposed",
    b"apple-touch-startup-image",
    b"mask-icon",
    b"fluid-icon",
    b"image_src",
    b"shortcut",
];

/// Relations to nothing that has a page: hosts to get ready for, and interfaces that take messages.
const REL_NOTHING: [&[u8]; 7] = [
    b"dns-prefetch",
    b"preconnect",
    b"edituri",
    b"hub",
    b"pingback",
    b"profile",
    b"webmention",
];

/// So many documents may stand inside each other by `srcdoc`, beside the page itself. Each level takes
/// one more scan of what is in it; nobody writes more than one.
const SRCDOC_DEPTH_MAX: u8 = 3;

/// What [`scan`] finds beside links.
pub(super) struct Scanned {
    pub base: Option<String>,
    /// In no order.
    pub volatile: Vec<Span>,
    /// The random ids that are among them, and what refers to them.
    pub wiring: Vec<Wire>,
}

/// Ids in which something is random, and what refers to such.
#[derive(Default)]
struct Ids {
    /// With whether they may be left out.
    names: Vec<(Span, bool)>,
    references: Vec<(Span, Reason)>,
}

/// What a reference says about its target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It belongs to the element at hand: such an id is there for this page alone.
    Belongs,
    /// It leads there, which other pages may do as well.
    Leads,
}

impl Reason {
    fn of(attribute: &[u8], element: &[u8]) -> Option<Reason> {
        let (attribute, element) = (attribute.to_ascii_lowercase(), element.to_ascii_lowercase());
        let element = element.as_slice();
        match attribute.as_slice() {
            b"for" => matches!(element, b"label" | b"output").then_some(Reason::Belongs),
            b"list" => (element == b"input").then_some(Reason::Belongs),
            b"headers" => matches!(element, b"td" | b"th").then_some(Reason::Belongs),
            b"form" => matches!(
                element,
                b"button"
                    | b"fieldset"
                    | b"input"
                    | b"object"
                    | b"output"
                    | b"select"
                    | b"textarea"
            )
            .then_some(Reason::Belongs),
            name if name.starts_with(b"aria-") => Some(Reason::Belongs),
            _ => Some(Reason::Leads),
        }
    }
}

/// Collects the links of a document whose markup stands in ASCII.
pub(super) fn scan(
    body: &[u8],
    charset: Charset,
    built_in: BuiltIn,
    links: &mut Collector,
    watch: &mut impl Watch,
) -> Scanned {
    let mut page = Page {
        body,
        charset,
        links,
        room: Vec::new(),
        base: None,
        volatile: Vec::new(),
        ids: Ids::default(),
        built_in,
        srcdoc_depth: 0,
    };
    let (conditional, comments) = page.walk(watch);
    page.comments(&comments);
    let wiring = page.wire();
    // What old browsers read in comments has links, and nothing of it is volatile: it never was.
    let (base, volatile) = (page.base.take(), std::mem::take(&mut page.volatile));
    for comment in conditional {
        page.inside(comment.of(body), charset, page.srcdoc_depth);
    }
    // A base that cannot be followed counts as the first one all the same; the page is its own then.
    let base = base.filter(|base| !base.is_empty() && !is_skipped(base.as_bytes()));
    Scanned {
        base,
        volatile,
        wiring,
    }
}

/// A value as a reader of the document has it, in UTF-8.
pub(super) fn read<'a>(charset: Charset, value: &'a [u8], room: &'a mut Vec<u8>) -> Cow<'a, [u8]> {
    match charset.value(value) {
        Cow::Borrowed(value) => Cow::Borrowed(references::decode(value, room)),
        Cow::Owned(value) => Cow::Owned(references::decode(&value, room).to_vec()),
    }
}

struct Page<'a> {
    body: &'a [u8],
    charset: Charset,
    links: &'a mut Collector,
    /// Where values with character references are decoded.
    room: Vec<u8>,
    base: Option<String>,
    volatile: Vec<Span>,
    ids: Ids,
    built_in: BuiltIn,
    /// How many `srcdoc` attributes this document stands in.
    srcdoc_depth: u8,
}

impl Page<'_> {
    /// Returns the conditional comments on the way, and the others.
    fn walk(&mut self, watch: &mut impl Watch) -> (Vec<Span>, Vec<Span>) {
        if self.body.starts_with(b"<?xml") {
            instruction::scan(self.body, self.links);
        }
        let mut tags = Tags::new(self.body);
        let mut tag = Tag::default();
        while tags.next(&mut tag, watch) {
            self.take(&tag);
        }
        (tags.conditional, tags.comments)
    }

    /// Finds what comments say of the making of this answer.
    fn comments(&mut self, comments: &[Span]) {
        if self.built_in == BuiltIn::First {
            return;
        }
        for comment in comments {
            let text = comment.of(self.body);
            let text = text
                .strip_suffix(b"-->")
                .or(text.strip_suffix(b"--!>"))
                .unwrap_or(text);
            volatile::find_in_comment(text, comment.start, &mut self.volatile);
        }
    }

    /// Leaves out what is random of ids to which something on the page belongs, and of what refers to these.
    fn wire(&mut self) -> Vec<Wire> {
        let Ids { names, references } = std::mem::take(&mut self.ids);
        if names.is_empty() {
            return Vec::new();
        }
        let mut ids: HashMap<&[u8], bool> = HashMap::new();
        for (id, reason) in &references {
            if *reason == Reason::Belongs {
                ids.insert(id.of(self.body), false);
            }
        }
        // Only what stands on the page, and nowhere where others may link to it.
        for (name, _) in &names {
            if let Some(is_left_out) = ids.get_mut(name.of(self.body)) {
                *is_left_out = true;
            }
        }
        for (name, _) in names.iter().filter(|(_, is_unlinked)| !is_unlinked) {
            ids.remove(name.of(self.body));
        }
        let names = names.iter().map(|(name, _)| *name);
        let mut wiring = Vec::new();
        for at in names.chain(references.iter().map(|(id, _)| *id)) {
            let id = at.of(self.body);
            if ids.get(id) == Some(&true) {
                volatile::find_random(id, at.start, &mut self.volatile);
                wiring.push(Wire {
                    at,
                    id: id.to_vec(),
                });
            }
        }
        wiring
    }

    /// Takes the links of markup inside this document. Its base is this one's, in a `srcdoc` too unless that
    /// has one of its own, which is not looked for. Comments inside a comment are just that, so that no byte
    /// is scanned more than twice on each level.
    fn inside(&mut self, body: &[u8], charset: Charset, srcdoc_depth: u8) -> Vec<Span> {
        let mut page = Page {
            body,
            charset,
            links: self.links,
            room: Vec::new(),
            base: None,
            volatile: Vec::new(),
            ids: Ids::default(),
            built_in: BuiltIn::First,
            srcdoc_depth,
        };
        page.walk(&mut Nobody).0
    }

    fn take(&mut self, tag: &Tag) {
        for attribute in &tag.attributes {
            self.attribute(tag, *attribute);
        }
        match (tag.element, tag.text) {
            (Element::Meta, _) => self.meta(tag),
            (Element::Input, _) => self.input(tag),
            (Element::Form, _) => self.form(tag),
            (Element::Applet, _) => self.applet(tag),
            (Element::Style, Some(text)) => {
                css::scan(&self.charset.value(text.of(self.body)), self.links);
            }
            (Element::Script, Some(text)) => self.script(tag, text),
            _ => {}
        }
    }

    /// Links are taken from whatever element has such an attribute: a custom element's `href` that
    /// leads nowhere is one request, an overlooked one is a page that the mirror lacks.
    fn attribute(&mut self, tag: &Tag, attribute: Attribute) {
        use AttributeName::*;
        let value = attribute.value;
        match attribute.name {
            Nonce => self.volatile.push(value),
            Id => self.name_of(tag, value),
            Reference | Form | Livewire | Token | Class | CfBeacon => {
                self.generated(tag, attribute)
            }
            Type if tag.element == Element::Script => self.generated(tag, attribute),
            Href if tag.element == Element::Base => self.base(value),
            // A place on this page is no link, and its name may be made anew.
            Href | XlinkHref if value.of(self.body).starts_with(b"#") => {
                self.refer(value, |_| Some(Reason::Leads));
            }
            Href | XlinkHref => {
                if let Some(role) = self.href_role(tag) {
                    self.link(value, role);
                }
            }
            Data if tag.element != Element::Object => {}
            Src | Poster | Background | Data => self.link(value, Role::Asset),
            DataSrc if is_lazy(tag.element) => self.link(value, Role::Asset),
            Longdesc | Cite => self.link(value, Role::Page),
            DataSrcset if !is_lazy(tag.element) => {}
            Srcset | Imagesrcset | DataSrcset => {
                let value = read(self.charset, value.of(self.body), &mut self.room);
                srcset(&value, self.links);
            }
            Style => {
                let value = read(self.charset, value.of(self.body), &mut self.room);
                css::scan(&value, self.links);
            }
            Srcdoc => self.srcdoc(value),
            _ => {}
        }
    }

    /// Attributes in which something may be made anew for each answer.
    fn generated(&mut self, tag: &Tag, attribute: Attribute) {
        use AttributeName::*;
        if self.built_in == BuiltIn::First {
            return;
        }
        let (start, value) = (attribute.value.start, attribute.value.of(self.body));
        match attribute.name {
            Token if volatile::is_token(b"nonce", value) => self.volatile.push(attribute.value),
            Token => {}
            Livewire => volatile::find_in_livewire(value, start, &mut self.volatile),
            Class => volatile::find_view_id(value, start, &mut self.volatile),
            CfBeacon => volatile::find_ray(value, start, &mut self.volatile),
            Type => volatile::find_script_number(value, start, &mut self.volatile),
            // What the name of the attribute says may depend on the element, but who says so has it in the list.
            _ => self.refer(attribute.value, |page| {
                let name = tags::name_before(page.body, start);
                Reason::of(name, tag.name.of(page.body))
            }),
        }
    }

    /// Notes an id in which something is random.
    fn name_of(&mut self, tag: &Tag, value: Span) {
        if self.built_in > BuiltIn::First && volatile::is_partly_random(value.of(self.body)) {
            // Other pages link to these.
            let is_linked = matches!(
                tag.name.of(self.body).to_ascii_lowercase().as_slice(),
                b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"section" | b"article" | b"a"
            );
            self.ids.names.push((value, !is_linked));
        }
    }

    /// Notes the ids in which something is random, of those to which a value refers. Why it does is asked of these alone:
    /// most are names that somebody has written.
    fn refer(&mut self, value: Span, reason: impl FnOnce(&Self) -> Option<Reason>) {
        if self.built_in == BuiltIn::First || !volatile::is_partly_random(value.of(self.body)) {
            return;
        }
        let Some(reason) = reason(self) else {
            return;
        };
        let mut at = value.start;
        for word in value.of(self.body).split(|byte| is_space(*byte)) {
            let hash = usize::from(word.starts_with(b"#"));
            let id = Span {
                start: at + hash,
                end: at + word.len(),
            };
            at += word.len() + 1;
            self.ids.references.push((id, reason));
        }
    }

    fn link(&mut self, value: Span, role: Role) {
        let value = read(self.charset, value.of(self.body), &mut self.room);
        self.links.push(&value, role);
    }

    /// What an element wants with the target of its `href`; `None` where that is no link.
    fn href_role(&self, tag: &Tag) -> Option<Role> {
        match tag.element {
            Element::Link => match tag.value(AttributeName::Rel) {
                Some(rel) => rel_role(rel.of(self.body)),
                None => Some(Role::Page),
            },
            Element::SvgPart | Element::Script => Some(Role::Asset),
            _ => Some(Role::Page),
        }
    }

    fn base(&mut self, value: Span) {
        if self.base.is_none() {
            let base = read(self.charset, value.of(self.body), &mut self.room);
            self.base = Some(String::from_utf8_lossy(trim(&base)).into_owned());
        }
    }

    fn srcdoc(&mut self, value: Span) {
        if self.srcdoc_depth == SRCDOC_DEPTH_MAX {
            return;
        }
        let document = read(self.charset, value.of(self.body), &mut self.room).into_owned();
        let depth = self.srcdoc_depth + 1;
        for comment in self.inside(&document, Charset::UTF_8, depth) {
            self.inside(comment.of(&document), Charset::UTF_8, depth);
        }
    }

    fn meta(&mut self, tag: &Tag) {
        let Some(content) = tag.value(AttributeName::Content) else {
            return;
        };
        let value = content.of(self.body);
        if let Some(pragma) = tag.value(AttributeName::HttpEquiv) {
            let pragma = trim(pragma.of(self.body));
            if pragma.eq_ignore_ascii_case(b"refresh") {
                refresh(&read(self.charset, value, &mut self.room), self.links);
            } else if is_policy(pragma) {
                canonical::find_nonces(value, content.start, &mut self.volatile);
            }
        }
        for attribute in [AttributeName::Name, AttributeName::Property] {
            let Some(name) = tag.value(attribute) else {
                continue;
            };
            let name = trim(name.of(self.body));
            let is_token = match self.built_in {
                BuiltIn::First => is_among(name, &META_TOKENS),
                BuiltIn::Second => volatile::is_meta_token(name) && volatile::is_token(name, value),
            };
            if is_token {
                self.volatile.push(content);
            } else {
                self.meta_link(name, content);
            }
        }
        if let Some(name) = tag.value(AttributeName::Itemprop) {
            self.meta_link(trim(name.of(self.body)), content);
        }
    }

    fn meta_link(&mut self, name: &[u8], content: Span) {
        // `msapplication-config` says so when there is no such file.
        if content.of(self.body) == b"none" {
        } else if is_among(name, &META_ASSETS) {
            self.link(content, Role::Asset);
        } else if is_among(name, &META_PAGES) {
            self.link(content, Role::Page);
        }
    }

    fn input(&mut self, tag: &Tag) {
        let Some(name) = tag.value(AttributeName::Name) else {
            return;
        };
        let Some(value) = tag.value(AttributeName::Value) else {
            return;
        };
        if self.built_in == BuiltIn::First {
            if INPUT_TOKENS.contains(&name.of(self.body)) {
                self.volatile.push(value);
            }
        } else {
            self.hidden_input(tag, name, value);
        }
    }

    /// What a reader does not see of a form, from the second version on.
    fn hidden_input(&mut self, tag: &Tag, name: Span, value: Span) {
        let kind = tag.value(AttributeName::Type);
        if !kind.is_some_and(|kind| kind.of(self.body).eq_ignore_ascii_case(b"hidden")) {
            return;
        }
        let written = name.of(self.body);
        if volatile::is_token_name(written, value.of(self.body)) {
            self.volatile.push(name);
        } else if volatile::is_input_token(written)
            && volatile::is_token(written, value.of(self.body))
        {
            self.volatile.push(value);
            // Drupal repeats the token there.
            if written == b"form_build_id" {
                let others = [AttributeName::Id, AttributeName::DrupalSelector];
                let others = others.iter().filter_map(|name| tag.value(*name));
                let others = others.filter(|other| {
                    let other = other.of(self.body);
                    other.starts_with(b"form-") && volatile::is_random_value(other)
                });
                self.volatile.extend(others);
            }
        }
    }

    /// Where a form leads that is sent with GET: whatever the method says that is no other one.
    fn form(&mut self, tag: &Tag) {
        let method = tag.value(AttributeName::Method);
        if is_get(method.map(|method| method.of(self.body)))
            && let Some(action) = tag.value(AttributeName::Action)
        {
            self.link(action, Role::Page);
        }
    }

    /// Classes and archives of an applet are relative to its code base.
    fn applet(&mut self, tag: &Tag) {
        let mut room = Vec::new();
        let base = tag.value(AttributeName::Codebase);
        let base = base.map_or(&b""[..], |base| trim(base.of(self.body)));
        for name in [AttributeName::Code, AttributeName::Archive] {
            let Some(value) = tag.value(name) else {
                continue;
            };
            let value = read(self.charset, value.of(self.body), &mut self.room);
            for file in value.split(|byte| *byte == b',').take(APPLET_FILES_MAX) {
                room.clear();
                room.extend_from_slice(base);
                if !base.is_empty() && !base.ends_with(b"/") {
                    room.push(b'/');
                }
                room.extend_from_slice(trim(file));
                if !trim(file).is_empty() {
                    self.links.push(&room, Role::Asset);
                }
            }
        }
    }

    /// The inline scripts that name what they load. Others are programs, whose texts mean anything.
    fn script(&mut self, tag: &Tag, text: Span) {
        let kind = tag.value(AttributeName::Type).unwrap_or_default();
        if self.built_in > BuiltIn::First && volatile::is_script_type(kind.of(self.body)) {
            volatile::find_in_script(text.of(self.body), text.start, &mut self.volatile);
        }
        let Some(kind) = tag.value(AttributeName::Type) else {
            return;
        };
        let kind = kind.of(self.body).split(|byte| *byte == b';').next();
        let kind = trim(kind.unwrap_or_default());
        let scan = match kind.to_ascii_lowercase().as_slice() {
            b"module" => script::scan,
            b"importmap" => data::import_map,
            b"speculationrules" => data::speculation_rules,
            b"application/ld+json" => data::linked_data,
            _ => return,
        };
        scan(&self.charset.value(text.of(self.body)), self.links);
    }
}

/// So many files of one applet are taken. Its code base is repeated for each, so that this is how many times larger
/// than a page its links can be.
const APPLET_FILES_MAX: usize = 8;

/// The elements whose files scripts load late, from `data-src` and `data-srcset`.
fn is_lazy(element: Element) -> bool {
    matches!(element, Element::Media | Element::Iframe)
}

/// Whether a form with this `method` is sent with GET: anything else than the two other words means it.
pub(super) fn is_get(method: Option<&[u8]>) -> bool {
    let is = |word: &[u8]| method.is_some_and(|method| method.eq_ignore_ascii_case(word));
    !is(b"post") && !is(b"dialog")
}

/// What a document wants with the target of such a relation; `None` for nothing. `alternate stylesheet` is a style
/// sheet.
pub(super) fn rel_role(rel: &[u8]) -> Option<Role> {
    let words = || {
        rel.split(|byte| is_space(*byte))
            .filter(|word| !word.is_empty())
    };
    if words().any(|word| is_among(word, &REL_ASSETS)) {
        return Some(Role::Asset);
    }
    let is_nothing = |word| is_among(word, &REL_NOTHING);
    let leads_nowhere = words().next().is_some() && words().all(is_nothing);
    (!leads_nowhere).then_some(Role::Page)
}

fn is_policy(pragma: &[u8]) -> bool {
    pragma.eq_ignore_ascii_case(b"content-security-policy")
        || pragma.eq_ignore_ascii_case(b"content-security-policy-report-only")
}

fn is_among(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The candidates of a `srcset`.
pub(super) fn srcset(value: &[u8], links: &mut Collector) {
    for candidate in candidates(value) {
        links.push(candidate, Role::Asset);
    }
}

/// The URLs of a `srcset`, split as in the HTML standard: a comma inside a URL belongs to it, one at its end does
/// not, and one in a descriptor's parentheses separates nothing.
pub(super) fn candidates(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_gap = |byte: &&u8| is_space(**byte) || **byte == b',';
        at += value[at..].iter().take_while(is_gap).count();
        if at == value.len() {
            return None;
        }
        let length = value[at..]
            .iter()
            .take_while(|byte| !is_space(**byte))
            .count();
        let url = &value[at..at + length];
        at += length;
        let bare = url
            .iter()
            .rposition(|byte| *byte != b',')
            .map_or(0, |last| last + 1);
        if bare == url.len() {
            at = descriptors_end(value, at);
        }
        Some(&url[..bare])
    })
}

fn descriptors_end(value: &[u8], at: usize) -> usize {
    let mut is_inside = false;
    for (index, byte) in value.iter().enumerate().skip(at) {
        match byte {
            b'(' => is_inside = true,
            b')' => is_inside = false,
            b',' if !is_inside => return index,
            _ => {}
        }
    }
    value.len()
}

/// The target of a declarative refresh, `5; url=/x` in all the forms that the HTML standard allows.
pub(super) fn refresh(content: &[u8], links: &mut Collector) {
    let start = skip_space(content, 0);
    let is_time = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let mut at = start + content[start..].iter().take_while(is_time).count();
    let is_separator = |byte: &u8| is_space(*byte) || matches!(byte, b';' | b',');
    if at == start || !content.get(at).is_some_and(is_separator) {
        return;
    }
    at = skip_space(content, at);
    if matches!(content.get(at), Some(b';' | b',')) {
        at += 1;
    }
    let target = &content[skip_space(content, at)..];
    links.push(refresh_target(target), Role::Page);
}

/// The URL in what follows the time of a refresh: `url =` and quotes may stand around it.
pub(super) fn refresh_target(text: &[u8]) -> &[u8] {
    unquoted(after_url_sign(text))
}

/// What follows `url =`; all of `target` when it does not begin so.
fn after_url_sign(target: &[u8]) -> &[u8] {
    let is_word = target
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"url"));
    if !is_word {
        return target;
    }
    let equals = skip_space(target, 3);
    match target.get(equals) {
        Some(b'=') => &target[skip_space(target, equals + 1)..],
        _ => target,
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [quote @ (b'"' | b'\''), rest @ ..] => {
            &rest[..memchr::memchr(*quote, rest).unwrap_or(rest.len())]
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(body: &str) -> (Vec<String>, Option<String>, Vec<&str>) {
        let mut links = Collector::default();
        let Scanned { base, volatile, .. } = scan(
            body.as_bytes(),
            Charset::UTF_8,
            BuiltIn::First,
            &mut links,
            &mut Nobody,
        );
        let volatile = volatile
            .iter()
            .map(|span| &body[span.start..span.end])
            .collect();
        (
            links.into_links().references().map(str::to_owned).collect(),
            base,
            volatile,
        )
    }

    #[test]
    fn links_come_from_every_place_that_names_a_page_or_an_asset() {
        // One place each, with what a browser would ask for.
        let rows: &[(&str, &[&str])] = &[
            (
                "<a href=/a><area href=/b><link href=/c>",
                &["/a", "/b", "/c"],
            ),
            (
                "<img src=a><script src=b></script><iframe src=c></iframe>",
                &["a", "b", "c"],
            ),
            (
                "<video poster=a src=b><body background=c><img longdesc=d>",
                &["a", "b", "c", "d"],
            ),
            ("<object data=a></object><div data=b>", &["a"]),
            (
                "<svg><use xlink:href=a.svg#i /><image href=b /></svg>",
                &["a.svg", "b"],
            ),
            ("<a href='/?a=1&amp;b=2'>", &["/?a=1&b=2"]),
            ("<a href=' /a&#10;'><a href=/a>", &["/a"]),
            ("<a href=#x><a href=/p#x><a href=mailto:x>", &["/p"]),
            ("<img srcset='a 1x, b 2x'>", &["a", "b"]),
            ("<img srcset='a,b'>", &["a,b"]),
            ("<img srcset='a, b,,c'>", &["a", "b,,c"]),
            ("<img srcset=',a (x,y) 1x,\tb'>", &["a", "b"]),
            ("<img srcset='data:image/png;base64,AA 1x, b 2x'>", &["b"]),
            ("<link imagesrcset='a 1w,b 2w'>", &["a", "b"]),
            ("<p style='background:url(a)'>", &["a"]),
            ("<p style='background:url(&quot;a&quot;)'>", &["a"]),
            ("<style>@import 'a'; b{c:url(d)}</style>", &["a", "d"]),
            ("<svg><style><![CDATA[a{b:url(c)}]]></style></svg>", &["c"]),
            ("<meta http-equiv=refresh content='0;url=a'>", &["a"]),
            (
                "<meta content=' 5 , URL = \"a b\"x' HTTP-EQUIV=Refresh>",
                &["a b"],
            ),
            ("<meta http-equiv=refresh content='0;a'>", &["a"]),
            ("<meta http-equiv=refresh content='1.5 a'>", &["a"]),
            ("<meta http-equiv=refresh content='5'>", &[]),
            ("<meta http-equiv=refresh content='url=a'>", &[]),
            ("<meta property='og:image' content=a>", &["a"]),
            ("<meta name='twitter:image' content=a>", &["a"]),
            ("<meta name=description content=a>", &[]),
            ("<noscript><img src=a></noscript>", &["a"]),
            ("<!-- <img src=a> --><script>'<img src=b>'</script>", &[]),
        ];
        for (body, expected) in rows {
            assert_eq!(scanned(body).0, *expected, "{body}");
        }
    }

    // long: a table
    #[test]
    fn every_link_has_its_role() {
        // One place each: pages that it names, and what the browser loads by itself.
        let rows: &[(&str, &[&str], &[&str])] = &[
            (
                "<a href=a><area href=b><blockquote cite=c>",
                &["a", "b", "c"],
                &[],
            ),
            (
                "<link rel=stylesheet href=a><link rel='shortcut ICON' href=b><link rel=preload href=c>",
                &[],
                &["a", "b", "c"],
            ),
            (
                "<link rel=modulepreload href=a><link rel=manifest href=b><link rel='alternate stylesheet' href=c>",
                &[],
                &["a", "b", "c"],
            ),
            (
                "<link rel=alternate href=a><link rel=next href=b><link rel=canonical href=c><link rel=amphtml href=d>",
                &["a", "b", "c", "d"],
                &[],
            ),
            (
                "<link rel=dns-prefetch href=//a><link rel='preconnect dns-prefetch' href=//b><link href=c>",
                &["c"],
                &[],
            ),
            ("<img src=a><a href=a><img src=b>", &[], &["a", "b"]),
            (
                "<img data-src=a data-srcset='b 1x, c 2x'><video data-src=d><iframe data-src=e></iframe><div data-src=f data-srcset=g>",
                &[],
                &["a", "b", "c", "d", "e"],
            ),
            (
                "<iframe src=a></iframe><frame src=b><embed src=c><object data=d></object><track src=e>",
                &[],
                &["a", "b", "c", "d", "e"],
            ),
            (
                "<applet codebase=/j code=A.class archive='b.jar, c.jar'></applet>",
                &[],
                &["/j/A.class", "/j/b.jar", "/j/c.jar"],
            ),
            (
                "<svg><a href=a /><use href='b#c'/><image xlink:href=d /><script href=e /></svg>",
                &["a"],
                &["b", "d", "e"],
            ),
            (
                "<form action=a><form method=GET action=b><form method=post action=c><form method=dialog action=d>",
                &["a", "b"],
                &[],
            ),
            (
                "<a ping=a><button formaction=b>x</button><input type=image src=c>",
                &[],
                &["c"],
            ),
            (
                "<meta property=og:image content=a><meta property=og:url content=b><meta itemprop=image content=c>",
                &["b"],
                &["a", "c"],
            ),
            (
                "<meta name=msapplication-TileImage content=a><meta name=msapplication-config content=none>",
                &[],
                &["a"],
            ),
            (
                "<script type=application/ld+json>{\"url\":\"/a\",\"image\":\"b.png\"}</script>",
                &["/a"],
                &["b.png"],
            ),
            (
                "<script type=Module>import './a.js'</script><script>import('./b.js')</script>",
                &[],
                &["./a.js"],
            ),
            (
                "<script type=importmap>{\"imports\":{\"a\":\"/a.js\"}}</script>",
                &[],
                &["/a.js"],
            ),
            (
                "<!--[if lt IE 9]><link href=a><img src=b><![endif]--><!-- <a href=c> -->",
                &["a"],
                &["b"],
            ),
            ("<!--[if !IE]><!--><a href=a><!--<![endif]-->", &["a"], &[]),
            ("<![if !IE]><a href=a><![endif]>", &["a"], &[]),
            (
                "<iframe srcdoc='<a href=&quot;/?a&amp;amp;b&quot;><img src=c>'></iframe>",
                &["/?a&b"],
                &["c"],
            ),
            (
                "<?xml version='1.0'?><?xml-stylesheet href='a.css'?><html/>",
                &[],
                &["a.css"],
            ),
            (
                "<textarea><a href=a></textarea><title><a href=b></title>",
                &[],
                &[],
            ),
        ];
        for (body, pages, assets) in rows {
            let mut links = Collector::default();
            scan(
                body.as_bytes(),
                Charset::UTF_8,
                BuiltIn::First,
                &mut links,
                &mut Nobody,
            );
            let links = links.into_links();
            let of = |role| {
                let those = links.iter().filter(move |link| link.role == role);
                those.map(|link| link.reference).collect::<Vec<_>>()
            };
            assert_eq!(of(Role::Page), *pages, "{body}");
            assert_eq!(of(Role::Asset), *assets, "{body}");
        }
    }

    #[test]
    fn documents_in_documents_are_followed_only_so_far() {
        // Each level of `srcdoc` costs one more scan, whatever a page would like.
        let mut page = String::from("<a href=deepest>");
        for level in 0..=SRCDOC_DEPTH_MAX {
            let inside = page.replace('&', "&amp;").replace('"', "&quot;");
            page = format!("<a href=level{level}><iframe srcdoc=\"{inside}\"></iframe>");
        }
        let (links, ..) = scanned(&page);
        assert_eq!(links, ["level3", "level2", "level1", "level0"]);
    }

    #[test]
    fn values_are_read_in_the_encoding_of_the_document() {
        // References stand for characters and not for bytes, whatever the bytes around them are.
        let latin = b"<a href='/caf\xe9?a&amp;b=&#233;'><style>a{b:url(\xe9)}</style>";
        let mut links = Collector::default();
        let charset = Charset::of(crate::content::Kind::Html, latin, None);
        scan(latin, charset, BuiltIn::First, &mut links, &mut Nobody);
        let links = links.into_links();
        let found: Vec<_> = links.references().collect();
        assert_eq!(found, ["/caf\u{e9}?a&b=\u{e9}", "\u{e9}"]);
    }

    #[test]
    fn the_first_base_with_an_href_is_the_base_and_no_link() {
        let rows = [
            (
                "<base target=_top><base href=' /a&amp;b '><base href=/c>",
                Some("/a&b"),
            ),
            ("<base href=data:x><base href=/c>", None),
            ("<base href=''>", None),
            ("<p>", None),
        ];
        for (body, expected) in rows {
            let (links, base, _) = scanned(body);
            assert_eq!((links.len(), base.as_deref()), (0, expected), "{body}");
        }
    }

    #[test]
    fn the_second_version_knows_what_frameworks_and_caches_write() {
        // One place each, with the bytes that are taken out since then; the first version saw none of them.
        let hex = "0123456789abcdef0123456789abcdef";
        let uuid = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let rows: &[(String, &[&str])] = &[
            (format!("<p id=a-{uuid}><a href=#a-{uuid}><b aria-owns=a-{uuid}>"), &[uuid, uuid, uuid]),
            // Nothing belongs to it; others may link to it; it is none of this page; it is an address.
            (format!("<p id=a-{uuid}><a href=#a-{uuid}>"), &[]),
            (format!("<h2 id=a-{uuid}></h2><p aria-labelledby=a-{uuid}>"), &[]),
            (format!("<b aria-owns=a-{uuid}>"), &[]),
            ("<p id=/x-7cd0a4c1><b data-target=/x-7cd0a4c1 for=/x-7cd0a4c1>".into(), &[]),
            ("<p id=x-7cd0a4c1><x-list list=x-7cd0a4c1 for=x-7cd0a4c1 form=x-7cd0a4c1>".into(), &[]),
            (
                "<p id=x-7cd0a4c1><label for=x-7cd0a4c1><use href=#x-7cd0a4c1><b data-target=#x-7cd0a4c1>".into(),
                &["7cd0a4c1", "7cd0a4c1", "7cd0a4c1", "7cd0a4c1"],
            ),
            (
                "<label for=s-7cd0a4c1><input id=s-7cd0a4c1 aria-describedby='h-7cd0a4c1 e-0a1b2c3d'>".into(),
                &["7cd0a4c1", "7cd0a4c1"],
            ),
            (
                "<b aria-labelledby=x-7cd0a4c1 aria-controls=x-7cd0a4c2 data-target=#x-7cd0a4c3 data-bs-target=#x-7cd0a4c4>".into(),
                &[],
            ),
            ("<a href=/x-7cd0a4c1 class=x-7cd0a4c1 name=x-7cd0a4c1 title=x-7cd0a4c1>".into(), &[]),
            (format!("<div class='view js-view-dom-id-{hex}'>"), &[hex]),
            (
                "<input type=hidden name=form_build_id value=form-Xy_1zP40qRw7 id=form-Xy_1zP40qRw7 data-drupal-selector=form-xy-1>".into(),
                &["form-Xy_1zP40qRw7", "form-Xy_1zP40qRw7"],
            ),
            (format!("<input type=Hidden name='c[_token]' value={hex}><input name='c[_token]' value={hex}>"), &[hex]),
            (format!("<input type=hidden name=csrf_token value=none><input name=csrf_token value={hex}>"), &[]),
            (format!("<script type=text/template>{{'csrf':'{hex}'}}</script>"), &[]),
            ("<input type=text name=_wpnonce value=b>".into(), &[]),
            (format!("<input type=hidden name={hex} value=1>"), &[hex]),
            (
                format!("<meta name=csp-nonce content={hex}><p data-csp-nonce={hex} data-nonce=a1b2c3d4e5 data-csrf=on>"),
                &[hex, hex, "a1b2c3d4e5"],
            ),
            ("<p data-turbo-track=reload data-token=x>".into(), &[]),
            ("<script type=0123456789abcdef01234567-module src=x></script>".into(), &["0123456789abcdef01234567"]),
            (
                "<script data-cf-beacon='{\"rayId\":\"8f00\",\"version\":\"2\"}'></script>".into(),
                &["8f00"],
            ),
            ("<script data-cf-beacon='{&quot;rayId&quot;:&quot;8f00&quot;}'></script>".into(), &["8f00"]),
            ("<script>var a={\"nonce\":\"a1b2c3d4e5\"}</script>".into(), &["a1b2c3d4e5"]),
            ("<!-- took 12 ms --><!-- took 13 ms --!><!-- took 14 ms".into(), &["took 12 ms", "took 13 ms", "took 14 ms"]),
            ("<!--[if IE]> took 12 ms <p id=x-7cd0a4c1> <![endif]--><p>took 12 ms".into(), &[]),
            ("<textarea><!-- took 12 ms --></textarea><title>took 12 ms</title>".into(), &[]),
        ];
        for (body, expected) in rows {
            let volatile = |built_in| {
                let mut links = Collector::default();
                let body = body.as_bytes();
                let scanned = scan(body, Charset::UTF_8, built_in, &mut links, &mut Nobody);
                let mut spans = scanned.volatile;
                canonical::merge(&mut spans);
                spans
            };
            let found: Vec<&str> = volatile(BuiltIn::Second)
                .iter()
                .map(|span| &body[span.start..span.end])
                .collect();
            assert_eq!(found, *expected, "{body}");
            let of_first = volatile(BuiltIn::First);
            let is_known = body.contains("name=csrf_token");
            assert!(is_known || of_first.is_empty(), "{body}");
        }
    }

    #[test]
    fn values_made_for_each_answer_are_volatile_and_nothing_else() {
        // One place each, with the bytes that are taken out.
        let rows: &[(&str, &[&str])] = &[
            ("<script nonce=a></script><p NONCE='b c'>", &["a", "b c"]),
            ("<script nonce=a nonce=b></script>", &["a"]),
            ("<script>nonce='a'</script><!-- <p nonce=b> -->", &[]),
            (
                "<meta name=csrf-token content=a><meta content=b name=CSRF>",
                &["a", "b"],
            ),
            ("<meta name=csrf-param content=a>", &[]),
            ("<meta name=_csrf><meta content=a>", &[]),
            ("<input name=authenticity_token value=a>", &["a"]),
            ("<input value='a' name='csrfmiddlewaretoken'>", &["a"]),
            ("<input name=__RequestVerificationToken value=a>", &["a"]),
            (
                "<input name=_token value=a><input name=token value=b>",
                &["a"],
            ),
            ("<button name=_csrf value=a>", &[]),
            (
                "<meta http-equiv=Content-Security-Policy content=\"script-src 'nonce-a+/=' 'self'\">",
                &["a+/="],
            ),
            ("<meta content=\"script-src 'nonce-a'\">", &[]),
        ];
        for (body, expected) in rows {
            assert_eq!(scanned(body).2, *expected, "{body}");
        }
    }
}

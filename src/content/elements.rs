//! Which elements are open while a page goes by: what closes what, and what stands there without being written.
//!
//! No tree is built and nothing is moved. Followed are the rules of the HTML standard that decide where an element of
//! a well-meant page begins and ends: void elements, end tags that may be left out, tags that may be left out at both
//! ends (`<html>`, `<head>`, `<body>`, `<tbody>`, `<tr>`, `<colgroup>`), and how far an end tag reaches. An end tag closes
//! its element and everything in it; what is never closed ends with its parent. In XML nothing is left out.

use super::selector::NameKey;

/// So deep may a page nest; browsers stop here too (Blink's `kMaximumHTMLParserDOMTreeDepth`). A search for the element
/// that an end tag closes goes through so many at most.
const OPEN_MAX: usize = 512;

/// What the standard says of an element by its name: a set of the bits below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape(u16);

const VOID: u16 = 1;
/// An end tag of another element does not reach beyond it, unless it is of a block itself.
const SPECIAL: u16 = 1 << 1;
/// Nothing but a table's own tags reaches beyond it.
const SCOPE: u16 = 1 << 2;
/// Its start closes an open `<p>`.
const CLOSES_P: u16 = 1 << 3;
/// It may stand in the head.
const IN_HEAD: u16 = 1 << 4;
const HEADING: u16 = 1 << 5;
const FORMATTING: u16 = 1 << 6;
/// A part of a table.
const TABLE_PART: u16 = 1 << 7;
/// No list item outside is closed through it.
const LIST: u16 = 1 << 8;

const ROOT: u16 = SPECIAL | SCOPE;
const BLOCK: u16 = SPECIAL | CLOSES_P;

const A: NameKey = NameKey::of(b"a");
const BODY: NameKey = NameKey::of(b"body");
const BUTTON: NameKey = NameKey::of(b"button");
const COL: NameKey = NameKey::of(b"col");
const COLGROUP: NameKey = NameKey::of(b"colgroup");
const DD: NameKey = NameKey::of(b"dd");
const DT: NameKey = NameKey::of(b"dt");
const FORM: NameKey = NameKey::of(b"form");
const FRAMESET: NameKey = NameKey::of(b"frameset");
const HEAD: NameKey = NameKey::of(b"head");
const HTML: NameKey = NameKey::of(b"html");
const LI: NameKey = NameKey::of(b"li");
const NOBR: NameKey = NameKey::of(b"nobr");
const OPTGROUP: NameKey = NameKey::of(b"optgroup");
const OPTION: NameKey = NameKey::of(b"option");
const P: NameKey = NameKey::of(b"p");
const RB: NameKey = NameKey::of(b"rb");
const RP: NameKey = NameKey::of(b"rp");
const RT: NameKey = NameKey::of(b"rt");
const RTC: NameKey = NameKey::of(b"rtc");
const RUBY: NameKey = NameKey::of(b"ruby");
const TABLE: NameKey = NameKey::of(b"table");
const TBODY: NameKey = NameKey::of(b"tbody");
const TD: NameKey = NameKey::of(b"td");
const TEMPLATE: NameKey = NameKey::of(b"template");
const TFOOT: NameKey = NameKey::of(b"tfoot");
const TH: NameKey = NameKey::of(b"th");
const THEAD: NameKey = NameKey::of(b"thead");
const TR: NameKey = NameKey::of(b"tr");

const SHAPES: &[(u16, &[&[u8]])] = &[
    (
        VOID | SPECIAL,
        &[
            b"area", b"br", b"embed", b"img", b"input", b"keygen", b"param", b"source", b"track",
            b"wbr", b"frame",
        ],
    ),
    (VOID | BLOCK, &[b"hr"]),
    (
        VOID | SPECIAL | IN_HEAD,
        &[b"base", b"basefont", b"bgsound", b"link", b"meta"],
    ),
    (VOID | SPECIAL | TABLE_PART, &[b"col"]),
    (
        SPECIAL | IN_HEAD,
        &[b"title", b"noscript", b"noframes", b"style", b"script"],
    ),
    (ROOT | IN_HEAD, &[b"template"]),
    (ROOT, &[b"html", b"applet", b"marquee", b"object"]),
    (ROOT | CLOSES_P, &[b"table"]),
    (ROOT | TABLE_PART, &[b"caption", b"td", b"th"]),
    (
        SPECIAL | TABLE_PART,
        &[b"colgroup", b"tbody", b"tfoot", b"thead", b"tr"],
    ),
    (
        SPECIAL,
        &[
            b"body",
            b"button",
            b"head",
            b"frameset",
            b"iframe",
            b"noembed",
            b"select",
            b"textarea",
        ],
    ),
    (BLOCK | HEADING, &[b"h1", b"h2", b"h3", b"h4", b"h5", b"h6"]),
    (BLOCK | LIST, &[b"ol", b"ul"]),
    (
        BLOCK,
        &[
            b"address",
            b"article",
            b"aside",
            b"blockquote",
            b"center",
            b"dd",
            b"details",
            b"dir",
            b"div",
            b"dl",
            b"dt",
            b"fieldset",
            b"figcaption",
            b"figure",
            b"footer",
            b"form",
            b"header",
            b"hgroup",
            b"li",
            b"listing",
            b"main",
            b"menu",
            b"nav",
            b"p",
            b"plaintext",
            b"pre",
            b"search",
            b"section",
            b"summary",
            b"xmp",
        ],
    ),
    (CLOSES_P, &[b"dialog"]),
    (
        FORMATTING,
        &[
            b"a", b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike",
            b"strong", b"tt", b"u",
        ],
    ),
];

/// So many places for some hundred names: a name is found at the first or second look.
const TABLE_PLACES: usize = 1024;

/// Names with their shapes, each where its number says or behind.
static TABLE_OF_SHAPES: [(u64, u16); TABLE_PLACES] = table_of_shapes();

const fn table_of_shapes() -> [(u64, u16); TABLE_PLACES] {
    let mut table = [(0, 0); TABLE_PLACES];
    let mut group = 0;
    while group < SHAPES.len() {
        let (bits, names) = SHAPES[group];
        let mut index = 0;
        while index < names.len() {
            let key = NameKey::of(names[index]);
            let mut at = place_of(key);
            while table[at].0 != 0 {
                at = (at + 1) % TABLE_PLACES;
            }
            table[at] = (key.0, bits);
            index += 1;
        }
        group += 1;
    }
    table
}

const fn place_of(name: NameKey) -> usize {
    (name.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

impl Shape {
    const NONE: Shape = Shape(0);

    fn of(name: NameKey) -> Shape {
        let mut at = place_of(name);
        loop {
            match TABLE_OF_SHAPES[at] {
                (0, _) => return Shape::NONE,
                (key, bits) if key == name.0 => return Shape(bits),
                _ => at = (at + 1) % TABLE_PLACES,
            }
        }
    }

    fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

/// What someone keeps about each open element.
pub(super) trait Keep {
    type Kept;
    /// An element that is not written begins here, inside those that are open.
    fn imply(&mut self, name: NameKey, at: usize, parent: Option<&Self::Kept>) -> Self::Kept;
    /// An element ends.
    fn close(&mut self, kept: Self::Kept, end: usize);
}

struct Open<K> {
    name: NameKey,
    shape: Shape,
    is_foreign: bool,
    kept: K,
}

/// How far the beginning of a page has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Before,
    BeforeHead,
    Head,
    AfterHead,
    Body,
}

/// A start tag, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub name: NameKey,
    pub at: usize,
    pub is_foreign: bool,
    /// It begins SVG or MathML.
    pub is_root_of_foreign: bool,
    /// It is foreign and has no content.
    pub is_empty: bool,
}

/// What a start tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing: it stands where browsers pass it.
    Nothing,
    /// An element that is its start tag alone.
    Leaf,
    /// An element with content: to be opened.
    Content,
}

/// The open elements, outermost first.
pub(super) struct Elements<K> {
    open: Vec<Open<K>>,
    /// How many are open of the names that share a number.
    counts: [u16; 256],
    place: Place,
    is_form_open: bool,
}

impl<K> Elements<K> {
    pub(super) fn new(is_xml: bool) -> Elements<K> {
        Elements {
            open: Vec::new(),
            counts: [0; 256],
            place: if is_xml { Place::Body } else { Place::Before },
            is_form_open: false,
        }
    }

    /// What is kept about the innermost one.
    pub(super) fn last(&self) -> Option<&K> {
        self.open.last().map(|open| &open.kept)
    }

    /// Whether no more may be opened.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= OPEN_MAX
    }

    /// Opens what [`Elements::start`] has called an element with content.
    pub(super) fn push(&mut self, start: Start, kept: K) {
        let shape = match start.is_foreign {
            true => Shape::NONE,
            false => Shape::of(start.name),
        };
        self.open.push(Open {
            name: start.name,
            shape,
            is_foreign: start.is_foreign,
            kept,
        });
        self.counts[number(start.name)] += 1;
    }

    /// Closes and opens what a start tag closes and opens without its being written; what it means itself.
    pub(super) fn start(&mut self, start: Start, keep: &mut impl Keep<Kept = K>) -> Meaning {
        if start.is_foreign {
            if start.is_root_of_foreign {
                self.enter_body(start.at, keep);
            }
            return match start.is_empty {
                true => Meaning::Leaf,
                false => Meaning::Content,
            };
        }
        let shape = Shape::of(start.name);
        if !self.reach(start, shape, keep) || !self.make_room(start, shape, keep) {
            return Meaning::Nothing;
        }
        match shape.has(VOID) {
            true => Meaning::Leaf,
            false => Meaning::Content,
        }
    }

    /// Text that is not white space begins the body, too.
    pub(super) fn text(&mut self, at: usize, keep: &mut impl Keep<Kept = K>) {
        if self.place < Place::Body && !self.is_any_open(TEMPLATE) {
            self.enter_body(at, keep);
        }
    }

    /// Whether text can still make a difference.
    pub(super) fn is_in_body(&self) -> bool {
        self.place == Place::Body
    }

    /// Closes what an end tag closes.
    pub(super) fn end(
        &mut self,
        name: NameKey,
        start: usize,
        end: usize,
        keep: &mut impl Keep<Kept = K>,
    ) {
        if name == HTML || name == BODY {
            // What follows is read as if it stood before.
            return;
        }
        if name == FORM {
            self.is_form_open = false;
        }
        if let Some(index) = self.closed_by(name) {
            self.close(index + 1, start, keep);
            self.close(index, end, keep);
            if name == HEAD {
                self.place = Place::AfterHead;
            }
        }
    }

    /// The page is at its end.
    pub(super) fn finish(&mut self, end: usize, keep: &mut impl Keep<Kept = K>) {
        self.close(0, end, keep);
    }

    /// Which element an end tag closes.
    fn closed_by(&self, name: NameKey) -> Option<usize> {
        if !self.is_any_open(name) && !Shape::of(name).has(HEADING) {
            return None;
        }
        // In SVG and MathML the nearest one of the name; outside of them HTML's rules hold.
        let foreign = self.open.iter().rev().take_while(|open| open.is_foreign);
        let found = foreign.enumerate().find(|(_, open)| open.name == name);
        if let Some((distance, _)) = found {
            return Some(self.open.len() - 1 - distance);
        }
        let shape = Shape::of(name);
        let is_it = |open: &Open<K>| open.name == name;
        match name {
            P => self.in_scope(is_it, |open| open.shape.has(SCOPE) || open.name == BUTTON),
            LI => self.in_scope(is_it, |open| open.shape.has(SCOPE | LIST)),
            TABLE | TEMPLATE => self.in_scope(is_it, |open| matches!(open.name, HTML | TEMPLATE)),
            _ if shape.has(TABLE_PART) => {
                self.in_scope(is_it, |open| matches!(open.name, HTML | TABLE | TEMPLATE))
            }
            _ if shape.has(HEADING) => {
                self.in_scope(|open| open.shape.has(HEADING), |open| open.shape.has(SCOPE))
            }
            _ if shape.has(SPECIAL | FORMATTING | CLOSES_P) => {
                self.in_scope(is_it, |open| open.shape.has(SCOPE))
            }
            _ => self.in_scope(is_it, |open| open.shape.has(SPECIAL)),
        }
    }

    /// The nearest open element that is it, unless a wall stands before it.
    fn in_scope(
        &self,
        is_it: impl Fn(&Open<K>) -> bool,
        is_wall: impl Fn(&Open<K>) -> bool,
    ) -> Option<usize> {
        for (index, open) in self.open.iter().enumerate().rev() {
            if !open.is_foreign && is_it(open) {
                return Some(index);
            }
            if is_wall(open) {
                return None;
            }
        }
        None
    }

    fn nearest(&self, name: NameKey, is_wall: impl Fn(&Open<K>) -> bool) -> Option<usize> {
        match self.is_any_open(name) {
            true => self.in_scope(|open| open.name == name, is_wall),
            false => None,
        }
    }

    fn is_any_open(&self, name: NameKey) -> bool {
        self.counts[number(name)] > 0
    }

    fn last_name(&self) -> Option<NameKey> {
        let last = self.open.last().filter(|open| !open.is_foreign);
        last.map(|open| open.name)
    }

    /// Closes all from this one on, innermost first.
    fn close(&mut self, from: usize, end: usize, keep: &mut impl Keep<Kept = K>) {
        while self.open.len() > from {
            if let Some(open) = self.open.pop() {
                self.counts[number(open.name)] -= 1;
                keep.close(open.kept, end);
            }
        }
    }

    fn imply(&mut self, name: NameKey, at: usize, keep: &mut impl Keep<Kept = K>) {
        let kept = keep.imply(name, at, self.last());
        let start = Start {
            name,
            at,
            is_foreign: false,
            is_root_of_foreign: false,
            is_empty: false,
        };
        self.push(start, kept);
    }

    /// Goes to the part of the page that a tag belongs to; false when the tag means nothing.
    fn reach(&mut self, start: Start, shape: Shape, keep: &mut impl Keep<Kept = K>) -> bool {
        if self.place == Place::Body {
            return !matches!(start.name, HTML | HEAD | BODY | FRAMESET);
        }
        if start.name == HTML {
            let is_first = self.place == Place::Before;
            self.place = self.place.max(Place::BeforeHead);
            return is_first;
        }
        self.enter_html(start.at, keep);
        match start.name {
            HEAD => {
                let is_first = self.place == Place::BeforeHead;
                self.place = self.place.max(Place::Head);
                is_first
            }
            BODY | FRAMESET => {
                self.leave_head(start.at, keep);
                self.place = Place::Body;
                true
            }
            _ if shape.has(IN_HEAD) => {
                if self.place == Place::BeforeHead {
                    self.imply(HEAD, start.at, keep);
                    self.place = Place::Head;
                }
                true
            }
            _ if self.is_any_open(TEMPLATE) => true,
            _ => {
                self.enter_body(start.at, keep);
                true
            }
        }
    }

    fn enter_html(&mut self, at: usize, keep: &mut impl Keep<Kept = K>) {
        if self.place == Place::Before {
            self.imply(HTML, at, keep);
            self.place = Place::BeforeHead;
        }
    }

    fn enter_body(&mut self, at: usize, keep: &mut impl Keep<Kept = K>) {
        if self.place == Place::Body {
            return;
        }
        self.enter_html(at, keep);
        self.leave_head(at, keep);
        self.imply(BODY, at, keep);
        self.place = Place::Body;
    }

    fn leave_head(&mut self, at: usize, keep: &mut impl Keep<Kept = K>) {
        if let Some(head) = self.nearest(HEAD, |_| false) {
            self.close(head, at, keep);
        }
    }

    /// Closes what cannot go on where this element begins; false when browsers pass its tag.
    fn make_room(&mut self, start: Start, shape: Shape, keep: &mut impl Keep<Kept = K>) -> bool {
        let at = start.at;
        let before = match start.name {
            LI => self.item(&[LI]),
            DD | DT => self.item(&[DD, DT]),
            BUTTON => self.nearest(BUTTON, |open| open.shape.has(SCOPE)),
            A | NOBR => self.nearest(start.name, |open| open.shape.has(SPECIAL)),
            OPTION | OPTGROUP if self.last_name() == Some(OPTION) => Some(self.open.len() - 1),
            RB | RP | RT | RTC => self.annotation(start.name),
            _ => None,
        };
        if let Some(before) = before {
            self.close(before, at, keep);
        }
        if start.name == OPTGROUP && self.last_name() == Some(OPTGROUP) {
            self.close(self.open.len() - 1, at, keep);
        }
        if shape.has(CLOSES_P)
            && let Some(paragraph) =
                self.nearest(P, |open| open.shape.has(SCOPE) || open.name == BUTTON)
        {
            self.close(paragraph, at, keep);
        }
        // Only now the heading before may be the innermost one.
        if shape.has(HEADING)
            && let Some(heading) = self.last_heading()
        {
            self.close(heading, at, keep);
        }
        match start.name {
            FORM => {
                let is_inside = self.is_form_open && !self.is_any_open(TEMPLATE);
                self.is_form_open = true;
                !is_inside
            }
            TABLE => {
                if matches!(
                    self.last_name(),
                    Some(TABLE | TBODY | THEAD | TFOOT | TR | COLGROUP)
                ) && let Some(table) = self.table()
                {
                    self.close(table, at, keep);
                }
                true
            }
            _ if shape.has(TABLE_PART) => self.make_room_in_table(start, keep),
            _ => true,
        }
    }

    /// The item before, which ends where the next one begins.
    fn item(&self, names: &[NameKey]) -> Option<usize> {
        let is_open = names.iter().any(|name| self.is_any_open(*name));
        let passes = |open: &Open<K>| {
            let is_plain = [b"address".as_slice(), b"div", b"p"]
                .map(NameKey::of)
                .contains(&open.name);
            open.shape.has(SPECIAL) && !is_plain
        };
        match is_open {
            true => self.in_scope(|open| names.contains(&open.name), passes),
            false => None,
        }
    }

    /// In `<ruby>` an annotation ends what may end by itself, all of it that is open right there.
    fn annotation(&self, name: NameKey) -> Option<usize> {
        self.nearest(RUBY, |open| open.shape.has(SCOPE))?;
        let ends = |open: &&Open<K>| match open.name {
            RTC => matches!(name, RB | RTC),
            DD | DT | LI | OPTGROUP | OPTION | P | RB | RP | RT => !open.is_foreign,
            _ => false,
        };
        let count = self.open.iter().rev().take_while(ends).count();
        (count > 0).then(|| self.open.len() - count)
    }

    fn last_heading(&self) -> Option<usize> {
        let last = self.open.last().filter(|open| open.shape.has(HEADING));
        last.map(|_| self.open.len() - 1)
    }

    fn table(&self) -> Option<usize> {
        self.nearest(TABLE, |open| matches!(open.name, HTML | TEMPLATE))
    }

    /// A part of a table closes the parts before it and implies those around it. Outside of a table it means nothing.
    fn make_room_in_table(&mut self, start: Start, keep: &mut impl Keep<Kept = K>) -> bool {
        let Some(table) = self.table() else {
            return self.is_any_open(TEMPLATE);
        };
        let at = start.at;
        let name_at =
            |elements: &Elements<K>, index: usize| elements.open.get(index).map(|open| open.name);
        if start.name == COL {
            if name_at(self, table + 1) != Some(COLGROUP) {
                self.close(table + 1, at, keep);
                self.imply(COLGROUP, at, keep);
            }
            return true;
        }
        if !matches!(start.name, TR | TD | TH) {
            self.close(table + 1, at, keep);
            return true;
        }
        if !matches!(name_at(self, table + 1), Some(TBODY | THEAD | TFOOT)) {
            self.close(table + 1, at, keep);
            self.imply(TBODY, at, keep);
        }
        if start.name == TR {
            self.close(table + 2, at, keep);
            return true;
        }
        if name_at(self, table + 2) != Some(TR) {
            self.close(table + 2, at, keep);
            self.imply(TR, at, keep);
        }
        self.close(table + 3, at, keep);
        true
    }
}

fn number(name: NameKey) -> usize {
    (name.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

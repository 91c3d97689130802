//! Forms as a document writes them: what a reader could choose, and where that would lead. Only forms that
//! are sent with GET are kept; what their choices amount to is worked out in `crawl`.

/// A form that is sent with GET, or has a button that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// As written, decoded; `None` sends to the document itself.
    pub action: Option<String>,
    /// In the order of the document, in which a browser sends them.
    pub fields: Vec<Field>,
    /// The ways to send it; empty where there is no button.
    pub buttons: Vec<Button>,
}

/// A named control. Those with one name are separate fields, but for the radio buttons of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub choice: Choice,
}

/// What a reader can do with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: a hidden field.
    Fixed(String),
    /// Radio buttons and `<select>`: exactly one of these values. (Radio buttons of which none is checked may
    /// be left alone, which is no answer that a flow would go on with.)
    OneOf(Vec<String>),
    /// A check box, and each option of a `<select multiple>`: this value, or nothing sent.
    Optional(String),
    /// Free text, a file, a date: whatever a reader writes. The value is the one it begins with.
    Open(String),
}

/// A button that sends the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// Sent when this button is used; `None` for a button without a name.
    pub sends: Option<(String, String)>,
    /// `formaction`: goes here in the place of the form's action.
    pub action: Option<String>,
    /// `formmethod`, or else its form, says something else than GET: the button is left alone.
    pub is_post: bool,
}

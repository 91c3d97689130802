//! The ministry's vocabulary, and the dice that choose from it.
//!
//! The dice are splitmix64 (Steele, Lea and Flood, 2014), written out here because the site's bytes
//! must stay the same for a seed whatever a library does in its next version. Each thing rolls dice
//! of its own, named after it, so that a change to one leaves all others as they were.

/// A deterministic source of choices.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of the thing called `name`, in the site of `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Dice {
        // FNV-1a: any hash that is ours for ever would do.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Dice(seed ^ hash)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.roll() % count as u64) as usize
    }

    /// One of `low..=high`.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + (self.roll() % u64::from(high - low + 1)) as u32
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// `count` different ones, in the dice's order; all of them when there are not so many.
    pub(super) fn deal<T: Clone>(&mut self, from: &[T], count: usize) -> Vec<T> {
        let mut deck = from.to_vec();
        let count = count.min(deck.len());
        for place in 0..count {
            let other = place + self.below(deck.len() - place);
            deck.swap(place, other);
        }
        deck.truncate(count);
        deck
    }
}

/// The part of a URL that a title becomes: `Nine o’clock, at St Eddy` is `nine-oclock-at-st-eddy`.
pub(super) fn slug(title: &str) -> String {
    let mut slug = String::with_capacity(title.len());
    for character in title.to_lowercase().chars() {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            '’' | '\'' => {}
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

pub(super) const MINISTRY: &str = "Ministry of Tides, Lighthouses and Small Boats";

pub(super) const HARBOURS: [&str; 40] = [
    "Port Wrenna",
    "Saltmere",
    "Gullet Cove",
    "Lower Brine",
    "Upper Brine",
    "Kelpie Sound",
    "Mizzen Bay",
    "Old Capstan",
    "New Capstan",
    "Herringfold",
    "Tarrow Quay",
    "Pennywhistle",
    "Brackwater",
    "Samphire Point",
    "Cockle Strand",
    "Driftholm",
    "St Eddy",
    "Oarsby",
    "Little Fathom",
    "Great Fathom",
    "Barnacle Steps",
    "Whelkstone",
    "Puffin Hythe",
    "Limpet Row",
    "Marram",
    "Shingle End",
    "Tidewell",
    "Lantern Dock",
    "Rope Walk",
    "Bosun’s Rest",
    "Dogwatch",
    "Seven Knots",
    "Fairlead",
    "Gannet Mouth",
    "Slackwater",
    "Neap Haven",
    "Anchor Hope",
    "Merrow",
    "Eelgrass",
    "Ebbing",
];

pub(super) const LIGHTS: [&str; 48] = [
    "Tall Agnes",
    "The Candle",
    "Old Margaret",
    "Stumpy",
    "The Two Aunts",
    "Bellwether",
    "Cormorant",
    "Dunnock",
    "Ember",
    "Farthing",
    "Inkpen",
    "Jackdaw",
    "Kittiwake",
    "Lodestar",
    "Marrowbone",
    "Nettle",
    "Oystercatcher",
    "Petrel",
    "Quillon",
    "Razorbill",
    "Sandpiper",
    "Thimble",
    "Umber",
    "Vesper",
    "Whimbrel",
    "Yarrow",
    "Zephyr",
    "Almanac",
    "Bramble",
    "Curlew",
    "Dovetail",
    "Eiderdown",
    "Foxglove",
    "Gimbal",
    "Halyard",
    "Isinglass",
    "Juniper",
    "Kindling",
    "Longwave",
    "Moonraker",
    "Nightjar",
    "Outhaul",
    "Plover",
    "Quadrant",
    "Rosemary",
    "Starboard",
    "Turnstone",
    "Wickfield",
];

pub(super) const LIGHT_KINDS: [&str; 6] = [
    "Point Light",
    "Head Lighthouse",
    "Rock Light",
    "Stack Lighthouse",
    "Beacon",
    "Ness Light",
];

/// How a light shows itself: the character as on a chart, and in words.
pub(super) const CHARACTERS: [(&str, &str); 8] = [
    ("Fl W 5s", "one white flash every five seconds"),
    ("Fl(2) W 10s", "two white flashes every ten seconds"),
    ("Fl(3) R 15s", "three red flashes every fifteen seconds"),
    ("Oc G 6s", "a green light that goes out every six seconds"),
    ("Iso W 4s", "white, two seconds on and two seconds off"),
    ("Q W", "quick white flashes, about one a second"),
    ("LFl W 12s", "one long white flash every twelve seconds"),
    ("Mo(A) W 8s", "short and long, which is the letter A"),
];

pub(super) const BOATS: [(&str, &str); 24] = [
    (
        "coracle",
        "Round, light and hard to steer. Carried home on the back.",
    ),
    (
        "punt",
        "Flat at the bottom and square at the ends. Moved with a pole and some confidence.",
    ),
    (
        "dinghy",
        "The boat that belongs to a larger boat, until it does not.",
    ),
    ("skiff", "Narrow, quick and easily offended by waves."),
    (
        "gig",
        "Six oars, one cox, and opinions about the other gig.",
    ),
    (
        "pram",
        "A dinghy with its nose cut off, which saves space on the quay.",
    ),
    ("wherry", "A broad river boat for people, turnips or both."),
    (
        "yawl",
        "Two masts, the second one small and behind the rudder.",
    ),
    (
        "ketch",
        "Two masts, the second one before the rudder. Do not confuse it with a yawl aloud.",
    ),
    (
        "cutter",
        "One mast, several headsails and a long bowsprit to lose hats on.",
    ),
    (
        "lugger",
        "Carries a lugsail. Once a smuggler’s boat, now mostly photographed.",
    ),
    ("catboat", "One mast right at the front and room for a cat."),
    (
        "sharpie",
        "Flat-bottomed, hard-edged, and built for oysters.",
    ),
    ("dory", "High sides, narrow bottom. Stacks like a cup."),
    (
        "canoe",
        "Pointed at both ends, so that it is never the wrong way round.",
    ),
    ("kayak", "A canoe with a lid."),
    ("raft", "Whatever floats and was tied together on purpose."),
    (
        "pedalo",
        "Moved by the feet. Shaped like a swan in one case out of three.",
    ),
    (
        "tender",
        "Goes between ship and shore with people who have forgotten something.",
    ),
    ("launch", "Has an engine, a brass bell and a rug."),
    (
        "narrowboat",
        "Very long for its width. Turns round by appointment.",
    ),
    ("trow", "A flat cargo boat with canvas for sides."),
    ("coble", "Built on the beach to be launched from the beach."),
    (
        "felucca",
        "A long sloping sail and a very short list of worries.",
    ),
];

pub(super) const ORGANISATIONS: [(&str, &str); 12] = [
    (
        "Office of the Tide Clerk",
        "Keeps the tide tables and publishes them before the tide does.",
    ),
    (
        "Board of Foghorns",
        "Licenses, tunes and, where necessary, apologises for foghorns.",
    ),
    (
        "Lamp Keepers’ Service",
        "Trains, posts and relieves the keepers of all 48 lights.",
    ),
    (
        "Buoy Registry",
        "Knows where every buoy should be, and how far it is from there.",
    ),
    (
        "Small Boats Register",
        "Registers boats under nine metres and settles disputes about names.",
    ),
    ("Inspectorate of Oars", "Inspects oars in pairs."),
    ("Committee on Knots", "Approves knots for public use."),
    (
        "Harbour Cats Service",
        "Employs one cat in each of the 40 harbours.",
    ),
    (
        "Gull Liaison Unit",
        "Talks to people about gulls. Talks with gulls are at an early stage.",
    ),
    (
        "Bottle Post Agency",
        "Collects, dries and delivers letters sent by sea.",
    ),
    (
        "Sandcastle Planning Panel",
        "Decides on castles below the high-water line, twice a day.",
    ),
    (
        "Museum of Driftwood",
        "Open when the door has not been taken by the sea.",
    ),
];

/// A guide: title, summary, and its parts.
pub(super) type GuideWords = (&'static str, &'static str, [&'static str; 5]);

pub(super) const GUIDES: [GuideWords; 14] = [
    (
        "Register a small boat",
        "Boats under nine metres that leave the bath need a number.",
        [
            "What counts as a small boat",
            "What it costs",
            "How to apply",
            "Choose a name",
            "Paint the number",
        ],
    ),
    (
        "Moor overnight",
        "Where you may tie up, for how long, and who comes to look at the knot.",
        [
            "Before you arrive",
            "Tie up",
            "Quiet hours",
            "Pay the harbour",
            "Leave in the morning",
        ],
    ),
    (
        "Visit a lighthouse",
        "Most of the 48 lights take visitors, one flight of stairs at a time.",
        [
            "Choose a light",
            "Opening times",
            "The stairs",
            "What not to touch",
            "Stay the night",
        ],
    ),
    (
        "Read a tide table",
        "The sea keeps to it closely.",
        [
            "High and low",
            "Springs and neaps",
            "Time and summer time",
            "Heights",
            "When the sea is late",
        ],
    ),
    (
        "Report a missing buoy",
        "Tell the Registry what was there, what is there, and what you saw it do.",
        [
            "Is it missing",
            "What to write down",
            "Who to tell",
            "What happens next",
            "If you find it",
        ],
    ),
    (
        "Keep a harbour cat",
        "The care of cats in public service.",
        [
            "Appointment",
            "Rations",
            "Duties",
            "Leave and sickness",
            "Retirement",
        ],
    ),
    (
        "Become a lamp keeper",
        "A steady post with good views.",
        [
            "Who can apply",
            "The examination",
            "Training",
            "Your first posting",
            "Relief and holidays",
        ],
    ),
    (
        "Sound a foghorn",
        "Who may, when they must, and how long for.",
        [
            "When there is fog",
            "When there is no fog",
            "Signals",
            "Neighbours",
            "Maintenance",
        ],
    ),
    (
        "Take the ferry",
        "Tickets, bicycles, livestock and the bench on the sunny side.",
        [
            "Tickets",
            "Bicycles",
            "Livestock",
            "In rough weather",
            "Lost property",
        ],
    ),
    (
        "Send a letter by bottle",
        "Second class only. Delivery is likely.",
        [
            "Choose a bottle",
            "Write the address",
            "Where to launch",
            "How long it takes",
            "If a bottle reaches you",
        ],
    ),
    (
        "Build below the high-water line",
        "Sandcastles, moats and other short-term works.",
        [
            "Do you need permission",
            "Moats",
            "Flags",
            "Neighbours and dogs",
            "When the tide comes in",
        ],
    ),
    (
        "Row with others",
        "Rules of the water for people who face backwards.",
        [
            "Who gives way",
            "Lights and bells",
            "Passing a swan",
            "Crabs, and catching them",
            "Coming alongside",
        ],
    ),
    (
        "Share a quay with gulls",
        "Living together with a protected and determined bird.",
        [
            "Know your gull",
            "Chips",
            "Nests",
            "Nets and owls",
            "Complaints",
        ],
    ),
    (
        "Trade from a boat",
        "Fruit, fish, books and ice cream, sold over the side.",
        [
            "Licences",
            "Scales and measures",
            "Bells and calling out",
            "Where you may stop",
            "Rubbish",
        ],
    ),
];

/// Headlines. The slots are filled by [`Names::fill`].
///
/// [`Names::fill`]: super::ministry::Names::fill
pub(super) const HEADLINES: [(&str, &str); 24] = [
    (
        "{light} is lit again",
        "The lamp was out for {n} nights while a part was found, lost and found again.",
    ),
    (
        "New steps at {harbour}",
        "There are {n} of them, and they go all the way down.",
    ),
    (
        "{harbour} appoints a cat",
        "The successful candidate arrived through the window during the interviews.",
    ),
    (
        "High water at {harbour} was on time",
        "The Tide Clerk thanks everybody involved.",
    ),
    (
        "Fog expected near {light}",
        "Ships are asked to listen. Residents are asked for patience.",
    ),
    (
        "A {boat} from {harbour} wins the round-the-buoy race",
        "It was the only entry to find the buoy.",
    ),
    (
        "Buoy {n} has come home",
        "It was last seen off {harbour} and has not said where it went.",
    ),
    (
        "Ferry to {harbour} gets a second bench",
        "It faces the first, so that people may talk.",
    ),
    (
        "{harbour} harbour dues stay as they are",
        "The harbour master could not think of a better number.",
    ),
    (
        "Paint chosen for {light}",
        "It will be white. The {n} other proposals have been filed.",
    ),
    (
        "Bottle from {harbour} delivered after {n} years",
        "The reply has been posted the same way.",
    ),
    (
        "Open day at {light}",
        "Tea at the bottom, view at the top, {n} stairs between.",
    ),
    (
        "Gulls and chips: talks continue at {harbour}",
        "Both sides described the meeting as frank.",
    ),
    (
        "{n} sandcastles approved at {harbour}",
        "All were completed, and removed, on the same day.",
    ),
    (
        "Knot of the month: used at {harbour} since records began",
        "The Committee found it both handsome and possible to undo.",
    ),
    (
        "Oars recalled at {harbour}",
        "They were found to be of {n} different lengths.",
    ),
    (
        "The keeper of {light} retires",
        "After {n} years the stairs can be left to younger knees.",
    ),
    (
        "A whale passed {harbour}",
        "It was under nine metres for a whale and needed no registration.",
    ),
    (
        "New foghorn for {light}",
        "It plays a lower note, chosen by a panel of {n} sleepers.",
    ),
    (
        "Survey of {harbour} complete",
        "The bottom is where it was, but {n} centimetres further down.",
    ),
    (
        "Regatta at {harbour}: results",
        "Every {boat} that started has come back, most of them afloat.",
    ),
    (
        "Bell stolen at {harbour}, and returned",
        "The thief found it hard to be discreet.",
    ),
    (
        "Small boats pass {n} thousand on the register",
        "The latest is a {boat} called Perhaps, kept at {harbour}.",
    ),
    (
        "Driftwood from {harbour} goes on show",
        "The Museum believes that it was a chair, or will be.",
    ),
];

pub(super) const PUBLICATIONS: [&str; 36] = [
    "Annual report of the Tide Clerk",
    "Annual report on foghorns",
    "The state of the buoys",
    "Harbour cats: a review of rations",
    "Strategy for knots",
    "Statement of the seas",
    "Notice to mariners 11",
    "Notice to mariners 12",
    "Notice to mariners 13",
    "Notice to mariners 14",
    "Notice to mariners 15",
    "Notice to mariners 16",
    "Oars: findings of the inspectorate",
    "Lamp oil, wicks and bulbs: standard quantities",
    "A short history of the coastline",
    "Gulls: what we know",
    "Gulls: what they know",
    "Sandcastle planning statement",
    "Consultation on the colour of buoys",
    "Consultation on puddles",
    "Consultation on the word ‘ahoy’",
    "Response to the consultation on puddles",
    "Code of conduct for figureheads",
    "Guidance on whistling aboard",
    "Register of drifting objects",
    "Bottle post: times and distances",
    "Corporate plan of the ferries",
    "Impact assessment: the moon",
    "Safety of stairs in lighthouses",
    "Minutes of the Committee on Knots",
    "Names of small boats: refusals",
    "Plan for a very low tide",
    "Plan for a very high tide",
    "Spending over 500 pounds",
    "Rules of the round-the-buoy race",
    "Letters received by sea",
];

pub(super) const DATASETS: [(&str, &str, &str); 12] = [
    ("lamp-hours", "Lamp hours by light", "hours"),
    (
        "boats-registered",
        "Small boats registered by harbour",
        "boats",
    ),
    (
        "mean-high-water",
        "Mean high water by harbour",
        "centimetres",
    ),
    ("gull-count", "Gulls counted by harbour", "gulls"),
    ("chips-lost", "Chips lost to gulls", "chips"),
    ("fog-signals", "Fog signals sounded", "signals"),
    (
        "buoy-positions",
        "Distance of buoys from where they belong",
        "metres",
    ),
    ("ferry-passengers", "Passengers on ferries", "passengers"),
    ("sandcastles", "Sandcastles approved", "castles"),
    (
        "bottles-delivered",
        "Letters delivered by bottle",
        "letters",
    ),
    ("oars-inspected", "Oars inspected", "oars"),
    ("cat-rations", "Fish issued to harbour cats", "grams"),
];

pub(super) const CATS: [&str; 20] = [
    "Bollard",
    "Mrs Pike",
    "Tuppence",
    "Admiral",
    "Sprat",
    "Marmalade",
    "Button",
    "Ballast",
    "Duchess",
    "Haddock",
    "Pickle",
    "Old Tom",
    "Kipper",
    "Socks",
    "Binnacle",
    "Minnow",
    "Treacle",
    "Hawser",
    "Brine",
    "Nap",
];

/// Sentences that are true of anything the ministry does. Each page deals itself a few.
pub(super) const SENTENCES: [&str; 72] = [
    "The harbour master’s decision is final until the next tide.",
    "You do not need an appointment, but it is kind to knock.",
    "Bring a pencil, because ink and sea water do not agree.",
    "If nobody answers, ring the brass bell once and step back from it.",
    "The office at {harbour} is open from high water until low water, and closed for lunch.",
    "Forms are available in three sizes: small, smaller and laminated.",
    "Keep to the seaward side of the path and the landward side of the goat.",
    "We answer letters in the order in which they dry.",
    "On a clear day {light} can be seen from the bench, and the bench from {light}.",
    "A {boat} counts as one vessel even when it is in two pieces.",
    "Dogs are welcome wherever the sign has been blown away.",
    "Please do not feed the tide clerk’s barometer.",
    "The last boat leaves {harbour} when everybody is aboard, or at nine, whichever is earlier.",
    "Lamps are lit half an hour before sunset, and earlier when the keeper is reading.",
    "There are {n} steps; the keeper has counted them in both directions.",
    "If you hear two short bells, move to the left. Three bells mean that it is tea.",
    "Ropes must be coiled in the direction of the sun.",
    "Complaints about the weather are passed on without delay.",
    "A copy of the rules hangs in the window at {harbour}, behind the cat.",
    "Children under twelve may steer when an adult is watching the horizon.",
    "The ministry takes no view on mermaids.",
    "Anything found floating should be reported within {n} days, or kept, if it is a hat.",
    "Where the chart and the rock disagree, give way to the rock.",
    "Your certificate is valid for five years, or until it gets wet.",
    "Neighbouring harbours lend each other ladders by long custom.",
    "Wear something warm. It is always later and windier than you think.",
    "The path from {harbour} is firm at low water and a memory at high water.",
    "Every {boat} must carry a bailer, a whistle and something to eat.",
    "Lost property is kept for {n} tides and then given to the museum.",
    "The keeper of {light} will wave. It is polite to wave back.",
    "Painting is done in May, between the gales and the visitors.",
    "We publish the figures on the first Monday after they have been believed.",
    "Cyclists should dismount at the edge of the quay.",
    "A rope that has been trodden on by a goose has to be inspected again.",
    "The measuring post at {harbour} has stood there since the sea was first measured.",
    "Nothing in this guidance stops you from turning round and going home.",
    "Crews are asked to sing quietly after ten.",
    "Moorings at {harbour} are given out by length, and then by manners.",
    "It is safe to look at the lamp by day, and best avoided by night.",
    "An inspector may come aboard, if offered a hand.",
    "In fog, {light} sounds its horn every {n} seconds.",
    "Please count your oars before and after.",
    "The bell was cast from {n} kilograms of spoons, given by the people of {harbour}.",
    "If the buoy has moved, do not move it back.",
    "The smallest vessel on the register is a {boat} with room for one knee.",
    "We test the alarm on Wednesdays. On other days, please treat it as true.",
    "Sails may be dried on the railings at {harbour}, but not on Sundays.",
    "The tide will not wait, but the ferryman sometimes does.",
    "You may be asked to show your knot.",
    "Wrecks are listed by name, depth and what was for dinner.",
    "No charge is made for advice, and none is given for reading the sky.",
    "The lower steps are slippery and the upper steps are steep; use the middle ones.",
    "Gulls have right of way on the railings.",
    "Logbooks should be written up daily and without adjectives.",
    "The harbour at {harbour} dries out at low water, and so do most of the people in it.",
    "A lantern left burning is the duty of whoever sees it.",
    "All distances are in sea miles, except to the inn.",
    "The tide gauge is read by hand, at noon, by somebody called Winifred.",
    "Registration plates must be legible from another {boat}.",
    "An anchor counts as luggage.",
    "Visitors to {light} are asked to leave their umbrellas, which have been known to leave on their own.",
    "Passengers who wish to be sick should say so in good time.",
    "There is a box for suggestions on the quay. It is emptied by the sea.",
    "We have {n} volunteers, and are always glad of another.",
    "A light that can be seen is working. A light that cannot be seen should be reported.",
    "The oldest entry in the register is a {boat} from {harbour}, paid for in eggs.",
    "Stand clear of the capstan when the band is playing.",
    "It is an old rule that nobody whistles on the quay at {harbour}.",
    "Salt on the windows is removed in spring, by the salt.",
    "Keep your receipt. You will not need it, but it is well printed.",
    "When in doubt, ask the cat’s keeper, and then the cat.",
    "The view is maintained at public expense.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_roll_the_published_numbers() {
        // Promise: a seed means the same site for ever; checked with splitmix64's reference output
        // for the state 1234567.
        let mut dice = Dice(1_234_567);
        let rolls: Vec<u64> = (0..3).map(|_| dice.roll()).collect();
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(rolls, reference);
    }

    #[test]
    fn dealt_things_differ() {
        // Promise: no page says the same sentence twice.
        let mut dealt = Dice::new(1, "deal").deal(&SENTENCES, SENTENCES.len() + 1);
        dealt.sort_unstable();
        dealt.dedup();
        assert_eq!(dealt.len(), SENTENCES.len());
    }

    #[test]
    fn slugs_are_plain_ascii() {
        // Promise: titles become paths that need no escape.
        assert_eq!(
            slug("‘Ahoy’, at  Bosun’s Rest — 12"),
            "ahoy-at-bosuns-rest-12"
        );
    }
}

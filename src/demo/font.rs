//! The site's own font: seven signs of straight lines, as TrueType in a WOFF 1.0 wrapper.
//!
//! The signs lie at U+E000 and after it, in the order of [`SIGNS`]. Formats: OpenType 1.9 (tables),
//! W3C WOFF 1.0 (wrapper). A browser that refuses the font shows the pages without the signs.

use super::assets::zlib;

type Contour = &'static [(i16, i16)];

/// Wave, lighthouse, boat, anchor, sheet, bell, star. Units: thousandths of the type size.
const SIGNS: [&[Contour]; 7] = [
    &[
        &[
            (40, 330),
            (200, 470),
            (360, 330),
            (520, 470),
            (680, 330),
            (840, 470),
            (960, 365),
            (960, 465),
            (840, 570),
            (680, 430),
            (520, 570),
            (360, 430),
            (200, 570),
            (40, 430),
        ],
        &[
            (40, 80),
            (200, 220),
            (360, 80),
            (520, 220),
            (680, 80),
            (840, 220),
            (960, 115),
            (960, 215),
            (840, 320),
            (680, 180),
            (520, 320),
            (360, 180),
            (200, 320),
            (40, 180),
        ],
    ],
    &[
        &[(330, 0), (400, 480), (600, 480), (670, 0)],
        &[(340, 510), (340, 560), (660, 560), (660, 510)],
        &[(420, 580), (420, 680), (580, 680), (580, 580)],
        &[(380, 700), (500, 790), (620, 700)],
        &[(40, 740), (340, 650), (340, 610), (40, 560)],
        &[(960, 740), (660, 650), (660, 610), (960, 560)],
    ],
    &[
        &[(60, 240), (940, 240), (800, 40), (220, 40)],
        &[(480, 290), (480, 760), (130, 290)],
        &[(530, 290), (530, 680), (830, 290)],
    ],
    &[
        &[(455, 60), (455, 600), (545, 600), (545, 60)],
        &[(300, 500), (300, 580), (700, 580), (700, 500)],
        &[(400, 700), (500, 790), (600, 700), (500, 610)],
        &[
            (90, 330),
            (150, 150),
            (330, 30),
            (500, 0),
            (670, 30),
            (850, 150),
            (910, 330),
            (820, 330),
            (770, 210),
            (640, 120),
            (500, 90),
            (360, 120),
            (230, 210),
            (180, 330),
        ],
    ],
    &[
        &[
            (180, 0),
            (180, 780),
            (600, 780),
            (600, 540),
            (820, 540),
            (820, 0),
        ],
        &[(650, 770), (650, 590), (820, 590)],
    ],
    &[
        &[
            (160, 160),
            (270, 300),
            (290, 520),
            (380, 650),
            (500, 690),
            (620, 650),
            (710, 520),
            (730, 300),
            (840, 160),
        ],
        &[(400, 120), (450, 40), (550, 40), (600, 120)],
        &[(460, 710), (460, 780), (540, 780), (540, 710)],
    ],
    &[&[
        (500, 790),
        (590, 480),
        (900, 390),
        (590, 300),
        (500, -10),
        (410, 300),
        (100, 390),
        (410, 480),
    ]],
];

const FIRST_SIGN: u16 = 0xe000;
const GLYPHS: u16 = SIGNS.len() as u16 + 1;

/// The font file, `font/woff`.
pub(super) fn woff() -> Vec<u8> {
    let tables = tables();
    let sfnt_size: usize = 12
        + tables
            .iter()
            .map(|(_, table)| 16 + padded(table.len()))
            .sum::<usize>();
    let mut directory = Vec::new();
    let mut data = Vec::new();
    for (tag, table) in &tables {
        let packed = zlib(table);
        let stored = if packed.len() < table.len() {
            &packed
        } else {
            table
        };
        let offset = 44 + 20 * tables.len() + data.len();
        directory.extend(tag);
        push32(
            &mut directory,
            &[
                offset as u32,
                stored.len() as u32,
                table.len() as u32,
                recorded_checksum(tag, table),
            ],
        );
        data.extend(stored);
        data.resize(padded(data.len()), 0);
    }
    let mut file = b"wOFF\0\x01\0\0".to_vec();
    push32(&mut file, &[(44 + directory.len() + data.len()) as u32]);
    push16(&mut file, &[tables.len() as u16, 0]);
    push32(&mut file, &[sfnt_size as u32, 0x0001_0000, 0, 0, 0, 0, 0]);
    file.extend(directory);
    file.extend(data);
    file
}

type Table = ([u8; 4], Vec<u8>);

/// All tables by tag, the whole font's checksum in `head`.
fn tables() -> Vec<Table> {
    let (glyf, loca) = glyphs();
    let mut tables = vec![
        (*b"OS/2", os2()),
        (*b"cmap", cmap()),
        (*b"glyf", glyf),
        (*b"head", head(0)),
        (*b"hhea", hhea()),
        (*b"hmtx", hmtx()),
        (*b"loca", loca),
        (*b"maxp", maxp()),
        (*b"name", name()),
        (*b"post", post()),
    ];
    let sum = font_checksum(&tables);
    tables[3].1 = head(0xb1b0_afba_u32.wrapping_sub(sum));
    tables
}

/// The sum over the TrueType file that the tables make.
fn font_checksum(tables: &[Table]) -> u32 {
    let mut file = Vec::new();
    push32(&mut file, &[0x0001_0000]);
    // Ten tables: the search range is 8 × 16, its logarithm 3, the rest 2 × 16.
    push16(&mut file, &[tables.len() as u16, 128, 3, 32]);
    let mut offset = 12 + 16 * tables.len();
    for (tag, table) in tables {
        file.extend(tag);
        push32(
            &mut file,
            &[
                recorded_checksum(tag, table),
                offset as u32,
                table.len() as u32,
            ],
        );
        offset += padded(table.len());
    }
    tables.iter().fold(checksum(&file), |sum, (_, table)| {
        sum.wrapping_add(checksum(table))
    })
}

/// The checksum of a table as the directory records it: `head` counts without its adjustment.
fn recorded_checksum(tag: &[u8; 4], table: &[u8]) -> u32 {
    let adjustment = if tag == b"head" {
        checksum(&table[8..12])
    } else {
        0
    };
    checksum(table).wrapping_sub(adjustment)
}

/// The outlines and where each begins. Glyph 0, the missing one, is empty.
fn glyphs() -> (Vec<u8>, Vec<u8>) {
    let (mut glyf, mut loca) = (Vec::new(), Vec::new());
    push32(&mut loca, &[0, 0]);
    for sign in SIGNS {
        let points: Vec<(i16, i16)> = sign.concat();
        let [left, bottom, right, top] = bounds(&points);
        push16(&mut glyf, &[sign.len() as u16]);
        push_signed(&mut glyf, &[left, bottom, right, top]);
        let mut end = 0;
        for contour in sign {
            end += contour.len() as u16;
            push16(&mut glyf, &[end - 1]);
        }
        push16(&mut glyf, &[0]);
        // Every point is on the curve, and its distances are written in two bytes.
        glyf.extend(std::iter::repeat_n(1, points.len()));
        let step = |from: (i16, i16), to: (i16, i16)| (to.0 - from.0, to.1 - from.1);
        let from = std::iter::once((0, 0)).chain(points.iter().copied());
        let steps: Vec<(i16, i16)> = from
            .zip(&points)
            .map(|(from, to)| step(from, *to))
            .collect();
        steps
            .iter()
            .for_each(|step| push_signed(&mut glyf, &[step.0]));
        steps
            .iter()
            .for_each(|step| push_signed(&mut glyf, &[step.1]));
        glyf.resize(padded(glyf.len()), 0);
        push32(&mut loca, &[glyf.len() as u32]);
    }
    (glyf, loca)
}

/// Left, bottom, right, top.
fn bounds(points: &[(i16, i16)]) -> [i16; 4] {
    points.iter().fold(
        [i16::MAX, i16::MAX, i16::MIN, i16::MIN],
        |[left, bottom, right, top], &(x, y)| {
            [left.min(x), bottom.min(y), right.max(x), top.max(y)]
        },
    )
}

fn head(adjustment: u32) -> Vec<u8> {
    let mut table = Vec::new();
    push32(
        &mut table,
        &[0x0001_0000, 0x0001_0000, adjustment, 0x5f0f_3cf5],
    );
    push16(&mut table, &[3, 1000]);
    push32(&mut table, &[0; 4]);
    let points: Vec<(i16, i16)> = SIGNS.concat().concat();
    push_signed(&mut table, &bounds(&points));
    push16(&mut table, &[0, 8, 2, 1, 0]);
    table
}

fn hhea() -> Vec<u8> {
    let mut table = Vec::new();
    push32(&mut table, &[0x0001_0000]);
    push_signed(
        &mut table,
        &[800, -200, 0, 1000, 0, 0, 960, 1, 0, 0, 0, 0, 0, 0, 0],
    );
    push16(&mut table, &[GLYPHS]);
    table
}

fn hmtx() -> Vec<u8> {
    let mut table = vec![];
    push_signed(&mut table, &[1000, 0]);
    for sign in SIGNS {
        push_signed(&mut table, &[1000, bounds(&sign.concat())[0]]);
    }
    table
}

fn maxp() -> Vec<u8> {
    let points = SIGNS
        .iter()
        .map(|sign| sign.concat().len() as u16)
        .max()
        .unwrap_or(0);
    let contours = SIGNS
        .iter()
        .map(|sign| sign.len() as u16)
        .max()
        .unwrap_or(0);
    let mut table = Vec::new();
    push32(&mut table, &[0x0001_0000]);
    push16(
        &mut table,
        &[GLYPHS, points, contours, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    table
}

/// One run of characters, and the end mark that format 4 asks for.
fn cmap() -> Vec<u8> {
    let last = FIRST_SIGN + SIGNS.len() as u16 - 1;
    let mut table = Vec::new();
    push16(&mut table, &[0, 1, 3, 1, 0, 12]);
    push16(&mut table, &[4, 32, 0, 4, 4, 1, 0]);
    push16(&mut table, &[last, 0xffff, 0, FIRST_SIGN, 0xffff]);
    push16(&mut table, &[1u16.wrapping_sub(FIRST_SIGN), 1, 0, 0]);
    table
}

fn os2() -> Vec<u8> {
    let last = FIRST_SIGN + SIGNS.len() as u16 - 1;
    let mut table = Vec::new();
    push16(
        &mut table,
        &[
            4, 1000, 400, 5, 0, 650, 600, 0, 75, 650, 600, 0, 350, 50, 300, 0,
        ],
    );
    table.extend([0; 10]);
    // Bit 60 of the ranges: the private use area.
    push32(&mut table, &[0, 1 << 28, 0, 0]);
    table.extend(b"TIDE");
    push16(&mut table, &[0x40, FIRST_SIGN, last]);
    push_signed(&mut table, &[800, -200, 0, 800, 200]);
    push32(&mut table, &[1, 0]);
    push16(&mut table, &[500, 700, 0, 32, 0]);
    table
}

fn name() -> Vec<u8> {
    let names = [
        (1u16, "Pharos"),
        (2, "Regular"),
        (4, "Pharos Regular"),
        (6, "Pharos-Regular"),
    ];
    let (mut table, mut text) = (Vec::new(), Vec::new());
    push16(
        &mut table,
        &[0, names.len() as u16, 6 + 12 * names.len() as u16],
    );
    for (kind, name) in names {
        push16(
            &mut table,
            &[3, 1, 0x409, kind, 2 * name.len() as u16, text.len() as u16],
        );
        name.encode_utf16()
            .for_each(|unit| text.extend(unit.to_be_bytes()));
    }
    table.extend(text);
    table
}

fn post() -> Vec<u8> {
    let mut table = Vec::new();
    push32(&mut table, &[0x0003_0000, 0]);
    push_signed(&mut table, &[-100, 50]);
    push32(&mut table, &[0; 5]);
    table
}

/// The sum of the table as big-endian words, its end filled with zeros.
fn checksum(table: &[u8]) -> u32 {
    table.chunks(4).fold(0, |sum: u32, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn push16(table: &mut Vec<u8>, values: &[u16]) {
    values
        .iter()
        .for_each(|value| table.extend(value.to_be_bytes()));
}

fn push_signed(table: &mut Vec<u8>, values: &[i16]) {
    values
        .iter()
        .for_each(|value| table.extend(value.to_be_bytes()));
}

fn push32(table: &mut Vec<u8>, values: &[u32]) {
    values
        .iter()
        .for_each(|value| table.extend(value.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_lengths_of_the_format() {
        // Promise: a browser accepts the font; the tables of fixed length have that length.
        let length = |tag: &[u8; 4]| {
            tables()
                .iter()
                .find(|(name, _)| name == tag)
                .unwrap()
                .1
                .len()
        };
        let fixed = [
            (b"OS/2", 96),
            (b"head", 54),
            (b"hhea", 36),
            (b"maxp", 32),
            (b"post", 32),
            (b"cmap", 44),
        ];
        for (tag, expected) in fixed {
            assert_eq!(length(tag), expected, "{}", String::from_utf8_lossy(tag));
        }
        assert_eq!(length(b"loca"), 4 * (usize::from(GLYPHS) + 1));
        assert_eq!(
            font_checksum(&tables()),
            0xb1b0_afba,
            "the sum of a whole font"
        );
    }

    #[test]
    fn the_wrapper_states_its_length() {
        // Promise: the file is what its header says.
        let file = woff();
        assert!(file.starts_with(b"wOFF"));
        assert_eq!(
            u32::from_be_bytes(file[8..12].try_into().unwrap()) as usize,
            file.len()
        );
    }
}

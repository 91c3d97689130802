//! Files drawn and written by our own hand: PNG images, SVG charts, PDFs, an icon, a font.
//!
//! All are valid in their format, small, and the same bytes for the same seed.

use std::io::Write;

use flate2::{Compression, Crc, write::ZlibEncoder};

use super::words::Dice;

pub(super) type Colour = [u8; 3];

/// An image of `width` × `height` pixels, row by row from the top.
pub(super) struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    /// Asks `paint` for the colour at each (x, y).
    fn paint(width: usize, height: usize, paint: impl Fn(f32, f32) -> Colour) -> Picture {
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                pixels.push(paint(x as f32, y as f32));
            }
        }
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// Half as wide and high: each pixel is the mean of four.
    pub(super) fn halved(&self) -> Picture {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let at = 2 * y * self.width + 2 * x;
                let four = [at, at + 1, at + self.width, at + self.width + 1];
                let mean = |channel: usize| {
                    let sum: u16 = four
                        .iter()
                        .map(|&at| u16::from(self.pixels[at][channel]))
                        .sum();
                    (sum / 4) as u8
                };
                pixels.push([mean(0), mean(1), mean(2)]);
            }
        }
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// The bytes of a PNG: eight bits a channel, RGB, every row filtered by "Sub".
    pub(super) fn png(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.height * (self.width * 3 + 1));
        for row in self.pixels.chunks_exact(self.width) {
            rows.push(1);
            let mut left = [0u8; 3];
            for pixel in row {
                rows.extend((0..3).map(|channel| pixel[channel].wrapping_sub(left[channel])));
                left = *pixel;
            }
        }
        let mut header = Vec::with_capacity(13);
        header.extend((self.width as u32).to_be_bytes());
        header.extend((self.height as u32).to_be_bytes());
        header.extend([8, 2, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        push_chunk(&mut png, b"IHDR", &header);
        push_chunk(&mut png, b"IDAT", &zlib(&rows));
        push_chunk(&mut png, b"IEND", &[]);
        png
    }
}

fn push_chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(data);
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    png.extend(crc.sum().to_be_bytes());
}

/// The data as a zlib stream.
pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("a Vec takes every write");
    encoder.finish().expect("a Vec takes every write")
}

/// The light of one hour: sky above, sky at the horizon, sun, far sea, near sea.
const HOURS: [[Colour; 5]; 7] = [
    [
        [38, 62, 110],
        [250, 190, 140],
        [255, 236, 200],
        [120, 120, 150],
        [22, 52, 86],
    ],
    [
        [70, 140, 200],
        [205, 230, 240],
        [255, 252, 230],
        [90, 160, 180],
        [12, 80, 110],
    ],
    [
        [52, 44, 96],
        [240, 120, 96],
        [255, 214, 140],
        [130, 76, 110],
        [28, 30, 70],
    ],
    [
        [8, 14, 34],
        [30, 52, 90],
        [236, 236, 214],
        [24, 44, 76],
        [4, 12, 28],
    ],
    [
        [96, 108, 118],
        [180, 186, 186],
        [214, 216, 210],
        [110, 126, 130],
        [52, 70, 80],
    ],
    [
        [20, 90, 110],
        [170, 220, 200],
        [255, 250, 214],
        [60, 150, 150],
        [6, 70, 84],
    ],
    [
        [88, 60, 90],
        [252, 208, 120],
        [255, 244, 190],
        [170, 120, 100],
        [60, 44, 70],
    ],
];

/// A seascape with a lighthouse: scene `number`, `width` × `width / 2` pixels.
pub(super) fn scene(seed: u64, number: usize, width: usize) -> Picture {
    let mut dice = Dice::new(seed, &format!("scene {number}"));
    let hour = HOURS[number % HOURS.len()];
    let view = Seascape {
        hour,
        tower_x: dice.between(62, 84) as f32 / 100.0,
        sun_x: dice.between(16, 44) as f32 / 100.0,
        sun_y: dice.between(16, 34) as f32 / 100.0,
        phase: dice.between(0, 628) as f32 / 100.0,
    };
    let scale = 1.0 / width as f32;
    // Two samples a pixel each way would be smoother and four times the work; edges are softened
    // in the painting instead.
    Picture::paint(width, width / 2, |x, y| {
        view.colour((x + 0.5) * scale, (y + 0.5) * scale)
    })
}

/// Coordinates: x from 0 to 1, y from 0 (top) to 0.5, in widths of the picture.
struct Seascape {
    hour: [Colour; 5],
    tower_x: f32,
    sun_x: f32,
    sun_y: f32,
    phase: f32,
}

const HORIZON: f32 = 0.33;
const LAMP_Y: f32 = 0.125;

impl Seascape {
    fn colour(&self, x: f32, y: f32) -> Colour {
        let behind = if y < HORIZON {
            self.sky(x, y)
        } else {
            self.sea(x, y)
        };
        self.tower(behind, x, y)
    }

    fn sky(&self, x: f32, y: f32) -> Colour {
        let [above, low, sun, ..] = self.hour;
        let mut colour = blend(above, low, (y / HORIZON).powf(1.4));
        let distance = (x - self.sun_x).hypot(y - self.sun_y);
        colour = blend(
            colour,
            sun,
            0.55 * (1.0 - distance / 0.16).clamp(0.0, 1.0).powi(2),
        );
        colour = blend(colour, sun, soft(0.036 - distance));
        // The beam: a narrow cone from the lamp to the left, fading with its length.
        let (along, across) = (self.tower_x - x, y - LAMP_Y);
        if along > 0.0 {
            let cone = soft(along * 0.10 + 0.004 - (across + along * 0.05).abs());
            colour = blend(
                colour,
                [255, 244, 200],
                0.5 * cone * (1.0 - along / 0.75).clamp(0.0, 1.0),
            );
        }
        // Two ranges of hills, far and nearer.
        for (height, wave, fade) in [(0.034, 9.0, 0.35), (0.018, 17.0, 0.6)] {
            let top = HORIZON - height * (0.55 + 0.45 * (x * wave + self.phase).sin()) * x;
            colour = blend(colour, self.hour[3], fade * soft(y - top));
        }
        colour
    }

    fn sea(&self, x: f32, y: f32) -> Colour {
        let [_, _, sun, far, near] = self.hour;
        let depth = (y - HORIZON) / (0.5 - HORIZON);
        let mut colour = blend(far, near, depth.sqrt());
        // Crests are longer and further apart the nearer they are.
        let crest =
            (depth.sqrt() * 40.0 + (x * (26.0 - 14.0 * depth) + self.phase).sin() * 1.3).sin();
        colour = blend(
            colour,
            [255, 255, 255],
            0.09 * crest.max(0.0) * (1.0 - 0.5 * depth),
        );
        let glitter = 1.0 - (x - self.sun_x).abs() / (0.03 + 0.09 * depth);
        colour = blend(colour, sun, 0.6 * glitter.max(0.0) * crest.max(0.0));
        colour
    }

    /// The rock, the striped tower, its gallery and its lamp.
    fn tower(&self, under: Colour, x: f32, y: f32) -> Colour {
        let side = (x - self.tower_x).abs();
        if side > 0.2 {
            return under;
        }
        let rock = 0.345 + 0.55 * side * side + 0.006 * (x * 90.0).sin() + 0.25 * side;
        let mut colour = blend(
            under,
            [38, 34, 40],
            soft(y - rock) * soft(0.41 - y + 0.01 * (x * 60.0).sin()),
        );
        let half = 0.016 + 0.055 * (y - LAMP_Y) * 0.5;
        if y > LAMP_Y + 0.012 && y < 0.352 {
            let band = (((y - LAMP_Y) * 21.0) as u32).is_multiple_of(2);
            let paint = if band { [196, 58, 56] } else { [244, 238, 226] };
            let shade = 0.45 * ((x - self.tower_x) / half).clamp(-1.0, 1.0).max(0.0);
            colour = blend(colour, blend(paint, [20, 20, 40], shade), soft(half - side));
        }
        colour = blend(
            colour,
            [30, 30, 44],
            soft(0.021 - side) * soft(0.004 - (y - LAMP_Y - 0.012).abs()),
        );
        colour = blend(
            colour,
            [255, 226, 130],
            soft(0.011 - side) * soft(0.011 - (y - LAMP_Y).abs()),
        );
        let roof = 0.016 - (LAMP_Y - 0.011 - y) * 0.8;
        if y < LAMP_Y - 0.010 && y > LAMP_Y - 0.031 {
            colour = blend(colour, [150, 44, 48], soft(roof - side));
        }
        let glow = (x - self.tower_x).hypot(y - LAMP_Y);
        blend(
            colour,
            [255, 236, 170],
            0.5 * (1.0 - glow / 0.06).clamp(0.0, 1.0).powi(2),
        )
    }
}

/// 0 outside, 1 inside, and a soft edge about two thousandths of the picture wide.
fn soft(inside: f32) -> f32 {
    (inside * 500.0 + 0.5).clamp(0.0, 1.0)
}

fn blend(under: Colour, over: Colour, share: f32) -> Colour {
    let mix = |channel: usize| {
        let (under, over) = (f32::from(under[channel]), f32::from(over[channel]));
        (under + (over - under) * share).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

const FLAG_COLOURS: [Colour; 6] = [
    [16, 52, 84],
    [200, 62, 58],
    [242, 180, 52],
    [246, 242, 232],
    [38, 122, 106],
    [28, 28, 36],
];

/// A harbour's flag, 180 × 120 pixels. A `revision` has other colours.
pub(super) fn flag(seed: u64, number: usize, revision: u32) -> Picture {
    let mut dice = Dice::new(seed, &format!("flag {number}"));
    let colours = dice.deal(&FLAG_COLOURS, FLAG_COLOURS.len());
    let turned = |at: usize| colours[(at + revision as usize) % colours.len()];
    let (field, charge) = (turned(0), turned(1));
    let (width, height) = (180.0f32, 120.0f32);
    Picture::paint(180, 120, move |x, y| {
        let (across, down) = (x - width / 2.0, y - height / 2.0);
        let is_charge = match number {
            0 => across.abs() < 16.0 || down.abs() < 16.0,
            1 => {
                (across * height / width).abs() - down.abs() < 11.0
                    && (across * height / width).abs() - down.abs() > -11.0
            }
            2 => across.hypot(down) < 38.0,
            3 => (x / 30.0) as u32 % 2 == (y / 30.0) as u32 % 2,
            4 => (y / 24.0) as u32 % 2 == 1,
            5 => (across > 0.0) == (down > 0.0),
            6 => across.abs() / 72.0 + down.abs() / 48.0 < 1.0,
            _ => down + 18.0 * (x / 18.0).sin() > 0.0,
        };
        if is_charge { charge } else { field }
    })
}

/// The paper under the pages: a faint texture that repeats without a seam.
pub(super) fn paper(seed: u64) -> Picture {
    let mut dice = Dice::new(seed, "paper");
    let grain: Vec<u8> = (0..96 * 96).map(|_| dice.between(0, 5) as u8).collect();
    Picture::paint(96, 96, |x, y| {
        let tone = grain[y as usize * 96 + x as usize];
        [250 - tone, 247 - tone, 240 - tone]
    })
}

/// A Windows icon that holds one PNG of 32 × 32 pixels: a lamp in the dark.
pub(super) fn icon() -> Vec<u8> {
    let png = Picture::paint(32, 32, |x, y| {
        let (across, down) = ((x - 15.5).abs(), y - 9.5);
        match () {
            () if across.hypot(down) < 4.5 => [255, 226, 130],
            () if down > 3.0 && across < 3.0 + down * 0.22 && down < 18.0 => [244, 238, 226],
            () if down >= 18.0 => [11, 79, 108],
            () => [7, 47, 69],
        }
    })
    .png();
    let mut icon = vec![0, 0, 1, 0, 1, 0, 32, 32, 0, 0, 1, 0, 24, 0];
    icon.extend((png.len() as u32).to_le_bytes());
    icon.extend(22u32.to_le_bytes());
    icon.extend(png);
    icon
}

/// A chart of one month's tides. `heights`: decimetres above the post's zero, four a day.
pub(super) fn tide_chart(title: &str, heights: &[u32]) -> String {
    let step = 760.0 / (heights.len().max(2) - 1) as f32;
    let point = |(at, height): (usize, &u32)| {
        format!(
            "{:.1},{:.1}",
            20.0 + step * at as f32,
            190.0 - *height as f32 * 2.6
        )
    };
    let points: Vec<String> = heights.iter().enumerate().map(point).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 220\" role=\"img\">\
         <title>{title}</title><rect width=\"800\" height=\"220\" rx=\"8\" fill=\"#eaf2f3\"/>\
         <g stroke=\"#c4d6da\"><path d=\"M20 190H780M20 138H780M20 86H780M20 34H780\"/></g>\
         <polygon points=\"20,190 {0} 780,190\" fill=\"#0b4f6c\" fill-opacity=\".18\"/>\
         <polyline points=\"{0}\" fill=\"none\" stroke=\"#0b4f6c\" stroke-width=\"2\"/>\
         <text x=\"20\" y=\"212\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#35566a\">{title}</text>\
         </svg>\n",
        points.join(" ")
    )
}

/// A PDF of one A4 page: a title in bold, lines of text under it. Characters beyond Latin-1 become
/// their nearest plain relatives.
pub(super) fn pdf(title: &str, paragraphs: &[String]) -> Vec<u8> {
    let mut content = String::from("BT /F2 20 Tf 64 760 Td 24 TL ");
    for line in wrap(title, 44) {
        content.push_str(&format!("({}) Tj T* ", pdf_text(&line)));
    }
    content.push_str("/F1 11 Tf 15 TL T* ");
    for paragraph in paragraphs {
        for line in wrap(paragraph, 84) {
            content.push_str(&format!("({}) Tj T* ", pdf_text(&line)));
        }
        content.push_str("T* ");
    }
    content.push_str("ET");
    let font = |name: &str| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
    };
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>"
            .to_owned(),
        format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ),
        font("Times-Roman"),
        font("Times-Bold"),
        format!(
            "<< /Title ({}) /Producer (Standin's demo site) >>",
            pdf_text(title)
        ),
    ];
    pdf_file(&objects)
}

/// Numbers the objects from 1, the first being the catalog and the last the information, and adds
/// the table of their places.
fn pdf_file(objects: &[String]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (at, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let start = file.len();
    file.extend(table.bytes());
    let size = objects.len() + 1;
    let trailer = format!(
        "trailer\n<< /Size {size} /Root 1 0 R /Info {} 0 R >>",
        objects.len()
    );
    file.extend(format!("{trailer}\nstartxref\n{start}\n%%EOF\n").bytes());
    file
}

/// The inside of a PDF string in WinAnsi: parentheses escaped, other characters as octal.
fn pdf_text(text: &str) -> String {
    let mut string = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '(' | ')' | '\\' => string.extend(['\\', character]),
            ' '..='~' => string.push(character),
            '’' => string.push_str("\\222"),
            '‘' => string.push_str("\\221"),
            '\u{a0}'..='\u{ff}' => string.push_str(&format!("\\{:03o}", u32::from(character))),
            _ => string.push('-'),
        }
    }
    string
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("begins with one line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The chunks of a PNG, each checked against its CRC.
    fn chunks(png: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let mut crc = Crc::new();
            crc.update(&rest[4..8 + length]);
            let stated = u32::from_be_bytes(rest[8 + length..12 + length].try_into().unwrap());
            assert_eq!(crc.sum(), stated);
            chunks.push((rest[4..8].try_into().unwrap(), rest[8..8 + length].to_vec()));
            rest = &rest[12 + length..];
        }
        chunks
    }

    #[test]
    fn pictures_are_valid_png() {
        // Promise: signature, chunks, checksums and the number of pixels are right.
        for (picture, width, height) in [
            (scene(1, 0, 64), 64usize, 32usize),
            (flag(1, 3, 0), 180, 120),
            (paper(1), 96, 96),
        ] {
            let chunks = chunks(&picture.png());
            let kinds: Vec<&[u8; 4]> = chunks.iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, [b"IHDR", b"IDAT", b"IEND"]);
            assert_eq!(chunks[0].1[..4], (width as u32).to_be_bytes());
            let mut rows = Vec::new();
            flate2::read::ZlibDecoder::new(&chunks[1].1[..])
                .read_to_end(&mut rows)
                .unwrap();
            assert_eq!(rows.len(), height * (1 + 3 * width));
        }
    }

    #[test]
    fn the_icon_holds_a_png() {
        // Promise: the icon's directory points at the PNG behind it.
        let icon = icon();
        assert_eq!(icon[..6], [0, 0, 1, 0, 1, 0]);
        assert_eq!(chunks(&icon[22..])[0].0, *b"IHDR");
    }

    #[test]
    fn a_pdf_points_at_its_objects() {
        // Promise: a reader finds every object where the table says, the table where the end says.
        let file = pdf("A (short) notice", &["It’s £3.".to_owned()]);
        let ascii = |byte: &u8| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                '?'
            }
        };
        let text: String = file.iter().map(ascii).collect();
        assert!(text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n"));
        assert!(text.contains("(A \\(short\\) notice)") && text.contains("(It\\222s \\2433.)"));
        let (before, after) = text.rsplit_once("startxref\n").unwrap();
        let start: usize = after.lines().next().unwrap().parse().unwrap();
        assert!(before[start..].starts_with("xref\n0 8\n"));
        let rows: Vec<&str> = before[start..].lines().skip(3).take(7).collect();
        for (at, row) in rows.iter().enumerate() {
            let place: usize = row[..10].parse().unwrap();
            assert!(
                text[place..].starts_with(&format!("{} 0 obj\n", at + 1)),
                "{row}"
            );
            assert_eq!(row.len(), 19, "with its newline a row has twenty bytes");
        }
        let (_, stream) = text.split_once("/Length ").unwrap();
        let length: usize = stream.split(' ').next().unwrap().parse().unwrap();
        let (_, body) = stream.split_once("stream\n").unwrap();
        assert!(body[length..].starts_with("\nendstream"));
    }

    #[test]
    fn a_redrawn_flag_differs() {
        // Promise: an edit of a picture changes its bytes.
        for number in 0..8 {
            assert_ne!(flag(1, number, 0).png(), flag(1, number, 1).png());
        }
    }
}

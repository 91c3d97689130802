//! Takes the content coding off a body as it arrives (gzip, brotli or zstd), and insists that the whole of it was
//! there.
//!
//! The HTTP client could do this, but its decoder (reqwest 0.13 on async-compression 0.4, tried in November 2026)
//! stops after the first member of a gzip stream and drops what follows without a word. That is a silently cut
//! page; here the members are joined, the frames of zstd likewise, and anything else after the end is an error.
//!
//! However strongly a body is compressed, one step yields 32 KiB at most, so that whoever collects them can
//! stop a bomb while it is small. Beside that a decoder holds its window, which the coding bounds: 32 KiB for gzip,
//! 16 MiB for brotli (its form with larger windows is no content coding and is refused), and for zstd the 8 MiB
//! that RFC 9659 permits on the web; a stream that asks for more is refused before it gets any.

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};

/// What we ask for, and all that we take. `deflate` is not among them: servers have never agreed on what it means.
pub(crate) const CODINGS: &str = "gzip, br, zstd";

/// What one step yields at most, in bytes: some hundred steps for a megabyte, and still in cache when it is digested.
const STEP: usize = 32 * 1024;

/// Binary logarithm of the largest zstd window, in bytes: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Binary logarithm of gzip's window: the format has no other.
const GZIP_WINDOW_LOG: u8 = 15;

pub(crate) struct Decoder {
    coding: Coding,
    plain: Vec<u8>,
    place: Place,
    /// The last step filled `plain`, so that there may be more where that came from.
    more_waits: bool,
    taken: u64,
    given: u64,
}

enum Coding {
    Gzip(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

/// Where in a stream the decoder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// No byte has come.
    Before,
    Within,
    /// Where the body may end.
    End,
}

/// One call of the library.
struct Stepped {
    taken: usize,
    given: usize,
    at_end: bool,
}

impl Decoder {
    /// For a coding by its name in lower case; `None` for one that was not asked for.
    pub(crate) fn of(coding: &str) -> Option<Decoder> {
        let coding = match coding {
            "gzip" | "x-gzip" => Coding::Gzip(gzip()),
            "br" => Coding::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            "zstd" => Coding::Zstd(zstd()),
            _ => return None,
        };
        Some(Decoder {
            coding,
            plain: vec![0; STEP],
            place: Place::Before,
            more_waits: false,
            taken: 0,
            given: 0,
        })
    }

    /// Bytes of the coded body that have been used up.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of the page that came of them.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Takes some bytes off the front of `coded` and returns what they mean, perhaps nothing yet; `None` when
    /// `coded` is empty and all that it meant has been returned.
    ///
    /// # Errors
    /// The stream is damaged, has something else behind its end, or asks for too large a window.
    pub(crate) fn step(&mut self, coded: &mut &[u8]) -> io::Result<Option<&[u8]>> {
        if coded.is_empty() && !self.more_waits {
            return Ok(None);
        }
        if self.place == Place::End && !coded.is_empty() {
            self.begin_again()?;
        }
        let stepped = self.run(coded)?;
        if stepped.taken == 0 && stepped.given == 0 && !coded.is_empty() {
            return Err(self.broken());
        }
        *coded = &coded[stepped.taken..];
        self.more_waits = stepped.given == STEP;
        self.taken += stepped.taken as u64;
        self.given += stepped.given as u64;
        if stepped.at_end {
            self.place = Place::End;
        } else if stepped.taken > 0 {
            self.place = Place::Within;
        }
        Ok(Some(&self.plain[..stepped.given]))
    }

    /// An error when the stream is not at its end. No stream at all is an empty body: some servers put the label
    /// on those too.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.place {
            Place::Before | Place::End => Ok(()),
            Place::Within => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the {} stream is incomplete", self.coding.name()),
            )),
        }
    }

    /// More bytes have come behind the end of a stream: another one, where the coding permits that.
    fn begin_again(&mut self) -> io::Result<()> {
        match &mut self.coding {
            Coding::Gzip(decoder) => *decoder = gzip(),
            Coding::Zstd(_) => {} // begins a new frame by itself
            Coding::Brotli(_) => {
                let why = "the br stream is followed by something else";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        self.place = Place::Within;
        Ok(())
    }

    fn run(&mut self, coded: &[u8]) -> io::Result<Stepped> {
        let stepped = match &mut self.coding {
            Coding::Gzip(decoder) => step_gzip(decoder, coded, &mut self.plain),
            Coding::Brotli(state) => step_brotli(state, coded, &mut self.plain),
            Coding::Zstd(decoder) => step_zstd(decoder, coded, &mut self.plain, self.place)?,
        };
        stepped.ok_or_else(|| self.broken())
    }

    fn broken(&self) -> io::Error {
        let why = format!("the {} stream is damaged", self.coding.name());
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

impl Coding {
    fn name(&self) -> &'static str {
        match self {
            Coding::Gzip(_) => "gzip",
            Coding::Brotli(_) => "br",
            Coding::Zstd(_) => "zstd",
        }
    }
}

fn gzip() -> Decompress {
    Decompress::new_gzip(GZIP_WINDOW_LOG)
}

fn zstd() -> ZstdDecoder<'static> {
    let mut decoder = ZstdDecoder::new().expect("a decoder without a dictionary can be made");
    decoder
        .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
        .expect("the bound lies in the range that zstd permits");
    decoder
}

fn step_gzip(decoder: &mut Decompress, coded: &[u8], plain: &mut [u8]) -> Option<Stepped> {
    let before = (decoder.total_in(), decoder.total_out());
    let status = decoder.decompress(coded, plain, FlushDecompress::None);
    Some(Stepped {
        taken: (decoder.total_in() - before.0) as usize,
        given: (decoder.total_out() - before.1) as usize,
        at_end: status.ok()? == Status::StreamEnd,
    })
}

fn step_brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    coded: &[u8],
    plain: &mut [u8],
) -> Option<Stepped> {
    let (mut left, mut taken) = (coded.len(), 0);
    let (mut room, mut given, mut total) = (plain.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left, &mut taken, coded, &mut room, &mut given, plain, &mut total, state,
    );
    match result {
        BrotliResult::ResultFailure => None,
        result => Some(Stepped {
            taken,
            given,
            at_end: matches!(result, BrotliResult::ResultSuccess),
        }),
    }
}

/// The library's own message is kept: it tells a window that is too large from damage.
fn step_zstd(
    decoder: &mut ZstdDecoder<'static>,
    coded: &[u8],
    plain: &mut [u8],
    place: Place,
) -> io::Result<Option<Stepped>> {
    let mut input = InBuffer::around(coded);
    let mut output = OutBuffer::around(plain);
    let told = |error: io::Error| io::Error::new(error.kind(), format!("zstd: {error}"));
    let wanted = decoder.run(&mut input, &mut output).map_err(told)?;
    let (taken, given) = (input.pos(), output.pos());
    Ok(Some(Stepped {
        taken,
        given,
        // A call that has nothing to do behind a frame says what it would like for the next one.
        at_end: wanted == 0 || (place == Place::End && taken == 0),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "<p>a body of some length, a body of some length</p>\n";

    /// [`TEXT`] forty times, as the reference implementation compresses it (there is no encoder in this house).
    const BROTLI: &str =
        "1b1f086815a1d23dc6f691f50d5314d88003f6888b68613fa4dae465494b185597bef116c4063f7dd315";

    /// The same with the extension for windows of a gigabyte.
    const BROTLI_LARGE_WINDOW: &str = "115e7c20a055844af718db47d6374c5160030ed8232ea285fd90d2265e2cd1228caa\
        4bdf780b62839fbee90a";

    /// 50,000,000 zero bytes.
    const BROTLI_BOMB: &str = "cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ff\
        ff1f001200715800baf77ffcffff034002200e0b40f7fe2fffe0f5004800c46101e8a0eb01";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> Vec<u8> {
        TEXT.repeat(40).into_bytes()
    }

    /// One text in each coding.
    fn samples() -> Vec<(&'static str, Vec<u8>)> {
        let brotli = hex::decode(BROTLI).unwrap();
        vec![
            ("gzip", gzip(&text())),
            ("br", brotli),
            ("zstd", zstd(&text())),
        ]
    }

    fn decoded(coding: &str, coded: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut decoder = Decoder::of(coding).unwrap();
        for mut chunk in coded.chunks(step) {
            while let Some(piece) = decoder.step(&mut chunk)? {
                plain.extend_from_slice(piece);
            }
        }
        assert_eq!(decoder.taken(), coded.len() as u64);
        assert_eq!(decoder.given(), plain.len() as u64);
        decoder.finish()?;
        Ok(plain)
    }

    /// Promise: however a stream is cut into pieces and members, the body comes out whole.
    #[test]
    fn any_pieces_and_members_yield_the_body() {
        let long: Vec<u8> = (0..200_000u64).map(|i| ((i * i) >> 7) as u8).collect();
        for (coding, encoder) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
            for body in [&b""[..], b"x", &long, &vec![0; 3_000_000], &vec![1; STEP]] {
                let one = encoder(body);
                let two = [encoder(body), encoder(b""), encoder(b"tail")].concat();
                for step in [1, 7, 10, 4096, 1 << 20] {
                    assert!(
                        decoded(coding, &one, step).unwrap() == body,
                        "{coding} {step}"
                    );
                    let joined = decoded(coding, &two, step).unwrap();
                    assert!(joined == [body, b"tail"].concat(), "{coding} {step}");
                }
            }
        }
        for step in [1, 5, 1000] {
            let brotli = hex::decode(BROTLI).unwrap();
            assert_eq!(decoded("br", &brotli, step).unwrap(), text());
            assert_eq!(decoded("br", b"\x3b", step).unwrap(), b"");
        }
        for coding in ["gzip", "br", "zstd"] {
            assert_eq!(decoded(coding, b"", 1).unwrap(), b"", "{coding}");
        }
    }

    /// Promise: a stream that lacks any number of its last bytes, or has others after it, is an error.
    #[test]
    fn an_unfinished_stream_is_an_error() {
        for (coding, whole) in samples() {
            for step in [1, 5, 1000] {
                for length in 1..whole.len() {
                    let cut = decoded(coding, &whole[..length], step);
                    assert!(cut.is_err(), "{coding}: {length} bytes");
                }
                for tail in [
                    &b"x"[..],
                    b"and more",
                    b"\0",
                    b"\x1f\x8b",
                    b"\x28\xb5\x2f\xfd",
                    &whole[..whole.len() - 1],
                ] {
                    let followed = [&whole[..], tail].concat();
                    let result = decoded(coding, &followed, step);
                    assert!(result.is_err(), "{coding} followed by {tail:?}");
                }
            }
        }
    }

    /// Promise: any flipped bit is an error or leaves the body what it was, where the coding has a checksum (brotli has
    /// none); for no damage is there a panic or an endless loop.
    #[test]
    fn damage_is_noticed() {
        for (coding, whole) in samples() {
            for at in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[at / 8] ^= 1 << (at % 8);
                let result = decoded(coding, &damaged, 1000);
                let is_right = result.as_ref().is_ok_and(|body| *body == text());
                assert!(
                    coding == "br" || is_right || result.is_err(),
                    "{coding}, bit {at}"
                );
            }
        }
    }

    /// Promise: what is refused says in what coding and why.
    #[test]
    fn errors_are_told_apart() {
        let message = |coding: &str, coded: &[u8]| {
            let error = decoded(coding, coded, 1000).unwrap_err();
            error.to_string()
        };
        for (coding, whole) in samples() {
            assert_eq!(
                message(coding, &whole[..whole.len() - 1]),
                format!("the {coding} stream is incomplete")
            );
        }
        assert_eq!(message("gzip", b"<p>plain"), "the gzip stream is damaged");
        assert_eq!(
            message(
                "br",
                &[hex::decode(BROTLI).unwrap(), b"x".to_vec()].concat()
            ),
            "the br stream is followed by something else"
        );
        assert!(Decoder::of("deflate").is_none() && Decoder::of("").is_none());
    }

    /// Promise: a stream that asks for a window beyond the web's bounds is refused before it gets it.
    #[test]
    fn a_window_beyond_the_bound_is_refused() {
        let brotli = hex::decode(BROTLI_LARGE_WINDOW).unwrap();
        assert!(decoded("br", &brotli, 1000).is_err());
        for (window_log, is_taken) in [(23, true), (24, false), (27, false)] {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(&vec![7; 20_000_000]).unwrap();
            let coded = encoder.finish().unwrap();
            let result = decoded("zstd", &coded, 1000);
            assert_eq!(result.is_ok(), is_taken, "{window_log}");
            if let Err(error) = result {
                assert!(error.to_string().contains("memory"), "{error}");
            }
        }
    }

    /// Promise: a small piece of a stream never becomes a large piece of memory.
    #[test]
    fn a_bomb_goes_off_in_small_pieces() {
        let zeros = vec![0; 50_000_000];
        let bombs = [
            ("gzip", gzip(&zeros)),
            ("br", hex::decode(BROTLI_BOMB).unwrap()),
            ("zstd", zstd(&zeros)),
        ];
        for (coding, bomb) in bombs {
            let mut decoder = Decoder::of(coding).unwrap();
            let mut coded = &bomb[..];
            let mut total = 0;
            while let Some(plain) = decoder.step(&mut coded).unwrap() {
                assert!(plain.len() <= STEP, "{} bytes at once", plain.len());
                total += plain.len();
            }
            assert_eq!(total, 50_000_000, "{coding}");
            decoder.finish().unwrap();
        }
    }

    proptest! {
        /// Promise: whatever bytes a server calls coded, they are decoded or refused, the same however they are cut
        /// into pieces, and without a panic or an endless loop.
        #[test]
        fn decoding_is_total(
            sample in 0..3usize,
            at in any::<prop::sample::Index>(),
            instead in prop::collection::vec(any::<u8>(), 0..40),
            overwritten in 0..40usize,
            step in 1..200usize,
        ) {
            let (coding, whole) = samples().swap_remove(sample);
            let start = at.index(whole.len());
            let end = (start + overwritten).min(whole.len());
            let damaged = [&whole[..start], &instead, &whole[end..]].concat();
            let at_once = decoded(coding, &damaged, usize::MAX);
            let in_pieces = decoded(coding, &damaged, step);
            prop_assert_eq!(at_once.ok(), in_pieces.ok());
        }
    }
}

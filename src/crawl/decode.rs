//! Takes gzip off a body as it arrives, and insists that the whole of it was there.
//!
//! The HTTP client could do this, but its decoder (reqwest 0.13 on async-compression 0.4, tried in November 2026)
//! stops after the first member of a gzip stream and drops what follows without a word. That is a silently cut
//! page; here the members are joined, and anything else after them is an error.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

pub(crate) struct Gunzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Whether a byte of the stream has been seen.
    begun: bool,
}

impl Gunzip {
    pub(crate) fn new() -> Gunzip {
        Gunzip {
            decoder: MultiGzDecoder::new(Vec::new()),
            begun: false,
        }
    }

    /// Takes some bytes off the front of `coded` and returns what they mean, some tens of KiB at most however
    /// strongly they are compressed. To be called until `coded` is empty.
    pub(crate) fn step(&mut self, coded: &mut &[u8]) -> io::Result<&[u8]> {
        self.decoder.get_mut().clear();
        let taken = self.decoder.write(coded)?;
        if taken == 0 && !coded.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.begun |= taken > 0;
        *coded = &coded[taken..];
        Ok(self.decoder.get_ref())
    }

    /// The rest of the body; an error when the stream is not at its end. No stream at all is an empty body: some
    /// servers put the label on those too.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.begun {
            return Ok(Vec::new());
        }
        self.decoder.get_mut().clear();
        self.decoder
            .finish()
            .map_err(|error| io::Error::new(error.kind(), "the gzip stream is incomplete"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(coded: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut decoder = Gunzip::new();
        for mut chunk in coded.chunks(step) {
            while !chunk.is_empty() {
                plain.extend_from_slice(decoder.step(&mut chunk)?);
            }
        }
        plain.extend(decoder.finish()?);
        Ok(plain)
    }

    /// Promise: however the stream is cut into pieces and members, the body comes out whole.
    #[test]
    fn any_pieces_and_members_yield_the_body() {
        let long: Vec<u8> = (0..200_000u64).map(|i| ((i * i) >> 7) as u8).collect();
        for body in [&b""[..], b"x", &long, &vec![0; 3_000_000]] {
            let one = gzip(body);
            let two = [gzip(body), gzip(b"tail")].concat();
            for step in [1, 7, 10, 4096, 1 << 20] {
                assert!(gunzip(&one, step).unwrap() == body, "{step}");
                assert!(
                    gunzip(&two, step).unwrap() == [body, b"tail"].concat(),
                    "{step}"
                );
            }
        }
        assert_eq!(gunzip(b"", 1).unwrap(), b"");
    }

    /// Promise: a stream that lacks any number of its last bytes, or has others after it, is an error.
    #[test]
    fn an_unfinished_stream_is_an_error() {
        let whole = gzip(b"a body of some length, a body of some length");
        for step in [1, 5, 1000] {
            for length in 1..whole.len() {
                assert!(gunzip(&whole[..length], step).is_err(), "{length} bytes");
            }
            for tail in [
                &b"x"[..],
                b"and more",
                b"\0",
                b"\x1f\x8b",
                &whole[..whole.len() - 1],
            ] {
                let followed = [&whole[..], tail].concat();
                assert!(gunzip(&followed, step).is_err(), "followed by {tail:?}");
            }
        }
    }

    /// Promise: a small piece of a stream never becomes a large piece of memory.
    #[test]
    fn a_bomb_goes_off_in_small_pieces() {
        let bomb = gzip(&vec![0; 50_000_000]);
        let mut decoder = Gunzip::new();
        let mut coded = &bomb[..];
        let mut total = 0;
        while !coded.is_empty() {
            let plain = decoder.step(&mut coded).unwrap().len();
            assert!(plain <= 128 * 1024, "{plain} bytes at once");
            total += plain;
        }
        total += decoder.finish().unwrap().len();
        assert_eq!(total, 50_000_000);
    }
}

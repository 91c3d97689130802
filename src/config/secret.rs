//! Values that must not be seen, and where they come from: an environment variable or a file.
//!
//! A [`Secret`] shows itself to nobody who does not ask by name: `Debug` and `Display` print `***`
//! and there is no `Serialize`, so that no log line, report or manifest record can hold one by
//! accident. Nothing here puts a value, or a piece of one, into an error.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest secret in a file. Session tokens of cloud services reach a few KiB; more is a wrong path.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A value for the eyes of one service only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself. To be handed to the service that it is for, and never written anywhere.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Secret {
        Secret(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// How environment variables are looked up; handed in, so that tests need no process environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The value of a variable, or what is wrong with it as a clause.
pub(super) fn from_env(name: &str, environment: Environment<'_>) -> Result<Secret, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        // Not repeated: whoever takes this for the place of the secret has written the secret.
        return Err(
            "is no name of an environment variable; write the name, not the value".to_owned(),
        );
    }
    let Some(value) = environment(name) else {
        return Err(format!("the environment variable `{name}` is not set"));
    };
    match value.into_string() {
        Ok(value) if value.is_empty() => Err(format!("the environment variable `{name}` is empty")),
        Ok(value) => Ok(Secret(value)),
        Err(_) => Err(format!("the environment variable `{name}` is not UTF-8")),
    }
}

/// The content of a file without the line end that editors leave there.
pub(super) fn from_file(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem.to_owned());
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(wrong("longer than 64 KiB, so hardly a secret"));
    }
    let value = text.trim_end_matches(['\n', '\r']);
    if value.is_empty() {
        return Err(wrong("the file is empty"));
    }
    Ok(Secret(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        // Promise: printing a secret, or something that holds one, shows `***` and nothing else.
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_gives_its_content_without_the_line_end() {
        // Promise: `echo secret > file` works; a file that can hold no secret is an error.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (content, expected) in [
            ("s3cret\r\n", Some("s3cret")),
            (" inner space \n\n", Some(" inner space ")),
            ("\n", None),
            ("", None),
        ] {
            std::fs::write(&path, content).unwrap();
            let read = from_file(&path).ok();
            assert_eq!(read.as_ref().map(Secret::expose), expected, "{content:?}");
        }
        std::fs::write(&path, vec![b'x'; 64 * 1024]).unwrap();
        assert!(from_file(&path).is_ok());
        std::fs::write(&path, vec![b'x'; 64 * 1024 + 1]).unwrap();
        assert_eq!(
            from_file(&path).unwrap_err().to_string(),
            "longer than 64 KiB, so hardly a secret"
        );
    }
}

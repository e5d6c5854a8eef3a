//! Who made a package: an Ed25519 signature (RFC 8032) over all that is in it, in a section of its own. Its layout is in the crate's README.

use super::layout::{self, Named, Sections};
use super::{Check, Package, PackageError, in_file};
use crate::errors::{errors, from_errors};
use crate::memory::Region;
use ed25519_compact::sha512::Hash;
use ed25519_compact::{KeyPair, Seed};
use kc_abi::manifest::FORMAT_VERSION;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// What is signed starts with this, so that a signature of something else is none of a package.
const DOMAIN: &[u8] = b"kc package signature\0";
/// The number of this way of signing.
const VERSION: u32 = 1;
/// Number of the way, zeros, public key, signature.
const BYTES: usize = 8 + 32 + 64;
const PUBLIC: &str = "kc-ed25519-public";
const SECRET: &str = "kc-ed25519-secret";

errors! {
    /// Why a package's signature does not hold, or a package cannot be signed.
    #[derive(Debug)]
    pub enum SignatureError {
        /// The package cannot be read or written.
        #[error("{0}")]
        Package(PackageError),
        /// Nobody signed it.
        #[error("the package is not signed; its author signs it with `kc sign`")]
        Unsigned,
        /// Another signed it.
        #[error("the package is signed by {found}, not by {expected}")]
        OtherKey {
            /// Whose signature it has, by its own account.
            found: PublicKey,
            /// Whose was asked for.
            expected: PublicKey,
        },
        /// The signature is not of these contents by this key.
        #[error("the package was altered after it was signed, or its signature was forged: it is none of {key} for these contents")]
        Wrong {
            /// Whose it should be.
            key: PublicKey,
        },
        /// The section holds no signature.
        #[error("the package's signature cannot be understood: {0}")]
        Malformed(String),
        /// A text is no key.
        #[error("{0}")]
        Key(String),
    }
}
from_errors!(PackageError => SignatureError::Package);

/// What a signature is checked with; everybody may know it. Its text is `kc-ed25519-public` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// What packages are signed with; whoever has it signs in its owner's name. Its text is `kc-ed25519-secret` and 64 hexadecimal digits.
pub struct SecretKey(KeyPair);

impl SecretKey {
    /// The key of 32 random bytes, which must come from a source that nobody can guess.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, SignatureError> {
        let pair = KeyPair::try_from_seed(Seed::new(seed));
        pair.map(SecretKey).map_err(|error| SignatureError::Key(format!("these bytes are no secret key: {error}")))
    }

    /// The key that checks this one's signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.pk)
    }

    /// The text of the key: to be kept secret.
    pub fn to_text(&self) -> String {
        format!("{SECRET} {}", hexadecimal(&self.0.sk.seed()[..]))
    }
}

impl FromStr for SecretKey {
    type Err = SignatureError;
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        Self::from_seed(key_bytes(text, SECRET, "secret")?)
    }
}

/// Nothing of the secret.
impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the secret key of {}", self.public())
    }
}

impl FromStr for PublicKey {
    type Err = SignatureError;
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let bytes = key_bytes(text, PUBLIC, "public")?;
        let key = ed25519_compact::PublicKey::new(bytes);
        key.validate().map_err(|error| SignatureError::Key(format!("these digits are no public key: {error}")))?;
        Ok(PublicKey(bytes))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC} {}", hexadecimal(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 32 bytes of `NAME DIGITS`. The text is not repeated in an error: it may be a secret.
fn key_bytes(text: &str, name: &str, kind: &str) -> Result<[u8; 32], SignatureError> {
    let wrong = || SignatureError::Key(format!("this is no {kind} key: expected `{name}` and 64 hexadecimal digits"));
    let digits = text.trim().strip_prefix(name).ok_or_else(wrong)?.trim();
    let nibbles: Option<Vec<u8>> = digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() == 64).ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(nibbles.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(bytes)
}

impl Package {
    /// Signs a package's file: every byte is checked, then the file is replaced by one with a signature, in the place of one that it had.
    pub fn sign(path: &Path, key: &SecretKey) -> Result<(), SignatureError> {
        let signed = in_file(path, |region| {
            let sections = Sections::parse(region.bytes())?;
            let mut named: Vec<Named> = sections.named().filter(|section| !section.is_signature()).collect();
            // what is signed is what would be loaded
            Package::of_region(region.clone(), Check::Everything)?;
            let mut contents = [0; BYTES];
            contents[..4].copy_from_slice(&VERSION.to_le_bytes());
            contents[8..40].copy_from_slice(&key.public().0);
            contents[40..].copy_from_slice(&*key.0.sk.sign(message(&named), None));
            named.push(Named::signature(&contents));
            layout::write_named(&named)
        })?;
        let written = super::replace_file(path, &signed);
        Ok(written.map_err(|source| PackageError::Write { path: path.to_path_buf(), source })?)
    }

    /// Whose signature a package's file has, by its own account; `None` where it has none. Nothing is checked.
    pub fn signer(path: &Path) -> Result<Option<PublicKey>, SignatureError> {
        let found = in_file(path, |region| {
            let sections = Sections::parse(region.bytes())?;
            let section = sections.named().find(Named::is_signature);
            Ok(section.map(|section| parse(section.contents).map(|(key, _)| key)))
        })?;
        found.transpose()
    }

    /// [`Package::read`] of a file that `key` signed: the signature is checked over the very bytes that are loaded, all of them.
    pub fn read_signed(path: &Path, key: &PublicKey) -> Result<Self, SignatureError> {
        let mut refused = None;
        let package = in_file(path, |region| {
            match check(&region, key) {
                Ok(()) => {}
                Err(SignatureError::Package(error)) => return Err(error),
                Err(error) => {
                    refused = Some(error);
                    return Ok(None);
                }
            }
            Self::of_region(region, Check::Load).map(Some)
        })?;
        match (package, refused) {
            (Some(package), _) => Ok(package),
            (None, refused) => Err(refused.unwrap_or(SignatureError::Unsigned)),
        }
    }

    /// [`Package::from_bytes`] of a package that `key` signed.
    pub fn from_signed_bytes(bytes: &[u8], key: &PublicKey) -> Result<Self, SignatureError> {
        let region = Arc::new(Region::copy_of(bytes));
        check(&region, key)?;
        Ok(Self::of_region(region, Check::Everything)?)
    }
}

/// Whether the package in memory is as `key` signed it.
fn check(region: &Region, key: &PublicKey) -> Result<(), SignatureError> {
    let sections = Sections::parse(region.bytes())?;
    let (signatures, rest): (Vec<Named>, Vec<Named>) = sections.named().partition(Named::is_signature);
    let [section] = signatures.as_slice() else { return Err(SignatureError::Unsigned) };
    if !section.is_as_written() {
        return Err(SignatureError::Malformed("its entry in the table is none of a signature".into()));
    }
    let (found, signature) = parse(section.contents)?;
    if found != *key {
        return Err(SignatureError::OtherKey { found, expected: *key });
    }
    let verified = ed25519_compact::PublicKey::new(key.0).verify(message(&rest), &signature);
    verified.map_err(|_| SignatureError::Wrong { key: *key })
}

fn parse(contents: &[u8]) -> Result<(PublicKey, ed25519_compact::Signature), SignatureError> {
    let malformed = |reason: String| SignatureError::Malformed(reason);
    let contents: &[u8; BYTES] =
        contents.try_into().map_err(|_| malformed(format!("it has {} bytes, expected {BYTES}", contents.len())))?;
    let (head, rest) = contents.split_at(8);
    let (key, signature) = rest.split_at(32);
    if head != u64::from(VERSION).to_le_bytes() {
        return Err(malformed(format!("it begins with {}, expected version {VERSION}", hexadecimal(head))));
    }
    let (mut public, mut bytes) = ([0; 32], [0; 64]);
    public.copy_from_slice(key);
    bytes.copy_from_slice(signature);
    Ok((PublicKey(public), ed25519_compact::Signature::new(bytes)))
}

/// What is signed: the version of the format, and of each section in the order of the table what its entry says but for
/// its place and hash, its length, and SHA-512 of its contents.
fn message(sections: &[Named]) -> Vec<u8> {
    let mut message = DOMAIN.to_vec();
    message.extend(FORMAT_VERSION.to_le_bytes());
    message.extend((sections.len() as u32).to_le_bytes());
    for section in sections {
        message.extend(section.name);
        message.extend(section.variant.to_le_bytes());
        message.extend(section.flags.to_le_bytes());
        message.extend(section.reserved.to_le_bytes());
        message.extend((section.contents.len() as u64).to_le_bytes());
        message.extend(Hash::hash(section.contents));
    }
    message
}

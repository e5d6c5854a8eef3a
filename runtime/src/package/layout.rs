//! Header, section table and sections of a package's file.

use super::PackageError;
use kc_abi::call::ALIGNMENT;
use kc_abi::manifest::FORMAT_VERSION;
use std::fmt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The first bytes of a package: as in PNG, they show a transfer that changed line ends or cut the eighth bit.
const MAGIC: [u8; 8] = *b"\x89KCP\r\n\x1a\n";
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 64;
/// More than this many sections are taken for an error.
const MAXIMUM_SECTIONS: usize = 64;

/// A hash: xxh3-128, seed 0. It finds accidents; it does not say who wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u128);

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The sections that a package may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// JSON of [`kc_abi::manifest::Manifest`].
    Manifest,
    /// The code image.
    Code,
    /// Constant data.
    Constants,
    /// The state tensors in safetensors layout.
    Weights,
}

impl Section {
    const ALL: [Section; 4] = [Section::Manifest, Section::Code, Section::Constants, Section::Weights];

    fn name(self) -> &'static str {
        match self {
            Section::Manifest => "manifest",
            Section::Code => "code",
            Section::Constants => "constants",
            Section::Weights => "weights",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The sections of a package in memory: bounds are checked, hashes when a section is taken.
pub(super) struct Sections<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
}

struct Entry {
    section: Section,
    start: usize,
    end: usize,
    hash: Hash,
}

impl<'a> Sections<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PackageError> {
        let found = bytes.len() as u64;
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        if magic.is_empty() || !MAGIC.starts_with(magic) {
            let text = |bytes: &[u8]| format!("\"{}\"", bytes.escape_ascii());
            let start = if magic.is_empty() { "nothing".into() } else { text(magic) };
            return Err(PackageError::Magic { found: start, expected: text(&MAGIC) });
        }
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(PackageError::Truncated { expected: HEADER_BYTES as u64, found });
        };
        let version = read_u32(header, 8);
        if version != FORMAT_VERSION {
            return Err(PackageError::Version { found: version, expected: FORMAT_VERSION });
        }
        let expected = read_u64(header, 16);
        if found < expected {
            return Err(PackageError::Truncated { expected, found });
        }
        if found > expected {
            return Err(PackageError::Trailing { expected, found });
        }
        let count = read_u32(header, 12) as usize;
        let table = rest.get(..count.min(MAXIMUM_SECTIONS) * ENTRY_BYTES);
        let Some(table) = table.filter(|_| count <= MAXIMUM_SECTIONS) else {
            return Err(PackageError::Header(format!("{count} sections in a file of {found} bytes")));
        };
        let (expected, found_hash) = (Hash(read_u128(header, 48)), header_hash(&header[..48], table));
        if expected != found_hash {
            return Err(PackageError::HeaderAltered { expected, found: found_hash });
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for entry in table.chunks_exact(ENTRY_BYTES) {
            let name = entry[..16].trim_ascii_end();
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let section = Section::ALL.into_iter().find(|section| section.name().as_bytes() == name);
            let Some(section) = section else {
                return Err(PackageError::Header(format!("unknown section `{}`", name.escape_ascii())));
            };
            if entries.iter().any(|entry| entry.section == section) {
                return Err(PackageError::Header(format!("two sections `{section}`")));
            }
            let (offset, length) = (read_u64(entry, 16), read_u64(entry, 24));
            let end = u128::from(offset) + u128::from(length);
            if end > u128::from(found) {
                return Err(PackageError::SectionBounds { section, offset, end, found });
            }
            // both fit: they are at most the length of `bytes`
            entries.push(Entry {
                section,
                start: offset as usize,
                end: end as usize,
                hash: Hash(read_u128(entry, 32)),
            });
        }
        Ok(Sections { bytes, entries })
    }

    /// The contents of a section, hashed; `None` where the package lacks it.
    pub(super) fn find(&self, section: Section) -> Result<Option<&'a [u8]>, PackageError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.section == section) else { return Ok(None) };
        let contents = &self.bytes[entry.start..entry.end];
        let found = Hash(xxh3_128(contents));
        if found != entry.hash {
            return Err(PackageError::SectionAltered { section, expected: entry.hash, found });
        }
        Ok(Some(contents))
    }

    /// The contents of a section that every package has, hashed.
    pub(super) fn get(&self, section: Section) -> Result<&'a [u8], PackageError> {
        self.find(section)?.ok_or(PackageError::SectionMissing(section))
    }
}

/// A file of these sections.
pub(super) fn write(sections: &[(Section, &[u8])]) -> Vec<u8> {
    let mut table = Vec::with_capacity(sections.len() * ENTRY_BYTES);
    let mut end = HEADER_BYTES + sections.len() * ENTRY_BYTES;
    for (section, contents) in sections {
        let offset = end.next_multiple_of(ALIGNMENT);
        let mut name = [0u8; 16];
        name[..section.name().len()].copy_from_slice(section.name().as_bytes());
        table.extend(name);
        table.extend((offset as u64).to_le_bytes());
        table.extend((contents.len() as u64).to_le_bytes());
        table.extend(xxh3_128(contents).to_le_bytes());
        table.extend([0u8; 16]);
        end = offset + contents.len();
    }
    let mut file = Vec::with_capacity(end);
    file.extend(MAGIC);
    file.extend(FORMAT_VERSION.to_le_bytes());
    file.extend((sections.len() as u32).to_le_bytes());
    file.extend((end as u64).to_le_bytes());
    file.resize(48, 0);
    let hash = header_hash(&file, &table);
    file.extend(hash.0.to_le_bytes());
    file.extend(table);
    for (_, contents) in sections {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend_from_slice(contents);
    }
    file
}

fn header_hash(header: &[u8], table: &[u8]) -> Hash {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(table);
    Hash(hasher.digest128())
}

fn read_array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(read_array(bytes, at))
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(read_array(bytes, at))
}

fn read_u128(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(read_array(bytes, at))
}

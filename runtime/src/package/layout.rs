//! Header, section table and sections of a package's file.

use super::PackageError;
use crate::heap::*;
use core::fmt;
use core::ops::Range;
use kc_abi::call::ALIGNMENT;
use kc_abi::manifest::FORMAT_VERSION;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The first bytes of a package: as in PNG, they show a transfer that changed line ends or cut the eighth bit.
const MAGIC: [u8; 8] = *b"\x89KCP\r\n\x1a\n";
const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 64;
/// More than this many sections are taken for an error.
const MAXIMUM_SECTIONS: usize = 64;
/// Kinds of machines that one package has code for.
pub(super) const MAXIMUM_VARIANTS: usize = 16;
/// The flag of a section that a reader who does not know it may leave alone.
const OPTIONAL: u32 = 1;

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
    /// The list of [`kc_abi::manifest::CodeTarget`], one a variant, in the order of preference.
    Targets,
    /// A variant's [`kc_abi::manifest::Manifest`].
    Manifest,
    /// A variant's code image.
    Code,
    /// A variant's constant data.
    Constants,
    /// The state tensors in safetensors layout.
    Weights,
    /// Who made the package.
    Signature,
}

impl Section {
    const ALL: [Section; 6] =
        [Section::Targets, Section::Manifest, Section::Code, Section::Constants, Section::Weights, Section::Signature];

    fn name(self) -> &'static str {
        match self {
            Section::Targets => "targets",
            Section::Manifest => "manifest",
            Section::Code => "code",
            Section::Constants => "constants",
            Section::Weights => "weights",
            Section::Signature => "signature",
        }
    }

    /// The name as an entry of the table has it.
    fn entry_name(self) -> [u8; 16] {
        let mut name = [0u8; 16];
        name[..self.name().len()].copy_from_slice(self.name().as_bytes());
        name
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

/// A section as its entry of the table names it, whether this runtime knows it or not.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: [u8; 16],
    pub(super) variant: u32,
    pub(super) flags: u32,
    /// Zero in this version of the format.
    pub(super) reserved: u64,
    pub(super) contents: &'a [u8],
}

#[cfg(feature = "signature")]
impl<'a> Named<'a> {
    /// A section that readers who know no signatures leave alone.
    pub(super) fn signature(contents: &'a [u8]) -> Self {
        Named { name: Section::Signature.entry_name(), variant: 0, flags: OPTIONAL, reserved: 0, contents }
    }

    /// Whether the entry of a signature is what [`Named::signature`] makes it.
    pub(super) fn is_as_written(&self) -> bool {
        (self.variant, self.flags, self.reserved) == (0, OPTIONAL, 0)
    }

    pub(super) fn is_signature(&self) -> bool {
        self.name == Section::Signature.entry_name()
    }
}

struct Entry {
    /// `None` for one that this runtime does not know and may leave alone.
    section: Option<Section>,
    variant: usize,
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
            let name = entry[..16].split(|&byte| byte == 0).next().unwrap_or_default();
            let section = Section::ALL.into_iter().find(|section| section.name().as_bytes() == name);
            let (variant, flags) = (read_u32(entry, 48) as usize, read_u32(entry, 52));
            if section.is_none() && flags & OPTIONAL == 0 {
                let name = name.escape_ascii();
                return Err(PackageError::Header(format!("the unknown section `{name}` that its reader must know")));
            }
            let (offset, length) = (read_u64(entry, 16), read_u64(entry, 24));
            let end = u128::from(offset) + u128::from(length);
            let name = || section.map_or_else(|| name.escape_ascii().to_string(), |section| section.to_string());
            if end > u128::from(found) {
                return Err(PackageError::SectionBounds { section: name(), offset, end, found });
            }
            if !offset.is_multiple_of(ALIGNMENT as u64) || offset < (HEADER_BYTES + table.len()) as u64 {
                let name = name();
                return Err(PackageError::Header(format!("section `{name}` at byte {offset}, where none may start")));
            }
            if let Some(section) = section
                && entries.iter().any(|entry| entry.section == Some(section) && entry.variant == variant)
            {
                return Err(PackageError::Header(format!("two sections `{section}` of variant {variant}")));
            }
            // both fit: they are at most the length of `bytes`
            let hash = Hash(read_u128(entry, 32));
            entries.push(Entry { section, variant, start: offset as usize, end: end as usize, hash });
        }
        let sections = Sections { bytes, entries };
        sections.check_apart()?;
        Ok(sections)
    }

    /// The sections in the order of their places.
    fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|entry| (entry.start, entry.end));
        entries
    }

    fn check_apart(&self) -> Result<(), PackageError> {
        match self.in_order().windows(2).find(|pair| pair[1].start < pair[0].end) {
            None => Ok(()),
            Some(pair) => {
                let name =
                    |entry: &Entry| entry.section.map_or_else(|| "unknown".into(), |section| section.to_string());
                Err(PackageError::Overlap { first: name(pair[0]), second: name(pair[1]) })
            }
        }
    }

    /// Hashes every section, and looks at every byte between them.
    pub(super) fn check_all(&self) -> Result<(), PackageError> {
        let mut end = HEADER_BYTES + self.entries.len() * ENTRY_BYTES;
        let in_order = self.in_order();
        for (start, next) in in_order.iter().map(|entry| (entry.start, entry.end)).chain([(self.bytes.len(), 0)]) {
            let gap = self.bytes.get(end..start).unwrap_or_default();
            if let Some(at) = gap.iter().position(|&byte| byte != 0) {
                return Err(PackageError::Padding { position: end + at, found: gap[at] });
            }
            end = end.max(next);
        }
        in_order.into_iter().try_for_each(|entry| self.check_hash(entry))
    }

    fn check_hash(&self, entry: &Entry) -> Result<(), PackageError> {
        let found = Hash(xxh3_128(&self.bytes[entry.start..entry.end]));
        if found == entry.hash {
            return Ok(());
        }
        let section = entry.section.map_or_else(|| "unknown".into(), |section| section.to_string());
        Err(PackageError::SectionAltered { section, expected: entry.hash, found })
    }

    fn find(&self, section: Section, variant: usize) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.section == Some(section) && entry.variant == variant)
    }

    /// Where a section lies, not hashed; `None` where the package lacks it.
    pub(super) fn find_range(&self, section: Section, variant: usize) -> Option<Range<usize>> {
        self.find(section, variant).map(|entry| entry.start..entry.end)
    }

    /// Where a section lies that every package has, not hashed.
    pub(super) fn range(&self, section: Section, variant: usize) -> Result<Range<usize>, PackageError> {
        self.find_range(section, variant).ok_or(PackageError::SectionMissing { section, variant })
    }

    /// Where a section lies that every package has, hashed.
    pub(super) fn get(&self, section: Section, variant: usize) -> Result<Range<usize>, PackageError> {
        let entry = self.find(section, variant).ok_or(PackageError::SectionMissing { section, variant })?;
        self.check_hash(entry)?;
        Ok(entry.start..entry.end)
    }

    /// All sections in the order of the table, not hashed.
    #[cfg(feature = "signature")]
    pub(super) fn named(&self) -> impl Iterator<Item = Named<'a>> {
        let table = self.bytes[HEADER_BYTES..].chunks_exact(ENTRY_BYTES);
        table.zip(&self.entries).map(|(entry, place)| Named {
            name: read_array(entry, 0),
            variant: read_u32(entry, 48),
            flags: read_u32(entry, 52),
            reserved: read_u64(entry, 56),
            contents: &self.bytes[place.start..place.end],
        })
    }

    pub(super) fn contents(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range]
    }
}

/// A file of these sections, each with the number of its variant.
pub(super) fn write<'a>(sections: &[(Section, usize, &'a [u8])]) -> Vec<u8> {
    let named = |&(section, variant, contents): &(Section, usize, &'a [u8])| Named {
        name: section.entry_name(),
        variant: variant as u32,
        flags: 0,
        reserved: 0,
        contents,
    };
    let named: Vec<Named> = sections.iter().map(named).collect();
    file_of(&named)
}

/// The same of sections that this runtime need not know.
#[cfg(feature = "signature")]
pub(super) fn write_named(sections: &[Named]) -> Result<Vec<u8>, PackageError> {
    let count = sections.len();
    if count > MAXIMUM_SECTIONS {
        return Err(PackageError::Header(format!("{count} sections, at most {MAXIMUM_SECTIONS} fit")));
    }
    Ok(file_of(sections))
}

fn file_of(sections: &[Named]) -> Vec<u8> {
    let mut table = Vec::with_capacity(sections.len() * ENTRY_BYTES);
    let mut end = HEADER_BYTES + sections.len() * ENTRY_BYTES;
    for Named { name, variant, flags, reserved, contents } in sections {
        let offset = end.next_multiple_of(ALIGNMENT);
        table.extend(name);
        table.extend((offset as u64).to_le_bytes());
        table.extend((contents.len() as u64).to_le_bytes());
        table.extend(xxh3_128(contents).to_le_bytes());
        table.extend(variant.to_le_bytes());
        table.extend(flags.to_le_bytes());
        table.extend(reserved.to_le_bytes());
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
    for section in sections {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend_from_slice(section.contents);
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

use super::layout::{Hash, Section};
use crate::errors::errors;
use crate::heap::*;
#[cfg(feature = "std")]
use std::path::PathBuf;

errors! {
    /// Why a package cannot be read or written.
    #[derive(Debug)]
    pub enum PackageError {
        /// Which file, and why.
        #[error("cannot read the package `{}`: {source}", path.display())]
        #[cfg(feature = "std")]
        InFile {
            /// The file.
            path: PathBuf,
            /// What is wrong with it.
            source: Box<PackageError>,
        },
        /// The system cannot read it.
        #[error("{0}")]
        #[cfg(feature = "std")]
        Io(std::io::Error),
        /// The system cannot write it.
        #[error("cannot write the package `{}`: {source}; no file was changed", path.display())]
        #[cfg(feature = "std")]
        Write {
            /// The file.
            path: PathBuf,
            /// The system's answer.
            source: std::io::Error,
        },
        /// Something else than a package.
        #[error("it is no kc package: it starts with {found}, a package with {expected}")]
        Magic {
            /// Its first bytes.
            found: String,
            /// A package's first bytes.
            expected: String,
        },
        /// A package of another version.
        #[error(
            "it has version {found} of the package format, this runtime reads version {expected}; compile the model again"
        )]
        Version {
            /// The package's.
            found: u32,
            /// This runtime's.
            expected: u32,
        },
        /// Too short.
        #[error("it is truncated: {expected} bytes were expected, {found} were found")]
        Truncated {
            /// What the header says, or the size of a header.
            expected: u64,
            /// The file's size.
            found: u64,
        },
        /// Too long.
        #[error("{} bytes follow its end: {expected} bytes were expected, {found} were found", found - expected)]
        Trailing {
            /// What the header says.
            expected: u64,
            /// The file's size.
            found: u64,
        },
        /// The header is not what was written.
        #[error("its header was altered: hash {expected} was expected, {found} was found")]
        HeaderAltered {
            /// The hash in the file.
            expected: Hash,
            /// The hash of what is there.
            found: Hash,
        },
        /// The header contradicts itself.
        #[error("its header is wrong: {0}")]
        Header(String),
        /// A section is not what was written.
        #[error("its section `{section}` was altered: hash {expected} was expected, {found} was found")]
        SectionAltered {
            /// Which.
            section: String,
            /// The hash in the file.
            expected: Hash,
            /// The hash of what is there.
            found: Hash,
        },
        /// A section outside of the file.
        #[error("its section `{section}` should be at bytes {offset} to {end}, the file has {found}")]
        SectionBounds {
            /// Which.
            section: String,
            /// Where it starts.
            offset: u64,
            /// Where it ends.
            end: u128,
            /// The file's size.
            found: u64,
        },
        /// A section is missing.
        #[error("its section `{section}` of variant {variant} is missing")]
        SectionMissing {
            /// Which.
            section: Section,
            /// Of which variant.
            variant: usize,
        },
        /// The list of machines cannot be understood.
        #[error("its section `targets` is wrong: {0}")]
        Targets(String),
        /// Bytes that belong to no section.
        #[error("byte {position} belongs to no section and must be 0, {found} was found")]
        Padding {
            /// Where.
            position: usize,
            /// What is there.
            found: u8,
        },
        /// Two sections share bytes.
        #[error("its sections `{first}` and `{second}` overlap")]
        Overlap {
            /// The one that starts first.
            first: String,
            /// The other.
            second: String,
        },
        /// The manifest cannot be understood.
        #[error("its section `manifest` cannot be understood: {0}")]
        Manifest(String),
        /// A kernel outside of the code.
        #[error("kernel `{kernel}` starts at byte {offset} of the section `code`, which has {bytes}")]
        Kernel {
            /// Its name.
            kernel: String,
            /// Where it starts.
            offset: u64,
            /// Size of the section.
            bytes: usize,
        },
        /// The state does not fit the manifest.
        #[error("its section `weights` is wrong: {0}")]
        Weights(String),
    }
}

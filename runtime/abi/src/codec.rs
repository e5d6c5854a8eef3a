//! The binary form of the [`manifest`](crate::manifest).
//!
//! | value | bytes |
//! |---|---|
//! | unsigned integer | LEB128: seven bits a byte, lowest first, the eighth bit set where another byte follows |
//! | signed integer | zigzag (0, -1, 1, -2, ...), then as above |
//! | text | length in bytes, then UTF-8 |
//! | list, map | number of elements, then each |
//! | truth value | 0 or 1 |
//! | value that may be absent | 0, or 1 and the value |
//! | enumeration | number of the variant, then its fields |
//! | record | length of its fields in bytes, then the fields in order |
//!
//! A record may grow at its end: fields that a reader does not know are passed over, and what is missing at the end has its default value.

use crate::{DType, Dim, Symbol};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// Lists of steps inside of each other that a manifest may have.
const DEPTH_LIMIT: u32 = 64;

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    /// What was met and what was expected.
    pub message: String,
    /// At which byte.
    pub position: usize,
}

impl fmt::Display for CodecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.message, self.position)
    }
}

impl core::error::Error for CodecError {}

/// A value with a binary form.
pub trait Codec: Sized {
    /// Appends the value's bytes.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Reads a value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError>;
    /// The value of a field that a record lacks, because its writer did not know it; `None` where every writer knew it.
    fn missing() -> Option<Self> {
        None
    }
}

/// The bytes of a value.
pub fn encode<T: Codec>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// The value of bytes, all of them.
pub fn decode<T: Codec>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader { bytes, position: 0, depth: 0 };
    let value = T::decode(&mut reader)?;
    if reader.position < bytes.len() {
        return Err(reader.wrong(format!("{} bytes too many", bytes.len() - reader.position)));
    }
    Ok(value)
}

/// Bytes that are read from front to back.
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn wrong(&self, message: String) -> CodecError {
        CodecError { message, position: self.position }
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.position.checked_add(length).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            let left = self.bytes.len() - self.position;
            return Err(self.wrong(format!("{length} bytes were expected, {left} are left")));
        };
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    /// A length in bytes or a number of elements, of which each takes at least one byte.
    fn length(&mut self) -> Result<usize, CodecError> {
        let (length, left) = (u64::decode(self)?, self.bytes.len() - self.position);
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(length),
            _ => Err(self.wrong(format!("a length of {length}, but {left} bytes are left"))),
        }
    }

    /// A record: `fields` reads those that it knows.
    pub(crate) fn record<T>(
        &mut self,
        fields: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        let length = self.length()?;
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.wrong(format!("more than {DEPTH_LIMIT} records inside of each other")));
        }
        let end = self.position + length;
        let mut inner = Reader { bytes: &self.bytes[..end], position: self.position, depth: self.depth };
        let value = fields(&mut inner)?;
        (self.position, self.depth) = (end, self.depth - 1);
        Ok(value)
    }

    /// The next field of a record.
    pub(crate) fn field<T: Codec>(&mut self, name: &str) -> Result<T, CodecError> {
        if self.position == self.bytes.len() {
            return T::missing().ok_or_else(|| self.wrong(format!("the field `{name}` is missing")));
        }
        T::decode(self)
    }

    pub(crate) fn unknown_variant(&self, what: &str, number: u32) -> CodecError {
        self.wrong(format!("{what} has no variant {number}; a newer runtime may know it"))
    }
}

/// Appends a record whose fields `fields` appends.
pub(crate) fn encode_record(bytes: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fields(&mut inner);
    (inner.len() as u64).encode(bytes);
    bytes.append(&mut inner);
}

impl Codec for u64 {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 128 {
            bytes.push(rest as u8 | 128);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = reader.byte()?;
            let part = u64::from(byte & 127);
            if part << shift >> shift != part {
                break;
            }
            value |= part << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(reader.wrong("a number of more than 64 bits".into()))
    }
}

impl Codec for i64 {
    fn encode(&self, bytes: &mut Vec<u8>) {
        ((*self << 1 ^ *self >> 63) as u64).encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let value = u64::decode(reader)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

macro_rules! narrower {
    ($($type:ty),*) => { $(impl Codec for $type {
        fn encode(&self, bytes: &mut Vec<u8>) {
            (*self as u64).encode(bytes);
        }
        fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
            let value = u64::decode(reader)?;
            <$type>::try_from(value).map_err(|_| reader.wrong(format!("the number {value} is too large")))
        }
    })* };
}
narrower!(u32, usize);

impl Codec for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.len().encode(bytes);
        bytes.extend_from_slice(self.as_bytes());
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let length = reader.length()?;
        let text = reader.take(length)?;
        core::str::from_utf8(text).map(String::from).map_err(|_| reader.wrong("a text that is not UTF-8".into()))
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.len().encode(bytes);
        self.iter().for_each(|element| element.encode(bytes));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        // grows as elements are read, so that a large number without elements takes no memory
        let mut elements = Vec::new();
        for _ in 0..reader.length()? {
            elements.push(T::decode(reader)?);
        }
        Ok(elements)
    }
    fn missing() -> Option<Self> {
        Some(Vec::new())
    }
}

impl Codec for bool {
    fn encode(&self, bytes: &mut Vec<u8>) {
        u64::from(*self).encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match u64::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(reader.wrong(format!("the truth value {other}, expected 0 or 1"))),
        }
    }
}

impl<T: Codec> Codec for Option<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_some().encode(bytes);
        self.iter().for_each(|value| value.encode(bytes));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        if bool::decode(reader)? { T::decode(reader).map(Some) } else { Ok(None) }
    }
    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<V: Codec> Codec for BTreeMap<String, V> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.len().encode(bytes);
        for (key, value) in self {
            key.encode(bytes);
            value.encode(bytes);
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut map = BTreeMap::new();
        for _ in 0..reader.length()? {
            map.insert(String::decode(reader)?, V::decode(reader)?);
        }
        Ok(map)
    }
    fn missing() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

/// Its short name.
impl Codec for DType {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.name().to_string().encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let name = String::decode(reader)?;
        name.parse().map_err(|_| reader.wrong(format!("the unknown dtype `{}`", name.escape_debug())))
    }
}

impl Codec for Symbol {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.to_string().encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Symbol(String::decode(reader)?.into()))
    }
}

/// 0 and the value, or 1 and the text form.
impl Codec for Dim {
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self.as_constant() {
            Some(value) => {
                bytes.push(0);
                value.encode(bytes);
            }
            None => {
                bytes.push(1);
                self.to_string().encode(bytes);
            }
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match reader.byte()? {
            0 => i64::decode(reader).map(Dim::constant),
            1 => {
                let text = String::decode(reader)?;
                text.parse().map_err(|error: crate::DimError| reader.wrong(error.to_string()))
            }
            other => Err(reader.unknown_variant("a dimension", other.into())),
        }
    }
    fn missing() -> Option<Self> {
        Some(Dim::default())
    }
}

/// Gives records and enumerations their binary form: all fields in the order in which they are written here, all variants with
/// their numbers, which never change.
macro_rules! codec {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Codec for $name {
            fn encode(&self, bytes: &mut alloc::vec::Vec<u8>) {
                let $name { $($field),* } = self;
                $crate::codec::encode_record(bytes, |bytes| { $($crate::codec::Codec::encode($field, bytes);)* });
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::CodecError> {
                reader.record(|reader| Ok($name { $($field: reader.field(stringify!($field))?),* }))
            }
        }
    };
    (enum $name:ident { $($number:literal $variant:ident $(($value:ident))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl $crate::codec::Codec for $name {
            fn encode(&self, bytes: &mut alloc::vec::Vec<u8>) {
                match self {
                    $($name::$variant $(($value))? $({ $($field),* })? => {
                        let number: u32 = $number;
                        $crate::codec::Codec::encode(&number, bytes);
                        $crate::codec::encode_record(bytes, |_bytes| {
                            $($crate::codec::Codec::encode($value, _bytes);)?
                            $($($crate::codec::Codec::encode($field, _bytes);)*)?
                        });
                    })*
                }
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::CodecError> {
                let number = <u32 as $crate::codec::Codec>::decode(reader)?;
                match number {
                    $($number => reader.record(|_reader| {
                        Ok($name::$variant
                            $((_reader.field(stringify!($value))?))?
                            $({ $($field: _reader.field(stringify!($field))?),* })?)
                    }),)*
                    _ => Err(reader.unknown_variant(stringify!($name), number)),
                }
            }
        }
    };
}
pub(crate) use codec;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        for value in [0, 1, 127, 128, 300, u64::MAX / 2, u64::MAX] {
            assert_eq!(decode(&encode(&value)), Ok(value));
            let signed = value as i64;
            assert_eq!(decode(&encode(&signed)), Ok(signed));
        }
        assert_eq!(encode(&-1i64), [1]);
        assert_eq!(encode(&300u64), [0xac, 2]);
    }

    #[test]
    fn a_record_may_grow_and_may_lack_what_was_added() {
        #[derive(Debug, PartialEq)]
        struct Old {
            a: u64,
        }
        codec!(struct Old { a });
        #[derive(Debug, PartialEq)]
        struct New {
            a: u64,
            b: Vec<String>,
        }
        codec!(struct New { a, b });
        let new = New { a: 7, b: alloc::vec!["x".into()] };
        assert_eq!(decode(&encode(&new)), Ok(Old { a: 7 }));
        assert_eq!(decode(&encode(&Old { a: 7 })), Ok(New { a: 7, b: Vec::new() }));
        let error = decode::<Old>(&[0]).expect_err("the field is missing");
        assert_eq!(error.to_string(), "the field `a` is missing at byte 1");
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let message = |bytes: &[u8]| decode::<Vec<String>>(bytes).expect_err("hostile").to_string();
        assert_eq!(message(&[0xff; 20]), "a number of more than 64 bits at byte 10");
        assert_eq!(
            message(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            "a length of 4398046511103, but 0 bytes are left at byte 6"
        );
        assert_eq!(message(&[1, 2, 0xff, 0xff]), "a text that is not UTF-8 at byte 4");
        assert_eq!(message(&[0, 0]), "1 bytes too many at byte 1");
        let nested = alloc::vec![crate::manifest::Step::Branch { index: 0, branches: Vec::new() }];
        let nested = (0..100).fold(nested, |inner, _| {
            alloc::vec![crate::manifest::Step::Branch { index: 0, branches: alloc::vec![inner] }]
        });
        let error = decode::<Vec<crate::manifest::Step>>(&encode(&nested)).expect_err("too deep");
        assert_eq!(error.message, "more than 64 records inside of each other");
    }
}

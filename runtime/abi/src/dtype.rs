use core::fmt;
use core::str::FromStr;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $keras:literal $bytes:literal $class:ident;)*) => {
        /// The element type of a tensor.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
        pub enum DType { $($(#[$doc])* #[cfg_attr(feature = "serde", serde(rename = $name))] $variant,)* }

        impl DType {
            /// Every dtype, in declaration order.
            pub const ALL: &'static [DType] = &[$(DType::$variant),*];

            /// The short name of the text forms: `f32`, `i64`, `bool`.
            pub const fn name(self) -> &'static str { match self { $(DType::$variant => $name),* } }

            /// The name Keras uses: `float32`, `int64`, `bool`.
            pub const fn keras_name(self) -> &'static str { match self { $(DType::$variant => $keras),* } }

            /// Bytes that one element takes in memory.
            pub const fn bytes(self) -> usize { match self { $(DType::$variant => $bytes),* } }

            const fn class(self) -> Class { match self { $(DType::$variant => Class::$class),* } }
        }

        impl FromStr for DType {
            type Err = UnknownDType;
            #[allow(unreachable_patterns)] // `bool` is its own Keras name
            fn from_str(text: &str) -> Result<Self, UnknownDType> {
                match text { $($name | $keras => Ok(DType::$variant),)* _ => Err(UnknownDType) }
            }
        }
    };
}

#[derive(PartialEq)]
enum Class {
    Float,
    Signed,
    Unsigned,
    Bool,
}

dtypes! {
    /// IEEE 754 binary64.
    F64 "f64" "float64" 8 Float;
    /// IEEE 754 binary32.
    F32 "f32" "float32" 4 Float;
    /// IEEE 754 binary16.
    F16 "f16" "float16" 2 Float;
    /// bfloat16: the upper half of a binary32.
    Bf16 "bf16" "bfloat16" 2 Float;
    /// Signed integer of 8 bits.
    I8 "i8" "int8" 1 Signed;
    /// Signed integer of 16 bits.
    I16 "i16" "int16" 2 Signed;
    /// Signed integer of 32 bits.
    I32 "i32" "int32" 4 Signed;
    /// Signed integer of 64 bits.
    I64 "i64" "int64" 8 Signed;
    /// Unsigned integer of 8 bits.
    U8 "u8" "uint8" 1 Unsigned;
    /// Unsigned integer of 16 bits.
    U16 "u16" "uint16" 2 Unsigned;
    /// Unsigned integer of 32 bits.
    U32 "u32" "uint32" 4 Unsigned;
    /// Unsigned integer of 64 bits.
    U64 "u64" "uint64" 8 Unsigned;
    /// Truth value, stored as one byte, 0 or 1.
    Bool "bool" "bool" 1 Bool;
}

impl DType {
    /// Whether it is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }
    /// Whether it is a signed or unsigned integer type (`bool` is neither).
    pub const fn is_integer(self) -> bool {
        matches!(self.class(), Class::Signed | Class::Unsigned)
    }
    /// Whether it is a signed integer type.
    pub const fn is_signed_integer(self) -> bool {
        matches!(self.class(), Class::Signed)
    }
    /// Whether it is an unsigned integer type.
    pub const fn is_unsigned_integer(self) -> bool {
        matches!(self.class(), Class::Unsigned)
    }
    /// Bits of one element.
    pub const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }
}

impl fmt::Display for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text names no dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDType;

impl fmt::Display for UnknownDType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("unknown dtype; known are ")?;
        for (i, dtype) in DType::ALL.iter().enumerate() {
            write!(formatter, "{}{dtype}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownDType {}

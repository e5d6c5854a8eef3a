//! Object files to one flat image: code and constants laid out together, references between them resolved, nothing left to do
//! when it is loaded.

use object::elf;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex, SectionKind, SymbolSection,
};
use std::collections::HashMap;

/// The object cannot become part of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The file is not what LLVM writes.
    #[error("LLVM's object file cannot be read: {0}")]
    Object(String),
    /// Code refers to something outside the image.
    #[error(
        "generated code needs the symbol `{0}`, which is not in the image; code may only call the intrinsics' table"
    )]
    Unresolved(String),
    /// A reference that cannot be resolved without loading.
    #[error("generated code has a relocation of type {kind} to `{symbol}`, which the image cannot hold")]
    Relocation {
        /// ELF's number.
        kind: u32,
        /// What it refers to.
        symbol: String,
    },
    /// Writable data, constructors and the like.
    #[error("generated code has a section `{0}`, which the image cannot hold")]
    Section(String),
    /// A reference across more bytes than the instruction can hold.
    #[error("the reference to `{0}` is out of range")]
    Range(String),
}

/// Alignment of every object in the image.
const OBJECT_ALIGNMENT: usize = 64;

/// Lays objects out one after the other.
#[derive(Debug, Default)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// The finished image.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Where the next object will start.
    pub fn next(&self) -> u64 {
        self.bytes.len().next_multiple_of(OBJECT_ALIGNMENT) as u64
    }

    /// Appends an object and gives the offsets of symbols that it defines.
    pub fn add(&mut self, object: &[u8], entries: &[String]) -> Result<Vec<u64>, LinkError> {
        let unreadable = |error: object::Error| LinkError::Object(error.to_string());
        let file = object::File::parse(object).map_err(unreadable)?;
        let mut places: HashMap<SectionIndex, usize> = HashMap::new();
        let mut sections: Vec<_> = file.sections().filter(|section| section.size() > 0).collect();
        sections.retain(|section| is_loaded(section.flags()));
        // code first, then constants, each in the file's order
        sections.sort_by_key(|section| section.kind() != SectionKind::Text);
        self.align(OBJECT_ALIGNMENT);
        for section in &sections {
            let name = section.name().map_err(unreadable)?;
            match section.kind() {
                SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => (),
                _ => return Err(LinkError::Section(name.to_string())),
            }
            self.align(usize::try_from(section.align()).unwrap_or(OBJECT_ALIGNMENT));
            places.insert(section.index(), self.bytes.len());
            self.bytes.extend_from_slice(section.data().map_err(unreadable)?);
        }
        for section in &sections {
            let place = places[&section.index()];
            for (offset, relocation) in section.relocations() {
                let (name, target) = match relocation.target() {
                    RelocationTarget::Symbol(index) => {
                        let symbol = file.symbol_by_index(index).map_err(unreadable)?;
                        let name = symbol.name().unwrap_or_default().to_string();
                        let target = match symbol.section() {
                            SymbolSection::Section(section) => {
                                places.get(&section).map(|place| place + symbol.address() as usize)
                            }
                            _ => None,
                        };
                        (name, target)
                    }
                    _ => (String::new(), None),
                };
                let target = target.ok_or_else(|| LinkError::Unresolved(name.clone()))?;
                let RelocationFlags::Elf { r_type } = relocation.flags() else {
                    return Err(LinkError::Object("it is no ELF file".to_string()));
                };
                let value = (target as i64).wrapping_add(relocation.addend());
                self.resolve(file.architecture(), r_type, place + offset as usize, value, &name)?;
            }
        }
        let offset = |entry: &String| {
            let symbol = file.symbol_by_name(entry)?;
            let place = places.get(&symbol.section_index()?)?;
            Some(*place as u64 + symbol.address())
        };
        entries.iter().map(|entry| offset(entry).ok_or_else(|| LinkError::Unresolved(entry.clone()))).collect()
    }

    fn align(&mut self, alignment: usize) {
        let length = self.bytes.len().next_multiple_of(alignment.max(1));
        self.bytes.resize(length, 0);
    }

    /// Writes the reference from `place` to `value`, both offsets in the image.
    fn resolve(
        &mut self,
        architecture: object::Architecture,
        kind: elf::RelocationType,
        place: usize,
        value: i64,
        name: &str,
    ) -> Result<(), LinkError> {
        let distance = value - place as i64;
        let range = || LinkError::Range(name.to_string());
        match (architecture, kind) {
            (object::Architecture::X86_64, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32) => {
                self.write(place, &i32::try_from(distance).map_err(|_| range())?.to_le_bytes())
            }
            (object::Architecture::X86_64, elf::R_X86_64_PC64) => self.write(place, &distance.to_le_bytes()),
            (object::Architecture::Aarch64, elf::R_AARCH64_PREL32) => {
                self.write(place, &i32::try_from(distance).map_err(|_| range())?.to_le_bytes())
            }
            (object::Architecture::Aarch64, elf::R_AARCH64_PREL64) => self.write(place, &distance.to_le_bytes()),
            (object::Architecture::Aarch64, elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26) => {
                let words = distance >> 2;
                if !(-(1 << 25)..1 << 25).contains(&words) {
                    return Err(range());
                }
                self.patch(place, 0x03ff_ffff, words as u32 & 0x03ff_ffff)
            }
            // the image is mapped at a page's start, so pages of offsets are pages of addresses
            (object::Architecture::Aarch64, elf::R_AARCH64_ADR_PREL_PG_HI21) => {
                let pages = (value >> 12) - (place as i64 >> 12);
                if !(-(1 << 20)..1 << 20).contains(&pages) {
                    return Err(range());
                }
                let pages = pages as u32;
                self.patch(place, 0x60ff_ffe0, (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5)
            }
            (object::Architecture::Aarch64, _) if low_12_shift(kind).is_some() => {
                let shift = low_12_shift(kind).unwrap_or(0);
                self.patch(place, 0x003f_fc00, ((value & 0xfff) as u32 >> shift) << 10)
            }
            _ => Err(LinkError::Relocation { kind: kind.0, symbol: name.to_string() }),
        }
    }

    fn write(&mut self, place: usize, bytes: &[u8]) -> Result<(), LinkError> {
        match self.bytes.get_mut(place..place + bytes.len()) {
            Some(slot) => {
                slot.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(LinkError::Object("a relocation lies outside its section".to_string())),
        }
    }

    /// Replaces the masked bits of an instruction.
    fn patch(&mut self, place: usize, mask: u32, bits: u32) -> Result<(), LinkError> {
        let old = self.bytes.get(place..place + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let old = old.ok_or_else(|| LinkError::Object("a relocation lies outside its section".to_string()))?;
        self.write(place, &(old & !mask | bits & mask).to_le_bytes())
    }
}

/// Shift of the low twelve bits of an address in an AArch64 addition, load or store.
fn low_12_shift(kind: elf::RelocationType) -> Option<u32> {
    match kind {
        elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => Some(0),
        elf::R_AARCH64_LDST16_ABS_LO12_NC => Some(1),
        elf::R_AARCH64_LDST32_ABS_LO12_NC => Some(2),
        elf::R_AARCH64_LDST64_ABS_LO12_NC => Some(3),
        elf::R_AARCH64_LDST128_ABS_LO12_NC => Some(4),
        _ => None,
    }
}

fn is_loaded(flags: object::SectionFlags) -> bool {
    matches!(flags, object::SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC))
}

#[cfg(test)]
mod tests {
    use super::{Image, LinkError};
    use crate::cpu::Cpu;
    use crate::machine::Machine;

    #[test]
    fn a_call_outside_the_image_is_an_error_that_names_the_symbol() {
        let text = "module {
            llvm.func @floorf(f32) -> f32
            llvm.func @rounds(%x: f32) -> f32 attributes {passthrough = [\"nounwind\"]} {
                %y = llvm.call @floorf(%x) : (f32) -> f32
                llvm.return %y : f32
            }
        }";
        let cpu = Cpu::new(Some("x86_64-unknown-linux-gnu"), None, Some(&[])).expect("a known machine");
        let machine = Machine::new(&cpu).expect("LLVM has it");
        let object = machine.object(&machine.module(text).expect("a module")).expect("code");
        let error = Image::default().add(&object, &["rounds".to_string()]).expect_err("floorf is elsewhere");
        assert_eq!(error, LinkError::Unresolved("floorf".to_string()));
        assert_eq!(
            error.to_string(),
            "generated code needs the symbol `floorf`, which is not in the image; code may only call the intrinsics' table"
        );
    }
}

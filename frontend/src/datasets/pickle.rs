//! Reading of Python's pickles: lists of numbers and bytes, as NumPy and the CIFAR data sets store them. Nothing is executed: what a
//! pickle would call is kept as its arguments.

use std::collections::BTreeMap;
use std::ops::Range;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// `None`, and names of classes.
    Nothing,
    /// An integer or a truth value.
    Integer(i64),
    /// Bytes or text, by their place in the file.
    Bytes(Range<usize>),
    /// A list, tuple, dictionary (its keys and values in turns) or object (what it is made of), by its number.
    Parts(usize),
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    parts: Vec<Vec<Item>>,
    /// The value.
    pub root: Item,
}

impl<'a> Pickle<'a> {
    /// The bytes of an item that is bytes.
    pub fn bytes(&self, item: &Item) -> Option<&'a [u8]> {
        match item {
            Item::Bytes(range) => self.bytes.get(range.clone()),
            _ => None,
        }
    }

    /// What an item with parts consists of.
    pub fn parts(&self, item: &Item) -> Option<&[Item]> {
        match item {
            Item::Parts(number) => self.parts.get(*number).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The value of a key of the dictionary that the pickle is.
    pub fn get(&self, key: &str) -> Option<&Item> {
        let pairs = self.parts(&self.root)?.chunks_exact(2);
        pairs.into_iter().find(|pair| self.bytes(&pair[0]) == Some(key.as_bytes())).map(|pair| &pair[1])
    }

    /// The integers that an item is a list of.
    pub fn integers(&self, item: &Item) -> Option<Vec<i64>> {
        let integer = |item: &Item| match item {
            Item::Integer(value) => Some(*value),
            _ => None,
        };
        self.parts(item)?.iter().map(integer).collect()
    }

    /// The largest bytes below an item.
    pub fn largest_bytes(&self, item: &Item) -> Option<&'a [u8]> {
        self.below(item).into_iter().filter_map(|item| self.bytes(item)).max_by_key(|bytes| bytes.len())
    }

    /// The longest list below an item.
    pub fn longest(&self, item: &Item) -> Option<&[Item]> {
        self.below(item).into_iter().filter_map(|item| self.parts(item)).max_by_key(|parts| parts.len())
    }

    /// The item and what it consists of, not below that.
    fn below<'s>(&'s self, item: &'s Item) -> Vec<&'s Item> {
        let mut all = vec![item];
        let mut next = 0;
        // objects are nested a few levels; what is below a long list are the elements
        while next < all.len() && all.len() < 64 {
            all.extend(self.parts(all[next]).unwrap_or_default().iter().take(64));
            next += 1;
        }
        all
    }
}

/// Reads a pickle of the protocols 0 to 5, as far as NumPy's arrays and plain values need.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut reader =
        Reader { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), parts: Vec::new(), memo: BTreeMap::new() };
    let root = reader.run()?;
    Ok(Pickle { bytes, parts: reader.parts, root })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    marks: Vec<usize>,
    parts: Vec<Vec<Item>>,
    memo: BTreeMap<u64, Item>,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("it ends at byte {}, within a value", self.bytes.len()))?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    /// An unsigned little-endian number of so many bytes.
    fn number(&mut self, size: usize) -> Result<u64, String> {
        let range = self.take(size)?;
        Ok(self.bytes[range].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn sized(&mut self, size: usize) -> Result<Item, String> {
        let count = usize::try_from(self.number(size)?).map_err(|error| error.to_string())?;
        Ok(Item::Bytes(self.take(count)?))
    }

    fn line(&mut self) -> Result<Range<usize>, String> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or("it ends within a line")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Item, String> {
        self.stack.pop().ok_or_else(|| format!("nothing is on the stack at byte {}", self.at))
    }

    fn marked(&mut self) -> Result<Vec<Item>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(|| format!("there is no mark at byte {}", self.at))?))
    }

    fn push_parts(&mut self, parts: Vec<Item>) {
        self.parts.push(parts);
        self.stack.push(Item::Parts(self.parts.len() - 1));
    }

    /// Adds to the list, dictionary or object on top of the stack.
    fn extend(&mut self, items: Vec<Item>) -> Result<(), String> {
        match self.stack.last() {
            Some(&Item::Parts(number)) => self.parts[number].extend(items),
            // what is set on anything else is of no interest
            Some(_) => {}
            None => return Err(format!("nothing is on the stack at byte {}", self.at)),
        }
        Ok(())
    }

    fn last_of(&mut self, count: usize) -> Result<Vec<Item>, String> {
        let start = self.stack.len().checked_sub(count).ok_or_else(|| format!("too few values at byte {}", self.at))?;
        Ok(self.stack.split_off(start))
    }

    fn remember(&mut self, key: u64) -> Result<(), String> {
        let top = self.stack.last().cloned().ok_or("nothing to remember")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let item = self.memo.get(&key).cloned().ok_or_else(|| format!("nothing is remembered as {key}"))?;
        self.stack.push(item);
        Ok(())
    }

    fn run(&mut self) -> Result<Item, String> {
        loop {
            let code = self.number(1)? as u8;
            match code {
                0x80 => self.at = self.take(1)?.end,
                0x95 => self.at = self.take(8)?.end,
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(self.stack.last().cloned().ok_or("nothing to repeat")?),
                b'N' => self.stack.push(Item::Nothing),
                0x88 => self.stack.push(Item::Integer(1)),
                0x89 => self.stack.push(Item::Integer(0)),
                b'J' => {
                    let value = self.number(4)? as u32 as i32;
                    self.stack.push(Item::Integer(value.into()));
                }
                b'K' | b'M' => {
                    let value = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.stack.push(Item::Integer(value as i64));
                }
                0x8a => {
                    let size = self.number(1)? as usize;
                    let negative = size > 0 && self.bytes.get(self.at + size - 1).is_some_and(|byte| byte & 0x80 != 0);
                    if size > 8 {
                        return Err(format!("an integer of {size} bytes at byte {}", self.at));
                    }
                    let value = self.number(size)?;
                    let filled = if negative && size < 8 { value | u64::MAX << (8 * size) } else { value };
                    self.stack.push(Item::Integer(filled as i64));
                }
                b'I' | b'L' => {
                    let range = self.line()?;
                    let text = String::from_utf8_lossy(&self.bytes[range]).trim_end_matches('L').to_string();
                    self.stack.push(Item::Integer(text.parse().map_err(|_| format!("`{text}` is no integer"))?));
                }
                b'G' => {
                    self.take(8)?;
                    self.stack.push(Item::Nothing);
                }
                b'U' | b'C' | 0x8c => {
                    let item = self.sized(1)?;
                    self.stack.push(item);
                }
                b'T' | b'B' | b'X' => {
                    let item = self.sized(4)?;
                    self.stack.push(item);
                }
                0x8d | 0x8e | 0x96 => {
                    let item = self.sized(8)?;
                    self.stack.push(item);
                }
                b'S' | b'V' => {
                    let line = self.line()?;
                    self.stack.push(Item::Bytes(line));
                }
                b']' | b'}' | b')' | 0x8f => self.push_parts(Vec::new()),
                b'l' | b't' | b'd' | 0x91 => {
                    let items = self.marked()?;
                    self.push_parts(items);
                }
                0x85..=0x87 => {
                    let items = self.last_of(usize::from(code - 0x84))?;
                    self.push_parts(items);
                }
                b'a' => {
                    let items = self.last_of(1)?;
                    self.extend(items)?;
                }
                b's' => {
                    let items = self.last_of(2)?;
                    self.extend(items)?;
                }
                b'e' | b'u' | 0x90 => {
                    let items = self.marked()?;
                    self.extend(items)?;
                }
                b'c' => {
                    self.line()?;
                    self.line()?;
                    self.stack.push(Item::Nothing);
                }
                0x93 => {
                    self.last_of(2)?;
                    self.stack.push(Item::Nothing);
                }
                // an object: the arguments that it is made of, then its state
                b'R' | 0x81 => {
                    let items = self.last_of(2)?;
                    self.push_parts(items);
                }
                b'b' => {
                    let state = self.last_of(1)?;
                    self.extend(state)?;
                }
                b'q' | b'r' => {
                    let key = self.number(if code == b'q' { 1 } else { 4 })?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' | b'j' => {
                    let key = self.number(if code == b'h' { 1 } else { 4 })?;
                    self.recall(key)?;
                }
                b'p' | b'g' => {
                    let line = self.line()?;
                    let text = String::from_utf8_lossy(&self.bytes[line]).to_string();
                    let key = text.parse().map_err(|_| format!("`{text}` is no number"))?;
                    if code == b'p' { self.remember(key)? } else { self.recall(key)? }
                }
                other => return Err(format!("unknown instruction {other:#04x} at byte {}", self.at - 1)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"labels": [3, 250, 7], "data": numpy.arange(12, dtype="uint8").reshape(3, 4)}`, written by the protocols 2 and 4.
    const DICTIONARIES: [&[u8]; 2] = [
        b"\x80\x02}q\x00(X\x06\x00\x00\x00labelsq\x01]q\x02(K\x03K\xfaK\x07eX\x04\x00\x00\x00dataq\x03cnumpy._core.multiarray\x0a_reconstruct\x0aq\x04cnumpy\x0andarray\x0aq\x05K\x00\x85q\x06c_codecs\x0aencode\x0aq\x07X\x01\x00\x00\x00bq\x08X\x06\x00\x00\x00latin1q\x09\x86q\x0aRq\x0b\x87q\x0cRq\x0d(K\x01K\x03K\x04\x86q\x0ecnumpy\x0adtype\x0aq\x0fX\x02\x00\x00\x00u1q\x10\x89\x88\x87q\x11Rq\x12(K\x03X\x01\x00\x00\x00|q\x13NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89h\x07X\x0c\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0bq\x15h\x09\x86q\x16Rq\x17tq\x18bu.",
        b"\x80\x04\x95\xb5\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06labels\x94]\x94(K\x03K\xfaK\x07e\x8c\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x03K\x04\x86\x94h\x07\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x0c\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x94t\x94bu.",
    ];

    /// An array of 12 objects, `[1, 2, 300]`, `[70000, -1]`, `[2 ** 31 + 5]`, `[3]` and so on, written by the protocol 3.
    const LISTS: &[u8] = b"\x80\x03cnumpy._core.multiarray\x0a_reconstruct\x0aq\x00cnumpy\x0andarray\x0aq\x01K\x00\x85q\x02C\x01bq\x03\x87q\x04Rq\x05(K\x01K\x0c\x85q\x06cnumpy\x0adtype\x0aq\x07X\x02\x00\x00\x00O8q\x08\x89\x88\x87q\x09Rq\x0a(K\x03X\x01\x00\x00\x00|q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tq\x0cb\x89]q\x0d(]q\x0e(K\x01K\x02M,\x01e]q\x0f(Jp\x11\x01\x00J\xff\xff\xff\xffe]q\x10\x8a\x05\x05\x00\x00\x80\x00a]q\x11K\x03a]q\x12K\x04a]q\x13K\x05a]q\x14K\x06a]q\x15K\x07a]q\x16K\x08a]q\x17K\x09a]q\x18K\x0aa]q\x19K\x0baetq\x1ab.";

    #[test]
    fn dictionaries_of_lists_and_arrays_are_read() {
        for bytes in DICTIONARIES {
            let pickle = read(bytes).expect("written by Python");
            let labels = pickle.get("labels").and_then(|labels| pickle.integers(labels));
            assert_eq!(labels, Some(vec![3, 250, 7]));
            let data = pickle.get("data").and_then(|data| pickle.largest_bytes(data));
            assert_eq!(data, Some([0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].as_slice()));
            assert_eq!(pickle.get("else"), None);
        }
    }

    #[test]
    fn arrays_of_lists_are_read() {
        let pickle = read(LISTS).expect("written by Python");
        let lists = pickle.longest(&pickle.root).expect("lists");
        let lists: Vec<_> = lists.iter().map(|list| pickle.integers(list)).collect();
        assert_eq!(
            lists[..4],
            [Some(vec![1, 2, 300]), Some(vec![70000, -1]), Some(vec![(1 << 31) + 5]), Some(vec![3])]
        );
        assert_eq!(lists.len(), 12);
    }

    #[test]
    fn damaged_pickles_are_refused() {
        for bytes in [DICTIONARIES[0], DICTIONARIES[1], LISTS] {
            for length in 0..bytes.len() {
                assert!(read(&bytes[..length]).is_err(), "{length} bytes");
            }
            for position in 0..bytes.len() {
                for value in [0, 0x7f, 0xff, b'(', b'e', b'R', 0x94] {
                    let mut altered = bytes.to_vec();
                    altered[position] = value;
                    if let Ok(pickle) = read(&altered) {
                        let data = pickle.get("data").and_then(|data| pickle.largest_bytes(data));
                        assert!(data.is_none_or(|data| data.len() < altered.len()));
                        assert!(pickle.longest(&pickle.root).is_none_or(|list| list.len() <= altered.len()));
                    }
                }
            }
        }
    }
}

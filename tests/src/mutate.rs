//! Texts and files with faults: [`text`] and [`bytes`] damage a valid one in a few places.

use crate::random::Random;

/// Numbers at which sizes, positions and arithmetic break.
const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "63",
    "64",
    "65",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "4611686018427387904",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1e999",
    "0.5",
];

/// Words that the texts know, beside those that a text has itself.
const WORDS: [&str; 24] = [
    "NaN",
    "inf",
    "-inf",
    "null",
    "true",
    "f32",
    "f64",
    "bf16",
    "u4",
    "bool",
    "i64",
    "B",
    "T",
    "return",
    "region",
    "yield",
    "work",
    "loop",
    "if",
    "\"\"",
    "\"\\u{110000}\"",
    "é",
    "\u{0}",
    "\u{2028}",
];

/// Bytes from which on a text gets no more faults.
const LONGEST: usize = 100_000;

/// What opens a nesting, and what closes it.
const NESTS: [(&str, &str); 7] =
    [("(", ")"), ("[", "]"), ("{", "}"), ("-", ""), ("min(", ",0)"), ("{\"Add\":[", "]}"), ("1+", "")];

/// A text with one to six faults; `other` is where foreign parts come from.
pub fn text(valid: &str, other: &str, random: &mut Random) -> String {
    let mut tokens: Vec<String> = tokens(valid);
    let foreign: Vec<String> = self::tokens(other);
    for _ in 0..random.between(1, 6) {
        if tokens.is_empty() || tokens.iter().map(String::len).sum::<usize>() > LONGEST {
            break;
        }
        damage(&mut tokens, &foreign, random);
    }
    let text = tokens.concat();
    if random.chance(10) { String::from_utf8_lossy(&bytes(text.as_bytes(), random)).into_owned() } else { text }
}

fn damage(tokens: &mut Vec<String>, foreign: &[String], random: &mut Random) {
    let at = random.below(tokens.len());
    let until = (at + 1 + random.below(8)).min(tokens.len());
    match random.below(12) {
        0 => {
            tokens.drain(at..until);
        }
        1 => {
            let copy = tokens[at..until].to_vec();
            let place = random.below(tokens.len() + 1);
            tokens.splice(place..place, copy);
        }
        2 => {
            let with = random.below(tokens.len());
            tokens.swap(at, with);
        }
        3 => tokens[at] = random.pick(&WORDS).to_owned(),
        4 if !foreign.is_empty() => {
            let start = random.below(foreign.len());
            let end = (start + 1 + random.below(12)).min(foreign.len());
            tokens.splice(at..until, foreign[start..end].iter().cloned());
        }
        5 => {
            let (open, close) = random.pick(&NESTS);
            let depth = random.pick(&[1, 2, 40, 129, 1_000, 30_000]);
            tokens[at] = format!("{}{}{}", open.repeat(depth), tokens[at], close.repeat(depth));
        }
        6 if tokens[at].len() < 100 => tokens[at] = tokens[at].repeat(random.pick(&[2, 3, 100, 5_000])),
        7 => line(tokens, at, random),
        8 => tokens.truncate(at),
        // most faults are numbers and names that are others
        9 => exchange(tokens, random, |token| token.starts_with(|c: char| c.is_ascii_alphabetic())),
        _ => {
            let is_number = |token: &String| token.starts_with(|c: char| c.is_ascii_digit());
            let places: Vec<usize> = (0..tokens.len()).filter(|&place| is_number(&tokens[place])).collect();
            let Some(&place) = places.get(random.below(places.len().max(1))) else { return };
            tokens[place] = match (random.below(3), tokens[place].parse::<i64>()) {
                (0, Ok(number)) => number.wrapping_add(random.pick(&[-1, 1, 2, 8])).to_string(),
                (1, _) => random.pick(&places.iter().map(|&place| tokens[place].clone()).collect::<Vec<_>>()),
                _ => random.pick(&NUMBERS).to_owned(),
            };
        }
    }
}

/// Writes one of the tokens that suit in the place of another.
fn exchange(tokens: &mut [String], random: &mut Random, suits: impl Fn(&String) -> bool) {
    let places: Vec<usize> = (0..tokens.len()).filter(|&place| suits(&tokens[place])).collect();
    if !places.is_empty() {
        tokens[random.pick(&places)] = tokens[random.pick(&places)].clone();
    }
}

/// Deletes, repeats or moves the line of a token.
fn line(tokens: &mut Vec<String>, at: usize, random: &mut Random) {
    let start = tokens[..at].iter().rposition(|token| token == "\n").map_or(0, |place| place + 1);
    let end = tokens[at..].iter().position(|token| token == "\n").map_or(tokens.len(), |place| at + place + 1);
    let line: Vec<String> = match random.below(3) {
        0 => tokens.drain(start..end).collect(),
        1 => tokens[start..end].to_vec(),
        _ => {
            tokens.drain(start..end);
            return;
        }
    };
    let breaks: Vec<usize> = (0..tokens.len()).filter(|&place| tokens[place] == "\n").collect();
    let place = if breaks.is_empty() { 0 } else { random.pick(&breaks) + 1 };
    tokens.splice(place..place, line);
}

/// Words, numbers, and everything else one by one.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in text.chars() {
        let continues = c.is_ascii_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(last) if continues && in_word => last.push(c),
            _ => tokens.push(c.to_string()),
        }
        in_word = continues;
    }
    tokens
}

/// Bytes with one to six faults.
pub fn bytes(valid: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..random.between(1, 6) {
        if bytes.is_empty() {
            break;
        }
        // headers are at the start
        let within = if random.chance(50) { bytes.len().min(200) } else { bytes.len() };
        let at = random.below(within);
        let until = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            2 => bytes[at..until].fill(random.pick(&[0, 0xff, b'9'])),
            3 => {
                bytes.drain(at..until);
            }
            4 => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => bytes.truncate(at),
            _ => bytes[at] = random.next() as u8,
        }
    }
    bytes
}

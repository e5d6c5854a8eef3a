use super::ParseError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    /// Digits, perhaps with a fraction and an exponent.
    Number(String),
    /// `%3`
    Register(u32),
    /// A quoted text, unescaped.
    Quoted(String),
    Symbol(&'static str),
    End,
}

impl Token {
    pub fn describe(&self) -> String {
        match self {
            Token::Word(text) | Token::Number(text) => format!("`{text}`"),
            Token::Register(number) => format!("`%{number}`"),
            Token::Quoted(text) => format!("{text:?}"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::End => "the end of the text".to_string(),
        }
    }
}

/// A token, the line on which it stands and the bytes it takes.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub token: Token,
    pub line: usize,
    pub start: usize,
    pub end: usize,
}

const SYMBOLS: &[&str] = &["+=", "..", "//", "(", ")", "[", "]", "{", "}", ",", ";", ":", "=", "+", "-", "*", "%", "@"];

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let run = |taken: &dyn Fn(char) -> bool| rest.find(|c| !taken(c)).unwrap_or(rest.len());
        let (token, length) = if c == '\n' {
            line += 1;
            at += 1;
            continue;
        } else if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c == '#' {
            at += run(&|c| c != '\n');
            continue;
        } else if c.is_ascii_alphabetic() || c == '_' {
            let length = run(&|c| c.is_ascii_alphanumeric() || c == '_');
            (Token::Word(rest[..length].to_string()), length)
        } else if c.is_ascii_digit() {
            let length = number_length(rest);
            (Token::Number(rest[..length].to_string()), length)
        } else if c == '%' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) && starts_operand(tokens.last(), line)
        {
            let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
            let number = rest[1..=digits].parse().map_err(|_| ParseError {
                line,
                message: format!("expected a register's number, found `{}`", &rest[..=digits]),
            })?;
            (Token::Register(number), 1 + digits)
        } else if c == '"' {
            quoted(rest, line)?
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            return Err(ParseError { line, message: format!("unexpected character {c:?}") });
        };
        tokens.push(Placed { token, line, start: at, end: at + length });
        at += length;
    }
    tokens.push(Placed { token: Token::End, line, start: at, end: at });
    Ok(tokens)
}

/// Whether an operand may follow: then `%3` is a register, else `%` is the modulo operator.
fn starts_operand(before: Option<&Placed>, line: usize) -> bool {
    match before.filter(|placed| placed.line == line).map(|placed| &placed.token) {
        Some(Token::Number(_) | Token::Register(_)) => false,
        Some(Token::Word(word)) => !is_index_word(word),
        Some(Token::Symbol(symbol)) => *symbol != ")",
        Some(Token::Quoted(_) | Token::End) | None => true,
    }
}

/// Whether the word names a dimension parameter (`d0`) or an axis (`i1`, `t0`).
pub(super) fn is_index_word(word: &str) -> bool {
    word.strip_prefix(['d', 'i', 't']).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = matches!(bytes.get(end + 1), Some(b'-' | b'+')) as usize;
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

fn quoted(rest: &str, line: usize) -> Result<(Token, usize), ParseError> {
    let error = |message: &str| ParseError { line, message: message.to_string() };
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Quoted(text), at + 1)),
            '\n' => break,
            '\\' => text.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                Some(c @ ('\\' | '"' | '\'')) => c,
                Some('u') => {
                    let digits: String = chars.by_ref().map(|(_, c)| c).skip(1).take_while(|&c| c != '}').collect();
                    u32::from_str_radix(&digits, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(|| error("expected `\\u{..}` with a character's number"))?
                }
                _ => return Err(error("expected an escape such as `\\n` or `\\\"`")),
            }),
            c => text.push(c),
        }
    }
    Err(error("expected `\"` before the end of the line"))
}

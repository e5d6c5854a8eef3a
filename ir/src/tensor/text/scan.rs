use super::ParseError;
use crate::tensor::Type;
use kc_abi::{DType, Dim, TensorType};
use serde::de::{DeserializeOwned, IgnoredAny};

/// The lines of a text that say something, and a cursor in the current one.
pub(super) struct Scanner<'a> {
    lines: Vec<(usize, &'a str)>,
    /// Index of the current line.
    current: usize,
    /// Byte position in the current line.
    position: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
        let says_something = |line: &str| !line.trim_start().is_empty() && !line.trim_start().starts_with("//");
        let mut lines: Vec<_> = lines.filter(|(_, line)| says_something(line)).collect();
        // an error at the end of the text has a line, too
        lines.push((text.lines().count() + 1, ""));
        Scanner { lines, current: 0, position: 0 }
    }

    fn line(&self) -> &'a str {
        self.lines[self.current].1
    }

    /// What is left of the line, without leading white space.
    pub fn rest(&mut self) -> &'a str {
        let rest = &self.line()[self.position..];
        self.position += rest.len() - rest.trim_start().len();
        &self.line()[self.position..]
    }

    pub fn at_end_of_text(&mut self) -> bool {
        self.current + 1 == self.lines.len()
    }

    /// A place that an error can be reported at later.
    pub fn mark(&mut self) -> (usize, usize) {
        self.rest();
        (self.current, self.position)
    }

    pub fn error<T>(&mut self, message: impl Into<String>) -> Result<T, ParseError> {
        let mark = self.mark();
        self.error_at(mark, message)
    }

    pub fn error_at<T>(
        &self,
        (current, position): (usize, usize),
        message: impl Into<String>,
    ) -> Result<T, ParseError> {
        let (line, text) = self.lines[current];
        let column = text[..position].chars().count() + 1;
        Err(ParseError { line, column, text: text.to_string(), message: message.into() })
    }

    /// What is next, for messages.
    fn found(&mut self) -> String {
        if self.at_end_of_text() {
            return "the end of the text".into();
        }
        let rest = self.rest();
        match rest.find(char::is_whitespace).unwrap_or(rest.len()) {
            0 => "the end of the line".into(),
            end => format!("`{}`", rest[..end].chars().take(40).collect::<String>()),
        }
    }

    pub fn expected<T>(&mut self, what: &str) -> Result<T, ParseError> {
        let found = self.found();
        self.error(format!("expected {what}, found {found}"))
    }

    pub fn end_of_line(&mut self) -> Result<(), ParseError> {
        if !self.rest().is_empty() {
            return self.expected("the end of the line");
        }
        if !self.at_end_of_text() {
            self.current += 1;
            self.position = 0;
        }
        Ok(())
    }

    /// Takes a punctuation mark, where it is next.
    pub fn eat(&mut self, mark: &str) -> bool {
        let found = self.rest().starts_with(mark);
        if found {
            self.position += mark.len();
        }
        found
    }

    pub fn expect(&mut self, mark: &str) -> Result<(), ParseError> {
        if self.eat(mark) { Ok(()) } else { self.expected(&format!("`{mark}`")) }
    }

    /// The word (letters, digits, `_`) that is next; empty if none is.
    pub fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
    }

    pub fn word(&mut self, what: &str) -> Result<&'a str, ParseError> {
        let word = self.peek_word();
        if word.is_empty() {
            return self.expected(what);
        }
        self.position += word.len();
        Ok(word)
    }

    /// Takes a word, where it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        if found {
            self.position += word.len();
        }
        found
    }

    pub fn number<T: std::str::FromStr>(&mut self) -> Result<T, ParseError> {
        match self.peek_word().parse() {
            Ok(number) => self.word("a number").map(|_| number),
            Err(_) => self.expected("a number"),
        }
    }

    /// The JSON value that is next, as text.
    pub fn json_text(&mut self) -> Result<&'a str, ParseError> {
        let rest = self.rest();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let end = values.byte_offset();
                self.position += end;
                Ok(&rest[..end])
            }
            Some(Err(error)) => self.json_error(&error, 0),
            None => self.expected("a JSON value"),
        }
    }

    /// Reports serde's error on the JSON that starts at the cursor; `shift` is the number of bytes in front that are not in the line.
    pub fn json_error<T>(&mut self, error: &serde_json::Error, shift: usize) -> Result<T, ParseError> {
        let (current, start) = self.mark();
        let mut position = (start + error.column().saturating_sub(1 + shift)).min(self.line().len());
        while !self.line().is_char_boundary(position) {
            position -= 1;
        }
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        self.error_at((current, position), message)
    }

    /// Reads a value from the JSON that is next.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, ParseError> {
        let start = self.mark();
        let text = self.json_text()?;
        match serde_json::from_str(text) {
            Ok(value) => Ok(value),
            Err(error) => {
                self.position = start.1;
                self.json_error(&error, 0)
            }
        }
    }

    /// Moves the cursor back to a mark of the same line.
    pub fn rewind(&mut self, (_, position): (usize, usize)) {
        self.position = position;
    }

    /// A type: `f32[B, 10]`, or a tuple of them in parentheses.
    pub fn ty(&mut self) -> Result<Type, ParseError> {
        if !self.eat("(") {
            return Ok(Type::Tensor(self.tensor_type()?));
        }
        let mut types = Vec::new();
        while !self.eat(")") {
            if !types.is_empty() {
                self.expect(",")?;
            }
            types.push(self.tensor_type()?);
        }
        Ok(Type::Tuple(types))
    }

    fn tensor_type(&mut self) -> Result<TensorType, ParseError> {
        let Ok(dtype) = self.peek_word().parse::<DType>() else {
            return self.expected("a type such as `f32[B, 10]`");
        };
        self.word("a dtype")?;
        self.expect("[")?;
        let mut shape = Vec::new();
        while !self.eat("]") {
            if !shape.is_empty() {
                self.expect(",")?;
            }
            let rest = self.rest();
            let Some(end) = rest.find([',', ']']) else {
                return self.expected("`]` after the extents");
            };
            match rest[..end].parse::<Dim>() {
                Ok(dim) => shape.push(dim),
                Err(error) => return self.error(error.to_string()),
            }
            self.position += end;
        }
        Ok(TensorType { dtype, shape })
    }
}

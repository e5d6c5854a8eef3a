use super::lex::{Token, is_index_word};
use super::parse::{Parsed, Parser};
use crate::kernel::*;

/// Operations of one index.
const MAX_INDEX: usize = 256;

impl Parser<'_> {
    /// An index.
    pub fn index(&mut self) -> Parsed<Index> {
        self.operations = 0;
        self.sum()
    }

    fn operation(&mut self) -> Parsed<()> {
        self.operations += 1;
        if self.operations > MAX_INDEX {
            return self.error(format!("an index of more than {MAX_INDEX} operations"));
        }
        Ok(())
    }

    fn sum(&mut self) -> Parsed<Index> {
        let mut sum = self.product()?;
        loop {
            if self.eat("+") {
                self.operation()?;
                sum = Index::Add(Box::new(sum), Box::new(self.product()?));
            } else if self.eat("-") {
                self.operation()?;
                let negated = match self.product()? {
                    Index::Constant(value) => Index::Constant(value.wrapping_neg()),
                    other => Index::Multiply(Box::new(other), Box::new(Index::Constant(-1))),
                };
                sum = Index::Add(Box::new(sum), Box::new(negated));
            } else {
                return Ok(sum);
            }
        }
    }

    fn product(&mut self) -> Parsed<Index> {
        let mut product = self.primary()?;
        loop {
            let combine = match self.peek() {
                Token::Symbol("*") => Index::Multiply,
                Token::Symbol("//") => Index::FloorDiv,
                Token::Symbol("%") => Index::Modulo,
                _ => return Ok(product),
            };
            self.next();
            self.operation()?;
            product = combine(Box::new(product), Box::new(self.primary()?));
        }
    }

    fn primary(&mut self) -> Parsed<Index> {
        const WHAT: &str = "an index: a number, `d0`, an axis, a register, `min(`, `max(` or `(`";
        if self.eat("(") {
            self.operation()?;
            let inner = self.sum()?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.peek().clone() {
            Token::Number(_) | Token::Symbol("-") => Ok(Index::Constant(self.number(WHAT)?)),
            Token::Register(number) => {
                self.next();
                Ok(Index::Register(Register(number)))
            }
            Token::Word(word) if word == "min" || word == "max" => {
                self.next();
                self.operation()?;
                self.expect("(")?;
                let a = Box::new(self.sum()?);
                self.expect(",")?;
                let b = Box::new(self.sum()?);
                self.expect(")")?;
                Ok(if word == "min" { Index::Min(a, b) } else { Index::Max(a, b) })
            }
            Token::Word(word) if is_index_word(&word) => {
                let Ok(number) = word[1..].parse() else { return self.expected(WHAT) };
                self.next();
                Ok(if word.starts_with('d') { Index::Dim(number) } else { Index::Axis(Axis(number)) })
            }
            _ => self.expected(WHAT),
        }
    }
}

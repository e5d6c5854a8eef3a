use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::{fmt, ops, str::FromStr};
#[cfg(feature = "serde")]
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of an unknown extent, such as the batch size `B`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Symbol(pub Box<str>);

impl Symbol {
    /// A symbol of that name: a letter, then letters, digits and underscores.
    pub fn new(name: &str) -> Self {
        Symbol(name.into())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A factor of a [`Term`] that is not a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// An unknown extent.
    Symbol(Symbol),
    /// `floor(dividend / divisor)` with a divisor of at least 1.
    FloorDiv(Box<Dim>, Box<Dim>),
}

/// `coefficient * atoms[0] * atoms[1] * ...`; the atoms are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// The factors that are not numbers, sorted.
    pub atoms: Vec<Atom>,
    /// The number, never 0 in a normal form.
    pub coefficient: i64,
}

/// An extent: a sum of products of symbols, floor divisions and integers, kept in a normal form, so
/// that two dimensions that are equal by the laws of + and x are `==`.
///
/// Text form: `784`, `B`, `B*4 + 1`, `(T - 1)//2 + 1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Dim {
    terms: Vec<Term>,
}

impl Dim {
    /// The dimension of a known extent.
    pub fn constant(value: i64) -> Self {
        if value == 0 {
            return Dim::default();
        }
        Dim { terms: vec![Term { atoms: Vec::new(), coefficient: value }] }
    }

    /// The dimension that is the symbol `name`.
    pub fn symbol(name: &str) -> Self {
        Dim::atom(Atom::Symbol(Symbol::new(name)))
    }

    fn atom(atom: Atom) -> Self {
        Dim { terms: vec![Term { atoms: vec![atom], coefficient: 1 }] }
    }

    /// The terms of the normal form, sorted by their atoms; the constant term, if any, is first.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The extent, where it has no symbol.
    pub fn as_constant(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [term] if term.atoms.is_empty() => Some(term.coefficient),
            _ => None,
        }
    }

    /// The symbol, where it is nothing but one.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match self.terms.as_slice() {
            [Term { atoms, coefficient: 1 }] => match atoms.as_slice() {
                [Atom::Symbol(symbol)] => Some(symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the extent is known to be `value`.
    pub fn is(&self, value: i64) -> bool {
        self.as_constant() == Some(value)
    }

    fn from_terms(mut terms: Vec<Term>) -> Self {
        terms.sort_unstable();
        let mut merged: Vec<Term> = Vec::with_capacity(terms.len());
        for term in terms {
            match merged.last_mut() {
                Some(last) if last.atoms == term.atoms => {
                    last.coefficient = last.coefficient.wrapping_add(term.coefficient)
                }
                _ => merged.push(term),
            }
        }
        merged.retain(|term| term.coefficient != 0);
        Dim { terms: merged }
    }

    /// `floor(self / divisor)`, simplified where the division is known to be exact.
    ///
    /// A constant divisor must be at least 1 (0 is treated as 1).
    pub fn floor_div(&self, divisor: &Dim) -> Dim {
        if let Some(exact) = self.exact_div(divisor) {
            return exact;
        }
        if let Some(d) = divisor.as_constant() {
            if d <= 1 {
                return self.clone();
            }
            if let Some(n) = self.as_constant() {
                return Dim::constant(n.div_euclid(d));
            }
            // floor((d*q + r) / d) = q + floor(r / d)
            let (whole, rest): (Vec<Term>, Vec<Term>) =
                self.terms.iter().cloned().partition(|t| t.coefficient % d == 0);
            if !whole.is_empty() {
                let q =
                    Dim { terms: whole.into_iter().map(|t| Term { coefficient: t.coefficient / d, ..t }).collect() };
                return q + Dim::from_terms(rest).floor_div(divisor);
            }
        }
        Dim::atom(Atom::FloorDiv(Box::new(self.clone()), Box::new(divisor.clone())))
    }

    /// `ceil(self / divisor)` for a divisor of at least 1.
    pub fn ceil_div(&self, divisor: i64) -> Dim {
        (self.clone() + Dim::constant(divisor - 1)).floor_div(&Dim::constant(divisor))
    }

    /// `self / divisor` where the quotient is a dimension by division of each term.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        if self == divisor && !divisor.terms.is_empty() {
            return Some(Dim::constant(1));
        }
        let [d] = divisor.terms.as_slice() else { return None };
        let terms = self.terms.iter().map(|term| {
            if term.coefficient.checked_rem(d.coefficient)? != 0 {
                return None;
            }
            let mut atoms = term.atoms.clone();
            for atom in &d.atoms {
                let position = atoms.iter().position(|a| a == atom)?;
                atoms.remove(position);
            }
            Some(Term { atoms, coefficient: term.coefficient / d.coefficient })
        });
        Some(Dim::from_terms(terms.collect::<Option<Vec<_>>>()?))
    }

    /// The value where `value_of` gives each symbol's value; `None` if one is missing, or on overflow.
    pub fn evaluate(&self, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let mut sum = 0i64;
        for term in &self.terms {
            let mut product = term.coefficient;
            for atom in &term.atoms {
                let factor = match atom {
                    Atom::Symbol(symbol) => value_of(symbol)?,
                    Atom::FloorDiv(n, d) => {
                        let divisor = d.evaluate(value_of)?;
                        n.evaluate(value_of)?.checked_div_euclid(divisor.max(1))?
                    }
                };
                product = product.checked_mul(factor)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// The dimension with symbols replaced; a symbol for which `replace` gives `None` stays.
    pub fn substitute(&self, replace: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        self.terms.iter().fold(Dim::default(), |sum, term| {
            sum + term.atoms.iter().fold(Dim::constant(term.coefficient), |product, atom| {
                product
                    * match atom {
                        Atom::Symbol(symbol) => replace(symbol).unwrap_or_else(|| Dim::atom(atom.clone())),
                        Atom::FloorDiv(n, d) => n.substitute(replace).floor_div(&d.substitute(replace)),
                    }
            })
        })
    }

    /// Number of factors of all terms, those of floor divisions included.
    fn size(&self) -> usize {
        let of_atom = |atom: &Atom| match atom {
            Atom::Symbol(_) => 1,
            Atom::FloorDiv(n, d) => 1 + n.size() + d.size(),
        };
        self.terms.iter().map(|term| 1 + term.atoms.iter().map(of_atom).sum::<usize>()).sum()
    }

    /// Number of floor divisions inside of each other.
    fn depth(&self) -> u32 {
        let of_atom = |atom: &Atom| match atom {
            Atom::Symbol(_) => 0,
            Atom::FloorDiv(n, d) => 1 + n.depth().max(d.depth()),
        };
        self.terms.iter().flat_map(|term| &term.atoms).map(of_atom).max().unwrap_or(0)
    }

    /// The text form, in parentheses where it is not one number or symbol.
    fn factor(&self) -> String {
        match self.terms.as_slice() {
            [] => "0".to_string(),
            [Term { atoms, coefficient: 0.. }] if atoms.is_empty() => self.to_string(),
            [Term { atoms, coefficient: 1 }] if matches!(atoms.as_slice(), [Atom::Symbol(_)]) => self.to_string(),
            _ => format!("({self})"),
        }
    }

    /// Adds the symbols that occur to `symbols`, each once, in order of appearance.
    pub fn collect_symbols(&self, symbols: &mut Vec<Symbol>) {
        for atom in self.terms.iter().flat_map(|term| &term.atoms) {
            match atom {
                Atom::Symbol(symbol) if symbols.contains(symbol) => {}
                Atom::Symbol(symbol) => symbols.push(symbol.clone()),
                Atom::FloorDiv(n, d) => {
                    n.collect_symbols(symbols);
                    d.collect_symbols(symbols);
                }
            }
        }
    }
}

impl From<i64> for Dim {
    fn from(value: i64) -> Self {
        Dim::constant(value)
    }
}
impl From<usize> for Dim {
    fn from(value: usize) -> Self {
        Dim::constant(value as i64)
    }
}

impl ops::Add for Dim {
    type Output = Dim;
    fn add(mut self, other: Dim) -> Dim {
        self.terms.extend(other.terms);
        Dim::from_terms(self.terms)
    }
}

impl ops::Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        self * Dim::constant(-1)
    }
}

impl ops::Sub for Dim {
    type Output = Dim;
    fn sub(self, other: Dim) -> Dim {
        self + -other
    }
}

impl ops::Mul for Dim {
    type Output = Dim;
    fn mul(self, other: Dim) -> Dim {
        let mut terms = Vec::with_capacity(self.terms.len() * other.terms.len());
        for a in &self.terms {
            for b in &other.terms {
                let mut atoms: Vec<Atom> = a.atoms.iter().chain(&b.atoms).cloned().collect();
                atoms.sort_unstable();
                terms.push(Term { atoms, coefficient: a.coefficient.wrapping_mul(b.coefficient) });
            }
        }
        Dim::from_terms(terms)
    }
}

impl core::iter::Product for Dim {
    fn product<I: Iterator<Item = Dim>>(dims: I) -> Dim {
        dims.fold(Dim::constant(1), |a, b| a * b)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return formatter.write_str("0");
        }
        // symbols first, the constant last: `B*4 + 1`; the least number, whose size no text can have, in two parts
        let (constants, rest): (Vec<&Term>, Vec<&Term>) = self.terms.iter().partition(|t| t.atoms.is_empty());
        let parts = rest.into_iter().chain(constants).flat_map(|term| match term.coefficient {
            i64::MIN => vec![(term, -i64::MAX), (term, -1)],
            coefficient => vec![(term, coefficient)],
        });
        for (i, (term, coefficient)) in parts.enumerate() {
            let (sign, size) = (coefficient < 0, coefficient.unsigned_abs());
            formatter.write_str(match (i, sign) {
                (0, true) => "-",
                (0, false) => "",
                (_, true) => " - ",
                (_, false) => " + ",
            })?;
            let mut factors: Vec<String> = term
                .atoms
                .iter()
                .enumerate()
                .map(|(position, atom)| match atom {
                    Atom::Symbol(symbol) => symbol.to_string(),
                    Atom::FloorDiv(n, d) if position == 0 => format!("{}//{}", n.factor(), d.factor()),
                    Atom::FloorDiv(n, d) => format!("({}//{})", n.factor(), d.factor()),
                })
                .collect();
            if size != 1 || factors.is_empty() {
                factors.push(size.to_string());
            }
            formatter.write_str(&factors.join("*"))?;
        }
        Ok(())
    }
}

/// The text is no dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimError(pub String);

impl fmt::Display for DimError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not a dimension: {}", self.0)
    }
}

impl core::error::Error for DimError {}

impl FromStr for Dim {
    type Err = DimError;
    fn from_str(text: &str) -> Result<Self, DimError> {
        let mut parser = Parser { rest: text, depth: 0 };
        let dim = parser.sum()?;
        if parser.peek().is_some() {
            let found = shown(parser.rest.trim_start());
            return Err(DimError(format!("`{}`, unexpected `{found}`", shown(text))));
        }
        Ok(dim)
    }
}

/// The start of a text, for messages.
fn shown(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

/// Nested parentheses and floor divisions that a text may have.
const DEPTH_LIMIT: u32 = 32;

/// Terms that a dimension read from a text may have on the way.
const TERM_LIMIT: usize = 256;

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        self.peek();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Result<Dim, DimError> {
        let mut sum = if self.eat("-") { -self.product()? } else { self.product()? };
        loop {
            if self.eat("+") {
                sum = sum + self.product()?;
            } else if self.eat("-") {
                sum = sum - self.product()?;
            } else {
                return Ok(sum);
            }
            if sum.size() > TERM_LIMIT {
                return Err(DimError(format!("a sum of more than {TERM_LIMIT} factors")));
            }
        }
    }

    fn product(&mut self) -> Result<Dim, DimError> {
        let mut product = self.factor()?;
        loop {
            if self.eat("//") {
                product = product.floor_div(&self.factor()?);
                if product.depth() > DEPTH_LIMIT {
                    return Err(DimError(format!("more than {DEPTH_LIMIT} nested floor divisions")));
                }
            } else if self.eat("*") {
                let factor = self.factor()?;
                if product.size() * factor.size() > TERM_LIMIT {
                    return Err(DimError(format!("a product of more than {TERM_LIMIT} factors")));
                }
                product = product * factor;
            } else {
                return Ok(product);
            }
        }
    }

    fn factor(&mut self) -> Result<Dim, DimError> {
        if self.eat("(") {
            self.depth += 1;
            if self.depth > DEPTH_LIMIT {
                return Err(DimError(format!("more than {DEPTH_LIMIT} nested parentheses")));
            }
            let inner = self.sum()?;
            self.depth -= 1;
            return if self.eat(")") { Ok(inner) } else { Err(DimError("a missing `)`".into())) };
        }
        self.peek();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.chars().next() {
            Some(c) if c.is_ascii_digit() => {
                word.parse().map(Dim::constant).map_err(|_| DimError(format!("`{}`", shown(word))))
            }
            Some(_) => Ok(Dim::symbol(word)),
            None if rest.is_empty() => Err(DimError("expected a number, a symbol or `(` at the end".into())),
            None => Err(DimError(format!("expected a number, a symbol or `(`, found `{}`", shown(rest)))),
        }
    }
}

#[cfg(feature = "serde")]
impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_constant() {
            Some(value) => serializer.serialize_i64(value),
            None => serializer.collect_str(self),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Dim;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an integer or a text such as \"B*4 + 1\"")
            }
            fn visit_i64<E>(self, value: i64) -> Result<Dim, E> {
                Ok(Dim::constant(value))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Dim, E> {
                i64::try_from(value).map(Dim::constant).map_err(|_| E::custom("dimension too large"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Dim, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> Dim {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn texts_are_read_back() {
        for text in [
            "0",
            "784",
            "-9223372036854775807 - 1",
            "-3",
            "B",
            "B*4 + 1",
            "(T - 1)//2 + 1",
            "B*((T - 1)//2)",
            "(A + 1)//2*((B + 1)//3)*6 - 5",
            "A//B",
        ] {
            assert_eq!(dim(text).to_string(), text);
            assert_eq!(dim(&dim(text).to_string()), dim(text));
        }
    }

    #[test]
    fn equal_by_the_laws_of_arithmetic_is_equal() {
        assert_eq!(dim("2*(B + 3) - B - B"), dim("6"));
        assert_eq!(dim("A*B"), dim("B*A"));
        assert_eq!(dim("(4*B + 6)//2"), dim("2*B + 3"));
        assert_eq!(dim("(4*B + 1)//4"), dim("B"));
        assert_eq!(dim("-7//2"), dim("-(7//2)"));
    }

    #[test]
    fn hostile_texts_are_errors() {
        let nested = "(".repeat(100_000);
        let divided = format!("A{}", "//B".repeat(10_000));
        let products: alloc::vec::Vec<String> = (0..1000).map(|i| format!("(a{i} + b{i})")).collect();
        for text in
            [nested, divided, products.join("*"), "99999999999999999999".into(), "1 +".into(), "".into(), "B B".into()]
        {
            assert!(text.parse::<Dim>().is_err());
        }
    }
}

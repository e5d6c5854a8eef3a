use super::lex::{Placed, Token, is_index_word, tokens};
use crate::kernel::*;
use kc_abi::{DType, Dim};
use std::collections::BTreeMap;

/// The text is no kernel or program: what was expected, what was found, on which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

/// The kernel of that text form.
pub fn parse_kernel(text: &str) -> Result<Kernel, ParseError> {
    let mut parser = Parser::new(text)?;
    let kernel = parser.kernel()?;
    parser.end("the end of the text after the kernel")?;
    Ok(kernel)
}

/// The kernels of a text, in order.
pub fn parse_kernels(text: &str) -> Result<Vec<Kernel>, ParseError> {
    let mut parser = Parser::new(text)?;
    let mut kernels = Vec::new();
    while *parser.peek() != Token::End {
        kernels.push(parser.kernel()?);
    }
    Ok(kernels)
}

/// Blocks within blocks.
const MAX_DEPTH: usize = 64;
/// Bytes of one dimension's text.
const MAX_DIM: usize = 1000;

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    /// Operations of the index that is being parsed.
    pub operations: usize,
    memory: Vec<Memory>,
    registers: BTreeMap<u32, RegisterType>,
}

pub(super) type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Parsed<Self> {
        let tokens = tokens(text)?;
        Ok(Parser { text, tokens, at: 0, depth: 0, operations: 0, memory: vec![], registers: BTreeMap::new() })
    }

    pub fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    pub fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].token
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    pub fn error<T>(&self, message: String) -> Parsed<T> {
        Err(ParseError { line: self.line(), message })
    }

    pub fn expected<T>(&self, what: &str) -> Parsed<T> {
        self.error(format!("expected {what}, found {}", self.peek().describe()))
    }

    pub fn end(&self, what: &str) -> Parsed<()> {
        if *self.peek() == Token::End { Ok(()) } else { self.expected(what) }
    }

    /// Takes the symbol or word if it comes next.
    pub fn eat(&mut self, text: &str) -> bool {
        let found = match self.peek() {
            Token::Symbol(symbol) => *symbol == text,
            Token::Word(word) => word == text,
            _ => false,
        };
        if found {
            self.next();
        }
        found
    }

    pub fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.eat(text) { Ok(()) } else { self.expected(&format!("`{text}`")) }
    }

    pub fn name(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Token::Word(_) | Token::Quoted(_) => match self.next() {
                Token::Word(name) | Token::Quoted(name) => Ok(name),
                _ => self.expected(what),
            },
            _ => self.expected(what),
        }
    }

    pub fn number<T: std::str::FromStr>(&mut self, what: &str) -> Parsed<T> {
        let negative = if *self.peek() == Token::Symbol("-") { "-" } else { "" };
        let token = if negative.is_empty() { self.peek() } else { self.peek_second() };
        let Token::Number(digits) = token else { return self.expected(what) };
        let Ok(number) = format!("{negative}{digits}").parse() else {
            return self.error(format!("expected {what}, found `{negative}{digits}`"));
        };
        self.at += if negative.is_empty() { 1 } else { 2 };
        Ok(number)
    }

    /// The position of a name among `names`: `name` or `@2`.
    pub fn reference(&mut self, what: &str, names: &[&str]) -> Parsed<usize> {
        if self.eat("@") {
            return self.number(&format!("the position of a {what}"));
        }
        let Token::Word(name) = self.peek() else { return self.expected(&format!("the name of a {what}")) };
        let mut found = names.iter().enumerate().filter(|(_, other)| *other == name);
        match (found.next(), found.next()) {
            (Some((position, _)), None) => {
                self.next();
                Ok(position)
            }
            (None, _) => self.error(format!("there is no {what} `{name}`; expected one of: {}", names.join(", "))),
            (Some(_), Some(_)) => {
                self.error(format!("more than one {what} is called `{name}`; expected a position such as `@0`"))
            }
        }
    }

    pub fn dtype(&mut self) -> Parsed<DType> {
        let Token::Word(word) = self.peek() else { return self.expected("a dtype such as `f32`") };
        let Ok(dtype) = word.parse() else { return self.expected("a dtype such as `f32`") };
        self.next();
        Ok(dtype)
    }

    /// A dimension, which ends before `,`, `)`, `]`, `;`, the word `work` or the end of the line.
    pub fn dim(&mut self) -> Parsed<Dim> {
        let (first, mut nested) = (self.at, 0usize);
        let line = self.line();
        loop {
            match self.peek() {
                _ if self.line() != line => break,
                Token::End => break,
                Token::Word(word) if word == "work" => break,
                Token::Symbol("(") => nested += 1,
                Token::Symbol(")") if nested > 0 => nested -= 1,
                Token::Symbol("," | ")" | "]" | ";" | "{" | "}") => break,
                _ => {}
            }
            self.next();
        }
        let (start, end) = (self.tokens[first].start, self.tokens[self.at.max(first + 1) - 1].end);
        if self.at == first {
            return self.expected("a dimension such as `B*4 + 1`");
        }
        let text = &self.text[start..end];
        if text.len() > MAX_DIM {
            return Err(ParseError { line, message: format!("a dimension of more than {MAX_DIM} bytes") });
        }
        text.parse().map_err(|error| ParseError { line, message: format!("{error}") })
    }

    pub fn kernel(&mut self) -> Parsed<Kernel> {
        self.expect("kernel")?;
        let name = self.name("the kernel's name")?;
        self.memory.clear();
        self.registers.clear();
        self.expect("(")?;
        let mut dims = 0;
        while !self.eat(")") {
            let word_follows = matches!(self.peek_second(), Token::Word(_) | Token::Quoted(_));
            if *self.peek() == Token::Word("dims".into()) && matches!(self.peek_second(), Token::Number(_)) {
                self.next();
                dims = self.number("the number of dimension parameters")?;
            } else if *self.peek() == Token::Word("scratch".into()) && word_follows {
                self.next();
                let name = self.name("a name")?;
                self.expect(":")?;
                let dtype = self.dtype()?;
                self.expect("[")?;
                let elements = self.number("the number of elements")?;
                self.expect("]")?;
                self.memory.push(Memory { name, dtype, space: Space::Scratch { elements }, part: false });
            } else {
                let name = self.name("a parameter, `scratch`, `dims` or `)`")?;
                self.expect(":")?;
                let dtype = self.dtype()?;
                let access = [Access::Read, Access::Write, Access::ReadWrite].into_iter();
                let Some(access) = access.into_iter().find(|access| self.eat(access.text())) else {
                    return self.expected("`read`, `write` or `readwrite`");
                };
                let part = self.eat("part");
                self.memory.push(Memory { name, dtype, space: Space::Parameter(access), part });
            }
            if !self.eat(",") && !self.eat(";") && *self.peek() != Token::Symbol(")") {
                return self.expected("`,`, `;` or `)`");
            }
        }
        self.expect("task")?;
        let task = self.axis()?;
        self.expect("{")?;
        if self.eat("unused") {
            self.typed_register()?;
            while self.eat(",") {
                self.typed_register()?;
            }
        }
        let (body, values) = self.block()?;
        if !values.is_empty() {
            return self.error("a kernel's body yields nothing; expected no `yield`".to_string());
        }
        let registers = self.dense_registers()?;
        Ok(Kernel { name, dims, memory: std::mem::take(&mut self.memory), task, registers, body })
    }

    fn dense_registers(&mut self) -> Parsed<Vec<RegisterType>> {
        let registers = std::mem::take(&mut self.registers);
        if let Some(missing) = (0..).zip(registers.keys()).find(|(i, number)| i != *number) {
            return self
                .error(format!("%{} is defined but %{} is not; expected an `unused` line", missing.1, missing.0));
        }
        Ok(registers.into_values().collect())
    }

    fn axis(&mut self) -> Parsed<Axis> {
        if let Token::Word(word) = self.peek()
            && is_index_word(word)
            && !word.starts_with('d')
            && let Ok(number) = word[1..].parse()
        {
            self.next();
            return Ok(Axis(number));
        }
        self.expected("an axis such as `i1`")
    }

    pub fn register(&mut self) -> Parsed<Register> {
        match *self.peek() {
            Token::Register(number) => {
                self.next();
                Ok(Register(number))
            }
            _ => self.expected("a register such as `%0`"),
        }
    }

    fn define(&mut self, register: Register, ty: RegisterType) -> Parsed<()> {
        match self.registers.insert(register.0, ty) {
            None => Ok(()),
            Some(_) => self.error(format!("%{} is defined twice", register.0)),
        }
    }

    fn typed_register(&mut self) -> Parsed<Register> {
        let register = self.register()?;
        self.expect(":")?;
        let ty = match self.peek() {
            Token::Word(word) => match word.rsplit_once('x') {
                None => word.parse().ok().map(|dtype| RegisterType { dtype, lanes: 1 }),
                Some((dtype, lanes)) => match (dtype.parse(), lanes.parse()) {
                    (Ok(dtype), Ok(lanes)) => Some(RegisterType { dtype, lanes }),
                    _ => None,
                },
            },
            _ => None,
        };
        let Some(ty) = ty else { return self.expected("a type such as `f32` or `f32x16`") };
        self.define(register, ty)?;
        self.next();
        Ok(register)
    }

    pub fn separated<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Statements and the yielded values, up to and with `}`.
    fn block(&mut self) -> Parsed<(Vec<Statement>, Vec<Register>)> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(format!("more than {MAX_DEPTH} nested blocks"));
        }
        let (mut statements, mut values) = (Vec::new(), Vec::new());
        while !self.eat("}") {
            if self.eat("yield") {
                values.push(self.register()?);
                while self.eat(",") {
                    values.push(self.register()?);
                }
                self.expect("}")?;
                break;
            }
            statements.push(self.statement()?);
        }
        self.depth -= 1;
        Ok((statements, values))
    }

    fn statement(&mut self) -> Parsed<Statement> {
        match self.peek() {
            Token::Register(_) => {
                let register = self.typed_register()?;
                self.expect("=")?;
                Ok(Statement::Let(register, self.instruction()?))
            }
            Token::Symbol("(") => {
                self.next();
                let results = self.separated(")", Self::typed_register)?;
                self.expect("=")?;
                match self.peek() {
                    Token::Word(word) if word == "for" => self.for_loop(results),
                    Token::Word(word) if word == "if" => self.branch(results),
                    _ => self.expected("`for` or `if`"),
                }
            }
            Token::Word(word) => match word.as_str() {
                "for" => self.for_loop(vec![]),
                "if" => self.branch(vec![]),
                "store" => {
                    self.next();
                    let (memory, position) = self.access()?;
                    self.expect("]")?;
                    self.expect(",")?;
                    let value = self.register()?;
                    Ok(Statement::Store { memory, position, value, count: self.count()? })
                }
                "prefetch" => {
                    self.next();
                    let (memory, position) = self.access()?;
                    self.expect("]")?;
                    Ok(Statement::Prefetch { memory, position })
                }
                "gemm" => self.gemm(),
                "library" => self.library(),
                "store_tiles" => {
                    self.next();
                    let tiles = self.tiles()?;
                    self.expect(",")?;
                    Ok(Statement::StoreTiles(Box::new(tiles), self.register()?))
                }
                "store_spaced" => {
                    self.next();
                    let spaced = self.spaced()?;
                    self.expect(",")?;
                    Ok(Statement::StoreSpaced(Box::new(spaced), self.register()?))
                }
                "copy" => self.copy(),
                "commit_copies" => {
                    self.next();
                    Ok(Statement::CommitCopies)
                }
                "await_copies" => {
                    self.next();
                    Ok(Statement::AwaitCopies { pending: self.number("how many groups may go on")? })
                }
                _ => self
                    .expected("a statement: `%0: f32 = ..`, `store`, `for`, `if`, `gemm`, `library`, `yield` or `}`"),
            },
            _ => self.expected("a statement: `%0: f32 = ..`, `store`, `for`, `if`, `gemm`, `library`, `yield` or `}`"),
        }
    }

    fn for_loop(&mut self, results: Vec<Register>) -> Parsed<Statement> {
        self.expect("for")?;
        let axis = self.axis()?;
        self.expect("in")?;
        let start = self.index()?;
        self.expect("..")?;
        let end = self.index()?;
        let step = if self.eat("step") { self.number("the loop's step")? } else { 1 };
        let independent = self.eat("independent");
        let (mut parameters, mut initial) = (vec![], vec![]);
        if self.eat("carry") {
            self.expect("(")?;
            for (parameter, value) in self.separated(")", |parser| {
                let parameter = parser.register()?;
                parser.expect("=")?;
                Ok((parameter, parser.register()?))
            })? {
                parameters.push(parameter);
                initial.push(value);
            }
        }
        if parameters.len() != results.len() {
            let (carried, given) = (parameters.len(), results.len());
            return self.error(format!("the loop carries {carried} values but has {given} results; expected as many"));
        }
        for (parameter, result) in parameters.iter().zip(&results) {
            let ty = self.registers[&result.0];
            self.define(*parameter, ty)?;
        }
        self.expect("{")?;
        let (body, next) = self.block()?;
        Ok(Statement::For(For { axis, start, end, step, independent, parameters, initial, body, next, results }))
    }

    fn branch(&mut self, results: Vec<Register>) -> Parsed<Statement> {
        self.expect("if")?;
        let condition = self.register()?;
        self.expect("{")?;
        let (then, then_values) = self.block()?;
        let (otherwise, otherwise_values) = if self.eat("else") {
            self.expect("{")?;
            self.block()?
        } else {
            (vec![], vec![])
        };
        Ok(Statement::If(If { condition, then, then_values, otherwise, otherwise_values, results }))
    }

    /// `memory[position`
    pub fn access(&mut self) -> Parsed<(MemoryId, Index)> {
        let memory = std::mem::take(&mut self.memory);
        let names: Vec<&str> = memory.iter().map(|m| m.name.as_str()).collect();
        let found = self.reference("memory", &names);
        self.memory = memory;
        let position = u32::try_from(found?).or_else(|_| self.expected("the position of a memory"))?;
        self.expect("[")?;
        Ok((MemoryId(position), self.index()?))
    }

    pub fn count(&mut self) -> Parsed<Option<Index>> {
        if self.eat("count") { self.index().map(Some) } else { Ok(None) }
    }

    fn matrix(&mut self) -> Parsed<Matrix> {
        let (memory, position) = self.access()?;
        self.expect("strides")?;
        let row_stride = self.index()?;
        self.expect(",")?;
        let column_stride = self.index()?;
        self.expect("]")?;
        Ok(Matrix { memory, position, row_stride, column_stride })
    }

    fn gemm(&mut self) -> Parsed<Statement> {
        self.expect("gemm")?;
        let c = self.matrix()?;
        let accumulate = self.eat("+=");
        if !accumulate && !self.eat("=") {
            return self.expected("`=` or `+=`");
        }
        let a = self.matrix()?;
        self.expect("*")?;
        let b = self.matrix()?;
        self.expect("size")?;
        let m = self.index()?;
        self.expect("by")?;
        let n = self.index()?;
        self.expect("by")?;
        let k = self.index()?;
        Ok(Statement::Gemm(Box::new(Gemm { m, n, k, a, b, c, accumulate })))
    }

    pub fn tiles(&mut self) -> Parsed<Tiles> {
        let (memory, position) = self.access()?;
        let lines = if self.eat("rows") {
            Lines::Rows
        } else {
            self.expect("columns")?;
            Lines::Columns
        };
        let stride = self.number("the elements from one line to the next")?;
        self.expect("]")?;
        self.expect("warps")?;
        let across = self.number("the columns of the grid of warps")?;
        self.expect("steps")?;
        let down = self.number("the elements to the next matrix down")?;
        self.expect(",")?;
        let right = self.number("the elements to the next matrix to the right")?;
        Ok(Tiles { memory, position, lines, stride, across, steps: [down, right] })
    }

    pub fn spaced(&mut self) -> Parsed<Spaced> {
        let (memory, position) = self.access()?;
        self.expect("steps")?;
        let mut steps = vec![self.number("the elements by which a lane's lowest bit moves")?];
        while self.eat(",") {
            steps.push(self.number("the elements by which the next bit moves")?);
        }
        self.expect("]")?;
        Ok(Spaced { memory, position, steps })
    }

    fn copy(&mut self) -> Parsed<Statement> {
        self.expect("copy")?;
        let (to, to_position) = self.access()?;
        self.expect("stride")?;
        let to_stride = self.number("the elements from one line to the next")?;
        self.expect("]")?;
        self.expect("=")?;
        let (from, from_position) = self.access()?;
        self.expect("line")?;
        let first_line = self.index()?;
        self.expect("stride")?;
        let (mut from_strides, mut from_extents) = (vec![self.index()?], vec![]);
        while self.eat(",") {
            from_extents.push(self.index()?);
            self.expect("stride")?;
            from_strides.push(self.index()?);
        }
        self.expect("]")?;
        self.expect("size")?;
        let lines = self.number("the number of lines")?;
        self.expect("by")?;
        let elements = self.number("the elements of a line")?;
        self.expect("of")?;
        let valid_lines = self.index()?;
        self.expect("by")?;
        let valid_elements = self.index()?;
        Ok(Statement::Copy(Box::new(TileCopy {
            to,
            to_position,
            to_stride,
            from,
            from_position,
            first_line,
            from_strides,
            from_extents,
            lines,
            elements,
            valid_lines,
            valid_elements,
        })))
    }

    fn region(&mut self) -> Parsed<Region> {
        let matrix = self.matrix()?;
        self.expect("size")?;
        let rows = self.index()?;
        self.expect("by")?;
        Ok(Region { matrix, rows, columns: self.index()? })
    }

    fn library(&mut self) -> Parsed<Statement> {
        self.expect("library")?;
        let function = match self.peek() {
            Token::Word(word) => LibraryFunction::from_name(word),
            _ => None,
        };
        let Some(function) = function else { return self.expected("a function of the library such as `argsort`") };
        self.next();
        self.expect("(")?;
        let reads = self.separated(")", Self::region)?;
        self.expect("to")?;
        self.expect("(")?;
        let writes = self.separated(")", Self::region)?;
        let mut attributes = Vec::new();
        if self.eat("with") {
            attributes.push(self.number("an integer attribute")?);
            while self.eat(",") {
                attributes.push(self.number("an integer attribute")?);
            }
        }
        Ok(Statement::Library(Box::new(LibraryCall { function, reads, writes, attributes })))
    }
}

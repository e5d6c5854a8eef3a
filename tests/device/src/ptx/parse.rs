//! From the text to decoded instructions.

use super::inline::{Routine, inline};
use super::{
    Address, Element, Factors, Function, Instruction, Module, Op, Operand, Parameter, Shuffle, Space, Special, compute,
};
use crate::execute::DATA_WINDOW;
use std::collections::HashMap;
use std::sync::Arc;

/// Reads a module.
///
/// # Errors
/// Says in which line what is that this device does not know.
pub fn parse(text: &str) -> Result<Module, String> {
    let mut module = Module { version: (0, 0), target: String::new(), functions: Vec::new() };
    let mut body: Option<Body> = None;
    let (mut entries, mut routines) = (Vec::new(), HashMap::new());
    let mut data = Data::default();
    for statement in statements(text)? {
        let Statement { text, line, ends } = statement;
        let at = |message: String| format!("line {line}: {message}");
        if let Some(open) = &mut body {
            match ends {
                Ends::Close if open.depth == 0 => {
                    let done = body.take().ok_or_else(|| at("a block is closed that is not open".into()))?;
                    let is_entry = done.is_entry;
                    let routine = done.finish()?;
                    if is_entry {
                        entries.push(routine);
                    } else {
                        routines.insert(routine.function.name.clone(), routine);
                    }
                }
                Ends::Close => open.depth -= 1,
                Ends::Open => open.depth += 1,
                Ends::Label => {
                    open.labels.insert(text, open.instructions.len());
                }
                Ends::Semicolon => open.statement(&text, line).map_err(at)?,
                Ends::Line => {}
            }
            continue;
        }
        match ends {
            Ends::Open => {
                body = Some(Body::new(&text, &data).map_err(at)?);
            }
            Ends::Line if text.starts_with(".version") => {
                let number = text.trim_start_matches(".version").trim();
                let (major, minor) = number.split_once('.').ok_or_else(|| at(format!("no version: {text}")))?;
                let read = |part: &str| part.parse().map_err(|_| at(format!("no version: {text}")));
                module.version = (read(major)?, read(minor)?);
            }
            Ends::Line if text.starts_with(".target") => {
                module.target = text.trim_start_matches(".target").split(',').next().unwrap_or("").trim().to_string();
            }
            Ends::Line if text.starts_with(".address_size") => {
                if !text.ends_with("64") {
                    return Err(at(format!("`{text}`; addresses of 64 bits were expected")));
                }
            }
            Ends::Semicolon if text.starts_with(".global") || text.starts_with(".const") => {
                data.add(&text).map_err(at)?
            }
            // what is declared here is defined elsewhere
            Ends::Semicolon if text.starts_with(".func") => {}
            Ends::Line | Ends::Label | Ends::Close | Ends::Semicolon => {
                return Err(at(format!("`{text}` is not known outside of a function")));
            }
        }
    }
    match body {
        Some(open) => Err(format!("the function {} does not end", open.function.name)),
        None if module.version == (0, 0) || module.target.is_empty() => {
            Err("the text is no PTX: `.version` and `.target` are missing".into())
        }
        None => {
            let bytes = Arc::new(data.bytes);
            for entry in entries {
                module.functions.push(Function { data: bytes.clone(), ..inline(entry, &routines)? });
            }
            Ok(module)
        }
    }
}

/// Data of a module.
#[derive(Default)]
struct Data {
    bytes: Vec<u8>,
    places: HashMap<String, u64>,
}

impl Data {
    /// Where each lies.
    fn names(&self) -> HashMap<String, (Space, u64)> {
        self.places.iter().map(|(name, place)| (name.clone(), (Space::Data, DATA_WINDOW + place))).collect()
    }

    /// `.global .align 8 .b8 table[16] = {1, 2, ...}`, and lists of wider numbers.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = || format!("the data `{text}`");
        let (declared, values) = text.split_once('=').ok_or_else(wrong)?;
        let words: Vec<&str> = declared.split_whitespace().collect();
        let alignment = words.iter().position(|word| *word == ".align").and_then(|place| words.get(place + 1));
        let alignment: usize = alignment.and_then(|number| number.parse().ok()).unwrap_or(8);
        let memory = words.last().copied().unwrap_or_default();
        let name = memory.split_once('[').map_or(memory, |(name, _)| name);
        let ty =
            words.iter().rev().nth(1).and_then(|ty| compute::memory_type(ty.strip_prefix('.')?)).ok_or_else(wrong)?;
        let count = memory.split_once('[').map_or(Some(1), |(_, count)| count.trim_end_matches(']').parse().ok());
        let count: usize = count.ok_or_else(wrong)?;
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let start = self.bytes.len();
        self.places.insert(name.to_string(), start as u64);
        for value in values.trim().trim_start_matches('{').trim_end_matches('}').split(',') {
            let value = number(value.trim()).ok_or_else(wrong)?;
            self.bytes.extend(&value.to_le_bytes()[..ty.0]);
        }
        self.bytes.resize(start + count * ty.0, 0);
        Ok(())
    }
}

/// How a statement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// A semicolon.
    Semicolon,
    /// A colon.
    Label,
    /// An opening brace.
    Open,
    /// A closing brace, with nothing before it.
    Close,
    /// The line, of a directive of the module.
    Line,
}

struct Statement {
    text: String,
    line: usize,
    ends: Ends,
}

fn statements(text: &str) -> Result<Vec<Statement>, String> {
    let mut all = Vec::new();
    let (mut current, mut start, mut nested, mut inside) = (String::new(), 1, 0usize, 0usize);
    for (number, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        let mut characters = line.chars().peekable();
        let mut previous = ' ';
        while let Some(character) = characters.next() {
            let blank = current.trim().is_empty();
            if blank {
                start = number + 1;
            }
            let mut end = |current: &mut String, ends| {
                let text = std::mem::take(current).trim().to_string();
                all.push(Statement { text, line: start, ends });
            };
            match character {
                ';' if nested == 0 => end(&mut current, Ends::Semicolon),
                ':' if nested == 0 && !blank && previous != ':' && characters.peek() != Some(&':') => {
                    end(&mut current, Ends::Label);
                }
                // a brace within a statement holds operands
                '{' if (inside > 0 || current.contains('=')) && !blank => {
                    nested += 1;
                    current.push(character);
                }
                '}' if nested > 0 => {
                    nested -= 1;
                    current.push(character);
                }
                '{' => {
                    inside += 1;
                    end(&mut current, Ends::Open);
                }
                '}' => {
                    inside = inside.checked_sub(1).ok_or_else(|| format!("line {}: `}}` without `{{`", number + 1))?;
                    end(&mut current, Ends::Close);
                }
                _ => current.push(character),
            }
            previous = character;
        }
        current.push(' ');
        let trimmed = current.trim();
        if inside == 0 && [".version", ".target", ".address_size"].iter().any(|name| trimmed.starts_with(name)) {
            all.push(Statement { text: trimmed.to_string(), line: number + 1, ends: Ends::Line });
            current.clear();
        }
    }
    match current.trim() {
        "" => Ok(all),
        rest => Err(format!("the text ends within `{rest}`")),
    }
}

/// A function that is being read.
struct Body {
    is_entry: bool,
    /// Registers of a function's parameters and results.
    parameters: Vec<usize>,
    results: Vec<usize>,
    function: Function,
    instructions: Vec<Instruction>,
    /// Numbers and bits.
    registers: HashMap<String, (usize, u32)>,
    /// Where named memory lies, with its space.
    names: HashMap<String, (Space, u64)>,
    labels: HashMap<String, usize>,
    /// Branches to labels, which may come later.
    branches: Vec<(usize, String)>,
    depth: usize,
}

impl Body {
    /// From what stands before the body.
    fn new(header: &str, data: &Data) -> Result<Self, String> {
        let rest = header.trim().strip_prefix(".visible").unwrap_or(header).trim();
        if let Some(rest) = rest.strip_prefix(".func") {
            return Self::routine(rest.trim(), data);
        }
        let Some(rest) = rest.strip_prefix(".entry") else {
            return Err(format!("`{rest}` is no entry point, which was expected"));
        };
        let (name, rest) = rest.split_once('(').ok_or("an entry point without parameters in parentheses")?;
        let (parameters, attributes) = rest.split_once(')').ok_or("parameters without an end")?;
        let mut function = Function { name: name.trim().to_string(), ..Function::default() };
        let mut names = data.names();
        let mut end = 0usize;
        for parameter in parameters.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let words: Vec<&str> = parameter.split_whitespace().collect();
            let bytes = match words.get(1).copied() {
                Some(".u64" | ".b64" | ".s64" | ".f64") => 8,
                Some(".u32" | ".b32" | ".s32" | ".f32") => 4,
                _ => return Err(format!("the parameter `{parameter}`")),
            };
            let alignment = words.iter().position(|word| *word == ".align").and_then(|place| words.get(place + 1));
            let pointee_alignment = match (alignment, words.contains(&".ptr")) {
                (Some(number), true) => number.parse().map_err(|_| format!("the parameter `{parameter}`"))?,
                _ => 1,
            };
            let name = words.last().copied().unwrap_or_default().to_string();
            end = end.next_multiple_of(bytes);
            names.insert(name.clone(), (Space::Parameters, end as u64));
            function.parameters.push(Parameter { name, offset: end, bytes, pointee_alignment });
            end += bytes;
        }
        let mut words = attributes.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let mut numbers = || {
                let mut numbers = [1u32; 3];
                let text: Vec<&str> = std::iter::from_fn(|| words.next_if(|word| !word.starts_with('.'))).collect();
                for (number, text) in numbers.iter_mut().zip(text.concat().split(',')) {
                    *number = text.parse().map_err(|_| format!("the attributes `{attributes}`"))?;
                }
                Ok::<_, String>(numbers)
            };
            match word {
                ".reqntid" => function.required_threads = Some(numbers()?),
                ".maxntid" | ".minnctapersm" => drop(numbers()?),
                _ => return Err(format!("the attribute `{word}` of an entry point")),
            }
        }
        Ok(Body {
            is_entry: true,
            parameters: Vec::new(),
            results: Vec::new(),
            function,
            instructions: Vec::new(),
            registers: HashMap::new(),
            names,
            labels: HashMap::new(),
            branches: Vec::new(),
            depth: 0,
        })
    }

    /// `(.param .b64 result) name(.param .b64 parameter, ..)`: a function that others call, with a register for each.
    fn routine(header: &str, data: &Data) -> Result<Self, String> {
        let wrong = || format!("the function `{header}`");
        let (results, rest) = match header.strip_prefix('(') {
            Some(rest) => rest.split_once(')').ok_or_else(wrong)?,
            None => ("", header),
        };
        let (name, rest) = rest.split_once('(').ok_or_else(wrong)?;
        let (parameters, _) = rest.split_once(')').ok_or_else(wrong)?;
        let function = Function { name: name.trim().to_string(), ..Function::default() };
        let mut body = Body {
            is_entry: false,
            parameters: Vec::new(),
            results: Vec::new(),
            function,
            instructions: Vec::new(),
            registers: HashMap::new(),
            names: data.names(),
            labels: HashMap::new(),
            branches: Vec::new(),
            depth: 0,
        };
        body.parameters = body.scalars(parameters).ok_or_else(wrong)?;
        body.results = body.scalars(results).ok_or_else(wrong)?;
        Ok(body)
    }

    /// A register for each of `.param .b64 name, ..`; `None` where one is no number.
    fn scalars(&mut self, list: &str) -> Option<Vec<usize>> {
        let one = |text: &str| {
            let name = text.split_whitespace().last().filter(|name| !name.contains('['))?;
            let number = self.function.registers;
            self.function.registers += 1;
            self.registers.insert(name.to_string(), (number, 64));
            Some(number)
        };
        list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(one).collect()
    }

    fn finish(mut self) -> Result<Routine, String> {
        for (number, label) in &self.branches {
            let target = self.labels.get(label).ok_or_else(|| format!("there is no label {label}"))?;
            self.instructions[*number].op = Op::Branch(*target);
        }
        let Body { parameters, results, function, instructions, .. } = self;
        Ok(Routine { function: Function { instructions, ..function }, parameters, results })
    }

    fn statement(&mut self, text: &str, line: usize) -> Result<(), String> {
        if text.starts_with('.') {
            return self.directive(text);
        }
        let (guard, text) = match text.strip_prefix('@') {
            Some(rest) => {
                let (name, rest) = rest.split_once(char::is_whitespace).ok_or("a guard without an instruction")?;
                let (name, value) = name.strip_prefix('!').map_or((name, true), |name| (name, false));
                (Some((self.register(name)?, value)), rest.trim())
            }
            None => (None, text),
        };
        let (opcode, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let operands = divide(operands);
        let op = self.op(opcode, &operands).map_err(|error| format!("`{text}`: {error}"))?;
        self.instructions.push(Instruction { guard, op, line });
        Ok(())
    }

    fn directive(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[0] {
            ".reg" => {
                let bits = match words.get(1).copied() {
                    Some(".pred") => 1,
                    Some(ty) => ty.get(2..).and_then(|bits| bits.parse().ok()).ok_or_else(|| format!("`{text}`"))?,
                    None => return Err(format!("`{text}`")),
                };
                for name in words[2..].concat().split(',') {
                    let (name, count) = match name.split_once('<') {
                        Some((name, count)) => {
                            let count: usize = count.trim_end_matches('>').parse().map_err(|_| format!("`{text}`"))?;
                            (name, Some(count))
                        }
                        None => (name, None),
                    };
                    let first = self.function.registers;
                    match count {
                        Some(count) => {
                            for number in 0..count {
                                self.registers.insert(format!("{name}{number}"), (first + number, bits));
                            }
                            self.function.registers += count;
                        }
                        None => {
                            self.registers.insert(name.to_string(), (first, bits));
                            self.function.registers += 1;
                        }
                    }
                }
                Ok(())
            }
            ".shared" | ".local" => {
                let memory = words.last().copied().unwrap_or_default();
                let is_bytes = words.contains(&".b8");
                let (name, size) = memory.split_once('[').filter(|_| is_bytes).ok_or_else(|| format!("`{text}`"))?;
                let size: usize = size.trim_end_matches(']').parse().map_err(|_| format!("`{text}`"))?;
                let alignment = words.iter().position(|word| *word == ".align").and_then(|place| words.get(place + 1));
                let alignment: usize = alignment.and_then(|number| number.parse().ok()).unwrap_or(1);
                let (space, end) = match words[0] {
                    ".shared" => (Space::Shared, &mut self.function.shared_bytes),
                    _ => (Space::Local, &mut self.function.local_bytes),
                };
                let start = end.next_multiple_of(alignment);
                *end = start + size;
                self.names.insert(name.to_string(), (space, start as u64));
                Ok(())
            }
            ".param" => self.scalars(text).map(drop).ok_or_else(|| format!("`{text}`")),
            ".loc" | ".pragma" => Ok(()),
            _ => Err(format!("the directive `{text}` is not known")),
        }
    }

    fn register(&self, name: &str) -> Result<usize, String> {
        let found = self.registers.get(name).map(|(number, _)| *number);
        found.ok_or_else(|| format!("there is no register {name}"))
    }

    fn destination(&self, name: &str) -> Result<Option<usize>, String> {
        if name == "_" { Ok(None) } else { self.register(name).map(Some) }
    }

    fn operand(&self, text: &str) -> Result<Operand, String> {
        if let Some((register, _)) = self.registers.get(text) {
            return Ok(Operand::Register(*register));
        }
        if let Some((space, place)) = self.names.get(text) {
            return Ok(if *space == Space::Local { Operand::Local(*place) } else { Operand::Value(*place) });
        }
        let special = |name: &str| {
            let (name, axis) = name.split_once('.')?;
            let axis = ["x", "y", "z"].iter().position(|own| *own == axis)?;
            let kind = match name {
                "%tid" => Special::Thread,
                "%ntid" => Special::Threads,
                "%ctaid" => Special::Block,
                "%nctaid" => Special::Blocks,
                _ => return None,
            };
            Some(Operand::Special(kind, axis))
        };
        if text == "%laneid" {
            return Ok(Operand::Lane);
        }
        if let Some(operand) = special(text) {
            return Ok(operand);
        }
        number(text).map(Operand::Value).ok_or_else(|| format!("the operand `{text}` is not known"))
    }

    fn address(&self, text: &str) -> Result<Address, String> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(|| format!("`{text}` is no address"))?;
        let (base, offset) = match inner.split_once('+') {
            Some((base, offset)) => (base, offset.trim().parse().map_err(|_| format!("the offset of `{text}`"))?),
            None => (inner, 0),
        };
        Ok(Address { base: self.operand(base.trim())?, offset })
    }

    /// A list in braces, or one alone.
    fn list<T>(&self, text: &str, read: impl Fn(&Self, &str) -> Result<T, String>) -> Result<Vec<T>, String> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        inner.unwrap_or(text).split(',').map(|part| read(self, part.trim())).collect()
    }

    /// The register that a parameter or result between functions is.
    fn scalar_place(&self, operands: &[String], is_store: bool) -> Option<usize> {
        let text = operands.get(usize::from(!is_store))?;
        let name = text.strip_prefix('[')?.strip_suffix(']')?;
        self.registers.get(name).map(|(number, _)| *number)
    }

    fn op(&mut self, opcode: &str, operands: &[String]) -> Result<Op, String> {
        let parts: Vec<&str> = opcode.split('.').collect();
        let given = |number: usize| {
            operands.get(number).map(String::as_str).ok_or_else(|| format!("operand {} is missing", number + 1))
        };
        match parts[0] {
            // a function's parameters and results are registers here
            "ld" | "st" if parts[1] == "param" && self.scalar_place(operands, parts[0] == "st").is_some() => {
                let place = self.scalar_place(operands, parts[0] == "st").ok_or("a parameter")?;
                let (function, _) = compute::function(&["mov", "b64"]).ok_or("a parameter")?;
                let zero = Operand::Value(0);
                Ok(match parts[0] {
                    "ld" => Op::Compute {
                        function,
                        destination: self.register(given(0)?)?,
                        operands: [Operand::Register(place), zero, zero],
                    },
                    _ => Op::Compute { function, destination: place, operands: [self.operand(given(1)?)?, zero, zero] },
                })
            }
            "call" => {
                let registers = |text: &str| {
                    let inner = text.trim_start_matches('(').trim_end_matches(')').trim().to_string();
                    let names = inner.split(',').map(str::trim).filter(|name| !name.is_empty());
                    names.map(|name| self.register(name)).collect::<Result<Vec<_>, _>>()
                };
                let (results, name, arguments) = match operands {
                    [results, name, arguments] => (registers(results)?, name, registers(arguments)?),
                    [name, arguments] => (vec![], name, registers(arguments)?),
                    [name] => (vec![], name, vec![]),
                    _ => return Err("this call is not known".into()),
                };
                Ok(Op::Call { name: name.clone(), arguments, results })
            }
            "trap" => Ok(Op::Trap),
            "ld" | "st" => {
                let (destination, address) = if parts[0] == "ld" { (0, 1) } else { (1, 0) };
                let space = parts.iter().find_map(|part| match *part {
                    "global" | "const" => Some(Space::Global),
                    "shared" | "shared::cta" => Some(Space::Shared),
                    "local" => Some(Space::Local),
                    "param" => Some(Space::Parameters),
                    _ => None,
                });
                let known =
                    ["ld", "st", "global", "const", "shared", "shared::cta", "local", "param", "nc", "v2", "v4"];
                let ty = parts.last().copied().unwrap_or_default();
                if let Some(other) = parts[..parts.len() - 1].iter().find(|part| !known.contains(part)) {
                    return Err(format!("the modifier `.{other}` is not known"));
                }
                let (bytes, signed) = compute::memory_type(ty).ok_or_else(|| format!("the type `.{ty}`"))?;
                let first = given(destination)?.trim_start_matches('{').split(',').next().unwrap_or_default().trim();
                let register_bits = self.registers.get(first).map_or(64, |(_, bits)| *bits);
                let element = Element { bytes, signed, register_bits };
                let count = parts.iter().find_map(|part| part.strip_prefix('v')).map_or(Ok(1), str::parse);
                let count = count.map_err(|_| "the number of elements".to_string())?;
                let (space, address) = (space.unwrap_or(Space::Generic), self.address(given(address)?)?);
                let non_coherent = parts.contains(&"nc");
                let op = if parts[0] == "ld" {
                    let destinations = self.list(given(destination)?, Self::destination)?;
                    (destinations.len() == count).then_some(Op::Load {
                        space,
                        destinations,
                        address,
                        element,
                        non_coherent,
                    })
                } else {
                    let values = self.list(given(destination)?, Self::operand)?;
                    (values.len() == count).then_some(Op::Store { space, values, address, element })
                };
                op.ok_or_else(|| format!("{count} elements were expected"))
            }
            "mov" if given(0)?.starts_with('{') || given(1)?.starts_with('{') => {
                let ty = parts.last().copied().unwrap_or_default();
                let bits: u32 = ty.trim_start_matches('b').parse().map_err(|_| format!("the type `.{ty}`"))?;
                if given(0)?.starts_with('{') {
                    let destinations = self.list(given(0)?, Self::destination)?;
                    let bits = bits / destinations.len() as u32;
                    return Ok(Op::Unpack { destinations, source: self.operand(given(1)?)?, bits });
                }
                let parts = self.list(given(1)?, Self::operand)?;
                let bits = bits / parts.len() as u32;
                Ok(Op::Pack { destination: self.register(given(0)?)?, parts, bits })
            }
            "bfi" => {
                let bits = match &parts[1..] {
                    ["b32"] => 32,
                    ["b64"] => 64,
                    _ => return Err("the instruction is not known".into()),
                };
                let value = |number: usize| self.operand(given(number)?);
                let operands = [value(1)?, value(2)?, value(3)?, value(4)?];
                Ok(Op::InsertBits { destination: self.register(given(0)?)?, operands, bits })
            }
            "cp" => match &parts[1..] {
                ["async", "commit_group"] => Ok(Op::CommitCopies),
                ["async", "wait_group"] => {
                    let pending = number(given(0)?).ok_or("a number of groups was expected")?;
                    Ok(Op::AwaitCopies(pending as usize))
                }
                ["async", cache @ ("ca" | "cg"), "shared", "global"] => {
                    let bytes = number(given(2)?).filter(|bytes| match *cache {
                        "cg" => *bytes == 16,
                        _ => matches!(bytes, 4 | 8 | 16),
                    });
                    let bytes = bytes.ok_or("a copy of so many bytes is not known")? as usize;
                    let given_bytes = match operands.get(3) {
                        Some(text) => self.operand(text)?,
                        None => Operand::Value(bytes as u64),
                    };
                    let (to, from) = (self.address(given(0)?)?, self.address(given(1)?)?);
                    Ok(Op::Copy { to, from, bytes, given: given_bytes })
                }
                _ => Err("this copy is not known".into()),
            },
            "ldmatrix" => {
                let transposed = match &parts[1..] {
                    ["sync", "aligned", "m8n8", "x4", "shared", "b16"] => false,
                    ["sync", "aligned", "m8n8", "x4", "trans", "shared", "b16"] => true,
                    _ => return Err("this matrix is not known".into()),
                };
                let destinations = self.list(given(0)?, Self::register)?;
                let destinations = destinations.try_into().map_err(|_| "four registers were expected")?;
                Ok(Op::LoadMatrix { destinations, address: self.address(given(1)?)?, transposed })
            }
            "mma" => {
                let factors = match &parts[1..] {
                    ["sync", "aligned", "m16n8k16", "row", "col", "f32", "bf16", "bf16", "f32"] => Factors::Brain,
                    ["sync", "aligned", "m16n8k16", "row", "col", "f32", "f16", "f16", "f32"] => Factors::Half,
                    ["sync", "aligned", "m16n8k8", "row", "col", "f32", "tf32", "tf32", "f32"] => Factors::Tf32,
                    _ => return Err("this product is not known".into()),
                };
                let destinations = self.list(given(0)?, Self::register)?;
                let destinations = destinations.try_into().map_err(|_| "four registers were expected")?;
                let mut values = vec![];
                for number in 1..4 {
                    values.extend(self.list(given(number)?, Self::operand)?);
                }
                let operands = values.try_into().map_err(|_| "four, two and four registers were expected")?;
                Ok(Op::MultiplyMatrix { factors, destinations, operands })
            }
            "bra" => {
                self.branches.push((self.instructions.len(), given(0)?.to_string()));
                Ok(Op::Branch(usize::MAX))
            }
            "ret" | "exit" => Ok(Op::Return),
            "bar" | "barrier" => match (&parts[1..], operands) {
                (["sync"] | ["sync", "aligned"] | ["cta", "sync", "aligned"], [zero]) if zero == "0" => Ok(Op::Barrier),
                (["warp", "sync"], [mask]) => Ok(Op::WarpBarrier(self.operand(mask)?)),
                _ => Err("this barrier is not known".into()),
            },
            "membar" | "fence" => Ok(Op::Nothing),
            "shfl" => {
                let mode = match &parts[1..] {
                    ["sync", "bfly", "b32"] => Shuffle::Butterfly,
                    ["sync", "up", "b32"] => Shuffle::Up,
                    ["sync", "down", "b32"] => Shuffle::Down,
                    ["sync", "idx", "b32"] => Shuffle::Index,
                    _ => return Err("this shuffle is not known".into()),
                };
                let (destination, in_range) = match given(0)?.split_once('|') {
                    Some((value, predicate)) => (self.register(value)?, Some(self.register(predicate)?)),
                    None => (self.register(given(0)?)?, None),
                };
                let value = |number: usize| self.operand(given(number)?);
                Ok(Op::Shuffle { mode, destination, in_range, operands: [value(1)?, value(2)?, value(3)?, value(4)?] })
            }
            _ => {
                let (mut function, count) = compute::function(&parts).ok_or("the instruction is not known")?;
                if let ["cvt", .., to, _] = parts[..]
                    && to.starts_with('s')
                    && let Some((_, bits)) = self.registers.get(given(0)?)
                {
                    function = compute::extended(function, to, *bits).ok_or("the type of the result")?;
                }
                if operands.len() != count + 1 {
                    return Err(format!("{count} operands were expected"));
                }
                let mut values = [Operand::Value(0); 3];
                for (value, text) in values.iter_mut().zip(&operands[1..]) {
                    *value = self.operand(text)?;
                }
                Ok(Op::Compute { function, destination: self.register(given(0)?)?, operands: values })
            }
        }
    }
}

/// Operands between commas that are in no braces or brackets.
fn divide(text: &str) -> Vec<String> {
    let (mut parts, mut current, mut depth) = (Vec::new(), String::new(), 0);
    for character in text.chars() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut current).trim().to_string());
                continue;
            }
            _ => {}
        }
        current.push(character);
    }
    if !current.trim().is_empty() {
        parts.push(current.trim().to_string());
    }
    parts
}

fn number(text: &str) -> Option<u64> {
    if let Some(bits) = text.strip_prefix("0f") {
        return u32::from_str_radix(bits, 16).ok().map(u64::from);
    }
    if let Some(bits) = text.strip_prefix("0d") {
        return u64::from_str_radix(bits, 16).ok();
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let digits = digits.strip_suffix('U').unwrap_or(digits);
    let value = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

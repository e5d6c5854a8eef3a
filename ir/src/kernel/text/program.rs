use super::lex::Token;
use super::parse::{ParseError, Parsed, Parser};
use super::print::{declared_name, print_kernel, reference, scalar_text};
use crate::kernel::*;
use crate::tensor::{Literal, Scalar};
use kc_abi::{DType, Dim, Symbol, TensorType};
use std::fmt::{Display, Write};

/// The text form of a program: its buffers and steps, then its kernels.
///
/// ```text
/// program predict(B) {
///   buffer 0: f32[B, 784] input 0
///   buffer 1: f32[784, 10] state 0
///   buffer 2: f32[B, 10] output 0
///   step {
///     launch dense(0, 1, 2; B) tasks (B + 15)//16
///   }
/// }
/// ```
///
/// Steps may stand in `loop t to T { .. }`, `while 3 { .. } do { .. }` (the first block computes the bool of buffer 3) and
/// `branch 3 { .. } else { .. }`. A loop's counter may occur in the offset of a buffer: `buffer 4: f32[B] part of 2 at t*B`.
pub fn print_program(program: &Program) -> String {
    let mut text = format!("program {}({}) {{\n", declared_name(&program.name), list(&program.symbols));
    for (i, buffer) in program.buffers.iter().enumerate() {
        let _ = writeln!(text, "  buffer {i}: {} {}", buffer.ty, role_text(&buffer.role));
    }
    if program.kept > 0 {
        let _ = writeln!(text, "  kept {}", program.kept);
    }
    print_steps(program, &program.steps, "  ", &mut text);
    text.push_str("}\n");
    for kernel in &program.kernels {
        text.push('\n');
        text.push_str(&print_kernel(kernel));
    }
    text
}

fn print_steps(program: &Program, steps: &[Step], indentation: &str, text: &mut String) {
    let inner = format!("{indentation}  ");
    for step in steps {
        match step {
            Step::Launches(launches) => {
                let _ = writeln!(text, "{indentation}step {{");
                launches.iter().for_each(|launch| print_launch(program, launch, &inner, text));
            }
            Step::Loop { counter, rounds, steps } => {
                let _ = writeln!(text, "{indentation}loop {counter} to {rounds} {{");
                print_steps(program, steps, &inner, text);
            }
            Step::While { condition, holds, steps } => {
                let _ = writeln!(text, "{indentation}while {holds} {{");
                print_steps(program, condition, &inner, text);
                let _ = writeln!(text, "{indentation}}} do {{");
                print_steps(program, steps, &inner, text);
            }
            Step::Branch { index, branches } => {
                let _ = writeln!(text, "{indentation}branch {index} {{");
                for (number, steps) in branches.iter().enumerate() {
                    if number > 0 {
                        let _ = writeln!(text, "{indentation}}} else {{");
                    }
                    print_steps(program, steps, &inner, text);
                }
            }
        }
        let _ = writeln!(text, "{indentation}}}");
    }
}

fn print_launch(program: &Program, launch: &Launch, indentation: &str, text: &mut String) {
    let kernel = reference(program.kernels.iter().map(|k| k.name.as_str()), launch.kernel);
    let (buffers, dims) = (list(&launch.buffers), list(&launch.dims));
    let separator = if dims.is_empty() { "" } else { "; " };
    let _ = write!(text, "{indentation}launch {kernel}({buffers}{separator}{dims}) tasks {}", launch.tasks);
    if !launch.parts.is_empty() {
        let _ = write!(text, " parts {}", list(&launch.parts));
    }
    text.push_str(&if launch.work.is(0) { "\n".to_string() } else { format!(" work {}\n", launch.work) });
}

fn list<T: Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn role_text(role: &Role) -> String {
    match role {
        Role::Input(i) => format!("input {i}"),
        Role::Output(i) => format!("output {i}"),
        Role::State(i) => format!("state {i}"),
        Role::Temporary => "temporary".to_string(),
        Role::Part { of, offset } => format!("part of {of} at {offset}"),
        Role::Constant(literal) => {
            let values: Vec<Scalar> = literal.scalars().collect();
            let again = Literal::from_scalars(literal.dtype(), literal.shape().to_vec(), values.iter().copied());
            if again == *literal {
                return format!("constant [{}]", values.into_iter().map(scalar_text).collect::<Vec<_>>().join(", "));
            }
            // a NaN whose bits say more than "not a number"
            let bytes: String = literal.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("constant {bytes:?}")
        }
    }
}

/// The program of that text form.
pub fn parse_program(text: &str) -> Result<Program, ParseError> {
    let mut parser = Parser::new(text)?;
    parser.expect("program")?;
    let mut program = Program { name: parser.name("the program's name")?, ..Program::default() };
    parser.expect("(")?;
    while !parser.eat(")") {
        if !program.symbols.is_empty() {
            parser.expect(",")?;
        }
        program.symbols.push(Symbol::new(&parser.name("a symbol")?));
    }
    parser.expect("{")?;
    let mut launched = Vec::new();
    while !parser.eat("}") {
        if parser.eat("buffer") {
            let number: usize = parser.number("the buffer's number")?;
            if number != program.buffers.len() {
                return parser.error(format!("expected buffer {}, found buffer {number}", program.buffers.len()));
            }
            parser.expect(":")?;
            let ty = tensor_type(&mut parser)?;
            let role = role(&mut parser, &ty)?;
            program.buffers.push(Buffer { ty, role });
        } else if parser.eat("kept") {
            program.kept = parser.number("how many steps are kept")?;
        } else if let Some(step) = step(&mut parser, &mut launched, 0)? {
            program.steps.push(step);
        } else {
            return parser.expected("`buffer`, `kept`, `step`, `loop`, `while`, `branch` or `}`");
        }
    }
    while *parser.peek() != Token::End {
        program.kernels.push(parser.kernel()?);
    }
    for (launch, (name, line)) in launches_mut(&mut program.steps).into_iter().zip(launched) {
        launch.kernel = match name {
            KernelName::Position(position) => position,
            KernelName::Name(name) => {
                let mut found = (0..).zip(&program.kernels).filter(|(_, kernel)| kernel.name == name);
                match (found.next(), found.next()) {
                    (Some((position, _)), None) => position,
                    (Some(_), Some(_)) => {
                        let message =
                            format!("more than one kernel is called `{name}`; expected a position such as `@0`");
                        return Err(ParseError { line, message });
                    }
                    (None, _) => return Err(ParseError { line, message: format!("there is no kernel `{name}`") }),
                }
            }
        };
    }
    Ok(program)
}

enum KernelName {
    Position(usize),
    Name(String),
}

/// Steps inside of each other that a text may have.
const DEPTH_LIMIT: usize = 64;

/// The steps up to a closing brace.
fn block(parser: &mut Parser, launched: &mut Vec<(KernelName, usize)>, depth: usize) -> Parsed<Vec<Step>> {
    parser.expect("{")?;
    let mut steps = Vec::new();
    while !parser.eat("}") {
        match step(parser, launched, depth)? {
            Some(step) => steps.push(step),
            None => return parser.expected("`step`, `loop`, `while`, `branch` or `}`"),
        }
    }
    Ok(steps)
}

fn step(parser: &mut Parser, launched: &mut Vec<(KernelName, usize)>, depth: usize) -> Parsed<Option<Step>> {
    if depth > DEPTH_LIMIT {
        return parser.error(format!("more than {DEPTH_LIMIT} steps inside of each other"));
    }
    if parser.eat("step") {
        parser.expect("{")?;
        let mut launches = Vec::new();
        while !parser.eat("}") {
            let (name, line, launch) = launch(parser)?;
            launches.push(launch);
            launched.push((name, line));
        }
        return Ok(Some(Step::Launches(launches)));
    }
    if parser.eat("loop") {
        let counter = Symbol::new(&parser.name("the counter's name")?);
        parser.expect("to")?;
        let rounds = parser.dim()?;
        return Ok(Some(Step::Loop { counter, rounds, steps: block(parser, launched, depth + 1)? }));
    }
    if parser.eat("while") {
        let holds = parser.number("the number of a buffer")?;
        let condition = block(parser, launched, depth + 1)?;
        parser.expect("do")?;
        return Ok(Some(Step::While { condition, holds, steps: block(parser, launched, depth + 1)? }));
    }
    if parser.eat("branch") {
        let index = parser.number("the number of a buffer")?;
        let mut branches = vec![block(parser, launched, depth + 1)?];
        while parser.eat("else") {
            branches.push(block(parser, launched, depth + 1)?);
        }
        return Ok(Some(Step::Branch { index, branches }));
    }
    Ok(None)
}

fn launch(parser: &mut Parser) -> Parsed<(KernelName, usize, Launch)> {
    parser.expect("launch")?;
    let line = parser.line();
    let name = if parser.eat("@") {
        KernelName::Position(parser.number("the position of a kernel")?)
    } else {
        KernelName::Name(parser.name("the name of a kernel")?)
    };
    parser.expect("(")?;
    let mut launch =
        Launch { kernel: 0, buffers: vec![], dims: vec![], tasks: Dim::default(), parts: vec![], work: Dim::default() };
    while !matches!(parser.peek(), Token::Symbol(")" | ";")) {
        if !launch.buffers.is_empty() {
            parser.expect(",")?;
        }
        launch.buffers.push(parser.number("the number of a buffer")?);
    }
    if parser.eat(";") {
        launch.dims.push(parser.dim()?);
        while parser.eat(",") {
            launch.dims.push(parser.dim()?);
        }
    }
    parser.expect(")")?;
    parser.expect("tasks")?;
    launch.tasks = parser.dim()?;
    if parser.eat("parts") {
        launch.parts.push(parser.dim()?);
        while parser.eat(",") {
            launch.parts.push(parser.dim()?);
        }
    }
    if parser.eat("work") {
        launch.work = parser.dim()?;
    }
    Ok((name, line, launch))
}

fn tensor_type(parser: &mut Parser) -> Parsed<TensorType> {
    let dtype = parser.dtype()?;
    parser.expect("[")?;
    let mut shape = Vec::new();
    while !parser.eat("]") {
        if !shape.is_empty() {
            parser.expect(",")?;
        }
        shape.push(parser.dim()?);
    }
    Ok(TensorType { dtype, shape })
}

fn role(parser: &mut Parser, ty: &TensorType) -> Parsed<Role> {
    if parser.eat("input") {
        Ok(Role::Input(parser.number("the input's number")?))
    } else if parser.eat("output") {
        Ok(Role::Output(parser.number("the output's number")?))
    } else if parser.eat("state") {
        Ok(Role::State(parser.number("the state tensor's number")?))
    } else if parser.eat("temporary") {
        Ok(Role::Temporary)
    } else if parser.eat("constant") {
        literal(parser, ty).map(Role::Constant)
    } else if parser.eat("part") {
        parser.expect("of")?;
        let of = parser.number("the number of a buffer")?;
        parser.expect("at")?;
        Ok(Role::Part { of, offset: parser.dim()? })
    } else {
        parser.expected("`input`, `output`, `state`, `temporary`, `constant` or `part`")
    }
}

fn literal(parser: &mut Parser, ty: &TensorType) -> Parsed<Literal> {
    let shape = ty.shape.iter().map(|dim| dim.as_constant().and_then(|extent| usize::try_from(extent).ok()));
    let Some(shape) = shape.collect::<Option<Vec<usize>>>() else {
        return parser.error(format!("a constant of type {ty}; expected known extents"));
    };
    let bytes = match parser.peek().clone() {
        Token::Quoted(digits) => {
            let Some(bytes) = hexadecimal(&digits) else { return parser.expected("two hexadecimal digits a byte") };
            parser.next();
            bytes
        }
        _ => {
            parser.expect("[")?;
            let mut bytes = Vec::new();
            while !parser.eat("]") {
                if !bytes.is_empty() {
                    parser.expect(",")?;
                }
                let scalar = scalar_of(ty.dtype, parser.scalar()?);
                bytes.extend_from_slice(Literal::scalar(ty.dtype, scalar).bytes());
            }
            bytes
        }
    };
    let elements = bytes.len() / ty.dtype.bytes();
    match Literal::from_bytes(ty.dtype, shape, bytes) {
        Some(literal) => Ok(literal),
        None => parser.error(format!("{elements} values for a constant of type {ty}")),
    }
}

/// `1` may be written for `1.0`.
fn scalar_of(dtype: DType, scalar: Scalar) -> Scalar {
    if dtype.is_float() { Scalar::Float(scalar.to_f64()) } else { scalar }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8)).collect()
}

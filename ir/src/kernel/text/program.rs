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
pub fn print_program(program: &Program) -> String {
    let mut text = format!("program {}({}) {{\n", declared_name(&program.name), list(&program.symbols));
    for (i, buffer) in program.buffers.iter().enumerate() {
        let _ = writeln!(text, "  buffer {i}: {} {}", buffer.ty, role_text(&buffer.role));
    }
    for step in &program.steps {
        text.push_str("  step {\n");
        for launch in &step.launches {
            let kernel = reference(program.kernels.iter().map(|k| k.name.as_str()), launch.kernel);
            let (buffers, dims) = (list(&launch.buffers), list(&launch.dims));
            let separator = if dims.is_empty() { "" } else { "; " };
            let _ = write!(text, "    launch {kernel}({buffers}{separator}{dims}) tasks {}", launch.tasks);
            text.push_str(&if launch.work.is(0) { "\n".to_string() } else { format!(" work {}\n", launch.work) });
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    for kernel in &program.kernels {
        text.push('\n');
        text.push_str(&print_kernel(kernel));
    }
    text
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
        } else if parser.eat("step") {
            parser.expect("{")?;
            let mut step = Step::default();
            while !parser.eat("}") {
                let (name, line, launch) = launch(&mut parser)?;
                step.launches.push(launch);
                launched.push((name, line));
            }
            program.steps.push(step);
        } else {
            return parser.expected("`buffer`, `step` or `}`");
        }
    }
    while *parser.peek() != Token::End {
        program.kernels.push(parser.kernel()?);
    }
    let launches = program.steps.iter_mut().flat_map(|step| &mut step.launches);
    for (launch, (name, line)) in launches.zip(launched) {
        launch.kernel = match name {
            KernelName::Position(position) => position,
            KernelName::Name(name) => {
                let mut found = (0..).zip(&program.kernels).filter(|(_, kernel)| kernel.name == name);
                match (found.next(), found.next()) {
                    (Some((position, _)), None) => position,
                    (Some(_), Some(_)) => {
                        let message = format!("several kernels are called `{name}`; expected a position such as `@0`");
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

fn launch(parser: &mut Parser) -> Parsed<(KernelName, usize, Launch)> {
    parser.expect("launch")?;
    let line = parser.line();
    let name = if parser.eat("@") {
        KernelName::Position(parser.number("the position of a kernel")?)
    } else {
        KernelName::Name(parser.name("the name of a kernel")?)
    };
    parser.expect("(")?;
    let mut launch = Launch { kernel: 0, buffers: vec![], dims: vec![], tasks: Dim::default(), work: Dim::default() };
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
    } else {
        parser.expected("`input`, `output`, `state`, `temporary` or `constant`")
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

use super::ParseError;
use super::scan::Scanner;
use crate::tensor::ops::{Binary, Compare, Composite, Unary};
use crate::tensor::{Argument, Function, Graph, Location, Module, Node, Op, Region, ResultSlot, Type, Value};
use crate::tensor::{verify, verify_module};
use kc_abi::manifest::{Input, Output, StateTensor};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Reads a module and verifies it.
pub fn parse_module(text: &str) -> Result<Module, ParseError> {
    let scanner = &mut Scanner::new(text);
    let start = scanner.mark();
    if !scanner.eat_word("module") {
        return scanner.expected("`module`");
    }
    let mut module = Module { model: scanner.json()?, ..Module::default() };
    scanner.end_of_line()?;
    while scanner.eat_word("state") {
        module.state.push(scanner.json::<StateTensor>()?);
        scanner.end_of_line()?;
    }
    while !scanner.at_end_of_text() {
        module.functions.push(function(scanner)?);
    }
    match verify_module(&module) {
        Ok(()) => Ok(module),
        Err(error) => scanner.error_at(start, error.to_string()),
    }
}

/// Reads a function and verifies its graph. Whether it fits to the state of a module is not known here.
pub fn parse_function(text: &str) -> Result<Function, ParseError> {
    let scanner = &mut Scanner::new(text);
    let function = function(scanner)?;
    if scanner.at_end_of_text() { Ok(function) } else { scanner.expected("the end of the text") }
}

/// Reads a graph and verifies it.
pub fn parse_graph(text: &str) -> Result<Graph, ParseError> {
    let scanner = &mut Scanner::new(text);
    if !scanner.eat_word("graph") {
        return scanner.expected("`graph`");
    }
    scanner.expect("{")?;
    scanner.end_of_line()?;
    let graph = Reader::default().body(scanner)?;
    scanner.end_of_line()?;
    if scanner.at_end_of_text() { Ok(graph) } else { scanner.expected("the end of the text") }
}

fn function(scanner: &mut Scanner<'_>) -> Result<Function, ParseError> {
    if !scanner.eat_word("function") {
        return scanner.expected("`function`");
    }
    let name = scanner.json()?;
    scanner.expect("{")?;
    scanner.end_of_line()?;
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    while scanner.eat_word("input") {
        inputs.push(scanner.json::<Input>()?);
        scanner.end_of_line()?;
    }
    while scanner.eat_word("output") {
        outputs.push(scanner.json::<Output>()?);
        scanner.end_of_line()?;
    }
    if !scanner.eat_word("arguments") {
        return scanner.expected("`input`, `output` or `arguments`");
    }
    let mut arguments = Vec::new();
    list(scanner, |scanner| {
        let state = slot_kind(scanner, "input")?;
        let index = scanner.number()?;
        arguments.push(if state { Argument::State(index) } else { Argument::Input(index) });
        Ok(())
    })?;
    let mut reader = Reader::default();
    let start = reader.nodes(scanner)?;
    let mut results = Vec::new();
    list(scanner, |scanner| {
        let value = reader.value(scanner)?;
        if !scanner.eat_word("as") {
            return scanner.expected("`as`");
        }
        let state = slot_kind(scanner, "output")?;
        let index = scanner.number()?;
        results.push(if state { ResultSlot::State(index) } else { ResultSlot::Output(index) });
        reader.graph.results.push(value);
        Ok(())
    })?;
    let graph = reader.finish(scanner, start)?;
    scanner.end_of_line()?;
    Ok(Function { name, inputs, outputs, arguments, results, graph })
}

/// `state` (true) or the other word (false).
fn slot_kind(scanner: &mut Scanner<'_>, other: &str) -> Result<bool, ParseError> {
    if scanner.eat_word("state") {
        return Ok(true);
    }
    if scanner.eat_word(other) { Ok(false) } else { scanner.expected(&format!("`state` or `{other}`")) }
}

/// The rest of the line: items, separated by commas.
fn list(
    scanner: &mut Scanner<'_>,
    mut item: impl FnMut(&mut Scanner<'_>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    if !scanner.rest().is_empty() {
        item(scanner)?;
        while scanner.eat(",") {
            item(scanner)?;
        }
    }
    scanner.end_of_line()
}

/// Reads the nodes of a graph.
#[derive(Default)]
struct Reader {
    graph: Graph,
    names: HashMap<String, Value>,
    locations: BTreeSet<Arc<Location>>,
    /// Number of regions around.
    depth: usize,
}

/// Regions inside of each other that a text may have.
const DEPTH_LIMIT: usize = 32;

impl Reader {
    /// Reads nodes, results and the closing brace.
    fn body(mut self, scanner: &mut Scanner<'_>) -> Result<Graph, ParseError> {
        let start = self.nodes(scanner)?;
        list(scanner, |scanner| {
            let value = self.value(scanner)?;
            self.graph.results.push(value);
            Ok(())
        })?;
        self.finish(scanner, start)
    }

    /// The op with the regions that are next.
    fn regions(&mut self, scanner: &mut Scanner<'_>, op: Op, place: (usize, usize)) -> Result<Op, ParseError> {
        let mut regions = Vec::new();
        while scanner.eat_word("region") {
            scanner.expect("{")?;
            scanner.end_of_line()?;
            if self.depth == DEPTH_LIMIT {
                return scanner.error_at(place, format!("more than {DEPTH_LIMIT} regions inside of each other"));
            }
            let inner = Reader { locations: self.locations.clone(), depth: self.depth + 1, ..Reader::default() };
            regions.push(Region::new(inner.body(scanner)?));
        }
        let (given, name) = (regions.len(), op.operation().name());
        match op.with_regions(regions) {
            Some(op) => Ok(op),
            None => scanner.error_at(place, format!("{name} does not take {given} regions")),
        }
    }

    /// Reads nodes up to and with the word `return`; returns that word's place.
    fn nodes(&mut self, scanner: &mut Scanner<'_>) -> Result<(usize, usize), ParseError> {
        loop {
            let place = scanner.mark();
            if scanner.eat_word("return") {
                return Ok(place);
            }
            if !scanner.eat("%") {
                return scanner.expected("a node such as `%2: f32[B, 10] = add %0, %1`, or `return`");
            }
            let name = scanner.word("the value's name")?;
            let value = Value(self.graph.nodes.len() as u32);
            if self.names.insert(name.to_string(), value).is_some() {
                return scanner.error_at(place, format!("%{name} is defined a second time"));
            }
            let node = self.node(scanner)?;
            self.graph.nodes.push(node);
        }
    }

    /// The rest of a node's line, after its name.
    fn node(&mut self, scanner: &mut Scanner<'_>) -> Result<Node, ParseError> {
        scanner.expect(":")?;
        let type_place = scanner.mark();
        let ty = scanner.ty()?;
        scanner.expect("=")?;
        let place = scanner.mark();
        let mnemonic = scanner.word("the name of an op")?;
        let mut operands = Vec::new();
        if scanner.rest().starts_with('%') {
            operands.push(self.value(scanner)?);
            while scanner.eat(",") {
                operands.push(self.value(scanner)?);
            }
        }
        let op = op(scanner, mnemonic, place)?;
        let op = self.regions(scanner, op, place)?;
        let location = self.location(scanner)?;
        scanner.end_of_line()?;
        let types: Vec<&Type> = operands.iter().map(|&operand| &self.graph.node(operand).ty).collect();
        match op.infer(&types) {
            Ok(inferred) if inferred == ty => Ok(Node { op, operands, ty, location }),
            Ok(inferred) => {
                scanner.error_at(type_place, format!("the type of this {mnemonic} is {inferred}, the text says {ty}"))
            }
            Err(error) => scanner.error_at(place, error.to_string()),
        }
    }

    fn value(&mut self, scanner: &mut Scanner<'_>) -> Result<Value, ParseError> {
        let place = scanner.mark();
        if !scanner.eat("%") {
            return scanner.expected("a value such as `%1`");
        }
        let name = scanner.word("the value's name")?;
        match self.names.get(name) {
            // the name of the line's own node is known, but the node is not there yet
            Some(&value) if value.index() < self.graph.nodes.len() => Ok(value),
            _ => scanner.error_at(place, format!("%{name} is not defined above")),
        }
    }

    fn location(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<Arc<Location>>, ParseError> {
        if !scanner.eat_word("at") {
            return Ok(None);
        }
        let file = scanner.json()?;
        scanner.expect(":")?;
        let line = scanner.number()?;
        let layer = if scanner.eat(",") { scanner.json()? } else { String::new() };
        let location = Arc::new(Location { file, line, layer });
        if let Some(known) = self.locations.get(&location) {
            return Ok(Some(known.clone()));
        }
        self.locations.insert(location.clone());
        Ok(Some(location))
    }

    /// The graph, after the line of results that starts at `place`.
    fn finish(mut self, scanner: &mut Scanner<'_>, place: (usize, usize)) -> Result<Graph, ParseError> {
        scanner.expect("}")?;
        let parameters = self.graph.values().filter_map(|value| match &self.graph.node(value).op {
            Op::Parameter(parameter) => Some((parameter.index, value)),
            _ => None,
        });
        let mut parameters: Vec<(usize, Value)> = parameters.collect();
        parameters.sort();
        self.graph.parameters = parameters.into_iter().map(|(_, value)| value).collect();
        match verify(&self.graph) {
            Ok(()) => Ok(self.graph),
            Err(error) => scanner.error_at(place, error.to_string()),
        }
    }
}

/// The op of that mnemonic with the attributes that are next; `place` is where the mnemonic stands.
fn op(scanner: &mut Scanner<'_>, mnemonic: &str, place: (usize, usize)) -> Result<Op, ParseError> {
    let elementwise = Unary::from_text(mnemonic)
        .map(Op::Unary)
        .or_else(|| Binary::from_text(mnemonic).map(Op::Binary))
        .or_else(|| Compare::from_text(mnemonic).map(Op::Compare));
    if let Some(op) = elementwise {
        return Ok(op);
    }
    let composite = Composite::names().any(|name| name == mnemonic);
    if !composite && !Op::names().any(|name| name == mnemonic) {
        return scanner.error_at(place, format!("there is no op `{mnemonic}`"));
    }
    let start = scanner.mark();
    let attributes = if scanner.rest().starts_with('{') { scanner.json_text()? } else { "{}" };
    let end = scanner.mark();
    let text = format!("{{\"{mnemonic}\":{attributes}}}");
    let op = if composite { serde_json::from_str(&text).map(Op::Composite) } else { serde_json::from_str(&text) };
    match op {
        Ok(op) => {
            scanner.rewind(end);
            Ok(op)
        }
        Err(error) => {
            scanner.rewind(start);
            scanner.json_error(&error, mnemonic.len() + 4)
        }
    }
}

use super::cell::{Cell, Drawn, call_cell};
use crate::layer::{base, file_names, parts_of};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// Cells whose outputs are each the input of the next: `StackedRNNCells::new(cells![LSTMCell::new(8), GRUCell::new(4)])`.
/// `keras.layers.StackedRNNCells`.
#[derive(Clone, Debug)]
pub struct StackedRNNCells {
    base: Base,
    cells: Vec<Box<dyn Cell>>,
}

/// A list of cells: `cells![LSTMCell::new(8), GRUCell::new(4)]`.
#[macro_export]
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(Box::new($cell) as Box<dyn $crate::layers::Cell>),*] };
}

impl StackedRNNCells {
    /// A stack of these cells, the first of which gets the input.
    #[track_caller]
    pub fn new(cells: Vec<Box<dyn Cell>>) -> Self {
        StackedRNNCells { base: Base::new("StackedRNNCells"), cells }
    }

    /// The cells with their states.
    fn parts_with<'a, T>(&'a self, states: &'a [T]) -> impl Iterator<Item = (&'a dyn Cell, &'a [T])> {
        let mut rest = states;
        self.cells.iter().map(move |cell| {
            let (own, others) = rest.split_at(cell.state_sizes().len().min(rest.len()));
            rest = others;
            (&**cell, own)
        })
    }
}

impl Layer for StackedRNNCells {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let (Some((input, states)), Some(_)) = (inputs.split_first(), self.cells.first()) else {
            return Err(Error::model("expected at least one cell and an input"));
        };
        let mut input = input.clone();
        for (cell, states) in self.parts_with(states) {
            let types: Vec<TensorType> = std::iter::once(&input).chain(states).cloned().collect();
            scope.enter(cell, |scope| scope.build_layer(cell, &types))?;
            let size = cell.state_sizes().get(cell.output_state()).copied();
            if let (Some(last), Some(size)) = (input.shape.last_mut(), size) {
                *last = Dim::constant(size);
            }
        }
        Ok(())
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        call_cell(self, scope, inputs)
    }

    fn parts(&self) -> Vec<(String, String)> {
        let names = file_names(self.cells.iter().map(|cell| cell.base().class()));
        let own = self.cells.iter().zip(names).map(|(cell, name)| parts_of(&format!("cells/{name}"), &**cell));
        own.flatten().collect()
    }

    fn config(&self) -> Config {
        let cells = self.cells.iter();
        let cells = cells.map(|cell| json!({ "class_name": cell.base().class(), "config": cell.config() }));
        Config::from([("cells".into(), cells.collect())])
    }
}

impl Cell for StackedRNNCells {
    fn state_sizes(&self) -> Vec<i64> {
        self.cells.iter().flat_map(|cell| cell.state_sizes()).collect()
    }

    fn output_state(&self) -> usize {
        let before: usize = self.cells.iter().rev().skip(1).map(|cell| cell.state_sizes().len()).sum();
        before + self.cells.last().map_or(0, |cell| cell.output_state())
    }

    fn draw(&self, scope: &mut Scope, input: &TensorType) -> Result<Drawn> {
        let mut input = input.clone();
        let mut parts = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            parts.push(scope.enter(&**cell, |scope| cell.draw(scope, &input))?);
            let size = cell.state_sizes().get(cell.output_state()).copied();
            if let (Some(last), Some(size)) = (input.shape.last_mut(), size) {
                *last = Dim::constant(size);
            }
        }
        Ok(Drawn { parts, ..Drawn::default() })
    }

    fn project(&self, scope: &mut Scope, x: Value, drawn: &Drawn) -> Result<Value> {
        match (self.cells.first(), drawn.parts.first()) {
            (Some(cell), Some(drawn)) => scope.enter(&**cell, |scope| cell.project(scope, x, drawn)),
            _ => Ok(x),
        }
    }

    fn step(&self, scope: &mut Scope, x: Value, states: &[Value], drawn: &Drawn) -> Result<(Value, Vec<Value>)> {
        let (mut x, mut all) = (x, Vec::with_capacity(states.len()));
        for (number, ((cell, states), drawn)) in self.parts_with(states).zip(&drawn.parts).enumerate() {
            let (output, next) = scope.enter(cell, |scope| {
                let x = if number == 0 { x } else { cell.project(scope, x, drawn)? };
                cell.step(scope, x, states, drawn)
            })?;
            x = output;
            all.extend(next);
        }
        Ok((x, all))
    }

    fn renew(&mut self) {
        self.base.renew();
        self.cells.iter_mut().for_each(|cell| cell.renew());
    }
}

//! Regions made of parts of other graphs.

use super::{Builder, Graph, TypeError, Value};
use std::collections::HashMap;

/// Builds a region of values of another graph: what is needed of them is copied, down to what is bound already.
pub struct Extract<'g> {
    from: &'g Graph,
    /// The region so far.
    pub builder: Builder,
    /// What is copied or bound.
    pub values: HashMap<Value, Value>,
}

impl<'g> Extract<'g> {
    /// Nothing is copied yet.
    pub fn new(from: &'g Graph) -> Self {
        Extract { from, builder: Builder::new(), values: HashMap::new() }
    }

    /// Adds a parameter that stands for a value.
    pub fn bind(&mut self, value: Value, name: &str) -> Result<(), TypeError> {
        let parameter = self.builder.parameter(name, self.from.tensor_type(value).clone())?;
        self.values.insert(value, parameter);
        Ok(())
    }

    /// The value in the region; it and what it needs are copied where they are not there.
    pub fn value(&mut self, value: Value) -> Result<Value, TypeError> {
        let mut todo = vec![value];
        while let Some(&next) = todo.last() {
            let node = self.from.node(next);
            let missing: Vec<Value> =
                node.operands.iter().copied().filter(|operand| !self.values.contains_key(operand)).collect();
            if self.values.contains_key(&next) {
                todo.pop();
            } else if !missing.is_empty() {
                todo.extend(missing);
            } else {
                let operands: Vec<Value> = node.operands.iter().map(|operand| self.values[operand]).collect();
                self.builder.set_location(node.location.clone());
                let added = self.builder.add(node.op.clone(), &operands)?;
                self.values.insert(next, added);
            }
        }
        Ok(self.values[&value])
    }
}

//! Graphs inside of ops: the bodies of loops, the branches of conditions.

use super::text::region_text;
use super::{Graph, TypeError};
use kc_abi::TensorType;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A graph that an op of an outer graph executes. Its parameters are all that it reads; it may mention the outer graph's symbols.
///
/// A region is shared, not copied, and is known by its text without locations: regions that compute the same by the same ops are
/// equal, whoever asked for them.
#[derive(Clone)]
pub struct Region(Arc<Contents>);

struct Contents {
    graph: Graph,
    text: String,
}

impl Region {
    /// The region of a graph.
    pub fn new(graph: Graph) -> Self {
        let text = region_text(&graph);
        Region(Arc::new(Contents { graph, text }))
    }

    /// What it computes.
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// The text form without locations.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The types of the parameters.
    pub fn parameter_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.0.graph.parameters.iter().map(|&value| self.0.graph.tensor_type(value))
    }

    /// The types of the results.
    pub fn result_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.0.graph.results.iter().map(|&value| self.0.graph.tensor_type(value))
    }

    /// Checks that the parameters have these types; `what` names them one by one.
    pub(crate) fn takes(
        &self,
        op: &str,
        region: &str,
        given: &[&TensorType],
        what: &dyn Fn(usize) -> String,
    ) -> Result<(), TypeError> {
        let expected = self.0.graph.parameters.len();
        if expected != given.len() {
            let message = format!("its {region} takes {expected} values, {} are given", given.len());
            return Err(TypeError::new(op, message));
        }
        match (0..).zip(self.parameter_types().zip(given)).find(|(_, (parameter, given))| *parameter != **given) {
            None => Ok(()),
            Some((position, (parameter, given))) => Err(TypeError::new(
                op,
                format!("{} is {given}, but its {region} takes {parameter} there", what(position)),
            )),
        }
    }
}

/// The region without parameters and results, which no op takes.
impl Default for Region {
    fn default() -> Self {
        Region::new(Graph::default())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.text)
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Region {}

impl PartialOrd for Region {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Region {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.text.cmp(&other.0.text)
    }
}

impl Hash for Region {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

use crate::array::Array;

/// Samples in memory: the first axis of every array counts them.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// One array a model input, in the model's order.
    pub features: Vec<Array>,
    /// One array a model output that is trained; none for `predict`.
    pub targets: Vec<Array>,
    /// Weights of the samples in the loss and the weighted metrics, of shape `[N]` or `[N, 1]`: none (all are 1), one array
    /// for all targets, or one a target.
    pub sample_weights: Vec<Array>,
}

impl Dataset {
    /// Samples of a model with one input and one target.
    pub fn new(features: Array, targets: Array) -> Self {
        Dataset { features: vec![features], targets: vec![targets], sample_weights: Vec::new() }
    }

    /// Samples of a model with one input, without targets.
    pub fn unlabelled(features: Array) -> Self {
        Dataset { features: vec![features], ..Default::default() }
    }

    /// The same samples with a weight each.
    pub fn with_sample_weights(mut self, weights: Array) -> Self {
        self.sample_weights = vec![weights];
        self
    }
}

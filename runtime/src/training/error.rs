use crate::errors::{errors, from_errors};
use crate::session::SessionError;

errors! {
    /// Why `fit`, `evaluate` or `predict` ended.
    #[derive(Debug)]
    pub enum TrainingError {
        /// The data does not fit the model.
        #[error("{0}")]
        Data(DataError),
        /// An option is out of its range.
        #[error("`{option}` must be {expected}, {given} was given")]
        Option {
            /// The option's name.
            option: &'static str,
            /// What was given.
            given: String,
            /// What it must be.
            expected: String,
        },
        /// The model cannot be executed.
        #[error("{0}")]
        Session(SessionError),
        /// A callback ended the training with an error.
        #[error("{callback}: {source}")]
        Callback {
            /// The callback's name.
            callback: String,
            /// Its error.
            source: super::CallbackError,
        },
    }
}
from_errors!(DataError => TrainingError::Data, SessionError => TrainingError::Session);

errors! {
    /// Data that does not fit the model; found before the first step.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum DataError {
        /// Another number of arrays than the model has inputs or outputs.
        #[error("the model has {expected} {what} ({names}), {given} arrays were given")]
        Count {
            /// `inputs`, `targets` or `sample weights`.
            what: &'static str,
            /// How many there are.
            expected: usize,
            /// Their names.
            names: String,
            /// How many arrays were given.
            given: usize,
        },
        /// Arrays of different numbers of samples.
        #[error("all arrays must have the same number of samples: {0}")]
        Lengths(String),
        /// No samples.
        #[error("the data is empty: `{input}` has the shape {shape}; at least one sample is expected")]
        Empty {
            /// The first input.
            input: String,
            /// Its shape.
            shape: String,
        },
        /// A wrong shape.
        #[error(
            "`{input}` must have the shape {expected}, where the first axis counts the samples; an array of shape {given} was given"
        )]
        Shape {
            /// The input.
            input: String,
            /// The manifest's shape, as Keras writes it.
            expected: String,
            /// The array's shape.
            given: String,
        },
        /// A NaN.
        #[error("`{input}` must not hold NaN, but sample {sample} has NaN {position}; remove or replace such samples")]
        NotANumber {
            /// The input.
            input: String,
            /// The sample's number.
            sample: usize,
            /// Where in the sample.
            position: String,
        },
        /// A value that the input's integer type does not have.
        #[error("`{input}` takes {expected}, but sample {sample} has {value} {position}; {advice}")]
        Range {
            /// The input.
            input: String,
            /// Its dtype, as Keras names it, and that dtype's range.
            expected: String,
            /// The sample's number.
            sample: usize,
            /// What it holds.
            value: String,
            /// Where in the sample.
            position: String,
            /// What to do.
            advice: &'static str,
        },
        /// A label that is no class.
        #[error("`{input}` must hold class labels, whole numbers from 0 to {}, but sample {sample} has {value}", classes - 1)]
        Label {
            /// The target.
            input: String,
            /// The sample's number.
            sample: usize,
            /// What it holds.
            value: String,
            /// Number of classes.
            classes: i64,
        },
        /// A validation split that leaves nothing.
        #[error(
            "{samples} samples cannot be split with `validation_split={split}` into a training and a validation set: {training} would be left for training; \
                 give more data or another split"
        )]
        Split {
            /// How many there are.
            samples: usize,
            /// The fraction.
            split: String,
            /// How many samples would be left.
            training: usize,
        },
        /// Weights of classes and of samples at once.
        #[error(
            "`class_weight` and sample weights cannot be given at the same time; multiply the sample weights by the classes' weights"
        )]
        BothWeights,
        /// Class weights of a model with several outputs.
        #[error("`class_weight` is for models with one target, this model has {0}; give sample weights instead")]
        ClassWeightTargets(usize),
    }
}

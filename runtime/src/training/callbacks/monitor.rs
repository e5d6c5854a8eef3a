use super::super::{CallbackError, Logs};

/// Whether a monitored value is better when it is smaller or when it is larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the log's name.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

impl Mode {
    /// [`Mode::Min`] or [`Mode::Max`] for the log of that name.
    pub(super) fn resolve(self, callback: &str, monitor: &str) -> Result<Mode, CallbackError> {
        let name = monitor.strip_prefix("val_").unwrap_or(monitor);
        // of a model with several outputs: `digit_accuracy`
        let is = |known: &str| name == known || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('_'));
        const SMALLER: [&str; 12] = [
            "loss",
            "error",
            "mse",
            "mae",
            "mape",
            "msle",
            "crossentropy",
            "divergence",
            "hinge",
            "logcosh",
            "poisson",
            "false_positives",
        ];
        const LARGER: [&str; 11] = [
            "accuracy",
            "acc",
            "auc",
            "precision",
            "recall",
            "f1_score",
            "fbeta_score",
            "r2_score",
            "iou",
            "cosine_similarity",
            "true_positives",
        ];
        match self {
            Mode::Auto if SMALLER.into_iter().any(is) => Ok(Mode::Min),
            Mode::Auto if LARGER.into_iter().any(is) => Ok(Mode::Max),
            Mode::Auto => Err(format!(
                "it is not known whether a smaller or a larger `{monitor}` is better; give {callback} `Mode::Min` or `Mode::Max`"
            )
            .into()),
            known => Ok(known),
        }
    }

    /// Whether `value` is better than `reference` by more than `min_delta`; anything is better than nothing.
    pub(super) fn improves(self, value: f64, reference: Option<f64>, min_delta: f64) -> bool {
        match (self, reference) {
            (_, None) => true,
            (Mode::Max, Some(reference)) => value - min_delta > reference,
            (_, Some(reference)) => value + min_delta < reference,
        }
    }
}

/// The monitored value; where it is missing, what there is.
pub(super) fn monitored(callback: &str, monitor: &str, logs: &Logs) -> Result<f64, String> {
    logs.get(monitor).ok_or_else(|| {
        format!("{callback} monitors `{monitor}`, which is not among this epoch's logs: {}", logs.names())
    })
}

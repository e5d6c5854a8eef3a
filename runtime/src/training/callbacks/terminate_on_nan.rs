use crate::training::{Callback, CallbackError, Training};

/// Ends the training when the loss is NaN or infinite (Keras' `TerminateOnNaN`). It reads the loss after every step.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN;

impl Callback for TerminateOnNaN {
    fn name(&self) -> &str {
        "TerminateOnNaN"
    }

    fn on_train_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        let loss = training.logs()?.get("loss");
        if loss.is_some_and(|loss| !loss.is_finite()) {
            training.note(format!("Batch {batch}: Invalid loss, terminating training"));
            training.stop();
        }
        Ok(())
    }
}

use crate::array::ArrayError;
use crate::errors::{errors, from_errors};
use crate::heap::*;
#[cfg(feature = "std")]
use crate::image::ImageError;
use crate::package::PackageError;

errors! {
    /// Why a session cannot be made or cannot run an entry point.
    #[derive(Debug)]
    pub enum SessionError {
        /// The code was made for another kind of machine.
        #[error("the package's code is for {package}, this machine is {machine}; compile the model for this machine")]
        Target {
            /// What the package says.
            package: String,
            /// What this process is.
            machine: &'static str,
        },
        /// The processor lacks what the code needs.
        #[error(
            "the package's code needs the CPU feature{} {}, which this processor lacks; compile the model for this machine \
             or for an older CPU", if missing.len() == 1 { "" } else { "s" }, missing.join(", ")
        )]
        Features {
            /// The features that are missing, sorted.
            missing: Vec<String>,
        },
        /// The code expects functions that this runtime does not have.
        #[error(
            "the package needs version {package} of the runtime's functions, this runtime has version {runtime}; update the runtime"
        )]
        Intrinsics {
            /// What the package needs.
            package: u32,
            /// What this runtime has.
            runtime: u32,
        },
        /// The code calls a function that no version of this runtime has.
        #[error("the package calls `{function}`, which this runtime does not know; update the runtime")]
        UnknownFunction {
            /// Its name.
            function: String,
        },
        /// The code calls a function that this runtime was built without.
        #[error(
            "the package calls `{function}`, which this runtime was built without; build it with the feature `{feature}` of kc-runtime"
        )]
        Function {
            /// Its name.
            function: String,
            /// The feature that has it.
            feature: &'static str,
        },
        /// A kernel calls a function that the program did not give the model.
        #[error(
            "the kernel `{kernel}` may call `{function}`, which is not among the functions that the model was given; \
             give it those, as `Model::new` does, or build the program's interface again from this package"
        )]
        Absent {
            /// The entry of the table of intrinsics.
            function: String,
            /// The kernel.
            kernel: String,
        },
        /// The code cannot be loaded.
        #[error("{0}")]
        #[cfg(feature = "std")]
        Image(ImageError),
        /// The session's kernels are functions of this process.
        #[error("a session whose kernels are functions of the process cannot be saved as a package; save its weights")]
        NoCode,
        /// The manifest contradicts itself or the package's contents.
        #[error("the package's manifest is wrong: {0}")]
        Manifest(String),
        /// No entry point of that name.
        #[error("the package has no entry point `{name}`; it has {known}")]
        NoEntry {
            /// What was asked for.
            name: String,
            /// The names there are.
            known: String,
        },
        /// Another number of inputs than the entry point takes.
        #[error("`{entry}` takes {expected} inputs ({names}), {given} were given")]
        InputCount {
            /// The entry point.
            entry: String,
            /// How many it takes.
            expected: usize,
            /// Their names.
            names: String,
            /// How many were given.
            given: usize,
        },
        /// An input of a wrong dtype or shape.
        #[error("input `{input}` of `{entry}` must be {expected}, {given} was given{note}")]
        Input {
            /// The entry point.
            entry: String,
            /// The input's name.
            input: String,
            /// Dtype and shape of the manifest.
            expected: String,
            /// Dtype and shape that were given.
            given: String,
            /// What the symbols stand for, where that explains the error.
            note: String,
        },
        /// Memory for an output of another size.
        #[error("output `{output}` of `{entry}` takes {expected} bytes, aligned to its elements; {given} bytes were given")]
        Output {
            /// The entry point.
            entry: String,
            /// The output's name.
            output: String,
            /// How many bytes it has.
            expected: usize,
            /// How many there are.
            given: usize,
        },
        /// Another number of outputs than the entry point gives.
        #[error("`{entry}` gives {expected} outputs, memory for {given} was given")]
        OutputCount {
            /// The entry point.
            entry: String,
            /// How many it gives.
            expected: usize,
            /// For how many there is memory.
            given: usize,
        },
        /// A model to predict with has no weights.
        #[error("the package holds no weights; train it first, or run `init` in a session")]
        NoWeights,
        /// An entry point that only one thread may execute.
        #[error("`{entry}` changes the state tensor `{tensor}`, so threads cannot share it; use a session for each")]
        Updates {
            /// The entry point.
            entry: String,
            /// The first tensor that it changes.
            tensor: String,
        },
        /// The state that was given does not fit the manifest's.
        #[error("state tensor `{name}` is {expected}, {given} was given")]
        State {
            /// The tensor's name.
            name: String,
            /// What it is.
            expected: String,
            /// What was given.
            given: String,
        },
        /// The flag of [`Session::set_interrupt`](super::Session::set_interrupt) was set while a `while` loop ran.
        #[error("`{entry}` was interrupted in a `while` loop")]
        Interrupted {
            /// The entry point.
            entry: String,
        },
        /// The `while` loops of a call took more rounds than they may.
        #[error(
            "the `while` loops of `{entry}` take more than {limit} rounds, which is the session's limit; \
             mend the condition that does not end them, or allow more rounds"
        )]
        Rounds {
            /// The entry point.
            entry: String,
            /// The limit.
            limit: u64,
        },
        /// A value of the shapes is larger than memory.
        #[error("`{entry}` needs more memory than there is: {detail}")]
        TooLarge {
            /// The entry point.
            entry: String,
            /// What is too large.
            detail: String,
        },
        /// The package is for XLA or a GPU, which this runtime does not know.
        #[error("the package is for {target}, which this runtime was built without; build it with the feature `{feature}` of kc-runtime")]
        NoDevices {
            /// What the package says.
            target: String,
            /// The feature that is missing.
            feature: &'static str,
        },
        /// A package for devices where only packages of machine code go.
        #[error("the package is for {target}, whose state lies on devices; execute it by a `Session`")]
        OnDevice {
            /// What the package says.
            target: String,
        },
        /// Fewer devices than the model is spread over.
        #[error("the model is spread over {needed} devices, the plug-in has {present} ({platform}); take a smaller mesh or more processes")]
        Devices {
            /// Devices of the mesh.
            needed: usize,
            /// Devices there are, those of other processes among them.
            present: usize,
            /// The plug-in's platform.
            platform: String,
        },
        /// A process whose devices are not in the mesh.
        #[error(
            "the model is spread over {needed} of {present} devices ({platform}), of which process {process} has none; take a mesh of all \
             devices"
        )]
        NoPart {
            /// Devices of the mesh.
            needed: usize,
            /// Devices there are.
            present: usize,
            /// The process.
            process: usize,
            /// The plug-in's platform.
            platform: String,
        },
        /// State of which other processes have parts.
        #[error(
            "the state tensor `{tensor}` lies in {parts} parts, of which this process has {here}; to read it, divide it among the devices \
             of one process, or have each device have all of it"
        )]
        Elsewhere {
            /// Its name.
            tensor: String,
            /// Parts on the devices of this process.
            here: usize,
            /// All parts.
            parts: usize,
        },
        /// A plug-in, the driver, or the device.
        #[error("{0}")]
        Device(Box<dyn core::error::Error + Send + Sync>),
        /// The system has no memory for something.
        #[error("there is no memory for {bytes} bytes: {what}; free memory, or use a smaller model or smaller batches")]
        OutOfMemory {
            /// What it is for.
            what: String,
            /// How many bytes.
            bytes: usize,
        },
    }
}
#[cfg(feature = "std")]
from_errors!(ImageError => SessionError::Image);

errors! {
    /// Why a package within the program cannot be used.
    #[derive(Debug)]
    pub enum LoadError {
        /// It cannot be read.
        #[error("{0}")]
        Package(PackageError),
        /// It cannot be executed.
        #[error("{0}")]
        Session(SessionError),
    }
}
from_errors!(PackageError => LoadError::Package, SessionError => LoadError::Session);

impl From<ArrayError> for SessionError {
    fn from(error: ArrayError) -> Self {
        match error {
            ArrayError::OutOfMemory { shape, dtype, bytes } => {
                SessionError::OutOfMemory { what: format!("an array of {dtype} of shape {shape}"), bytes }
            }
            other => SessionError::Manifest(other.to_string()),
        }
    }
}

impl SessionError {
    /// The error with a name for what there is no memory for.
    pub(crate) fn for_memory_of(self, name: impl FnOnce() -> String) -> Self {
        match self {
            SessionError::OutOfMemory { bytes, .. } => SessionError::OutOfMemory { what: name(), bytes },
            other => other,
        }
    }
}

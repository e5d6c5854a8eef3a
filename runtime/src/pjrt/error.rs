use crate::errors::errors;
use std::path::PathBuf;

errors! {
    /// Why a plug-in cannot be used, or what it says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PjrtError {
        /// There is no plug-in.
        #[error(
            "no PJRT plug-in was found; looked for\n{}\nname one with `--plugin FILE` or the variable {}, or {}; an environment of \
             Python must be active (VIRTUAL_ENV, CONDA_PREFIX)", list(looked), super::VARIABLE, super::INSTALL
        )]
        Missing {
            /// Where one could be.
            looked: Vec<PathBuf>,
        },
        /// The file is no plug-in.
        #[error("the PJRT plug-in {} cannot be opened: {reason}; expected a shared library that exports `GetPjrtApi`", path.display())]
        Open {
            /// The file.
            path: PathBuf,
            /// What the system said.
            reason: String,
        },
        /// The plug-in is of another version of the API.
        #[error(
            "the PJRT plug-in {} speaks version {major}.{minor} of the API, expected 0.x; install one that fits", path.display()
        )]
        Version {
            /// The file.
            path: PathBuf,
            /// Its version.
            major: i32,
            /// Its version.
            minor: i32,
        },
        /// The plug-in lacks a function.
        #[error("the PJRT plug-in {} (API 0.{minor}) has no `{function}`; install a newer one", path.display())]
        Old {
            /// The file.
            path: PathBuf,
            /// Its version.
            minor: i32,
            /// What it lacks.
            function: &'static str,
        },
        /// The device has no memory.
        #[error(
            "the device has no memory left ({function}): {message}; use smaller batches, a smaller model or more devices"
        )]
        OutOfMemory {
            /// The API's function.
            function: &'static str,
            /// XLA's text.
            message: String,
        },
        /// The plug-in says no.
        #[error("XLA ({function}): {message}")]
        Xla {
            /// The API's function.
            function: &'static str,
            /// XLA's text.
            message: String,
        },
        /// A topology that the plug-in does not know.
        #[error("the plug-in knows no topology `{name}`: {message}; expected a name such as v5e:2x2, v5p:2x2x1 or v6e:2x2")]
        Topology {
            /// What was asked for.
            name: String,
            /// XLA's text.
            message: String,
        },
        /// A topology with fewer devices than a model is spread over.
        #[error("the topology `{name}` has {devices} devices, the model's mesh {mesh}; take a larger one or a smaller mesh")]
        TooFew {
            /// The topology.
            name: String,
            /// Its devices.
            devices: usize,
            /// Those of the mesh.
            mesh: usize,
        },
        /// The plug-in has no devices here.
        #[error("the PJRT plug-in {} has no devices on this machine: {message}", path.display())]
        NoDevices {
            /// The file.
            path: PathBuf,
            /// XLA's text, or that there are none.
            message: String,
        },
        /// What is said of the processes is no group of them.
        #[error("several processes: {reason}")]
        Processes {
            /// What is wrong, and what was expected.
            reason: String,
        },
        /// The store by which processes find each other.
        #[error(
            "process {id} of {count} does not meet the others by the key-value store of process 0 at {coordinator}: {reason}; start all \
             processes with the same number of processes and the address of process 0 (KERAS_DISTRIBUTION_JOB_ADDRESSES)"
        )]
        Store {
            /// The address of process 0.
            coordinator: String,
            /// The number of processes.
            count: usize,
            /// The own number.
            id: usize,
            /// Why.
            reason: String,
        },
        /// A plug-in that joins no processes.
        #[error(
            "the PJRT plug-in {} does not join processes: it shows the devices of {shown}, expected those of {expected}; take a plug-in \
             that does, such as that of `pip install jax-cuda13-pjrt`, or one process", path.display()
        )]
        Alone {
            /// The file.
            path: PathBuf,
            /// Of how many processes it shows devices.
            shown: usize,
            /// How many there are.
            expected: usize,
        },
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("  {}", path.display())).collect::<Vec<_>>().join("\n")
}

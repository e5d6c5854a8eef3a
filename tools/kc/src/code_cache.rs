//! A back end whose machine code is kept in files.
//!
//! Code depends on the kernels, the back end, the processor, and the files that make it (the back end's plug-in and this program) with
//! their lengths and times.

use kc_codegen::{Backend, CodeImage, CodegenError, Form};
use kc_ir::kernel::{Kernel, Program, print_kernels};
use kc_passes::Target;
use kc_runtime::cache::CodeCache;
use kc_runtime::intrinsics::host_target;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// The variable that names another folder, or `off`.
const VARIABLE: &str = "KC_CODE_CACHE";

/// Bytes that the files may have together.
const MOST_BYTES: u64 = 256 << 20;

/// A back end whose code is kept.
pub struct Kept {
    backend: Box<dyn Backend>,
    /// What the code depends on beside the kernels.
    maker: String,
    cache: CodeCache,
}

/// The back end with a cache of its code, unless the person wants none. `files` make the code.
pub fn kept(backend: Box<dyn Backend>, files: &[PathBuf]) -> Box<dyn Backend> {
    let folder = match std::env::var_os(VARIABLE) {
        Some(value) if value == "off" => return backend,
        Some(folder) => folder.into(),
        None => default_folder(),
    };
    let maker = format!("{}\n{}\n{}", env!("CARGO_PKG_VERSION"), processor(), identities(files));
    Box::new(Kept { backend, maker, cache: CodeCache::new(folder, MOST_BYTES) })
}

/// Where code is kept.
pub fn default_folder() -> PathBuf {
    kc::datasets::cache_dir().join("code")
}

/// The processor and what it can do.
fn processor() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let tells = |line: &&str| ["model name", "flags", "Features"].iter().any(|name| line.starts_with(name));
    let mut lines: Vec<&str> = information.lines().filter(tells).collect();
    lines.sort_unstable();
    lines.dedup();
    format!("{}\n{}", host_target(), lines.join("\n"))
}

/// Files with their lengths and times of change: other files give other code.
fn identities(files: &[PathBuf]) -> String {
    let identity = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok();
        let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        format!("{} {:?} {changed:?}\n", path.display(), metadata.map(|metadata| metadata.len()))
    };
    files.iter().map(identity).collect()
}

impl Kept {
    /// All that code depends on.
    fn key(&self, kernels: &[Kernel]) -> Vec<u8> {
        let (name, machine, text) = (self.backend.name(), self.backend.machine(), print_kernels(kernels));
        format!("{name}\n{machine}\n{}\n{text}", self.maker).into_bytes()
    }
}

impl Backend for Kept {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn target(&self) -> &Target {
        self.backend.target()
    }

    fn target_mut(&mut self) -> &mut Target {
        self.backend.target_mut()
    }

    fn machine(&self) -> &str {
        self.backend.machine()
    }

    fn block_threads(&self, kernel: &Kernel) -> Option<u32> {
        self.backend.block_threads(kernel)
    }

    fn check(&self, program: &Program) -> Result<(), CodegenError> {
        self.backend.check(program)
    }

    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
        let key = self.key(kernels);
        if let Some(image) = self.cache.read(&key).and_then(|bytes| decode(&bytes, kernels.len())) {
            return Ok(image);
        }
        let image = self.backend.compile(kernels)?;
        // without room for it the code is made each time
        let _ = self.cache.write(&key, &encode(&image));
        Ok(image)
    }

    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        self.backend.emit(kernels, form)
    }
}

/// Length of the header (8 bytes, little endian), header as JSON, code.
fn encode(image: &CodeImage) -> Vec<u8> {
    let header = json!({
        "kernel_offsets": image.kernel_offsets,
        "features": image.features,
        "parts": image.parts,
    });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &image.bytes].concat()
}

/// The code of so many kernels; `None` for anything else.
fn decode(bytes: &[u8], kernels: usize) -> Option<CodeImage> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let numbers = |name: &str| header[name].as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
    let features = header["features"].as_array()?.iter().map(|feature| feature.as_str().map(str::to_owned));
    let image = CodeImage {
        bytes: code.to_vec(),
        kernel_offsets: numbers("kernel_offsets")?,
        features: features.collect::<Option<_>>()?,
        parts: numbers("parts")?,
    };
    let within = |offset: &u64| *offset < code.len() as u64;
    (image.kernel_offsets.len() == kernels && image.kernel_offsets.iter().all(within)).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::DType;
    use kc_ir::kernel::{Access, Index, KernelBuilder};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Gives code that tells how often it was asked.
    struct Counting {
        target: Target,
        calls: Arc<AtomicU8>,
    }

    impl Backend for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn target(&self) -> &Target {
            &self.target
        }

        fn target_mut(&mut self) -> &mut Target {
            &mut self.target
        }

        fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
            let call = 1 + self.calls.fetch_add(1, Ordering::Relaxed);
            Ok(CodeImage {
                bytes: vec![call; 64],
                kernel_offsets: vec![16; kernels.len()],
                features: vec!["avx2".into()],
                parts: vec![0, 32],
            })
        }

        fn emit(&self, _: &[Kernel], _: Form) -> Result<String, CodegenError> {
            Ok(String::new())
        }
    }

    fn kernel(value: f64) -> Kernel {
        let mut builder = KernelBuilder::new("fill");
        let y = builder.parameter("y", DType::F32, Access::Write);
        let register = builder.constant(DType::F32, 1, value);
        builder.store(y, Index::Constant(0), register, None);
        builder.finish(0)
    }

    #[test]
    fn code_is_made_once_for_the_same_kernels_and_maker() {
        let folder = std::env::temp_dir().join(format!("kc-code-cache-{}", std::process::id()));
        let calls = Arc::new(AtomicU8::new(0));
        let kept = |maker: &str| {
            let backend = Box::new(Counting { target: Target::baseline(), calls: calls.clone() });
            Kept { backend, maker: maker.into(), cache: CodeCache::new(&folder, 1 << 20) }
        };
        let (a, b) = (kept("a"), kept("b"));
        let first = a.compile(&[kernel(1.0)]).unwrap();
        assert_eq!(a.compile(&[kernel(1.0)]).unwrap(), first);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_ne!(a.compile(&[kernel(2.0)]).unwrap(), first);
        assert_ne!(b.compile(&[kernel(1.0)]).unwrap(), first);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        // code of the right form for other kernels, or of none
        let other = CodeImage { kernel_offsets: vec![64], ..first };
        for wrong in [encode(&other), vec![], vec![255; 8]] {
            a.cache.write(&a.key(&[kernel(1.0)]), &wrong).unwrap();
            let before = calls.load(Ordering::Relaxed);
            assert_eq!(a.compile(&[kernel(1.0)]).unwrap().bytes, [before + 1; 64]);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

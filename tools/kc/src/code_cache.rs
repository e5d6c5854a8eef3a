//! Machine code that was made before, in files.
//!
//! The name of a file is the hash of all that its code depends on: the kernels, the back end, the processor, and the files that make the
//! code (the back end's plug-in and this program) with their lengths and times. A file that is not whole, or that others than its owner
//! may write, counts for nothing: its code is made again. What cannot be written is not kept, and nothing else changes.

use kc_codegen::{Backend, CodeImage, CodegenError, Form};
use kc_ir::kernel::{Kernel, Program, print_kernels};
use kc_passes::Target;
use kc_runtime::intrinsics::host_target;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_128;

/// The variable that names another folder, or `off`.
const VARIABLE: &str = "KC_CODE_CACHE";

/// Bytes that the files may have together.
const MOST_BYTES: u64 = 256 << 20;

/// The end of the files' names.
const EXTENSION: &str = "code";

/// A back end whose code is kept.
pub struct Kept {
    backend: Box<dyn Backend>,
    /// What the code depends on beside the kernels.
    maker: String,
    folder: PathBuf,
    /// Bytes from which on the files go that were not read for the longest time.
    most_bytes: u64,
}

/// The back end with a cache of its code, unless the person wants none. `files` make the code.
pub fn kept(backend: Box<dyn Backend>, files: &[PathBuf]) -> Box<dyn Backend> {
    let folder = match std::env::var_os(VARIABLE) {
        Some(value) if value == "off" => return backend,
        Some(folder) => folder.into(),
        None => default_folder(),
    };
    let maker = format!("{}\n{}\n{}", env!("CARGO_PKG_VERSION"), processor(), identities(files));
    Box::new(Kept { backend, maker, folder, most_bytes: MOST_BYTES })
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
    fn path(&self, kernels: &[Kernel]) -> PathBuf {
        let (name, machine, text) = (self.backend.name(), self.backend.machine(), print_kernels(kernels));
        let key = xxh3_128(format!("{name}\n{machine}\n{}\n{text}", self.maker).as_bytes());
        self.folder.join(format!("{key:032x}.{EXTENSION}"))
    }

    /// The code in a file; `None` where it is not as it was written.
    fn read(&self, path: &Path, kernels: usize) -> Option<CodeImage> {
        if !(is_only_owners(&self.folder) && is_only_owners(path)) {
            return None;
        }
        let image = decode(&fs::read(path).ok()?, kernels)?;
        // the least recently read go first; a file whose time cannot be set goes sooner
        let file = fs::File::options().append(true).open(path).ok();
        let _ = file.map(|file| file.set_modified(SystemTime::now()));
        Some(image)
    }

    fn write(&self, path: &Path, image: &CodeImage) -> std::io::Result<()> {
        make_folder(&self.folder)?;
        // one that a killed process leaves goes with the oldest files
        let part = path.with_extension(format!("{}.{EXTENSION}", std::process::id()));
        let written =
            create(&part).and_then(|mut file| file.write_all(&encode(image))).and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            // the first error is the one that counts
            let _ = fs::remove_file(&part);
        }
        written?;
        self.remove_oldest()
    }

    fn remove_oldest(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let metadata = fs::metadata(&path)?;
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
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
        let path = self.path(kernels);
        if let Some(image) = self.read(&path, kernels.len()) {
            return Ok(image);
        }
        let image = self.backend.compile(kernels)?;
        // without room for it the code is made each time
        let _ = self.write(&path, &image);
        Ok(image)
    }

    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        self.backend.emit(kernels, form)
    }
}

/// Hash of the rest (16 bytes, little endian), length of the header (8 bytes), header as JSON, code.
fn encode(image: &CodeImage) -> Vec<u8> {
    let header = json!({
        "kernel_offsets": image.kernel_offsets,
        "features": image.features,
        "parts": image.parts,
    });
    let header = header.to_string();
    let mut bytes = vec![0; 16];
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(&image.bytes);
    let hash = xxh3_128(&bytes[16..]).to_le_bytes();
    bytes[..16].copy_from_slice(&hash);
    bytes
}

/// The code of so many kernels; `None` for anything else.
fn decode(bytes: &[u8], kernels: usize) -> Option<CodeImage> {
    let (hash, rest) = bytes.split_first_chunk::<16>()?;
    if u128::from_le_bytes(*hash) != xxh3_128(rest) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<8>()?;
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

/// Whether none but the owner may write a file or a folder.
#[cfg(unix)]
fn is_only_owners(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn is_only_owners(_: &Path) -> bool {
    true
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn create(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::DType;
    use kc_ir::kernel::{Access, Index, KernelBuilder};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;

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

    fn cache(name: &str, maker: &str, most_bytes: u64) -> (Kept, Arc<AtomicU8>) {
        let folder = std::env::temp_dir().join(format!("kc-code-cache-{name}-{}", std::process::id()));
        let calls = Arc::new(AtomicU8::new(0));
        let backend = Box::new(Counting { target: Target::baseline(), calls: calls.clone() });
        (Kept { backend, maker: maker.into(), folder, most_bytes }, calls)
    }

    #[test]
    fn code_is_made_once_for_the_same_kernels_and_maker() {
        let (cache, calls) = self::cache("once", "a", 1 << 20);
        let first = cache.compile(&[kernel(1.0)]).unwrap();
        assert_eq!(cache.compile(&[kernel(1.0)]).unwrap(), first);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_ne!(cache.compile(&[kernel(2.0)]).unwrap(), first);
        let other = Kept { maker: "b".into(), ..cache };
        assert_ne!(other.compile(&[kernel(1.0)]).unwrap(), first);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        fs::remove_dir_all(&other.folder).unwrap();
    }

    #[test]
    fn what_is_not_as_it_was_written_is_made_again() {
        let (cache, calls) = self::cache("damaged", "", 1 << 20);
        let kernels = [kernel(1.0)];
        cache.compile(&kernels).unwrap();
        let path = cache.path(&kernels);
        let whole = fs::read(&path).unwrap();
        let mut made = 1;
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
        damaged.extend((0..whole.len()).map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        }));
        for bytes in damaged.into_iter().step_by(7) {
            fs::write(&path, bytes).unwrap();
            made += 1;
            assert_eq!(cache.compile(&kernels).unwrap().bytes, [made; 64]);
        }
        assert_eq!(calls.load(Ordering::Relaxed), made);
        // a file of the right form for other kernels
        let image = CodeImage { kernel_offsets: vec![64], ..decode(&whole, 1).unwrap() };
        fs::write(&path, encode(&image)).unwrap();
        assert_eq!(cache.compile(&kernels).unwrap().bytes, [made + 1; 64]);
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_write_is_made_again() {
        use std::os::unix::fs::PermissionsExt;
        let (cache, calls) = self::cache("foreign", "", 1 << 20);
        let kernels = [kernel(1.0)];
        cache.compile(&kernels).unwrap();
        for path in [cache.path(&kernels), cache.folder.clone()] {
            let before = calls.load(Ordering::Relaxed);
            let own = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(own.mode() | 0o002)).unwrap();
            cache.compile(&kernels).unwrap();
            assert_eq!(calls.load(Ordering::Relaxed), before + 1);
            fs::set_permissions(&path, own).unwrap();
        }
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn the_least_recently_read_code_goes_first() {
        let (cache, calls) = self::cache("bounded", "", 0);
        let length = |kernels: &[Kernel]| fs::metadata(cache.path(kernels)).unwrap().len();
        let [a, b, c] = [[kernel(1.0)], [kernel(2.0)], [kernel(3.0)]];
        let kept = Kept { most_bytes: 1 << 20, ..self::cache("bounded", "", 0).0 };
        kept.compile(&a).unwrap();
        kept.compile(&b).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        for kernels in [&a, &b] {
            fs::File::options().append(true).open(kept.path(kernels)).unwrap().set_modified(long_ago).unwrap();
        }
        kept.compile(&a).unwrap();
        let small = Kept { most_bytes: 2 * length(&a) + 8, ..cache };
        small.compile(&c).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!([&a, &b, &c].map(|kernels| small.path(kernels).exists()), [true, false, true]);
        fs::remove_dir_all(&small.folder).unwrap();
    }
}

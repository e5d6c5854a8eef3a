//! Packages: what is written is read back; what was cut, altered or made up is refused, and says why.

use kc_abi::manifest::*;
use kc_abi::{DType, Dim, TensorType};
use kc_runtime::{Array, Package, PackageError};
use std::path::{Path, PathBuf};
use std::process::Command;

fn sample() -> Package {
    let state = |name: &str, dtype, shape: &[i64]| StateTensor {
        name: name.into(),
        role: StateRole::Trainable,
        ty: TensorType::new(dtype, shape.iter().copied()),
    };
    let manifest = Manifest {
        format: FORMAT_VERSION,
        model: ModelInfo { name: "sample".into(), ..Default::default() },
        state: vec![state("dense/kernel", DType::F32, &[2, 3]), state("flag \"é\"", DType::Bool, &[])],
        entries: vec![Entry {
            name: "predict".into(),
            symbols: vec![kc_abi::Symbol::new("B")],
            inputs: vec![Input {
                name: "x".into(),
                role: InputRole::Feature,
                ty: TensorType::new(DType::F32, [Dim::symbol("B"), Dim::from(2i64)]),
                checks: vec![ValueCheck::NotNan],
            }],
            outputs: vec![],
            plan: Plan::default(),
            exact: vec![],
            updates: vec![],
        }],
        code: Code {
            backend: "test".into(),
            target: "x86_64-linux".into(),
            features: vec!["avx2".into()],
            intrinsics_version: 1,
            library: vec![],
            programs: vec![],
            kernels: vec![Kernel { name: "k".into(), offset: 3, scratch_bytes: 0, calls: None, block_threads: None }],
            parts: vec![0],
        },
    };
    Package {
        manifest,
        code: b"code!".to_vec().into(),
        constants: vec![7; 100].into(),
        others: vec![],
        state: Some(vec![
            Array::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, -0.0], &[2, 3]).unwrap(),
            Array::from_bools(&[true], &[]).unwrap(),
        ]),
    }
}

fn error(bytes: &[u8]) -> String {
    Package::from_bytes(bytes).expect_err("the package is bad").to_string()
}

/// A folder of its own for a test, removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kc-runtime-package-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_package_is_read_as_it_was_written() {
    let folder = Folder::new("roundtrip");
    let path = folder.0.join("sample.kcp");
    let package = sample();
    package.write(&path).unwrap();
    package.write(&path).unwrap();
    assert_eq!(folder.names(), ["sample.kcp"]);
    let read = Package::read(&path).unwrap();
    assert_eq!(read.manifest, package.manifest);
    assert_eq!((read.code, read.constants, read.state), (package.code, package.constants, package.state));
    assert_eq!(Package::read_manifest(&path).unwrap(), package.manifest);
    assert_eq!(std::fs::read(&path).unwrap(), sample().to_bytes().unwrap());

    let fresh = Package { state: None, ..sample() };
    assert_eq!(Package::from_bytes(&fresh.to_bytes().unwrap()).unwrap().state, None);
}

#[test]
fn every_truncation_says_how_much_is_missing() {
    let bytes = sample().to_bytes().unwrap();
    for length in 0..bytes.len() {
        let message = error(&bytes[..length]);
        match length {
            0 => assert_eq!(
                message,
                r#"it is no kc package: it starts with nothing, a package with "\x89KCP\r\n\x1a\n""#
            ),
            1..64 => assert_eq!(message, format!("it is truncated: 64 bytes were expected, {length} were found")),
            _ => assert_eq!(
                message,
                format!("it is truncated: {} bytes were expected, {length} were found", bytes.len())
            ),
        }
    }
    let longer = [&bytes[..], b"xyz"].concat();
    assert_eq!(
        error(&longer),
        format!("3 bytes follow its end: {} bytes were expected, {} were found", bytes.len(), longer.len())
    );
}

#[test]
fn every_altered_byte_is_found() {
    let bytes = two_machines().to_bytes().unwrap();
    for position in 0..bytes.len() {
        for flipped in [0x01, 0x10, 0xff] {
            let mut altered = bytes.clone();
            altered[position] ^= flipped;
            assert!(Package::from_bytes(&altered).is_err(), "byte {position}");
        }
    }
}

#[test]
fn a_file_that_is_mapped_gives_an_error_or_the_same_program() {
    let folder = Folder::new("mapped");
    let path = folder.0.join("sample.kcp");
    let sample = two_machines();
    let bytes = sample.to_bytes().unwrap();
    let weights = bytes.windows(2).rposition(|window| window == b"{\"").unwrap();
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 0x10;
        std::fs::write(&path, &altered).unwrap();
        assert!(Package::verify(&path).is_err(), "byte {position}");
        if let Ok(read) = Package::read(&path) {
            // what loading does not look at: the weights' values, other machines' code, the bytes between sections
            assert_eq!(
                (read.manifest, read.code, read.constants),
                (sample.manifest.clone(), sample.code.clone(), sample.constants.clone())
            );
            assert!(read.state == sample.state || position > weights, "byte {position}");
        }
    }
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Package::read(&path).is_err(), "{length} bytes");
    }
}

#[test]
fn weights_of_a_mapped_file_stay_as_they_were_read() {
    let folder = Folder::new("private");
    let path = folder.0.join("sample.kcp");
    sample().write(&path).unwrap();
    let mut read = Package::read(&path).unwrap();
    read.state.as_mut().unwrap()[0].as_mut_slice::<f32>().unwrap()[0] = 9.0;
    assert_eq!(Package::verify(&path).unwrap().state, sample().state);
    // a new file in the old one's place leaves what is mapped
    let other = Package { state: None, ..sample() };
    other.write(&path).unwrap();
    assert_eq!(read.state.unwrap()[0].as_slice::<f32>().unwrap(), [9.0, 2.0, 3.0, 4.0, 5.0, -0.0]);
}

/// The sample with code for another machine beside its own.
fn two_machines() -> Package {
    let mut other = sample();
    other.manifest.code.target = "aarch64-linux".into();
    other.manifest.code.features = vec![];
    other.code = b"other".to_vec().into();
    sample().merge(other).unwrap()
}

#[test]
fn a_package_holds_code_for_several_machines() {
    let merged = two_machines();
    let own = |package: &Package| package.target().to_string();
    assert_eq!(merged.others.len(), 1);
    let bytes = merged.to_bytes().unwrap();
    let read = Package::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes().unwrap(), bytes);
    assert_eq!(own(&read), own(&merged));
    assert_eq!(
        merged.merge(sample()).unwrap_err().to_string(),
        "both packages have code for x86_64-linux (test; avx2)"
    );

    let baseline = |features: &[&str]| {
        let mut package = sample();
        package.manifest.code.target = kc_runtime::intrinsics::host_target().into();
        package.manifest.code.features = features.iter().map(|name| (*name).into()).collect();
        package
    };
    // the best that this machine executes, wherever it comes from
    let merged = baseline(&[]).merge(baseline(&["no such feature"])).unwrap();
    assert_eq!(merged.manifest.code.features, [""; 0]);
    assert_eq!(merged.others[0].target.features, ["no such feature"]);

    let mut different = sample();
    different.manifest.state[0].name = "another".into();
    different.manifest.code.target = "aarch64-linux".into();
    assert_eq!(
        sample().merge(different).unwrap_err().to_string(),
        "the packages are of different models: state tensor `dense/kernel` f32[2, 3] here, `another` f32[2, 3] there"
    );
}

#[test]
fn a_stripped_package_only_predicts() {
    let mut package = two_machines();
    package.manifest.entries.push(Entry { name: "train_step".into(), ..package.manifest.entries[0].clone() });
    let momentum =
        StateTensor { name: "momentum".into(), role: StateRole::Optimizer, ty: TensorType::new(DType::F32, [2i64]) };
    let package = Package { others: vec![], ..package };
    let mut package = package;
    package.manifest.state.insert(0, momentum);
    package.state.as_mut().unwrap().insert(0, Array::from_slice(&[1f32, 2.0], &[2]).unwrap());
    package.manifest.code.kernels = [0, 64, 128]
        .map(|offset| Kernel {
            name: format!("k{offset}"),
            offset: offset + 1,
            scratch_bytes: 0,
            calls: None,
            block_threads: None,
        })
        .to_vec();
    package.manifest.code.parts = vec![0, 64, 128];
    package.code = [[1u8; 64], [2; 64], [3; 64]].concat().into();
    package.manifest.entries[0].plan.buffers =
        vec![Buffer { dtype: DType::F32, elements: Dim::from(6i64), place: Place::State(1), offset: Dim::default() }];
    package.manifest.entries[0].plan.steps = vec![Step::Launches(vec![Launch {
        kernel: 2,
        buffers: vec![0],
        dims: vec![],
        tasks: Dim::from(1i64),
        parts: vec![],
        work: Dim::default(),
    }])];
    let stripped = package.strip().unwrap();
    let manifest = &stripped.manifest;
    assert_eq!(manifest.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["predict"]);
    assert_eq!((&*stripped.code, manifest.code.kernels[0].offset), (&[3u8; 64][..], 1));
    assert_eq!(manifest.state, sample().manifest.state);
    assert_eq!(stripped.state, sample().state);
    assert_eq!(manifest.entries[0].plan.buffers[0].place, Place::State(0));
    let again = Package::from_bytes(&stripped.to_bytes().unwrap()).unwrap();
    assert_eq!(again.manifest, *manifest);

    let without = Package { manifest: Manifest { entries: vec![], ..sample().manifest }, ..sample() };
    assert_eq!(
        without.strip().unwrap_err().to_string(),
        "the package has no entry point `predict`, which is what would be left"
    );
}

#[test]
fn a_stripped_package_for_devices_keeps_the_programs_of_predict() {
    let mut package = sample();
    let predict = package.manifest.entries[0].clone();
    package.manifest.entries.insert(0, Entry { name: "train_step".into(), ..predict });
    let momentum =
        StateTensor { name: "momentum".into(), role: StateRole::Optimizer, ty: TensorType::new(DType::F32, [2i64]) };
    package.manifest.state.insert(0, momentum);
    package.state.as_mut().unwrap().insert(0, Array::from_slice(&[1f32, 2.0], &[2]).unwrap());
    let program = |entry: usize, offset: u64, arguments: &[Place]| DeviceProgram {
        entry,
        form: ProgramForm::Stablehlo,
        offset,
        bytes: 5,
        arguments: arguments.to_vec(),
        results: vec![Place::Output(0)],
        batch_divided: false,
    };
    package.manifest.code.kernels.clear();
    package.manifest.code.programs =
        vec![program(0, 0, &[Place::State(0), Place::State(1)]), program(1, 5, &[Place::State(1), Place::Input(0)])];
    package.manifest.model.distribution = Some(Distribution {
        mesh: vec![MeshAxis { name: "batch".into(), size: 2 }],
        state: vec![vec![Some(0)], vec![None, None], vec![]],
        batch: Some(0),
    });
    package.code = b"trainknown".to_vec().into();
    let stripped = package.strip().unwrap();
    assert_eq!(stripped.manifest.code.programs, [program(0, 0, &[Place::State(0), Place::Input(0)])]);
    assert_eq!((&*stripped.code, &stripped.manifest.state), (&b"known"[..], &sample().manifest.state));
    assert_eq!(stripped.manifest.model.distribution.unwrap().state, [vec![None, None], vec![]]);
}

#[test]
fn an_altered_section_is_named() {
    let bytes = sample().to_bytes().unwrap();
    let start = bytes.windows(5).position(|window| window == b"code!").unwrap();
    let mut altered = bytes.clone();
    altered[start] = b'C';
    let hash = |bytes: &[u8]| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes));
    assert_eq!(
        error(&altered),
        format!("its section `code` was altered: hash {} was expected, {} was found", hash(b"code!"), hash(b"Code!"))
    );
    let mut altered = bytes.clone();
    altered[40] = 1;
    assert!(error(&altered).starts_with("its header was altered: hash "));
    let mut other = bytes.clone();
    other[8] = 9;
    assert_eq!(
        error(&other),
        "it has version 9 of the package format, this runtime reads version 3; compile the model again"
    );
    assert_eq!(
        error(b"PK\x03\x04 a zip file"),
        r#"it is no kc package: it starts with "PK\x03\x04 a z", a package with "\x89KCP\r\n\x1a\n""#
    );
}

fn offset_of_code() -> u64 {
    let bytes = sample().to_bytes().unwrap();
    u64::from_le_bytes(bytes[64 + 2 * 64 + 16..][..8].try_into().unwrap())
}

/// The sample's file with its header changed by `change` and hashed again, as a hostile writer would.
fn hostile(change: impl Fn(&mut Vec<u8>)) -> String {
    let mut bytes = sample().to_bytes().unwrap();
    change(&mut bytes);
    let count = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    if let Some(table) = bytes.get(64..64 + 64 * count.min(64)) {
        let hash = xxhash_rust::xxh3::xxh3_128(&[&bytes[..48], table].concat());
        bytes[48..64].copy_from_slice(&hash.to_le_bytes());
    }
    error(&bytes)
}

#[test]
fn hostile_headers_are_refused() {
    let length = sample().to_bytes().unwrap().len();
    let code = 64 + 2 * 64; // the entry of the third section
    assert_eq!(
        hostile(|bytes| bytes[code + 16..code + 32].fill(0xff)),
        format!(
            "its section `code` should be at bytes 18446744073709551615 to 36893488147419103230, the file has {length}"
        )
    );
    assert_eq!(
        hostile(|bytes| bytes[12..16].fill(0xff)),
        format!("its header is wrong: 4294967295 sections in a file of {length} bytes")
    );
    assert_eq!(
        hostile(|bytes| bytes[code..code + 4].copy_from_slice(b"evil")),
        "its header is wrong: the unknown section `evil` that its reader must know"
    );
    assert_eq!(
        hostile(|bytes| bytes.copy_within(64..80, code)),
        "its header is wrong: two sections `targets` of variant 0"
    );
    assert_eq!(hostile(|bytes| bytes[12] = 1), "byte 128 belongs to no section and must be 0, 109 was found");
    assert_eq!(
        hostile(|bytes| bytes[code + 16] += 1),
        format!("its header is wrong: section `code` at byte {}, where none may start", offset_of_code() + 1)
    );
    assert_eq!(
        hostile(|bytes| bytes[code + 16..code + 24].fill(0)),
        "its header is wrong: section `code` at byte 0, where none may start"
    );
    assert_eq!(
        hostile(|bytes| bytes.copy_within(code - 64 + 16..code - 64 + 24, code + 16)),
        "its sections `code` and `manifest` overlap"
    );
    // a section that a reader may leave alone is hashed all the same
    let kept = |flag: u8| {
        hostile(|bytes| {
            bytes[code + 64..code + 68].copy_from_slice(b"card");
            bytes[code + 64 + 4..code + 64 + 16].fill(0);
            bytes[code + 64 + 52] = flag;
        })
    };
    assert_eq!(kept(0), "its header is wrong: the unknown section `card` that its reader must know");
    assert_eq!(kept(1), "its section `constants` of variant 0 is missing");
}

#[test]
fn contradictions_are_refused() {
    let mut package = sample();
    package.manifest.code.kernels[0].offset = 5;
    assert_eq!(error(&package.to_bytes().unwrap()), "kernel `k` starts at byte 5 of the section `code`, which has 5");
    let mut package = sample();
    package.state.as_mut().unwrap()[0] = Array::zeros(DType::F32, &[3, 2]).unwrap();
    assert_eq!(
        package.to_bytes().unwrap_err().to_string(),
        "its section `weights` is wrong: tensor `dense/kernel` is f32(3, 2), the manifest says f32[2, 3]"
    );
    let mut package = sample();
    package.state.as_mut().unwrap().pop();
    assert_eq!(
        package.to_bytes().unwrap_err().to_string(),
        "its section `weights` is wrong: 1 tensors for the manifest's 2"
    );
}

#[test]
#[cfg(feature = "json")]
fn hostile_safetensors_are_refused() {
    use kc_runtime::package::safetensors::read;
    let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    for (bytes, message) in [
        (vec![1, 2], "2 bytes are too few for a header"),
        (
            u64::MAX.to_le_bytes().to_vec(),
            "a header of 18446744073709551615 bytes is longer than the 0 bytes there are",
        ),
        (file("[]", &[]), "the header is no JSON object: invalid type: sequence, expected a map at line 1 column 0"),
        (
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, &[0; 4]),
            "tensor `a` should be at bytes 0 to 8 of the data, which has 4",
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, &[0; 4]),
            "tensor `a` should be at bytes 4 to 0 of the data, which has 4",
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}"#, &[0; 4]),
            "tensor `a` has 4 bytes, which is not what f32(9223372036854775807, 9) takes",
        ),
        (
            file(r#"{"a":{"dtype":"F7","shape":[],"data_offsets":[0,4]}}"#, &[0; 4]),
            "tensor `a` has the unknown dtype F7",
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, &[0; 4]),
            "tensor `a`: invalid value: integer `-1`, expected usize",
        ),
    ] {
        assert_eq!(read(&bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = Path::new("no/such/folder/model.kcp");
    assert_eq!(
        Package::read(path).unwrap_err().to_string(),
        "cannot read the package `no/such/folder/model.kcp`: No such file or directory (os error 2)"
    );
    assert_eq!(
        sample().write(path).unwrap_err().to_string(),
        "cannot write the package `no/such/folder/model.kcp`: No such file or directory (os error 2); no file was changed"
    );
}

/// Run by [`a_full_disk_keeps_the_old_file`] in a process that may write only small files.
#[test]
fn write_where_space_is_short() {
    let Some(path) = std::env::var_os("KC_TEST_SHORT_SPACE").map(PathBuf::from) else { return };
    let package = Package { constants: vec![1; 100_000].into(), ..sample() };
    let error = package.write(&path).expect_err("100,000 bytes do not fit");
    assert!(matches!(error, PackageError::Write { .. }));
    std::fs::write(path.with_extension("message"), error.to_string()).unwrap();
}

#[test]
fn a_full_disk_keeps_the_old_file() {
    let folder = Folder::new("full");
    let path = folder.0.join("model.kcp");
    sample().write(&path).unwrap();
    // a limit of 32 blocks of 512 or 1024 bytes, and no signal where it is passed, so that writing fails as on a full disk
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$0\" --exact write_where_space_is_short"])
        .arg(std::env::current_exe().unwrap())
        .env("KC_TEST_SHORT_SPACE", &path)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(
        std::fs::read_to_string(folder.0.join("model.message")).unwrap(),
        format!("cannot write the package `{}`: File too large (os error 27); no file was changed", path.display())
    );
    assert_eq!(folder.names(), ["model.kcp", "model.message"]);
    assert_eq!(Package::read(&path).unwrap().constants, sample().constants);
}

/// A file system in memory of so many bytes, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where this user or system cannot mount one.
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", size, "kc-test"]).arg(folder).output().ok()?;
        mount.status.success().then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // What is left mounted is memory of that size; a test has no better answer.
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_disk_that_is_really_full_keeps_the_old_file() {
    let folder = Folder::new("small-disk");
    let disk = folder.0.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = SmallDisk::mount(&disk, "size=64k") else {
        println!("skipped: this user or system cannot mount a tmpfs");
        return;
    };
    let path = disk.join("model.kcp");
    sample().write(&path).unwrap();
    let package = Package { constants: vec![1; 100_000].into(), ..sample() };
    assert_eq!(
        package.write(&path).unwrap_err().to_string(),
        format!(
            "cannot write the package `{}`: No space left on device (os error 28); no file was changed",
            path.display()
        )
    );
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 1, "nothing is left beside the old file");
    assert_eq!(Package::read(&path).unwrap().constants, sample().constants);
}

//! Packages that someone made to do harm, with hashes that are right: an error, or a session that stays within its memory.
//!
//! `KC_FUZZ_CASES` is the number of packages, `KC_FUZZ_SEED` the first seed.

mod common;

use kc_abi::call::{Environment, KernelFn};
use kc_abi::manifest::{Manifest, Step};
use kc_runtime::{Array, Package, Session, SessionOptions};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % bound.max(1) as u64) as usize
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize
}

/// Makes all hashes right that can be.
fn hash_again(bytes: &mut [u8]) {
    let count = u32::from_le_bytes(bytes[12..16].try_into().expect("four")) as usize;
    let Some(end) = count.checked_mul(64).map(|size| size + 64).filter(|end| *end <= bytes.len()) else { return };
    for entry in (64..end).step_by(64) {
        let (start, length) = (number(bytes, entry + 16), number(bytes, entry + 24));
        if let Some(contents) = start.checked_add(length).and_then(|end| bytes.get(start..end)) {
            let hash = xxh3_128(contents).to_le_bytes();
            bytes[entry + 32..entry + 48].copy_from_slice(&hash);
        }
    }
    let hash = xxh3_128(&[&bytes[..48], &bytes[64..end]].concat());
    bytes[48..64].copy_from_slice(&hash.to_le_bytes());
}

fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(damaged.len());
        match random.below(6) {
            0 => damaged[at] ^= 1 << random.below(8),
            1 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => damaged[at] = damaged[at].wrapping_add(1),
            3 => {
                let end = (at + 1 + random.below(16)).min(damaged.len());
                let from = random.below(damaged.len() - (end - at));
                damaged.copy_within(from..from + (end - at), at);
            }
            4 => damaged.truncate(at.max(64)),
            _ => {
                let end = (at + 8).min(damaged.len());
                damaged[at..end].fill([0, 0xff][random.below(2)]);
            }
        }
    }
    hash_again(&mut damaged);
    damaged
}

unsafe extern "C" fn nothing(_: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {}

fn may_not_end(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::While { .. } | Step::Loop { .. } => true,
        other => other.blocks().into_iter().any(may_not_end),
    })
}

/// Runs what can be run, with kernels that do nothing.
fn execute(manifest: Manifest, constants: &[u8]) -> Option<()> {
    let elements = |shape: &[kc_abi::Dim]| {
        shape.iter().try_fold(1i64, |product, dim| product.checked_mul(dim.as_constant().unwrap_or(1)))
    };
    let small = manifest.state.iter().all(|tensor| elements(&tensor.ty.shape).is_some_and(|count| count < 1 << 16))
        && manifest.code.kernels.iter().all(|kernel| kernel.scratch_bytes < 1 << 20)
        && !manifest.entries.iter().flat_map(|entry| entry.plans()).any(|plan| may_not_end(&plan.steps));
    if !small || manifest.code.kernels.len() > 100 {
        return None;
    }
    let kernels: Vec<KernelFn> = vec![nothing; manifest.code.kernels.len()];
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    // SAFETY: the kernels touch nothing.
    let mut session =
        unsafe { Session::from_functions(Arc::new(manifest.clone()), kernels, constants, &options) }.ok()?;
    for entry in &manifest.entries {
        let inputs = entry.inputs.iter().map(|input| {
            let shape: Option<Vec<usize>> =
                input.ty.shape.iter().map(|dim| usize::try_from(dim.as_constant().unwrap_or(1)).ok()).collect();
            let shape = shape
                .filter(|shape| shape.iter().try_fold(1usize, |p, &e| p.checked_mul(e)).is_some_and(|p| p < 1 << 16));
            Array::zeros(input.ty.dtype, &shape?).ok()
        });
        if let Some(inputs) = inputs.collect::<Option<Vec<Array>>>() {
            let _ = session.run(&entry.name, &inputs.iter().collect::<Vec<_>>());
        }
    }
    Some(())
}

#[test]
fn hostile_packages_are_errors_or_stay_within_their_memory() {
    let setting =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let (first, cases) = (setting("KC_FUZZ_SEED", 0), setting("KC_FUZZ_CASES", 3_000));
    let state = common::session(1, 5).state().expect("it is in memory").to_vec();
    let package = Package {
        manifest: common::manifest(vec![]),
        code: vec![0xc3; 16].into(),
        constants: vec![1; 64].into(),
        state: Some(state),
        others: vec![],
    };
    let bytes = package.to_bytes().expect("a package");
    let mut other = package.clone();
    other.manifest.code.target = "another".into();
    let merged = package.merge(other).expect("two machines").to_bytes().expect("a package");
    let (mut read, mut executed) = (0, 0);
    for seed in first..first + cases {
        let mut random = Random(seed);
        let damaged = damage(if seed % 2 == 0 { &bytes } else { &merged }, &mut random);
        if let Ok(package) = Package::from_bytes(&damaged) {
            read += 1;
            let _ = package.clone().strip();
            let again = package.to_bytes().expect("what was read can be written");
            assert_eq!(Package::from_bytes(&again).expect("and read").manifest, package.manifest, "seed {seed}");
            executed += usize::from(execute(package.manifest, &package.constants).is_some());
        }
    }
    println!("{read} of {cases} packages were read, {executed} executed");
    assert!(executed * 50 > cases as usize, "the damage is too great to test anything: {executed} of {cases}");
}

//! A process that is killed while it saves leaves the old package or the new one, whole.
#![cfg(unix)]

mod common;

use kc_runtime::Package;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: u32 = 200;

/// One of two packages, of different sizes.
fn package(number: u32) -> Package {
    let manifest = common::manifest(vec![]);
    let size = [300_000, 700_000][number as usize % 2];
    Package {
        manifest,
        code: vec![0; 16].into(),
        constants: vec![number as u8 % 2; size].into(),
        state: None,
        others: vec![],
    }
}

/// Run by the test below in a process of its own: saves one after the other until it is killed.
#[test]
fn save_until_killed() {
    let Some(path) = std::env::var_os("KC_TEST_SAVE_UNTIL_KILLED") else { return };
    println!("saving");
    for number in 1.. {
        package(number).write(Path::new(&path)).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_package() {
    use std::io::Read;
    let folder = std::env::temp_dir().join(format!("kc-runtime-crash-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.kcp");
    let start = Instant::now();
    package(1).write(&path).unwrap();
    package(0).write(&path).unwrap();
    // the kills are spread over some files that the process saves
    let last = 2 * start.elapsed().max(Duration::from_millis(2));
    let mut seen = [0u32; 2];
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "save_until_killed", "--nocapture"])
            .env("KC_TEST_SAVE_UNTIL_KILLED", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // until it saves
        let mut said = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        while !said.ends_with(b"saving") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        std::thread::sleep(last * kill / KILLS);
        child.kill().unwrap();
        child.wait().unwrap();
        let read = Package::verify(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        let number = u32::from(read.constants[0]);
        assert_eq!(*read.constants, *package(number).constants, "kill {kill}");
        seen[number as usize] += 1;
        for left in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if left != path {
                std::fs::remove_file(left).unwrap();
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

//! Signatures of packages: what was signed is known again, and whatever was done to it since is found.
#![cfg(feature = "signature")]

mod common;

use kc_runtime::package::{PublicKey, SecretKey, SignatureError};
use kc_runtime::{Package, PackageError};
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_128;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).expect("a key")
}

fn package() -> Package {
    let state = common::session(1, 5).state().expect("it is in memory").to_vec();
    let (code, constants) = (vec![0xc3; 16].into(), vec![1; 64].into());
    Package { manifest: common::manifest(vec![]), code, constants, state: Some(state), others: vec![] }
}

/// A package's file with the first key's signature.
fn signed(test: &str) -> (PathBuf, Vec<u8>) {
    let path = std::env::temp_dir().join(format!("kc-runtime-signature-{test}-{}.kcp", std::process::id()));
    package().write(&path).expect("written");
    Package::sign(&path, &key(1)).expect("signed");
    let bytes = std::fs::read(&path).expect("read");
    (path, bytes)
}

/// Makes the hashes right, as one who alters a package would.
fn hash_again(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize;
    let end = 64 + 64 * u32::from_le_bytes(bytes[12..16].try_into().expect("four")) as usize;
    for entry in (64..end).step_by(64) {
        let (start, length) = (number(bytes, entry + 16), number(bytes, entry + 24));
        let hash = xxh3_128(&bytes[start..start + length]).to_le_bytes();
        bytes[entry + 32..entry + 48].copy_from_slice(&hash);
    }
    let hash = xxh3_128(&[&bytes[..48], &bytes[64..end]].concat());
    bytes[48..64].copy_from_slice(&hash.to_le_bytes());
}

#[test]
fn a_signed_package_is_read_by_those_who_know_its_author() {
    let (path, bytes) = signed("read");
    let original = package();
    for read in [
        Package::read_signed(&path, &key(1).public()).expect("it is signed"),
        Package::from_signed_bytes(&bytes, &key(1).public()).expect("it is signed"),
        Package::verify(&path).expect("it is whole"),
    ] {
        assert_eq!((read.manifest, read.state), (original.manifest.clone(), original.state.clone()));
    }
    assert_eq!(Package::signer(&path).expect("it can be read"), Some(key(1).public()));
    let error = Package::read_signed(&path, &key(2).public()).expect_err("another's");
    let (first, second) = (key(1).public(), key(2).public());
    assert_eq!(error.to_string(), format!("the package is signed by {first}, not by {second}"));

    Package::sign(&path, &key(2)).expect("signed again");
    assert_eq!(Package::signer(&path).expect("it can be read"), Some(second));
    Package::read_signed(&path, &second).expect("it is signed");
    // what writes a package anew writes no signature that it cannot make
    Package::verify(&path).expect("it is whole").write(&path).expect("written");
    assert!(matches!(Package::read_signed(&path, &second), Err(SignatureError::Unsigned)));
    assert_eq!(Package::signer(&path).expect("it can be read"), None);
    std::fs::remove_file(&path).expect("removed");
}

#[test]
fn whatever_is_altered_is_found() {
    let (path, bytes) = signed("altered");
    std::fs::remove_file(&path).expect("removed");
    let public = key(1).public();
    let mut found = 0;
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(Package::from_bytes(&altered).is_err(), "byte {at} is in no hash");
        // with hashes that are right again, where the table still says where things are
        let is_place = at < 64 || (64..64 + 64 * usize::from(bytes[12])).contains(&at) && (16..32).contains(&(at % 64));
        if is_place {
            continue;
        }
        hash_again(&mut altered);
        if altered == bytes {
            continue; // a hash was altered, and is right again
        }
        match Package::from_signed_bytes(&altered, &public) {
            Err(SignatureError::Wrong { .. }) => found += 1,
            Err(
                SignatureError::Package(_)
                | SignatureError::Unsigned
                | SignatureError::OtherKey { .. }
                | SignatureError::Malformed(_),
            ) => {}
            other => panic!("byte {at}: {:?}", other.map(drop)),
        }
    }
    assert!(found > 500, "{found} of {}", bytes.len());
}

#[test]
fn a_signature_of_another_package_is_refused() {
    let (path, bytes) = signed("moved");
    let mut other = package();
    other.code = vec![0x90; 16].into();
    other.write(&path).expect("written");
    Package::sign(&path, &key(1)).expect("signed");
    let of_other = std::fs::read(&path).expect("read");
    std::fs::remove_file(&path).expect("removed");
    let mut moved = bytes.clone();
    let from = bytes.len() - 104;
    moved[from..].copy_from_slice(&of_other[of_other.len() - 104..]);
    hash_again(&mut moved);
    let error = Package::from_signed_bytes(&moved, &key(1).public()).expect_err("another's signature");
    let public = key(1).public();
    assert_eq!(
        error.to_string(),
        format!(
            "the package was altered after it was signed, or its signature was forged: it is none of {public} for these contents"
        )
    );
}

#[test]
fn what_cannot_be_signed_or_read_is_said() {
    let (path, bytes) = signed("errors");
    std::fs::write(&path, &bytes[..100]).expect("written");
    assert!(matches!(
        Package::sign(&path, &key(1)),
        Err(SignatureError::Package(PackageError::InFile { source, .. })) if matches!(*source, PackageError::Truncated { .. })
    ));
    assert_eq!(std::fs::read(&path).expect("read"), bytes[..100]);
    std::fs::remove_file(&path).expect("removed");

    let secret = key(7);
    let again: SecretKey = format!("{}\n", secret.to_text()).parse().expect("a key");
    assert_eq!(again.public(), secret.public());
    assert_eq!(secret.public().to_string().parse::<PublicKey>().expect("a key"), secret.public());
    assert_eq!(format!("{secret:?}"), format!("the secret key of {}", secret.public()));
    let text = secret.to_text();
    let error = |text: &str| text.parse::<PublicKey>().expect_err("no key").to_string();
    let expected = "this is no public key: expected `kc-ed25519-public` and 64 hexadecimal digits";
    assert_eq!((error(&text).as_str(), error("kc-ed25519-public 12").as_str()), (expected, expected));
    assert_eq!(
        SecretKey::from_seed([0; 32]).expect_err("no key").to_string(),
        "these bytes are no secret key: Invalid seed"
    );
    // the point of order one would verify anything
    let weak = format!("kc-ed25519-public 01{}", "00".repeat(31));
    assert!(weak.parse::<PublicKey>().is_err());
}

/// RFC 8032, section 7.1: the key of test 1.
#[test]
fn keys_are_those_of_the_standard() {
    let secret: SecretKey =
        "kc-ed25519-secret 9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse().expect("a key");
    assert_eq!(
        secret.public().to_string(),
        "kc-ed25519-public d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
}

//! A project outside the workspace that embeds a package: one dependency and a build script.

use kc::prelude::*;
use kc_runtime::{Array, ArrayError, Dataset, FitOptions, Package, Session, SessionOptions, Verbose};
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD: &str = r#"fn main() {
    kc_build::package("mnist.kcp").unwrap();
}
"#;

const MAIN: &str = r#"kc_runtime::include_model!("mnist.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let image: [[u8; 28]; 28] = std::array::from_fn(|y| std::array::from_fn(|x| (y * 31 + x * 7) as u8));
    for probability in Mnist::new()?.predict(&image)? {
        println!("{:08x}", probability.to_bits());
    }
    Ok(())
}
"#;

/// The embedded model, trained on the device; it predicts with what it learned.
const TUNE: &str = r#"kc_runtime::include_model!("mnist.rs");

use kc_runtime::{Array, Dataset, FitOptions, Verbose, fit};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let images: Vec<u8> = (0..40 * 784).map(|i| (i * 37 % 241) as u8).collect();
    let labels: Vec<u8> = (0..40).map(|i| i % 10).collect();
    let data = Dataset::new(Array::from_slice(&images, &[40, 28, 28])?, Array::from_slice(&labels, &[40])?);
    let mut session = Mnist::session()?;
    let options = FitOptions { epochs: 2, batch_size: 16, verbose: Verbose::Silent, ..Default::default() };
    fit(&mut session, &data, &options, &mut [])?;
    let image: [[u8; 28]; 28] = std::array::from_fn(|y| std::array::from_fn(|x| (y * 31 + x * 7) as u8));
    for probability in Mnist::from_package(session.package()?)?.predict(&image)? {
        println!("{:08x}", probability.to_bits());
    }
    Ok(())
}
"#;

/// The same training in this process.
fn tuned(package: Package, image: &Array) -> Result<String, Box<dyn std::error::Error>> {
    let images: Vec<u8> = (0..40 * 784).map(|i| (i * 37 % 241) as u8).collect();
    let labels: Vec<u8> = (0..40).map(|i| i % 10).collect();
    let data = Dataset::new(Array::from_slice(&images, &[40, 28, 28])?, Array::from_slice(&labels, &[40])?);
    let mut session = Session::from_package(package, &SessionOptions::default())?;
    let options = FitOptions { epochs: 2, batch_size: 16, verbose: Verbose::Silent, ..Default::default() };
    kc_runtime::fit(&mut session, &data, &options, &mut [])?;
    Ok(bits(&session.into_model()?.predict(&[image])?[0])?)
}

fn bits(probabilities: &Array) -> Result<String, ArrayError> {
    Ok(probabilities.as_slice::<f32>()?.iter().map(|value| format!("{:08x}\n", value.to_bits())).collect())
}

fn mnist() -> kc::Result<Sequential> {
    kc::utils::set_random_seed(7);
    let mut model = Sequential::new()
        .add(Input::new([28, 28]).dtype("uint8"))
        .add(Rescaling::new(1.0 / 255.0))
        .add(Flatten::new())
        .add(Dense::new(32).activation("relu"))
        .add(Dense::new(10).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_fresh_project_predicts_the_same_bits_with_few_crates() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fresh_project");
    std::fs::create_dir_all(folder.join("src/bin"))?;
    let model = mnist()?;
    let image: Vec<u8> = (0..784).map(|i| (i / 28 * 31 + i % 28 * 7) as u8).collect();
    let image = Array::from_slice(&image, &[1, 28, 28])?;
    let expected = bits(&model.predict(&image)?)?;
    let package = model.package()?;
    package.write(&folder.join("mnist.kcp"))?;

    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let manifest = format!(
        "[package]\nname = \"digits\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\nkc-runtime = {{ path = {:?}, \
         default-features = false, features = [\"train\"] }}\n\n[build-dependencies]\nkc-build = {{ path = {:?} }}\n",
        root.join("runtime"),
        root.join("tools/kc-build")
    );
    for (name, text) in
        [("Cargo.toml", manifest.as_str()), ("build.rs", BUILD), ("src/main.rs", MAIN), ("src/bin/tune.rs", TUNE)]
    {
        std::fs::write(folder.join(name), text)?;
    }
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    assert!(BUILD.lines().count() + MAIN.lines().count() < 15);

    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).arg("--offline").current_dir(&folder).env_remove("CARGO_TARGET_DIR");
        run(&mut command)
    };
    assert_eq!(cargo(&["run", "--quiet", "--bin", "digits"]), expected);
    assert_eq!(cargo(&["run", "--quiet", "--bin", "tune"]), tuned(package, &image)?);
    let tree = cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"]);
    let crates: std::collections::BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != "digits").collect();
    assert!(crates.len() <= 10, "{crates:?}");
    Ok(())
}

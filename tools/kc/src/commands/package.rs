use super::sign;
use crate::cli::{Merge, Strip, Verify};
use crate::failure::{Context, Failure, Outcome};
use crate::output;
use kc_runtime::Package;
use kc_runtime::package::PublicKey;
use std::path::Path;

/// `kc verify`: every hash, every byte that no hash covers, and the signature.
pub fn verify(arguments: &Verify) -> Outcome {
    let package = Package::verify(&arguments.package).map_err(Failure::new)?;
    let count = 1 + package.others.len();
    let machines = if count == 1 { "one machine" } else { &format!("{count} machines") };
    let path = arguments.package.display();
    let signature = match &arguments.public_key {
        Some(key) => {
            let key: PublicKey = sign::read_key(key)?;
            Package::read_signed(&arguments.package, &key).context(|| path.to_string())?;
            format!("{path} is signed by {key}\n")
        }
        None => match Package::signer(&arguments.package).context(|| path.to_string())? {
            Some(key) => format!("it names {key} as its author; `--public-key FILE` checks that\n"),
            None => String::new(),
        },
    };
    output::print(&format!("{path} is whole, with code for {machines}\n{signature}"))
}

/// `kc strip`: a package that only predicts.
pub fn strip(arguments: &Strip) -> Outcome {
    let stripped = verified(&arguments.package)?.strip().map_err(Failure::new)?;
    stripped.write(&arguments.output).map_err(Failure::new)?;
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    output::print(&format!(
        "wrote {}, {} bytes of {}\n",
        arguments.output.display(),
        size(&arguments.output),
        size(&arguments.package)
    ))
}

/// `kc merge`: one package of several.
pub fn merge(arguments: &Merge) -> Outcome {
    let mut packages = arguments.packages.iter().map(|path| verified(path));
    let mut merged = packages.next().ok_or_else(|| Failure::new("no packages were given"))??;
    for package in packages {
        merged = merged.merge(package?).map_err(Failure::new)?;
    }
    merged.write(&arguments.output).map_err(Failure::new)?;
    let count = 1 + merged.others.len();
    output::print(&format!("wrote {}, with code for {count} machines\n", arguments.output.display()))
}

/// What is written on is checked before.
fn verified(path: &Path) -> Outcome<Package> {
    Package::verify(path).map_err(Failure::new)
}

//! `kc keygen` and `kc sign`: whose a package is.

use crate::cli::{Keygen, Sign};
use crate::failure::{Context, Failure, Outcome};
use crate::output;
use kc_runtime::Package;
use kc_runtime::package::{SecretKey, SignatureError};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

/// `kc keygen`: two new files. Neither replaces one that is there: a secret key cannot be had again.
pub fn keygen(arguments: &Keygen) -> Outcome {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(format_args!("the system gives no random bytes: {error}")))?;
    let key = SecretKey::from_seed(seed).map_err(Failure::new)?;
    let public = arguments.output.with_extension("pub");
    if public == arguments.output {
        return Err(Failure::new("`-o` names the secret key; the extension pub is the public key's"));
    }
    if public.exists() {
        return Err(Failure::new(format_args!("{} is there already; name another file with `-o`", public.display())));
    }
    write_new(&arguments.output, &key.to_text(), true)?;
    write_new(&public, &key.public().to_string(), false)?;
    let (secret, public) = (arguments.output.display(), public.display());
    output::print(&format!("wrote {secret}, to be kept secret, and {public}, to be given to others\n"))
}

/// `kc sign`
pub fn sign(arguments: &Sign) -> Outcome {
    let key: SecretKey = read_key(&arguments.key)?;
    Package::sign(&arguments.package, &key).map_err(Failure::new)?;
    output::print(&format!("{} is signed by {}\n", arguments.package.display(), key.public()))
}

/// The key in a file.
pub fn read_key<K: FromStr<Err = SignatureError>>(path: &Path) -> Outcome<K> {
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))?;
    text.parse().context(|| path.display().to_string())
}

/// A file that was not there, with one line.
fn write_new(path: &Path, line: &str, secret: bool) -> Outcome {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| writeln!(file, "{line}"));
    written.context(|| format!("cannot write {}", path.display()))
}

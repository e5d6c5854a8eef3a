//! Which of Keras' functions `kc::ops` has: all 337 but those listed here.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of `keras.ops` in Keras 3.15.
const KERAS: &str = include_str!("data/ops.txt");

/// What is not there yet. A name that is there must be struck from the list.
const MISSING: &str = include_str!("data/ops_missing.txt");

/// The public functions of `ops/`: what stands behind `pub fn` at the start of a line, or is declared in `functions!` or a table of
/// its own, which is `name Class` at the start of a line's text.
fn declared() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).expect("a text file");
            names.extend(text.lines().filter_map(name).map(|name| name.trim_end_matches('_').to_string()));
        }
    }
    names
}

fn name(line: &str) -> Option<&str> {
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if let Some(rest) = line.strip_prefix("pub fn ") {
        return rest.split(['(', '<']).next().filter(|name| is_name(name));
    }
    let (name, rest) = line.strip_prefix("    ")?.split_once(' ')?;
    let class = rest.split(|c: char| !c.is_alphanumeric()).next()?;
    (is_name(name) && class.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

#[test]
fn what_is_missing_of_keras_is_listed() {
    let keras: BTreeSet<String> = KERAS.lines().map(str::to_string).collect();
    let listed: BTreeSet<String> = MISSING.lines().map(str::to_string).collect();
    assert_eq!(keras.len(), 337);
    let declared = declared();
    let there: Vec<&String> = listed.iter().filter(|name| declared.contains(*name) || !keras.contains(*name)).collect();
    let absent: Vec<&String> =
        keras.iter().filter(|name| !declared.contains(*name) && !listed.contains(*name)).collect();
    println!("{} of {} are missing", listed.len(), keras.len());
    assert!(there.is_empty(), "these are there, or none of Keras': strike them from data/ops_missing.txt: {there:?}");
    assert!(absent.is_empty(), "these are neither declared nor listed in data/ops_missing.txt: {absent:?}");
}

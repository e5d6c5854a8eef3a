//! What is no valid text is named with its place, what was expected and what was found: every kind of error of the readers and
//! verifiers of both IRs, in whole.
//!
//! A file under `errors/` holds cases between lines `===`: a text, a line `---`, and the error. `KC_BLESS=1` rewrites the errors.

use kc_ir::kernel::{parse_kernel, parse_program, verify_kernel, verify_program};
use kc_ir::tensor::text::{parse_function, parse_graph, parse_module};
use std::fs;
use std::path::Path;

/// The error of a text, which its file's name says the kind of.
fn error_of(kind: &str, text: &str) -> Option<String> {
    match kind {
        "graphs" => parse_graph(text).err().map(|error| error.to_string()),
        "modules" => parse_module(text).err().map(|error| error.to_string()),
        "functions" => parse_function(text).err().map(|error| error.to_string()),
        "kernels" => match parse_kernel(text) {
            Ok(kernel) => verify_kernel(&kernel).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        },
        "programs" => match parse_program(text) {
            Ok(program) => verify_program(&program).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        },
        other => panic!("there is no reader of {other}"),
    }
}

#[test]
fn every_error_says_what_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.file_stem().unwrap().to_str().unwrap().to_string();
        let (mut given, mut valid) = (Vec::new(), 0);
        let text = fs::read_to_string(&path).unwrap();
        for case in text.trim_end().split("\n===\n") {
            let input = case.split_once("\n---\n").map_or(case, |(input, _)| input);
            let error = error_of(&kind, input);
            valid += usize::from(error.is_none());
            given.push(format!("{input}\n---\n{}", error.unwrap_or_else(|| "valid".to_string())));
        }
        assert_eq!(valid, 0, "{} has texts without an error: {}", path.display(), given.join("\n===\n"));
        let given = given.join("\n===\n") + "\n";
        if given == text {
            continue;
        }
        if std::env::var_os("KC_BLESS").is_some() {
            fs::write(&path, given).unwrap();
        } else {
            wrong.push(format!("{}: expected\n{text}\ngot\n{given}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! One file under `files/` is an input, a line `---`, and what comes of it: the graph as it is printed, or the error.
//! `KC_BLESS=1` rewrites what comes.

use kc_ir::tensor::text::{parse_graph, print_graph};
use std::fs;
use std::path::Path;

#[test]
fn every_file_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let given = match parse_graph(input) {
            Ok(graph) => {
                let printed = print_graph(&graph);
                assert_eq!(parse_graph(&printed).as_ref(), Ok(&graph), "{printed}");
                printed
            }
            Err(error) => format!("{error}\n"),
        };
        if given == expected {
            continue;
        }
        if std::env::var_os("KC_BLESS").is_some() {
            fs::write(path, format!("{input}---\n{given}")).unwrap();
        } else {
            wrong.push(format!("{}: expected\n{expected}got\n{given}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(paths.len() >= 18);
}

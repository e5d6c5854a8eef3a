//! The tables of `README.md` are those of the declarations. `KC_BLESS=1` rewrites them.

use kc_ir::tensor::composites::Composite;
use kc_ir::tensor::ops::{Binary, Compare, Op, Unary};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- tables: begin (generated) -->\n";
const END: &str = "<!-- tables: end -->";

fn table(title: &str, rows: impl Iterator<Item = (String, &'static str)>) -> String {
    let mut text = format!("\n## {title}\n\n| name | what |\n|---|---|\n");
    rows.for_each(|(name, summary)| writeln!(text, "| `{name}` | {} |", summary.replace('|', "\\|")).unwrap());
    text
}

#[test]
fn the_tables_are_those_of_the_declarations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let families = ["unary", "binary", "compare", "composite"];
    let ops = Op::names().zip(Op::summaries()).filter(|(name, _)| !families.contains(&name.as_str()));
    let tables = [
        table("Ops", ops),
        table("Composites", Composite::names().zip(Composite::summaries())),
        table("Elementwise functions of one operand", Unary::ALL.iter().map(|f| (f.text().into(), f.summary()))),
        table("Elementwise functions of two operands", Binary::ALL.iter().map(|f| (f.text().into(), f.summary()))),
        table("Comparisons", Compare::ALL.iter().map(|f| (f.text().into(), f.summary()))),
    ];
    let expected = format!("{before}{BEGIN}{}\n{END}{after}", tables.concat());
    if std::env::var_os("KC_BLESS").is_some() {
        // replaced at once: the other test reads the file meanwhile
        let beside = path.with_extension("new");
        fs::write(&beside, expected).unwrap();
        fs::rename(&beside, &path).unwrap();
    } else {
        assert!(readme == expected, "the tables of ir/README.md are out of date: KC_BLESS=1 cargo test -p kc-ir");
    }
}

#[test]
fn the_examples_of_the_readme_are_read() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let examples: Vec<&str> = readme.split("```text\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let [graph, kernel] = examples[..] else { panic!("{} examples, expected a graph and a kernel", examples.len()) };
    let parsed = kc_ir::tensor::text::parse_graph(graph).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kc_ir::tensor::text::print_graph(&parsed), graph);
    kc_ir::kernel::parse_kernel(kernel).unwrap_or_else(|error| panic!("{error}"));
}

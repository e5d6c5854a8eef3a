//! A user's model file: what is built, what is not, and what a mistake in it shows.

mod common;

use common::{MODEL, Place, run};

#[test]
fn a_mistake_in_rust_shows_rustcs_message_at_its_line_and_nothing_else() {
    let place = Place::new("rust_mistake");
    place.write("model.rs", MODEL.replace("Dense::new(8)", "Dense::new(\"eight\")"));
    let message = place.fail(&["summary", "model.rs"]);
    assert!(message.starts_with("error[E"), "{message}");
    assert!(message.contains("--> model.rs:7:25\n"), "{message}");
    for noise in ["Compiling", "could not compile", "aborting due to", "main.rs", "model-model"] {
        assert!(!message.contains(noise), "{noise} in {message}");
    }
}

#[test]
fn a_mistake_in_the_model_shows_kcs_message_at_its_line() {
    let place = Place::new("model_mistake");
    place.write("model.rs", MODEL.replace("\"relu\"", "\"rely\""));
    let message = place.fail(&["summary", "model.rs"]);
    assert!(
        message
            .starts_with("error: layer `dense` (Dense): unknown activation `rely`; did you mean `relu`? Known are: "),
        "{message}"
    );
    assert!(message.ends_with("\n  --> model.rs:7\n"), "{message}");
    place.write("model.rs", MODEL.replace("Dense::new(8)", "Conv2D::new(8, 3)"));
    assert_eq!(
        place.fail(&["summary", "model.rs"]),
        "error: layer `conv2d` (Conv2D): the input's shape is (None, 4), expected 4 axes: (batch, height, width, channels)\n  \
         --> model.rs:7\n"
    );
}

#[test]
fn a_panic_of_the_model_is_shown_at_its_line() {
    let place = Place::new("panic");
    place.write("model.rs", MODEL.replace("Dense::new(8)", "Dense::new(Vec::<usize>::new()[0])"));
    assert_eq!(
        place.fail(&["summary", "model.rs"]),
        "error: index out of bounds: the len is 0 but the index is 0\n  --> model.rs:7:44\n"
    );
}

#[test]
fn a_file_without_a_model_says_so() {
    let place = Place::new("no_model");
    place.write("model.rs", MODEL.replace("#[kc::model]\n", ""));
    assert_eq!(
        place.fail(&["summary", "model.rs"]),
        "error: the file marks no model: put `#[kc::model]` before the function that returns it\n"
    );
}

#[test]
fn a_file_with_two_models_says_so() {
    let place = Place::new("two_models");
    let second = MODEL.replace("use kc::prelude::*;\n", "").replace("fn classifier", "fn other");
    place.write("model.rs", format!("{MODEL}{second}"));
    assert_eq!(
        place.fail(&["summary", "model.rs"]),
        "error: a file has one `#[kc::model] fn`, but this is its second; the first is at line 3\n  --> model.rs:13\n"
    );
}

#[test]
fn a_file_that_is_no_text_says_so() {
    let place = Place::new("no_text");
    place.write("model.rs", b"// \xff\n");
    assert_eq!(
        place.fail(&["summary", "model.rs"]),
        "error: model.rs is not text in UTF-8: line 1 has the byte 0xff\n"
    );
}

#[test]
fn a_file_without_data_says_so() {
    let place = Place::new("no_data");
    place.write("model.rs", MODEL);
    assert_eq!(
        place.fail(&["fit", "model.rs"]),
        "error: the file marks no data: put `#[kc::data]` before the function that returns them, or name a data set\n"
    );
}

#[test]
fn what_is_no_model_file_is_refused() {
    let place = Place::new("no_file");
    place.write("model.py", "");
    assert_eq!(
        place.fail(&["summary", "model.py"]),
        "error: model.py is not a model file; expected a Rust file with a `#[kc::model] fn`\n"
    );
    assert_eq!(
        place.fail(&["summary", "missing.rs"]),
        "error: cannot read missing.rs: No such file or directory (os error 2)\n"
    );
}

#[test]
fn an_unchanged_file_starts_no_cargo_and_a_changed_one_is_built_anew() {
    let place = Place::new("cached");
    place.write("model.rs", MODEL);
    let first = place.succeed(&["summary", "model.rs"]);
    assert!(first.contains("│ dense (Dense)") && first.contains("Trainable params: 67 (268.00 B)"), "{first}");

    let without_cargo = |arguments: &[&str]| run(place.command(arguments).env("CARGO", "/nonexistent/cargo"));
    let again = without_cargo(&["summary", "model.rs"]);
    assert_eq!((again.code, again.stdout), (Some(0), first.clone()));

    place.write("model.rs", MODEL.replace("Dense::new(8)", "Dense::new(16)"));
    let changed = without_cargo(&["summary", "model.rs"]);
    assert_eq!(changed.code, Some(1));
    assert_eq!(
        changed.stderr,
        "error: a model file is built by cargo, which is not there; install Rust with rustup (see rust-lang.org/tools/install)\n"
    );
    let changed = place.succeed(&["summary", "model.rs"]);
    assert_ne!(changed, first);

    // A file that is put back has an older time than the program; its content decides.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    place.write("model.rs", MODEL);
    let file = std::fs::File::options().append(true).open(place.path("model.rs")).expect("written above");
    file.set_modified(old).expect("a test's own file");
    assert_eq!(place.succeed(&["summary", "model.rs"]), first);
}

#[test]
fn a_file_beside_the_model_is_part_of_it() {
    let place = Place::new("modules");
    place.write("model.rs", format!("mod sizes;\n{}", MODEL.replace("Dense::new(8)", "Dense::new(sizes::HIDDEN)")));
    place.write("sizes.rs", "pub const HIDDEN: usize = 8;\n");
    let eight = place.succeed(&["summary", "model.rs"]);
    assert!(eight.contains("(None, 8)"), "{eight}");
    place.write("sizes.rs", "pub const HIDDEN: usize = 9;\n");
    let nine = place.succeed(&["summary", "model.rs"]);
    assert!(nine.contains("(None, 9)"), "{nine}");
}

#[test]
fn the_readmes_first_model_is_a_model() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```rust\n").expect("README has a first model");
    let (model, _) = rest.split_once("```").expect("its block ends");
    assert!(model.lines().count() <= 20, "the first model is short");
    let place = Place::new("readme");
    place.write("model.rs", model);
    let summary = place.succeed(&["summary", "model.rs"]);
    assert!(summary.contains("Trainable params: 101,770 (397.54 KB)"), "{summary}");
}

#[test]
fn eager_derivatives_are_computed_without_the_compiler() {
    let place = Place::new("eager_derivatives");
    let slope =
        "    let slope: Tensor = ops::jvp(|x: Tensor| &x * &x * &x, Tensor::from(2.0), Tensor::from(1.0))?.1;\n";
    let units = "Dense::new(slope.eval()?.as_slice::<f32>()?[0] as usize)";
    let model = MODEL.replace("Dense::new(8)", units).replacen(
        "-> kc::Result<Sequential> {\n",
        &format!("-> kc::Result<Sequential> {{\n{slope}"),
        1,
    );
    place.write(
        "model.rs",
        model.replace("use kc::prelude::*;", "use kc::ops::{self, Expression, Tensor};\nuse kc::prelude::*;"),
    );
    let summary = place.succeed(&["summary", "model.rs"]);
    assert!(summary.contains("(None, 12)"), "{summary}");
}

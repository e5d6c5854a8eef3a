use serde_json::Value;
use std::path::Path;

/// What a build said that concerns the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// Errors and warnings in the user's files, as rustc shows them.
    pub own: Vec<String>,
    /// Errors elsewhere: in kc itself or a library.
    pub foreign: Vec<String>,
    /// The program that was built.
    pub executable: Option<String>,
}

impl Diagnostics {
    /// Reads what `cargo build --message-format=json` printed. Paths of the model file become what the user wrote.
    pub fn read(output: &str, package: &str, model: &Path, shown: &Path) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        for message in output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let target = message["target"]["name"].as_str().unwrap_or_default();
            match message["reason"].as_str() {
                Some("compiler-artifact") if target == package => {
                    diagnostics.executable = message["executable"].as_str().map(str::to_owned);
                }
                Some("compiler-message") => {
                    let message = &message["message"];
                    let Some(rendered) = message["rendered"].as_str().filter(|_| concerns_a_place(message)) else {
                        continue;
                    };
                    if let Some(text) = two_entries(message, &shown.to_string_lossy()).filter(|_| target == package) {
                        diagnostics.own.push(text);
                    } else if target == package {
                        let text = rendered.replace(&*model.to_string_lossy(), &shown.to_string_lossy());
                        diagnostics.own.push(text.trim_end().to_owned());
                    } else if message["level"] == "error" {
                        diagnostics.foreign.push(rendered.trim_end().to_owned());
                    }
                }
                _ => {}
            }
        }
        diagnostics
    }
}

/// A file with two models, or two functions for data: to rustc, a name of the macros' that is defined twice.
fn two_entries(message: &Value, shown: &str) -> Option<String> {
    if message["code"]["code"] != "E0428" {
        return None;
    }
    let text = message["message"].as_str()?;
    let attribute = ["model", "data"].into_iter().find(|name| text.contains(&format!("`kc_{name}`")))?;
    let spans = message["spans"].as_array()?;
    let lines = |primary| spans.iter().find(|span| span["is_primary"] == primary)?["line_start"].as_u64();
    let (second, first) = (lines(true)?, lines(false)?);
    Some(format!(
        "error: a file has one `#[kc::{attribute}] fn`, but this is its second; the first is at line {first}\n  --> {shown}:{second}"
    ))
}

/// Not one of rustc's closing lines, such as `aborting due to 2 previous errors`, which belong to no place.
fn concerns_a_place(message: &Value) -> bool {
    let text = message["message"].as_str().unwrap_or_default();
    message["spans"].as_array().is_some_and(|spans| !spans.is_empty())
        || !(message["level"] == "failure-note"
            || text.starts_with("aborting due to")
            || text.ends_with("warning emitted")
            || text.ends_with("warnings emitted"))
}

//! Which crate of the workspace may import which other: the one table, and the check against it.

use crate::process::{Outcome, cargo, output};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a crate may import.
enum Imports {
    /// These crates of the workspace.
    Only(&'static [&'static str]),
    /// Every crate of the workspace.
    All,
}
use Imports::{All, Only};

/// Direct imports between the workspace's crates, and no others. Dependencies for tests alone are not meant.
const TABLE: &[(&str, Imports)] = &[
    ("kc-abi", Only(&[])),
    ("kc-ir", Only(&["kc-abi"])),
    ("kc-runtime", Only(&["kc-abi"])),
    ("kc-passes", Only(&["kc-ir"])),
    ("kc-codegen", Only(&["kc-ir", "kc-passes", "kc-runtime"])),
    ("kc-macros", Only(&[])),
    ("kc", Only(&["kc-ir", "kc-runtime", "kc-macros", "kc-codegen"])),
    ("kc-run", Only(&["kc-runtime"])),
    ("kc-build", Only(&["kc-runtime"])),
    ("kc-tool", All),
    ("kc-tests", All),
    ("kc-test-device", Only(&[])),
    ("xtask", Only(&[])),
];

/// The plug-in is a workspace of its own; what it may import is checked against its manifest.
const PLUGIN: (&str, &[&str]) = ("codegen/mlir/Cargo.toml", &["kc-ir", "kc-abi"]);

/// Imports that must be optional: crate, import, the feature that switches it on.
const OPTIONAL: &[(&str, &str, &str)] = &[("kc", "kc-codegen", "compile")];

/// What must not be reachable from a crate, over any number of steps.
const ABSENT: &[(&str, &[&str])] = &[("kc-runtime", COMPILER), ("kc-run", COMPILER), ("kc-build", COMPILER)];

const COMPILER: &[&str] =
    &["kc-ir", "kc-passes", "kc-codegen", "egg", "petgraph", "cranelift-codegen", "cranelift-jit", "melior", "inkwell"];

/// Checks the workspace's crates against the table.
pub fn check() -> Outcome {
    let mut problems = Vec::new();
    let metadata = metadata(None)?;
    for package in workspace_packages(&metadata) {
        check_package(package, &mut problems);
    }
    check_absent(&metadata, &mut problems);
    if crate::process::root().join(PLUGIN.0).exists() {
        let metadata = self::metadata(Some(PLUGIN.0))?;
        for package in workspace_packages(&metadata) {
            let name = text(&package["name"]);
            for import in imports_of(package) {
                if !PLUGIN.1.contains(&import.name) {
                    problems.push(not_allowed(name, import.name, PLUGIN.1));
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn check_package(package: &Value, problems: &mut Vec<String>) {
    let name = text(&package["name"]);
    let Some((_, allowed)) = TABLE.iter().find(|(crate_name, _)| *crate_name == name) else {
        problems.push(format!("{name}: not in the table of imports; add it to {}", file!()));
        return;
    };
    for import in imports_of(package) {
        if let Only(allowed) = allowed
            && !allowed.contains(&import.name)
        {
            problems.push(not_allowed(name, import.name, allowed));
        }
        for (_, _, feature) in OPTIONAL.iter().filter(|(from, to, _)| (*from, *to) == (name, import.name)) {
            if !import.optional {
                problems.push(format!(
                    "{name} imports {} always; it must be optional, by the feature `{feature}`",
                    import.name
                ));
            }
        }
    }
}

fn not_allowed(name: &str, import: &str, allowed: &[&str]) -> String {
    let allowed = if allowed.is_empty() { "no crate of the workspace".to_owned() } else { allowed.join(", ") };
    format!("{name} imports {import}; it may import: {allowed}")
}

fn check_absent(metadata: &Value, problems: &mut Vec<String>) {
    let names: BTreeMap<&str, &str> =
        array(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in array(&metadata["resolve"]["nodes"]) {
        let used = array(&node["deps"])
            .iter()
            .filter(|dep| array(&dep["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev"))
            .map(|dep| text(&dep["pkg"]));
        edges.insert(text(&node["id"]), used.collect());
    }
    for (crate_name, absent) in ABSENT {
        let mut queue: Vec<Vec<&str>> =
            names.iter().filter(|(_, name)| *name == crate_name).map(|(id, _)| vec![*id]).collect();
        let mut seen = BTreeSet::new();
        while let Some(path) = queue.pop() {
            let Some(last) = path.last() else { continue };
            if !seen.insert(*last) {
                continue;
            }
            let name = names.get(last).copied().unwrap_or_default();
            if absent.contains(&name) {
                let way: Vec<&str> = path.iter().map(|id| names.get(id).copied().unwrap_or_default()).collect();
                problems.push(format!("{crate_name} must not contain {name}, but does: {}", way.join(" -> ")));
                continue;
            }
            for next in edges.get(last).into_iter().flatten() {
                queue.push(path.iter().copied().chain([*next]).collect());
            }
        }
    }
}

struct Import<'a> {
    name: &'a str,
    optional: bool,
}

/// The imports of a package that lie in this repository: those given by a path.
fn imports_of(package: &Value) -> Vec<Import<'_>> {
    array(&package["dependencies"])
        .iter()
        .filter(|dependency| dependency["kind"] != "dev" && dependency["path"].is_string())
        .map(|dependency| Import { name: text(&dependency["name"]), optional: dependency["optional"] == true })
        .collect()
}

fn workspace_packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    let members = array(&metadata["workspace_members"]);
    array(&metadata["packages"]).iter().filter(|package| members.contains(&package["id"]))
}

fn metadata(manifest: Option<&str>) -> Outcome<Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1"]);
    match manifest {
        // The plug-in's own dependencies need not be downloaded to be checked.
        Some(manifest) => command.args(["--no-deps", "--manifest-path", manifest]),
        None => &mut command,
    };
    serde_json::from_str(&output(&mut command)?).map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(package: Value) -> Vec<String> {
        let mut problems = Vec::new();
        check_package(&package, &mut problems);
        problems
    }

    fn dependency(name: &str, kind: Value, optional: bool) -> Value {
        json!({"name": name, "path": "somewhere", "kind": kind, "optional": optional})
    }

    #[test]
    fn an_import_that_the_table_lacks_names_both_crates_and_what_is_allowed() {
        let package = json!({"name": "kc-passes", "dependencies": [
            dependency("kc-ir", Value::Null, false),
            dependency("kc-runtime", Value::Null, false),
            dependency("kc-codegen", "dev".into(), false),
        ]});
        assert_eq!(problems(package), ["kc-passes imports kc-runtime; it may import: kc-ir"]);
        let package = json!({"name": "kc-abi", "dependencies": [dependency("kc-ir", "build".into(), false)]});
        assert_eq!(problems(package), ["kc-abi imports kc-ir; it may import: no crate of the workspace"]);
    }

    #[test]
    fn the_frontend_reaches_the_compiler_by_a_feature_only() {
        let package =
            |optional| json!({"name": "kc", "dependencies": [dependency("kc-codegen", Value::Null, optional)]});
        assert_eq!(problems(package(true)), [""; 0]);
        assert_eq!(
            problems(package(false)),
            ["kc imports kc-codegen always; it must be optional, by the feature `compile`"]
        );
    }

    #[test]
    fn a_compiler_inside_the_runtime_is_found_over_several_steps() {
        let node = |id: &str, deps: &[&str]| {
            let deps: Vec<Value> = deps.iter().map(|dep| json!({"pkg": dep, "dep_kinds": [{"kind": null}]})).collect();
            json!({"id": id, "deps": deps})
        };
        let metadata = json!({
            "packages": [{"id": "1", "name": "kc-runtime"}, {"id": "2", "name": "helper"}, {"id": "3", "name": "egg"}],
            "resolve": {"nodes": [node("1", &["2"]), node("2", &["3"]), node("3", &[])]},
        });
        let mut problems = Vec::new();
        check_absent(&metadata, &mut problems);
        assert_eq!(problems, ["kc-runtime must not contain egg, but does: kc-runtime -> helper -> egg"]);
    }
}

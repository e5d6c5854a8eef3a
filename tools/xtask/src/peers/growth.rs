//! How cost grows with the batch, the width and the depth of a stack of dense layers: time of a train step, of compilation, memory.

use crate::process::{Outcome, output, program, target_dir};
use serde_json::{Value, json};
use std::fmt::Write;

/// An axis of growth: its name, the values, and the batch, width and depth at a value.
struct Axis {
    name: &'static str,
    values: &'static [i64],
    sizes: fn(i64) -> [i64; 3],
    /// How the work of a step grows with the value: its power.
    power: f64,
}

const AXES: [Axis; 3] = [
    Axis { name: "batch", values: &[1, 4, 16, 64, 256, 1024], sizes: |n| [n, 512, 4], power: 1.0 },
    Axis { name: "width", values: &[64, 128, 256, 512, 1024, 2048, 4096], sizes: |n| [64, n, 2], power: 2.0 },
    Axis { name: "depth", values: &[1, 2, 4, 8, 16, 32, 48], sizes: |n| [64, 256, n], power: 1.0 },
];

/// What is measured, with its unit.
const COSTS: [(&str, &str); 3] = [("train step", "ms"), ("compilation", "ms"), ("arena", "MB")];

/// Measures a back end; prints a table and writes `target/kc-growth.json` and `target/kc-growth.svg`.
pub fn growth(options: &[&String]) -> Outcome {
    let mut rows = vec![];
    for axis in &AXES {
        for &value in axis.values {
            let costs = measure((axis.sizes)(value), options)?;
            let shown: Vec<String> =
                COSTS.iter().zip(costs).map(|((name, unit), cost)| format!("{name} {cost:.3} {unit}")).collect();
            println!("{} {value}: {}", axis.name, shown.join(", "));
            rows.push((axis.name, value, costs));
        }
    }
    for axis in &AXES {
        let of_axis: Vec<_> = rows.iter().filter(|row| row.0 == axis.name).collect();
        let (Some(first), Some(last)) = (of_axis.get(of_axis.len().saturating_sub(2)), of_axis.last()) else {
            continue;
        };
        let power = |cost: usize| (last.2[cost] / first.2[cost]).ln() / (last.1 as f64 / first.1 as f64).ln();
        let powers: Vec<String> =
            COSTS.iter().enumerate().map(|(cost, (name, _))| format!("{name} {:.2}", power(cost))).collect();
        println!(
            "growth with {} at its end, as a power (the work's is {}): {}",
            axis.name,
            axis.power,
            powers.join(", ")
        );
    }
    let write = |name: &str, text: String| {
        let path = target_dir().join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let of_row = |(axis, value, costs): &(&str, i64, [f64; 3])| json!({"axis": axis, "value": value, "step_ms": costs[0], "compile_ms": costs[1], "arena_mb": costs[2]});
    write("kc-growth.json", format!("{:#}\n", Value::from(rows.iter().map(of_row).collect::<Vec<_>>())))?;
    write("kc-growth.svg", plot(&rows))?;
    println!("target/kc-growth.json, target/kc-growth.svg");
    Ok(())
}

/// The costs of a stack of dense layers.
fn measure([batch, width, depth]: [i64; 3], options: &[&String]) -> Outcome<[f64; 3]> {
    let text = format!(
        "use kc::prelude::*;\n\n#[kc::model]\nfn stack() -> kc::Result<Sequential> {{\n    let mut model = \
         Sequential::new().add(Input::new([{width}]));\n    for _ in 0..{depth} {{\n        model = \
         model.add(Dense::new({width}).activation(\"relu\"));\n    }}\n    model.compile(\"adam\", \
         \"mean_squared_error\", ())?;\n    Ok(model)\n}}\n"
    );
    let folder = target_dir().join("bench");
    let path = folder.join(format!("stack-{width}-{depth}.rs"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let mut command = program(&target_dir().join("release/kc").to_string_lossy());
    command.arg("bench").arg(&path).args(["--batch-size", &batch.to_string(), "--entry", "train_step", "--json"]);
    command.args(["--mode", "fused", "--repeats", "9"]).args(options);
    let text = output(&mut command)?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("`kc bench` printed no JSON: {error}"))?;
    let figure = &report["figures"][0];
    let cost = |name: &str| figure[name].as_f64().ok_or_else(|| format!("`kc bench` says nothing of {name}"));
    Ok([cost("milliseconds")?, cost("compile_milliseconds")?, cost("arena_bytes")? / 1e6])
}

/// An SVG picture: for each axis and cost a curve over logarithmic scales, in grey the line along which cost grows as the work does.
fn plot(rows: &[(&str, i64, [f64; 3])]) -> String {
    const SIDE: f64 = 220.0;
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"840\" height=\"820\" font-family=\"sans-serif\" \
                   font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        .to_owned();
    for (column, axis) in AXES.iter().enumerate() {
        for (row, (name, unit)) in COSTS.iter().enumerate() {
            let points: Vec<(f64, f64)> = rows
                .iter()
                .filter(|point| point.0 == axis.name)
                .map(|(_, value, costs)| (*value as f64, costs[row].max(1e-6)))
                .collect();
            let (Some(&first), Some(&last)) = (points.first(), points.last()) else { continue };
            let low = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(|point| point.1).fold(low * 2.0, f64::max);
            let (left, top) = (60.0 + 270.0 * column as f64, 40.0 + 265.0 * row as f64);
            let part = |value: f64, from: f64, to: f64| (value / from).ln() / (to / from).ln();
            let place = |(x, y): (f64, f64)| {
                let height = part(y, low, high).clamp(0.0, 1.0);
                format!("{:.1},{:.1}", left + SIDE * part(x, first.0, last.0), top + SIDE * (1.0 - height))
            };
            // compilation does not depend on sizes, only on the number of layers
            let power = if row == 1 { f64::from(u8::from(axis.name == "depth")) } else { axis.power };
            let line: Vec<String> =
                points.iter().map(|&(x, _)| place((x, last.1 * (x / last.0).powf(power)))).collect();
            let curve: Vec<String> = points.iter().map(|&point| place(point)).collect();
            let _ = writeln!(
                svg,
                "<text x=\"{left}\" y=\"{:.1}\" font-size=\"12\">{name} ({unit}) over {}</text>\
                 <rect x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#888\"/>\
                 <polyline points=\"{}\" fill=\"none\" stroke=\"#bbb\"/>\
                 <polyline points=\"{}\" fill=\"none\" stroke=\"#4477aa\" stroke-width=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{high:.3}</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{low:.3}</text>\
                 <text x=\"{left}\" y=\"{:.1}\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                top - 6.0,
                axis.name,
                line.join(" "),
                curve.join(" "),
                left - 3.0,
                top + 10.0,
                left - 3.0,
                top + SIDE,
                top + SIDE + 13.0,
                first.0,
                left + SIDE,
                top + SIDE + 13.0,
                last.0
            );
        }
    }
    svg + "</svg>\n"
}

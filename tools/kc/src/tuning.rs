//! What `kc tune` measured, in a file for each model of a processor and each back end.

use crate::failure::{Context, Outcome};
use crate::paths;
use kc_codegen::Backend;
use kc_passes::{CostConstants, TileTime, WinogradCost};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where what was measured of this processor with a back end is kept.
fn path(backend: &dyn Backend) -> PathBuf {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // of a virtual machine the name may be that of many; the numbers say which it is
    let named = |field: &str| {
        let mut fields = information.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == field).map(|(_, value)| value.trim())
    };
    let fields: Vec<&str> = ["model name", "cpu family", "model", "stepping"].into_iter().filter_map(named).collect();
    let host = kc_runtime::intrinsics::host_target().to_string();
    let model = if fields.is_empty() { host } else { fields.join(" ") };
    let name: String = format!("{model} {}", backend.name())
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    kc::datasets::cache_dir().join("tune").join(format!("{name}.json"))
}

/// Keeps what a back end's target says, for later compilations. The file's path.
pub fn keep(backend: &dyn Backend) -> Outcome<PathBuf> {
    let path = path(backend);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context(|| format!("cannot make {}", folder.display()))?;
    }
    let (cost, tiles) = (backend.target().cost, &backend.target().tiles);
    let tile = |time: &TileTime| json!({"rows": time.rows, "vectors": time.vectors, "nanoseconds": time.nanoseconds});
    let kept = json!({
        "bytes_per_nanosecond": cost.bytes_per_nanosecond,
        "contraction_flops_per_nanosecond": cost.contraction_flops_per_nanosecond,
        "elementwise_operations_per_nanosecond": cost.elementwise_operations_per_nanosecond,
        "exponentials_per_nanosecond": cost.exponentials_per_nanosecond,
        "launch_nanoseconds": cost.launch_nanoseconds,
        "winograd": {"products": cost.winograd.products, "transform": cost.winograd.transform},
        "tiles": tiles.iter().map(tile).collect::<Vec<_>>(),
    });
    paths::write_atomically(&path, format!("{kept:#}\n").as_bytes())
        .context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Gives a back end what was measured with it on this processor; nothing where a file is missing or holds anything but positive numbers.
pub fn apply(backend: &mut dyn Backend) {
    let kept = std::fs::read_to_string(path(backend)).ok().and_then(|text| read(&text));
    if let Some((cost, tiles)) = kept {
        let target = backend.target_mut();
        (target.cost, target.tiles) = (cost, tiles);
    }
}

fn read(text: &str) -> Option<(CostConstants, Vec<TileTime>)> {
    let kept: Value = serde_json::from_str(text).ok()?;
    let positive = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
    let whole = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|number| *number > 0);
    let tile = |value: &Value| {
        Some(TileTime {
            rows: whole(&value["rows"])?,
            vectors: whole(&value["vectors"])?,
            nanoseconds: positive(&value["nanoseconds"])?,
        })
    };
    let cost = CostConstants {
        bytes_per_nanosecond: positive(&kept["bytes_per_nanosecond"])?,
        contraction_flops_per_nanosecond: positive(&kept["contraction_flops_per_nanosecond"])?,
        elementwise_operations_per_nanosecond: positive(&kept["elementwise_operations_per_nanosecond"])?,
        exponentials_per_nanosecond: positive(&kept["exponentials_per_nanosecond"])?,
        launch_nanoseconds: positive(&kept["launch_nanoseconds"])?,
        winograd: WinogradCost {
            products: positive(&kept["winograd"]["products"])?,
            transform: positive(&kept["winograd"]["transform"])?,
        },
    };
    Some((cost, kept["tiles"].as_array()?.iter().map(tile).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::{WinogradCost, read};

    #[test]
    fn only_positive_numbers_count() {
        let whole = r#"{"bytes_per_nanosecond": 20.5, "contraction_flops_per_nanosecond": 250, "elementwise_operations_per_nanosecond": 16,
            "exponentials_per_nanosecond": 1.5, "launch_nanoseconds": 900,
            "winograd": {"products": 0.8, "transform": 125}, "tiles": [{"rows": 6, "vectors": 4, "nanoseconds": 3.25}]}"#;
        let (cost, tiles) = read(whole).expect("whole");
        assert_eq!((cost.bytes_per_nanosecond, cost.launch_nanoseconds), (20.5, 900.0));
        assert_eq!(cost.winograd, WinogradCost { products: 0.8, transform: 125.0 });
        assert_eq!((tiles[0].rows, tiles[0].vectors, tiles[0].nanoseconds), (6, 4, 3.25));
        for (from, to) in [
            ("20.5", "0"),
            ("250", "\"250\""),
            ("900", "-900"),
            ("0.8", "0"),
            ("125", "[]"),
            ("6,", "0,"),
            ("3.25", "null"),
            ("}]", "}"),
        ] {
            assert!(whole.contains(from) && read(&whole.replace(from, to)).is_none(), "{from} -> {to}");
        }
    }
}

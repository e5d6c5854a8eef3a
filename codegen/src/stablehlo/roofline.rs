//! How long a TPU takes at least.

use kc_runtime::kc_abi::manifest::ProgramCost;

/// Operations in bf16, in which XLA multiplies matrices if it is not told otherwise, and bytes a second of a chip's memory, as Google
/// publishes them (cloud.google.com/tpu/docs, the page of each generation). Of these generations a chip is one device.
const CHIPS: [(&str, f64, f64); 4] =
    [("v4", 275e12, 1228e9), ("v5e", 197e12, 819e9), ("v5p", 459e12, 2765e9), ("v6e", 918e12, 1640e9)];

/// The nanoseconds that a program takes at least on a device of a topology such as `v5e:2x2`: what its operations, or the bytes that it
/// moves, take at the published peak. `None` where the generation is not known, or the plug-in does not say what the program does.
pub fn roofline_nanoseconds(topology: &str, cost: &ProgramCost) -> Option<f64> {
    let generation = topology.split_once(':').map_or(topology, |(generation, _)| generation);
    let (_, operations, bytes) = CHIPS.iter().find(|(name, _, _)| *name == generation)?;
    let seconds = (cost.flops as f64 / operations).max(cost.bytes as f64 / bytes);
    (seconds > 0.0).then_some(seconds * 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_operations_and_memory_counts() {
        let cost = |flops, bytes| ProgramCost { flops, bytes, ..ProgramCost::default() };
        assert_eq!(roofline_nanoseconds("v5e:2x2", &cost(197_000_000, 819)), Some(1000.0));
        assert_eq!(roofline_nanoseconds("v5e:2x2", &cost(197_000_000, 1_638_000)), Some(2000.0));
        assert_eq!(roofline_nanoseconds("v6e", &cost(0, 0)), None);
        assert_eq!(roofline_nanoseconds("v2:2x2", &cost(1, 1)), None);
    }
}

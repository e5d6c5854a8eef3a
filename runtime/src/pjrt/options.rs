//! XLA's `CompileOptionsProto`, of which a few fields are written.

/// How a program is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Over how many devices the program is partitioned, by XLA; the devices from the first on.
    pub partitions: usize,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions { partitions: 1 }
    }
}

/// A field that is a number.
fn number(field: u64, value: u64, bytes: &mut Vec<u8>) {
    varint(field << 3, bytes);
    varint(value, bytes);
}

/// A field that is bytes: a message, or packed numbers.
fn nested(field: u64, contents: &[u8], bytes: &mut Vec<u8>) {
    varint(field << 3 | 2, bytes);
    varint(contents.len() as u64, bytes);
    bytes.extend_from_slice(contents);
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

impl CompileOptions {
    /// The message's bytes (`xla/pjrt/proto/compile_options.proto`), for devices of that platform with these numbers: one a partition.
    pub(super) fn encode(&self, platform: &str, devices: &[u64]) -> Vec<u8> {
        let mut build = Vec::new();
        // ExecutableBuildOptionsProto: device_ordinal, num_replicas, num_partitions, use_spmd_partitioning, device_assignment
        number(1, u64::MAX, &mut build);
        number(4, 1, &mut build);
        number(5, self.partitions as u64, &mut build);
        if self.partitions > 1 {
            number(6, 1, &mut build);
        }
        if devices != [0] {
            // DeviceAssignmentProto: replica_count, computation_count, a ComputationDevice of one replica for each partition
            let mut assignment = Vec::new();
            number(1, 1, &mut assignment);
            number(2, self.partitions as u64, &mut assignment);
            for device in devices {
                let (mut ids, mut computation) = (Vec::new(), Vec::new());
                varint(*device, &mut ids);
                nested(1, &ids, &mut computation);
                nested(3, &computation, &mut assignment);
            }
            nested(9, &assignment, &mut build);
        }
        let mut options = Vec::new();
        nested(3, &build, &mut options);
        if platform == "cpu" {
            // of a number and NaN the larger and the smaller are NaN, which XLA neglects on CPUs if it is not told: an entry of
            // `env_option_overrides`, a name and an OptionOverrideProto with a bool
            let (mut no, mut entry) = (Vec::new(), Vec::new());
            number(2, 0, &mut no);
            nested(1, b"xla_cpu_enable_fast_min_max", &mut entry);
            nested(2, &no, &mut entry);
            nested(7, &entry, &mut options);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_message_is_what_xla_reads() {
        let mut expected = vec![0x1a, 15, 0x08];
        expected.extend([0xff; 9]);
        expected.extend([1, 0x20, 1, 0x28, 1]);
        assert_eq!(CompileOptions::default().encode("tpu", &[0]), expected);
        expected.extend([0x3a, 33, 0x0a, 27]);
        expected.extend(b"xla_cpu_enable_fast_min_max");
        expected.extend([0x12, 2, 0x10, 0]);
        assert_eq!(CompileOptions::default().encode("cpu", &[0]), expected);
    }
    #[test]
    fn partitions_are_assigned_to_devices_by_number() {
        let mut expected = vec![0x1a, 33, 0x08];
        expected.extend([0xff; 9]);
        expected.extend([1, 0x20, 1, 0x28, 2, 0x30, 1]);
        expected.extend([0x4a, 14, 0x08, 1, 0x10, 2, 0x1a, 3, 0x0a, 1, 4, 0x1a, 3, 0x0a, 1, 6]);
        assert_eq!(CompileOptions { partitions: 2 }.encode("cuda", &[4, 6]), expected);
    }
}

//! The order in which `fit` visits the samples.

/// The words of Threefry-2x32 with 20 rounds.
fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> u64 {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd1_1bda];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for group in 0..5u32 {
        for rotation in ROTATIONS[group as usize % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x[0] = x[0].wrapping_add(keys[(group as usize + 1) % 3]);
        x[1] = x[1].wrapping_add(keys[(group as usize + 2) % 3]).wrapping_add(group + 1);
    }
    u64::from(x[0]) << 32 | u64::from(x[1])
}

/// Fills `order` with the permutation of `0..order.len()` that pass number `pass` over the data has: Fisher and Yates'
/// exchange of the elements `i = n-1, ..., 1` with the element `(random * (i + 1)) >> 64`, where `random` are the 64 bits
/// of threefry2x32 with the seed as key, the first word high, and the counter `(pass, i)` modulo 2^32.
///
/// It depends on the seed and the pass only, so a training that is resumed sees the samples in the order in which the
/// one that was not interrupted does.
pub fn permutation(seed: u64, pass: u64, order: &mut [usize]) {
    order.iter_mut().enumerate().for_each(|(i, slot)| *slot = i);
    let key = [(seed >> 32) as u32, seed as u32];
    for i in (1..order.len()).rev() {
        let random = threefry2x32(key, [pass as u32, i as u32]);
        let other = (u128::from(random) * (i as u128 + 1)) >> 64;
        order.swap(i, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bits_are_those_of_the_published_vectors() {
        // Random123's known answers
        assert_eq!(threefry2x32([0, 0], [0, 0]), 0x6b20_0159_99ba_4efe);
        assert_eq!(threefry2x32([u32::MAX; 2], [u32::MAX; 2]), 0x1cb9_96fc_bb00_2be7);
        assert_eq!(threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), 0xc492_3a9c_483d_f7a0);
    }

    #[test]
    fn every_pass_has_its_own_order_of_all_samples() {
        let of = |seed, pass| {
            let mut order = vec![0; 1000];
            permutation(seed, pass, &mut order);
            order
        };
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(1, 1));
        assert_ne!(of(1, 0), of(2, 0));
        let mut sorted = of(7, 3);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
    }

    #[test]
    fn every_place_is_as_likely() {
        let mut counts = [[0u32; 5]; 5];
        for pass in 0..10_000 {
            let mut order = [0; 5];
            permutation(42, pass, &mut order);
            order.iter().enumerate().for_each(|(place, &sample)| counts[place][sample] += 1);
        }
        // 2000 expected, standard deviation 40
        assert!(counts.iter().flatten().all(|&n| (1800..2200).contains(&n)), "{counts:?}");
    }
}

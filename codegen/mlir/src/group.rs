//! Which kernels are compiled together: each group is one module, which has a cost of its own, and groups are compiled in parallel.

use kc_ir::kernel::Kernel;

/// Kernels of one pair of groups.
const KERNELS: usize = 8;

/// Registers that a kernel's fixed cost is worth.
const FIXED_COST: usize = 40;

/// Numbers of the kernels of each group, ascending; the costly groups first.
pub fn groups(kernels: &[Kernel]) -> Vec<Vec<usize>> {
    let count = kernels.len().min(2 * kernels.len().div_ceil(KERNELS));
    let cost = |number: usize| kernels[number].registers.len() + FIXED_COST;
    let mut order: Vec<usize> = (0..kernels.len()).collect();
    order.sort_by_key(|&number| std::cmp::Reverse(cost(number)));
    let mut groups = vec![(0, Vec::new()); count];
    for number in order {
        if let Some((sum, group)) = groups.iter_mut().min_by_key(|(sum, _)| *sum) {
            *sum += cost(number);
            group.push(number);
        }
    }
    groups.sort_by_key(|(sum, _)| std::cmp::Reverse(*sum));
    groups
        .into_iter()
        .map(|(_, mut group)| {
            group.sort_unstable();
            group
        })
        .collect()
}

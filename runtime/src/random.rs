//! The generators that Keras draws seeds and orders from: Python's `random` and NumPy's `RandomState`, both MT19937 (Matsumoto and
//! Nishimura, 1998), number for number.

use crate::array::{Array, ArrayError};
use kc_abi::manifest::{Input, InputRole};
use rand_mt::Mt;
use std::fmt;

/// Python's `random.Random(seed)`.
#[derive(Clone, PartialEq)]
pub struct PythonRandom(Mt);

impl PythonRandom {
    /// `random.seed(seed)`
    pub fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let length = if words[1] == 0 { 1 } else { 2 };
        PythonRandom(Mt::new_with_key(words.into_iter().take(length)))
    }

    /// `random.randint(low, high)`: a number of at least `low` and at most `high`, which must not be below it.
    pub fn randint(&mut self, low: u32, high: u32) -> u32 {
        let count = u64::from(high) - u64::from(low) + 1;
        let bits = 64 - count.leading_zeros();
        loop {
            // a count of 2^32 takes 33 bits: a word, then one bit of the next
            let given = match bits {
                33 => u64::from(self.0.next_u32()) | u64::from(self.0.next_u32() >> 31) << 32,
                bits => u64::from(self.0.next_u32() >> (32 - bits)),
            };
            if given < count {
                return (u64::from(low) + given) as u32;
            }
        }
    }

    /// What Keras draws where no seed is given: `random.randint(1, 1_000_000_000)`.
    pub fn seed(&mut self) -> u32 {
        self.randint(1, 1_000_000_000)
    }
}

/// NumPy's `RandomState(seed)`.
#[derive(Clone, PartialEq)]
pub struct NumpyRandom(Mt);

impl NumpyRandom {
    /// `numpy.random.seed(seed)`
    pub fn new(seed: u32) -> Self {
        NumpyRandom(Mt::new(seed))
    }

    /// `numpy.random.permutation(order.len())`
    pub fn permutation(&mut self, order: &mut [usize]) {
        order.iter_mut().enumerate().for_each(|(position, slot)| *slot = position);
        for i in (1..order.len()).rev() {
            order.swap(i, self.at_most(i as u64) as usize);
        }
    }

    /// A number of at most `most`: bits under its highest one, drawn until they are.
    fn at_most(&mut self, most: u64) -> u64 {
        let mask = u64::MAX >> most.leading_zeros();
        loop {
            let drawn = match u32::try_from(most) {
                Ok(_) => u64::from(self.0.next_u32()),
                Err(_) => u64::from(self.0.next_u32()) << 32 | u64::from(self.0.next_u32()),
            };
            if drawn & mask <= most {
                return drawn & mask;
            }
        }
    }
}

impl Default for NumpyRandom {
    fn default() -> Self {
        NumpyRandom::new(0)
    }
}

macro_rules! opaque {
    ($($name:ident)*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(stringify!($name))
            }
        })*
    };
}
opaque!(PythonRandom NumpyRandom);

/// The inputs of an entry point `init` for a seed: the numbers that Keras draws after `set_random_seed(seed)`, in the order in which
/// it draws them.
pub fn initial_seeds(inputs: &[Input], seed: u32) -> Result<Vec<Array>, ArrayError> {
    let mut random = PythonRandom::new(seed.into());
    let array = |input: &Input| {
        let count = input.ty.elements().as_constant().unwrap_or(0);
        let seeds: Vec<u32> = (0..count).map(|_| random.seed()).collect();
        Array::from_slice(&seeds, &[seeds.len()])
    };
    inputs.iter().filter(|input| input.role == InputRole::Seeds).map(array).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // the numbers are printed by Python 3.11 and NumPy 2.4

    #[test]
    fn seeds_are_those_of_python() {
        let drawn = |seed| {
            let mut random = PythonRandom::new(seed);
            [(); 4].map(|()| random.seed())
        };
        assert_eq!(drawn(0), PYTHON_0);
        assert_eq!(drawn(42), PYTHON_42);
        assert_eq!(drawn(0xDEAD_BEEF_0000_0001), PYTHON_LONG);
        let mut random = PythonRandom::new(7);
        assert_eq!([random.randint(3, 3), random.randint(0, 9), random.randint(0, u32::MAX)], PYTHON_RANGES);
    }

    #[test]
    fn orders_are_those_of_numpy() {
        let mut random = NumpyRandom::new(42);
        let mut order = [0; 10];
        random.permutation(&mut order);
        assert_eq!(order, NUMPY_42[0]);
        random.permutation(&mut order);
        assert_eq!(order, NUMPY_42[1]);
        let mut order = vec![0; 1000];
        NumpyRandom::new(u32::MAX).permutation(&mut order);
        assert_eq!(order[..8], NUMPY_LONG);
        NumpyRandom::new(0).permutation(&mut []);
    }

    const PYTHON_0: [u32; 4] = [906691060, 413654000, 813847340, 955892129];
    const PYTHON_42: [u32; 4] = [686579304, 119540832, 26855093, 796233791];
    const PYTHON_LONG: [u32; 4] = [484662883, 874296085, 721087735, 526965976];
    const PYTHON_RANGES: [u32; 3] = [3, 2, 207388624];
    const NUMPY_42: [[usize; 10]; 2] = [[8, 1, 5, 0, 7, 2, 9, 4, 3, 6], [0, 1, 8, 5, 3, 4, 7, 9, 6, 2]];
    const NUMPY_LONG: [usize; 8] = [94, 405, 819, 632, 217, 169, 449, 275];
}

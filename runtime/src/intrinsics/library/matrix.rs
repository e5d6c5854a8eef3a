//! Matrices in regions.

use core::marker::PhantomData;
use core::ops::{Add, Div, Mul, Neg, Sub};
use kc_abi::library::Region;

/// f32 and f64.
pub(super) trait Float:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const NAN: Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    fn to_f64(self) -> f64;
    fn of_f64(x: f64) -> Self;
}

macro_rules! float {
    ($ty:ty) => {
        impl Float for $ty {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAN: Self = <$ty>::NAN;
            fn sqrt(self) -> Self {
                libm::Libm::<$ty>::sqrt(self)
            }
            fn abs(self) -> Self {
                <$ty>::abs(self)
            }
            fn copysign(self, sign: Self) -> Self {
                <$ty>::copysign(self, sign)
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn of_f64(x: f64) -> Self {
                x as $ty
            }
        }
    };
}

float!(f32);
float!(f64);

/// A matrix in memory.
pub(super) struct Matrix<'a, T> {
    pointer: *mut T,
    pub rows: usize,
    pub columns: usize,
    row_stride: isize,
    column_stride: isize,
    memory: PhantomData<&'a mut T>,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// # Safety
    /// The region's elements must be of `T`, readable, and writable where the matrix is written, as long as it is used.
    pub unsafe fn new(region: &'a Region) -> Self {
        Matrix {
            pointer: region.pointer.cast(),
            rows: usize::try_from(region.rows).unwrap_or(0),
            columns: usize::try_from(region.columns).unwrap_or(0),
            row_stride: region.row_stride as isize,
            column_stride: region.column_stride as isize,
            memory: PhantomData,
        }
    }

    /// # Panics
    /// Outside of the matrix.
    fn place(&self, i: usize, j: usize) -> *mut T {
        assert!(i < self.rows && j < self.columns, "element {i}, {j} of {} x {}", self.rows, self.columns);
        self.pointer.wrapping_offset(i as isize * self.row_stride + j as isize * self.column_stride)
    }

    pub fn get(&self, i: usize, j: usize) -> T {
        // SAFETY: within the matrix, so by the promise at `new`.
        unsafe { self.place(i, j).read() }
    }

    pub fn set(&mut self, i: usize, j: usize, value: T) {
        // SAFETY: within the matrix, so by the promise at `new`.
        unsafe { self.place(i, j).write(value) }
    }

    /// Every element from its place.
    pub fn fill(&mut self, value: impl Fn(usize, usize) -> T) {
        for i in 0..self.rows {
            (0..self.columns).for_each(|j| self.set(i, j, value(i, j)));
        }
    }

    pub fn swap_rows(&mut self, a: usize, b: usize) {
        for j in 0..self.columns {
            let (x, y) = (self.get(a, j), self.get(b, j));
            self.set(a, j, y);
            self.set(b, j, x);
        }
    }
}

impl<T: Float> Matrix<'_, T> {
    /// Subtracts a multiple of one row from another, from a column on.
    pub fn subtract_row(&mut self, target: usize, source: usize, factor: T, from: usize) {
        if from >= self.columns {
            return;
        }
        let count = self.columns - from;
        let apart = target != source && self.row_stride.unsigned_abs() >= self.columns;
        if self.column_stride == 1 && apart {
            let (x, y) = (self.place(target, from), self.place(source, from));
            // SAFETY: both rows lie in the matrix up to its last column, so by the promise at `new`; they do not overlap.
            let (x, y) = unsafe { (core::slice::from_raw_parts_mut(x, count), core::slice::from_raw_parts(y, count)) };
            x.iter_mut().zip(y).for_each(|(x, &y)| *x = *x - factor * y);
            return;
        }
        for j in from..self.columns {
            self.set(target, j, self.get(target, j) - factor * self.get(source, j));
        }
    }
}

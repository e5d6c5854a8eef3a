use super::compile::{GemmCode, MatrixCode};
use super::machine::{Executed, Machine};
use kc_abi::DType;

/// Position of the first element and strides.
pub(super) struct View {
    pub position: i64,
    pub row: i64,
    pub column: i64,
}

impl View {
    pub fn at(&self, row: usize, column: usize) -> usize {
        (self.position + row as i64 * self.row + column as i64 * self.column) as usize
    }
}

/// Executes a matrix product: accumulated in f64 in order of `k`, rounded once.
pub(super) fn gemm(machine: &mut Machine, code: &GemmCode, buffers: &mut [Vec<u8>]) -> Executed {
    let [m, n, k] = code.sizes;
    let (m, n, k) = (machine.index(m)?.max(0), machine.index(n)?.max(0), machine.index(k)?.max(0));
    if m == 0 || n == 0 {
        return Ok(());
    }
    let c = view(machine, "gemm", &code.c, (m, n), buffers)?;
    let (m, n, k) = (m as usize, n as usize, k as usize);
    let mut sums = vec![0.0f64; m * n];
    if k > 0 {
        let a = view(machine, "gemm", &code.a, (m as i64, k as i64), buffers)?;
        let b = view(machine, "gemm", &code.b, (k as i64, n as i64), buffers)?;
        let left = gathered(machine, code.a.memory, &a, code.dtype, (m, k), buffers);
        let right = gathered(machine, code.b.memory, &b, code.dtype, (k, n), buffers);
        for (row, sums) in left.chunks_exact(k).zip(sums.chunks_exact_mut(n)) {
            for (x, right) in row.iter().zip(right.chunks_exact(n)) {
                sums.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * y);
            }
        }
    }
    let accumulate = code.accumulate;
    let bytes = machine.bytes(code.c.memory, buffers);
    for i in 0..m {
        for j in 0..n {
            let at = c.at(i, j);
            let sum = sums[i * n + j];
            match code.dtype {
                DType::F32 => {
                    let element = &mut bytes.as_chunks_mut::<4>().0[at];
                    let before = if accumulate { f32::from_le_bytes(*element).into() } else { 0.0 };
                    *element = ((sum + before) as f32).to_le_bytes();
                }
                // the verifier admits f32 and f64
                _ => {
                    let element = &mut bytes.as_chunks_mut::<8>().0[at];
                    let before = if accumulate { f64::from_le_bytes(*element) } else { 0.0 };
                    *element = (sum + before).to_le_bytes();
                }
            }
        }
    }
    Ok(())
}

/// The view, after a check that its corners lie in the memory.
pub(super) fn view(
    machine: &mut Machine,
    access: &'static str,
    matrix: &MatrixCode,
    (rows, columns): (i64, i64),
    buffers: &mut [Vec<u8>],
) -> Executed<View> {
    let position = machine.index(matrix.position)?;
    let row = machine.index(matrix.row_stride)?;
    let column = machine.index(matrix.column_stride)?;
    let dtype = machine.code.kernel.memory[matrix.memory as usize].dtype;
    let elements = machine.bytes(matrix.memory, buffers).len() / dtype.bytes();
    let down = row.checked_mul(rows - 1);
    let across = column.checked_mul(columns - 1);
    let extent = |pick: fn(i64, i64) -> i64| {
        position.checked_add(pick(down?, 0)).and_then(|sum| sum.checked_add(pick(across?, 0)))
    };
    match (extent(i64::min), extent(i64::max)) {
        (Some(low), Some(high)) if low >= 0 && high < elements as i64 => Ok(View { position, row, column }),
        _ => Err(machine.out_of_bounds(access, matrix.memory, (position, rows.saturating_mul(columns)), elements)),
    }
}

/// The matrix's elements in row-major order.
fn gathered(
    machine: &mut Machine,
    memory: u32,
    view: &View,
    dtype: DType,
    (rows, columns): (usize, usize),
    buffers: &mut [Vec<u8>],
) -> Vec<f64> {
    let bytes = machine.bytes(memory, buffers);
    let element = |at: usize| match dtype {
        DType::F32 => f32::from_le_bytes(bytes.as_chunks::<4>().0[at]).into(),
        _ => f64::from_le_bytes(bytes.as_chunks::<8>().0[at]),
    };
    (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| element(view.at(i, j))).collect()
}

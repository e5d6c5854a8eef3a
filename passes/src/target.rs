//! What a pass must know about the machine that code is made for.

use kc_ir::{DType, Dim};

/// The extent in which an unknown extent counts where costs are estimated and work is divided.
pub(crate) const NOMINAL_EXTENT: i64 = 64;

/// How a target computes contractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contraction {
    /// Register-tiled loop nests are generated.
    Generated,
    /// Matrix products go through the runtime's library.
    Library,
    /// A block of threads computes a tile of the result from tiles of the operands in shared memory: those of half-precision floats on tensor
    /// cores, those of f32 by its threads. Other contractions read the operands where they lie.
    Streamed,
}

/// How the factors of products of f32 are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Factors {
    /// Not at all.
    #[default]
    F32,
    /// To tf32 ([`kc_ir::kernel::fragment::to_tf32`]) where that lets tensor cores multiply them: within [`TF32`].
    Tf32,
}

/// How far a sum of products of factors in tf32 may be from that of the factors: each factor is at most 2^-11 of itself away, hence each product
/// 2^-10 and a little more of itself; relative to the sum of the products' magnitudes. What sums round comes besides.
pub const TF32: f64 = 1.001 / 1024.0;

/// Constants of the roofline cost model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostConstants {
    /// Bytes that memory moves in a nanosecond.
    pub bytes_per_nanosecond: f64,
    /// Floating-point operations of a contraction of f32 in a nanosecond.
    pub contraction_flops_per_nanosecond: f64,
    /// Elementwise operations in a nanosecond.
    pub elementwise_operations_per_nanosecond: f64,
    /// Exponential functions in a nanosecond; logarithms, hyperbolic tangents and the like cost about as much.
    pub exponentials_per_nanosecond: f64,
    /// Nanoseconds that one more kernel costs.
    pub launch_nanoseconds: f64,
    /// What convolutions by Winograd's tiles cost beside direct ones.
    pub winograd: WinogradCost,
}

/// What a convolution by Winograd's tiles costs: its products, of 16 / 36 of the direct one's operations, and its transforms. Both are
/// relative to the speed of direct convolutions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WinogradCost {
    /// The share of a direct convolution's operations in a nanosecond that products of tiles reach.
    pub products: f64,
    /// The operations of a direct convolution in the time that an element's transforms of a tile take: 16 loads, additions and stores.
    pub transform: f64,
}

impl Default for WinogradCost {
    /// Estimates.
    fn default() -> Self {
        WinogradCost { products: 0.85, transform: 150.0 }
    }
}

/// A register tile of a contraction with its measured time, where factors are near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TileTime {
    /// Rows of the result.
    pub rows: u32,
    /// Vectors of a row.
    pub vectors: u32,
    /// Nanoseconds that a thread takes for one step of the summed variable.
    pub nanoseconds: f64,
}

/// A machine, as scheduling and the cost model see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// For people: `x86_64-linux avx512`.
    pub name: String,
    /// Bytes of a vector register; kernels may use any power of two of lanes all the same. On a GPU, of the registers of a block's
    /// threads together.
    pub vector_bytes: u32,
    /// Threads of a block, over which a register's lanes are spread; 1 on a CPU.
    pub block_threads: u32,
    /// Number of vector registers.
    pub vector_registers: u32,
    /// Whether `a*b + c` is one instruction.
    pub fused_multiply_add: bool,
    /// Bytes of a core's nearest data cache, and of the next one.
    pub cache_bytes: [u64; 2],
    /// Threads for which large launches are divided; others may execute them, with the same bits.
    pub threads: u32,
    /// How contractions are computed.
    pub contraction: Contraction,
    /// Dtypes whose products are summed by groups of neighbours in one instruction
    /// ([`MultiplyAddGroups`](kc_ir::kernel::Instruction::MultiplyAddGroups)): bf16, and i8, which stands for all pairs of 8-bit integers one of
    /// which is signed.
    pub groups: Vec<DType>,
    /// How the factors of products of f32 are rounded.
    pub factors: Factors,
    /// Constants of the cost model.
    pub cost: CostConstants,
    /// The register tiles that contractions choose from; where there are none, from all that the registers hold, by estimated times.
    pub tiles: Vec<TileTime>,
}

impl Target {
    /// Lanes of f32 in a vector register.
    pub fn lanes(&self) -> u32 {
        (self.vector_bytes / 4).max(1)
    }

    /// The dtype in which operands of a dtype are multiplied, and their products summed, where they lie.
    pub(crate) fn factor(&self, dtype: DType) -> DType {
        match (dtype, self.contraction) {
            (DType::Bf16, Contraction::Generated) if self.groups.contains(&dtype) => dtype,
            (DType::F16 | DType::Bf16, Contraction::Generated | Contraction::Library) => DType::F32,
            _ => dtype,
        }
    }

    /// Products of that dtype in the time of one of f32.
    pub(crate) fn products_at_once(&self, dtype: DType) -> i64 {
        match dtype {
            DType::Bf16 if self.groups.contains(&dtype) => 2,
            DType::I8 | DType::U8 if self.groups.contains(&DType::I8) => 4,
            _ => 1,
        }
    }

    /// Whether there are kernels of convolutions by Winograd's tiles.
    pub(crate) fn convolves_by_tiles(&self) -> bool {
        self.contraction == Contraction::Generated
    }

    /// Lanes of f32 for loops along an axis. On a GPU no more than cover the axis, but a warp at least: fewer lanes need fewer threads.
    pub(crate) fn lanes_along(&self, extent: &Dim) -> u32 {
        const WARP: u32 = 32;
        let most = self.lanes();
        match extent.as_constant().and_then(|n| u32::try_from(n).ok()) {
            Some(n) if self.block_threads > 1 => {
                n.checked_next_power_of_two().unwrap_or(most).clamp(WARP.min(most), most)
            }
            _ => most,
        }
    }

    /// Any 64-bit CPU: 128-bit vectors, matrix products through the runtime's library.
    pub fn baseline() -> Self {
        Target {
            name: "baseline".to_string(),
            vector_bytes: 16,
            block_threads: 1,
            vector_registers: 16,
            fused_multiply_add: false,
            cache_bytes: [32 << 10, 512 << 10],
            threads: 4,
            contraction: Contraction::Library,
            factors: Factors::F32,
            groups: vec![],
            cost: CostConstants {
                bytes_per_nanosecond: 15.0,
                contraction_flops_per_nanosecond: 60.0,
                elementwise_operations_per_nanosecond: 8.0,
                exponentials_per_nanosecond: 0.7,
                launch_nanoseconds: 400.0,
                winograd: WinogradCost::default(),
            },
            tiles: vec![],
        }
    }
}

//! `keras.layers`: one file a family; a layer is its arguments, `build`, `forward` and `config`.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod cropping;
mod dense;
mod dropout;
mod einsum_dense;
mod embedding;
mod global_pooling;
mod group_normalization;
mod layer_normalization;
mod masking;
mod merging;
mod normalization;
mod padding;
mod pooling;
mod quantized;
mod recurrent;
mod reshaping;
mod spatial;
mod time_distributed;
mod upsampling;

pub use crate::layer::parts_of;
pub use activation::{ActivationLayer, ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use arithmetic::Rescaling;
pub use attention::MultiHeadAttention;
pub use convolution::{Conv2D, Conv2DTranspose};
pub use cropping::{Cropping1D, Cropping2D, Cropping3D};
pub use dense::Dense;
pub use dropout::Dropout;
pub use einsum_dense::EinsumDense;
pub use embedding::Embedding;
pub use global_pooling::{
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D,
    GlobalMaxPooling3D,
};
pub use group_normalization::{GroupNormalization, UnitNormalization};
pub use layer_normalization::{Axes, LayerNormalization, RMSNormalization};
pub use masking::Masking;
pub use merging::{Add, Average, Concatenate, Dot, DotAxes, Maximum, Minimum, Multiply, Subtract};
pub use normalization::BatchNormalization;
pub use padding::{ZeroPadding1D, ZeroPadding2D, ZeroPadding3D, Zeros as ZeroPaddingAmounts};
pub use pooling::{AveragePooling2D, MaxPooling2D};
pub use recurrent::{
    Bidirectional, Cell, CopyCell, Drawn, GRU, GRUCell, LSTM, LSTMCell, MergeMode, RNN, Recurrent, SimpleRNN,
    SimpleRNNCell, StackedRNNCells,
};
pub use reshaping::{Flatten, Permute, RepeatVector, Reshape};
pub use spatial::{DataFormat, Padding, Pair};
pub use time_distributed::TimeDistributed;
pub use upsampling::{UpSampling1D, UpSampling2D, UpSampling3D};

use crate::{Error, Result, shape_text};
use kc_ir::TensorType;

/// The axis of a tensor that Keras counts from the front or, where negative, from the last.
pub(crate) fn axis(ty: &TensorType, argument: &str, axis: i64) -> Result<usize> {
    let rank = ty.rank() as i64;
    let counted = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&counted) {
        return Ok(counted as usize);
    }
    Err(Error::model(format!(
        "`{argument}` is {axis}, the input's shape {} has the axes {} to {}",
        shape_text(&ty.shape),
        -rank,
        rank - 1
    )))
}

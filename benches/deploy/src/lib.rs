//! What every program of the measurement does: predict once, or predict for long and say how long one takes.

#[cfg(feature = "onnxruntime")]
pub mod onnxruntime;
#[cfg(feature = "tract")]
pub mod tract;

use std::time::Instant;

/// The image that all predict.
pub fn image() -> [u8; 784] {
    std::array::from_fn(|i| (i * 31 % 251) as u8)
}

/// The same as numbers.
pub fn floats() -> [f32; 784] {
    image().map(f32::from)
}

/// Kernel and bias of the MLP's layers.
pub fn mlp() -> [Vec<f32>; 4] {
    split(include_bytes!(concat!(env!("OUT_DIR"), "/mlp.bin")), [784 * 128, 128, 128 * 10, 10])
}

/// Kernel and bias of the CNN's layers.
pub fn cnn() -> [Vec<f32>; 8] {
    let counts = [9 * 32, 32, 9 * 32 * 64, 64, 1600 * 128, 128, 128 * 10, 10];
    split(include_bytes!(concat!(env!("OUT_DIR"), "/cnn.bin")), counts)
}

fn split<const N: usize>(bytes: &[u8], counts: [usize; N]) -> [Vec<f32>; N] {
    let (values, _) = bytes.as_chunks();
    let mut values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
    counts.map(|count| values.by_ref().take(count).collect())
}

/// Predicts once and prints the class and its probability; with the argument `steady` also prints the nanoseconds of a later
/// prediction, the median of many.
pub fn run(mut predict: impl FnMut() -> Vec<f32>) {
    let probabilities = predict();
    let best = probabilities.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    println!("{} {:.5}", best.0, best.1);
    if std::env::args().nth(1).as_deref() == Some("steady") {
        let mut times: Vec<u128> = (0..3000)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(predict());
                start.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        println!("{}", times[times.len() / 2]);
    }
}

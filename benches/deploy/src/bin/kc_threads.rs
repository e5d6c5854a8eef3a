//! Predictions a second of threads that share a model.

kc_runtime::include_model!("mnist_mlp.rs");

use std::time::{Duration, Instant};

const THREADS: [usize; 4] = [1, 2, 4, 10];

fn main() {
    let model = MnistMlp::new().expect("the package is whole");
    let image = deploy::image();
    let (rows, _) = image.as_chunks::<28>();
    let image: &[[u8; 28]; 28] = rows.try_into().expect("28 rows");
    let mut samples = THREADS.map(|_| vec![]);
    for _ in 0..ROUNDS {
        for (threads, samples) in THREADS.iter().zip(&mut samples) {
            samples.push(throughput(&model, image, *threads));
        }
    }
    let medians = samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[ROUNDS / 2]
    });
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("predictions a second of threads that share a model, on {processors} processors:");
    for (threads, median) in THREADS.iter().zip(medians) {
        println!("{threads} threads: {median:.0}, {:.2} of one thread's", median / medians[0]);
    }
}

/// Measurements with each number of threads, taken in turns.
const ROUNDS: usize = 5;

/// Predictions a second of threads that share the model.
fn throughput(model: &MnistMlp, image: &[[u8; 28]; 28], threads: usize) -> f64 {
    const TIME: Duration = Duration::from_millis(300);
    let start = Instant::now();
    let count = || {
        let mut count = 0;
        while start.elapsed() < TIME {
            std::hint::black_box(model.predict(image).expect("it predicts"));
            count += 1;
        }
        count
    };
    let all: u64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        running.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    all as f64 / start.elapsed().as_secs_f64()
}

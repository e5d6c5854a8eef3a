kc_runtime::include_model!("mnist_mlp.rs");

use std::time::{Duration, Instant};

fn main() {
    let model = MnistMlp::new().expect("the package is whole");
    let image = deploy::image();
    let (rows, _) = image.as_chunks::<28>();
    let image: &[[u8; 28]; 28] = rows.try_into().expect("28 rows");
    if std::env::args().nth(1).as_deref() == Some("threads") {
        for threads in [1, 2, 4, 10] {
            println!("{threads} threads: {:.0} predictions a second", throughput(&model, image, threads));
        }
        return;
    }
    deploy::run(|| model.predict(image).expect("it predicts").to_vec());
}

/// Predictions a second of threads that share the model.
fn throughput(model: &MnistMlp, image: &[[u8; 28]; 28], threads: usize) -> f64 {
    const TIME: Duration = Duration::from_millis(500);
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

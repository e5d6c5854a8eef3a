//! A model that many threads predict with.

mod common;

use common::{manifest, session, session_of};
use kc_runtime::{Array, Model, SessionOptions, View, bytes_mut};

#[test]
fn ten_threads_predict_with_one_model() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let model = session(1, 3).into_model().unwrap();
    is_shared(&model);
    std::thread::scope(|scope| {
        for thread in 0..10u16 {
            let model = &model;
            scope.spawn(move || {
                let mut outputs = Vec::new();
                for round in 0..300u16 {
                    let rows = 1 + usize::from((thread + round) % 5);
                    let x: Vec<f32> = (0..rows).map(|row| f32::from(thread * 1000 + round) + row as f32).collect();
                    let expected: Vec<f32> = x.iter().map(|x| 3.0 * x).collect();
                    model.predict_into(&[View::new(&x, &[rows, 1]).unwrap()], &mut outputs).unwrap();
                    assert_eq!(outputs[0].as_slice::<f32>().unwrap(), expected);
                    let mut y = vec![0f32; rows];
                    let input = Array::from_slice(&x, &[rows, 1]).unwrap();
                    model.predict_to(&[&input], &mut [bytes_mut(&mut y)]).unwrap();
                    assert_eq!(y, expected);
                }
            });
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = session(1, 3).into_model().unwrap();
    let x = [1f32, 2.0];
    assert!(View::new(&x, &[3, 1]).is_none());
    let view = View::new(&x, &[2, 1]).unwrap();
    let message = |outputs: &mut [&mut [u8]]| model.predict_to(&[view], outputs).unwrap_err().to_string();
    assert_eq!(message(&mut []), "`predict` gives 1 outputs, memory for 0 was given");
    assert_eq!(
        message(&mut [&mut [0u8; 4]]),
        "output `line` of `predict` takes 8 bytes, aligned to its elements; 4 bytes were given"
    );
    assert_eq!(
        model.predict(&[View::new(&x, &[2]).unwrap()]).unwrap_err().to_string(),
        "input `x` of `predict` must be f32[B, 1], f32(2,) was given"
    );

    let mut changing = manifest(vec![]);
    changing.entries.iter_mut().find(|entry| entry.name == "predict").unwrap().updates = vec![0];
    let refused = session_of(changing, &SessionOptions::default()).into_model();
    assert_eq!(
        refused.err().unwrap().to_string(),
        "`predict` changes the state tensor `dense/kernel`, so threads cannot share it; use a session for each"
    );
    let _: fn(kc_runtime::Package) -> Result<Model, kc_runtime::SessionError> = Model::new;
}

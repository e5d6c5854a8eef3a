//! Data sets, where they are on this machine.

use kc::datasets::{Imdb, cifar10, cifar10_cached, imdb_cached};
use kc::utils::pad_sequences;

#[test]
fn photographs_are_those_of_cifar10() {
    if cifar10_cached().is_none() {
        eprintln!("skipped: CIFAR-10 is in no cache; `kc::datasets::cifar10()` fetches it");
        return;
    }
    let ((x_train, y_train), (x_test, y_test)) = cifar10().expect("cached");
    assert_eq!((x_train.shape(), y_train.shape()), ([50_000, 32, 32, 3].as_slice(), [50_000, 1].as_slice()));
    assert_eq!((x_test.shape(), y_test.shape()), ([10_000, 32, 32, 3].as_slice(), [10_000, 1].as_slice()));
    assert_eq!(y_train.as_slice::<u8>().expect("bytes")[..8], [6, 9, 9, 4, 1, 1, 2, 7]);
    assert_eq!(y_test.as_slice::<u8>().expect("bytes")[..8], [3, 8, 8, 0, 6, 6, 1, 6]);
    // the corner of the first photograph
    assert_eq!(x_train.as_slice::<u8>().expect("bytes")[..6], [59, 62, 63, 43, 46, 45]);
}

#[test]
fn reviews_are_sequences_of_words() {
    if imdb_cached().is_none() {
        eprintln!("skipped: the IMDB reviews are in no cache; `kc::datasets::Imdb::new().load()` fetches them");
        return;
    }
    let ((x_train, y_train), (x_test, y_test)) = Imdb::new().num_words(1000).load().expect("cached");
    for (x, y) in [(x_train, y_train), (x_test, y_test)] {
        assert_eq!(y.shape(), [x.len()]);
        let positive: i64 = y.as_slice::<i64>().expect("labels").iter().sum();
        assert_eq!(positive as usize * 2, x.len());
        assert!(x.iter().all(|words| words[0] == 1 && words[1..].iter().all(|&word| (2..1000).contains(&word))));
    }
}

#[test]
fn sequences_are_padded_at_the_front() {
    let rows = pad_sequences(&[vec![1, 2, 3, 4], vec![5], vec![]], 3).expect("small");
    assert_eq!(rows.shape(), [3, 3]);
    assert_eq!(rows.as_slice::<i32>().expect("i32"), [2, 3, 4, 0, 0, 5, 0, 0, 0]);
}

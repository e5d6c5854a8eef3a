use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// What was traced from a model file, and the files it was traced from.
///
/// A trace is good as long as each file that the program was built from (the model, what it includes, kc's own sources
/// in a checkout) has the content it had.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in a project's folder.
    pub fn in_folder(folder: &Path) -> Store {
        Store { folder: folder.to_owned() }
    }

    /// The text stored under a name, where all files it depends on are unchanged.
    pub fn get(&self, name: &str) -> Option<String> {
        let index: Value = serde_json::from_slice(&std::fs::read(self.index(name)).ok()?).ok()?;
        let inputs = index["inputs"].as_object()?;
        if !inputs.iter().all(|(path, hash)| content_hash(Path::new(path)).as_deref() == hash.as_str()) {
            return None;
        }
        let text = std::fs::read_to_string(self.text(name)).ok()?;
        (index["text"].as_str()? == hash(text.as_bytes())).then_some(text)
    }

    /// The hash of the model file and of every other file of the user that the last trace under a name depended on.
    /// It is written into the program, since cargo itself looks at times, which a restored file may not have changed.
    pub fn stamp(&self, name: &str, model: &Path) -> String {
        let known = std::fs::read(self.index(name)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let folder = model.parent().unwrap_or(model);
        let files = known.as_ref().and_then(|index| index["inputs"].as_object()).into_iter().flatten();
        let beside = files
            .map(|(path, _)| Path::new(path))
            .filter(|path| path.starts_with(folder) && !path.starts_with(&self.folder));
        let hashes: Vec<String> = std::iter::once(model).chain(beside).filter_map(content_hash).collect();
        hash(hashes.concat().as_bytes())
    }

    /// Stores a text together with the files it depends on.
    pub fn put(&self, name: &str, text: &str, inputs: &[PathBuf]) -> std::io::Result<()> {
        let inputs: serde_json::Map<String, Value> = inputs
            .iter()
            .filter_map(|path| Some((path.to_string_lossy().into_owned(), content_hash(path)?.into())))
            .collect();
        let index = json!({"inputs": inputs, "text": hash(text.as_bytes())});
        crate::paths::write_atomically(&self.text(name), text.as_bytes())?;
        crate::paths::write_atomically(&self.index(name), index.to_string().as_bytes())
    }

    fn text(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.txt"))
    }

    fn index(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

fn content_hash(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| hash(&bytes))
}

/// The files named by a dep-info file of cargo: `program: file file ...`, blanks in names escaped by a backslash.
pub fn dependencies(dep_info: &str) -> Vec<PathBuf> {
    let Some(line) = dep_info.lines().next() else { return Vec::new() };
    let Some((_, files)) = line.split_once(": ") else { return Vec::new() };
    let mut paths = vec![String::new()];
    let mut characters = files.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(' ')) => {
                paths.last_mut().expect("never empty").push(' ');
                characters.next();
            }
            (' ', _) => paths.push(String::new()),
            (other, _) => paths.last_mut().expect("never empty").push(other),
        }
    }
    paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

use crate::training::{Callback, CallbackError, History, Logs, Training};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes the logs of each epoch as a line of a CSV file (Keras' `CSVLogger`). The first epoch's logs decide the columns.
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    file: Option<BufWriter<File>>,
    columns: Vec<String>,
}

impl CsvLogger {
    /// A new file at `path`, with commas.
    pub fn new(path: &Path) -> Self {
        let path = path.to_path_buf();
        CsvLogger { path, separator: ',', append: false, file: None, columns: Vec::new() }
    }

    /// With another separator.
    pub fn separator(self, separator: char) -> Self {
        CsvLogger { separator, ..self }
    }

    /// Adds lines to the file that is there.
    pub fn append(self) -> Self {
        CsvLogger { append: true, ..self }
    }

    fn with_path(&self, error: std::io::Error) -> CallbackError {
        format!("cannot write `{}`: {error}", self.path.display()).into()
    }

    fn line(&mut self, epoch: usize, logs: &Logs) -> std::io::Result<()> {
        let separator = self.separator;
        let Some(file) = &mut self.file else { return Ok(()) };
        write!(file, "{epoch}")?;
        for column in &self.columns {
            match logs.get(column) {
                Some(value) => write!(file, "{separator}{value}")?,
                None => write!(file, "{separator}NA")?,
            }
        }
        writeln!(file)?;
        file.flush()
    }
}

impl Callback for CsvLogger {
    fn name(&self) -> &str {
        "CSVLogger"
    }

    fn on_train_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(self.append).truncate(!self.append);
        let file = options.open(&self.path).map_err(|error| self.with_path(error))?;
        self.columns.clear();
        self.file = Some(BufWriter::new(file));
        Ok(())
    }

    fn on_epoch_end(&mut self, _: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        if self.columns.is_empty() {
            self.columns = logs.iter().map(|(name, _)| name.to_owned()).collect();
            let is_new = self.file.as_ref().is_some_and(|file| file.get_ref().metadata().is_ok_and(|m| m.len() == 0));
            if let (Some(file), true) = (&mut self.file, is_new) {
                let header = std::iter::once("epoch").chain(self.columns.iter().map(String::as_str));
                let header = header.collect::<Vec<_>>().join(&self.separator.to_string());
                writeln!(file, "{header}").map_err(|error| format!("cannot write the header: {error}"))?;
            }
        }
        self.line(epoch, logs).map_err(|error| self.with_path(error))
    }

    fn on_train_end(&mut self, _: &mut Training, _: &History) -> Result<(), CallbackError> {
        self.file = None;
        Ok(())
    }
}

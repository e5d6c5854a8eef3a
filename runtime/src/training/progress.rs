//! What `fit`, `evaluate` and `predict` show: Keras' bar on a terminal, plain lines elsewhere.

use super::Logs;
use crate::session::SessionError;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What the loops show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// [`Verbose::Bar`] on a terminal, else [`Verbose::Lines`] (Keras' `"auto"`).
    #[default]
    Auto,
    /// Nothing (Keras' 0).
    Silent,
    /// A bar that moves (Keras' 1).
    Bar,
    /// A line an epoch (Keras' 2), and one in between every ten seconds.
    Lines,
}

/// The bar is drawn at most that often.
const BAR_INTERVAL: Duration = Duration::from_millis(50);
/// A line between two epochs' lines is written at most that often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Characters of the bar.
const BAR_WIDTH: usize = 20;

/// The display of one loop.
pub(super) struct Progress {
    verbose: Verbose,
    out: Box<dyn Write>,
    epoch: Option<(usize, usize)>,
    steps: usize,
    done: usize,
    start: Instant,
    shown: Instant,
    /// Characters of the line that stands on the terminal.
    width: usize,
}

impl Progress {
    /// On the standard output, or on the standard error.
    pub(super) fn new(verbose: Verbose, on_stderr: bool) -> Self {
        let terminal = if on_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let verbose = match verbose {
            Verbose::Auto if terminal => Verbose::Bar,
            Verbose::Auto => Verbose::Lines,
            other => other,
        };
        Self::to(verbose, if on_stderr { Box::new(io::stderr()) } else { Box::new(io::stdout()) })
    }

    fn to(verbose: Verbose, out: Box<dyn Write>) -> Self {
        let now = Instant::now();
        Progress { verbose, out, epoch: None, steps: 0, done: 0, start: now, shown: now, width: 0 }
    }

    /// Text that nobody reads is no reason to end a training: errors of the output are dropped.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Before the first step of an epoch (number from 0, number of epochs), or of an evaluation or prediction.
    pub(super) fn begin(&mut self, epoch: Option<(usize, usize)>, steps: usize) {
        let now = Instant::now();
        (self.epoch, self.steps, self.done, self.start, self.shown, self.width) = (epoch, steps, 0, now, now, 0);
        if let (Verbose::Bar, Some((epoch, epochs))) = (self.verbose, epoch) {
            self.write(&format!("Epoch {}/{epochs}\n", epoch + 1));
        }
    }

    /// After a step; `logs` is called where something is shown.
    pub(super) fn step(
        &mut self,
        done: usize,
        logs: impl FnOnce() -> Result<Logs, SessionError>,
    ) -> Result<(), SessionError> {
        self.done = done;
        let interval = match self.verbose {
            Verbose::Bar => BAR_INTERVAL,
            Verbose::Lines => LINE_INTERVAL,
            Verbose::Auto | Verbose::Silent => return Ok(()),
        };
        let now = Instant::now();
        if done < self.steps && now - self.shown >= interval {
            self.shown = now;
            let logs = logs()?;
            self.show(&logs, now - self.start);
        }
        Ok(())
    }

    fn show(&mut self, logs: &Logs, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let left = seconds / self.done.max(1) as f64 * (self.steps - self.done) as f64;
        let text = format!("{} {}{}", duration(left), per_step(seconds, self.done), values(logs));
        match self.verbose {
            Verbose::Bar => self.redraw(&text),
            _ => {
                let line = format!("{}{} - ETA {text}\n", self.prefix(), self.count());
                self.write(&line);
            }
        }
    }

    /// After the last step: the final line.
    pub(super) fn end(&mut self, logs: &Logs) {
        let seconds = self.start.elapsed().as_secs_f64();
        let text = format!("{} {}{}", duration(seconds), per_step(seconds, self.done), values(logs));
        match self.verbose {
            Verbose::Bar => {
                self.redraw(&text);
                self.write("\n");
            }
            Verbose::Lines => {
                let line = format!("{}{} - {text}\n", self.prefix(), self.count());
                self.write(&line);
            }
            Verbose::Auto | Verbose::Silent => {}
        }
    }

    /// A line of its own.
    pub(super) fn note(&mut self, text: &str) {
        if self.verbose != Verbose::Silent {
            self.write(&format!("{text}\n"));
        }
    }

    /// The loop ends before its time.
    pub(super) fn interrupted(&mut self) {
        let text = format!("interrupted after {} of {} steps", self.done, self.steps);
        match self.verbose {
            Verbose::Bar => self.write(&format!("\n{text}\n")),
            _ => {
                let prefix = self.prefix();
                self.note(&format!("{prefix}{text}"));
            }
        }
    }

    fn redraw(&mut self, text: &str) {
        let filled = (BAR_WIDTH * self.done).checked_div(self.steps).unwrap_or(BAR_WIDTH);
        let bar = format!("\x1b[32m{}\x1b[0m\x1b[37m{}\x1b[0m", "━".repeat(filled), "━".repeat(BAR_WIDTH - filled));
        let count = self.count();
        let width = count.chars().count() + BAR_WIDTH + text.chars().count() + 2;
        let erase = " ".repeat(self.width.saturating_sub(width));
        self.width = width;
        self.write(&format!("\r{count} {bar} {text}{erase}"));
    }

    /// ` 45/938`
    fn count(&self) -> String {
        let steps = self.steps.to_string();
        format!("{:>width$}/{steps}", self.done, width = steps.len())
    }

    /// `Epoch 1/5: `
    fn prefix(&self) -> String {
        self.epoch.map_or(String::new(), |(epoch, epochs)| format!("Epoch {}/{epochs}: ", epoch + 1))
    }
}

/// `45s`, `1:02`, `1:00:59`
fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// `2ms/step`
fn per_step(seconds: f64, steps: usize) -> String {
    let time = seconds / steps.max(1) as f64;
    if time >= 1.0 || time == 0.0 {
        format!("{time:.0}s/step")
    } else if time >= 1e-3 {
        format!("{:.0}ms/step", time * 1e3)
    } else {
        format!("{:.0}us/step", time * 1e6)
    }
}

/// ` - accuracy: 0.9021 - loss: 0.3310`
fn values(logs: &Logs) -> String {
    let mut text = String::new();
    for (name, value) in logs.iter() {
        // a String takes everything
        let _ = if value.is_nan() {
            write!(text, " - {name}: nan")
        } else if value.abs() > 1e-3 || value == 0.0 || !value.is_finite() {
            write!(text, " - {name}: {value:.4}")
        } else {
            write!(text, " - {name}: {}", scientific(value))
        };
    }
    text
}

/// `1.2345e-04`, as C and Python write it.
fn scientific(value: f64) -> String {
    let text = format!("{value:.4e}");
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);
    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn screen(verbose: Verbose, run: impl FnOnce(&mut Progress)) -> String {
        let screen = Screen::default();
        run(&mut Progress::to(verbose, Box::new(screen.clone())));
        let bytes = screen.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Text whose time of a step, which the test does not control, is `T`.
    fn timeless(text: &str) -> String {
        let (start, end) = (text.find("0s ").unwrap() + 3, text.find("/step").unwrap());
        format!("{}T{}", &text[..start], &text[end..])
    }

    #[test]
    fn an_epoch_is_a_bar_on_a_terminal_and_a_line_elsewhere() {
        let logs = Logs::from_iter([("loss", 0.33104), ("accuracy", 0.9), ("learning_rate", 1.5e-4)]);
        let run = |progress: &mut Progress| {
            progress.begin(Some((0, 5)), 938);
            progress.step(938, || unreachable!("the last step is shown at the end")).unwrap();
            progress.end(&logs);
        };
        let values = "accuracy: 0.9000 - learning_rate: 1.5000e-04 - loss: 0.3310";
        assert_eq!(
            timeless(&screen(Verbose::Bar, run)),
            format!("Epoch 1/5\n\r938/938 \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m 0s T/step - {values}\n")
        );
        assert_eq!(timeless(&screen(Verbose::Lines, run)), format!("Epoch 1/5: 938/938 - 0s T/step - {values}\n"));
        assert_eq!(screen(Verbose::Silent, run), "");
    }

    #[test]
    fn a_running_bar_shows_the_time_left() {
        let text = screen(Verbose::Bar, |progress| {
            progress.begin(None, 938);
            progress.done = 45;
            progress.show(&Logs::from_iter([("loss", 1.0)]), Duration::from_millis(4500));
            progress.show(&Logs::new(), Duration::from_millis(45));
        });
        assert_eq!(
            text,
            "\r 45/938 \x1b[32m\x1b[0m\x1b[37m━━━━━━━━━━━━━━━━━━━━\x1b[0m 1:29 100ms/step - loss: 1.0000\
             \r 45/938 \x1b[32m\x1b[0m\x1b[37m━━━━━━━━━━━━━━━━━━━━\x1b[0m 0s 1ms/step                   "
        );
    }

    #[test]
    fn times_are_written_as_keras_does() {
        assert_eq!([duration(0.4), duration(62.0), duration(3659.0)], ["0s", "1:02", "1:00:59"]);
        assert_eq!(
            [per_step(2.0, 1), per_step(2.0, 1000), per_step(2.0, 10_000)],
            ["2s/step", "2ms/step", "200us/step"]
        );
        assert_eq!(values(&Logs::from_iter([("loss", f64::NAN)])), " - loss: nan");
    }
}

//! The rows of a measurement as a picture: how many times as long as kc each peer takes.

use super::{number, peers, text};
use serde_json::{Value, json};
use std::fmt::Write;

/// An SVG picture: a group of bars for each row, on a scale on which kc's time is 1.
pub fn chart(rows: &[Value]) -> String {
    const COLOURS: [&str; 6] = ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377"];
    const BAR: f64 = 14.0;
    let (left, width) = (150.0, 460.0);
    let bars = |row: &Value| peers(row).len() + 1;
    let height = rows.iter().map(|row| bars(row) as f64 * BAR + 12.0).sum::<f64>() + 50.0;
    // a peer that takes far longer does not make the others invisible
    let most = 4.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">time in units of kc's</text>\n"
    );
    let mut y = 34.0;
    for row in rows {
        let ms = row["kc_ms"].as_f64().unwrap_or(f64::NAN);
        let label = format!("{} {} {}", text(&row["workload"]), text(&row["phase"]), text(&row["backend"]));
        let _ = writeln!(svg, "<text x=\"10\" y=\"{:.1}\">{label}</text>", y + BAR - 4.0);
        let own = ("kc".to_owned(), ms);
        for (number_of_bar, (name, time)) in std::iter::once(own).chain(peers(row)).enumerate() {
            let (ratio, colour) =
                (time / ms, if number_of_bar == 0 { "#222222" } else { COLOURS[(number_of_bar - 1) % 6] });
            let length = width * ratio.clamp(0.0, most) / most;
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{name} {} ms, {ratio:.2}</text>",
                BAR - 2.0,
                left + length + 4.0,
                y + BAR - 4.0,
                number(&json!(time))
            );
            y += BAR;
        }
        y += 12.0;
    }
    svg + "</svg>\n"
}

//! Pictures of graphs whose nodes lie in rows, as SVG.

use std::fmt::Write;

/// A box of a picture.
pub struct Node {
    /// Lines of text.
    pub lines: Vec<String>,
    /// The row that it lies in, from the top.
    pub row: usize,
    /// How much of the whole it takes, from 0 to 1: the more, the redder.
    pub share: f64,
}

const CHARACTER: f64 = 6.7;
const LINE: f64 = 14.0;
const GAP: f64 = 14.0;
const ROW_GAP: f64 = 34.0;

/// The boxes of each row side by side, with a line for each edge, from a node to one that lies lower.
pub fn svg(nodes: &[Node], edges: &[(usize, usize)]) -> String {
    let width = |node: &Node| {
        let longest = node.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        longest as f64 * CHARACTER + 12.0
    };
    let rows = nodes.iter().map(|node| node.row + 1).max().unwrap_or(0);
    let mut members: Vec<Vec<usize>> = vec![vec![]; rows];
    nodes.iter().enumerate().for_each(|(index, node)| members[node.row].push(index));
    let row_width = |row: &[usize]| row.iter().map(|&index| width(&nodes[index]) + GAP).sum::<f64>() + GAP;
    let whole = members.iter().map(|row| row_width(row)).fold(200.0, f64::max);
    let mut place = vec![(0.0, 0.0, 0.0, 0.0); nodes.len()];
    let mut top = GAP;
    for row in &members {
        let mut left = (whole - row_width(row)) / 2.0 + GAP;
        let lines = row.iter().map(|&index| nodes[index].lines.len()).max().unwrap_or(0);
        let height = lines as f64 * LINE + 8.0;
        for &index in row {
            let width = width(&nodes[index]);
            place[index] = (left, top, width, nodes[index].lines.len() as f64 * LINE + 8.0);
            left += width + GAP;
        }
        top += height + ROW_GAP;
    }
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole:.0}\" height=\"{top:.0}\" font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for &(from, to) in edges {
        let ((x1, y1, w1, h1), (x2, y2, w2, _)) = (place[from], place[to]);
        let (x1, y1, x2) = (x1 + w1 / 2.0, y1 + h1, x2 + w2 / 2.0);
        let bend = (y2 - y1) / 2.0;
        let _ = writeln!(
            text,
            "<path d=\"M{x1:.1} {y1:.1}C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {y2:.1}\" stroke=\"#999\" fill=\"none\"/>",
            y1 + bend,
            y2 - bend
        );
    }
    for (node, (x, y, width, height)) in nodes.iter().zip(place) {
        let other = (255.0 * (1.0 - node.share.clamp(0.0, 1.0).sqrt())) as u8;
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\" stroke=\"#444\" \
             fill=\"#ff{other:02x}{other:02x}\"/>"
        );
        for (line, content) in node.lines.iter().enumerate() {
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 6.0,
                y + LINE * (line as f64 + 1.0),
                escaped(content)
            );
        }
    }
    text + "</svg>\n"
}

/// Text as it stands in XML and HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_a_row_do_not_overlap() {
        let node = |text: &str, row| Node { lines: vec![text.to_owned()], row, share: 0.0 };
        let picture = svg(&[node("a<b", 0), node("second", 0), node("below", 1)], &[(0, 2), (1, 2)]);
        assert_eq!(picture.matches("<path").count(), 2);
        assert!(picture.contains("a&lt;b"), "{picture}");
        let left: Vec<f64> = picture
            .lines()
            .filter_map(|line| line.strip_prefix("<rect x=\"")?.split('"').next()?.parse().ok())
            .collect();
        assert!(left[0] + 3.0 * CHARACTER < left[1], "{left:?}");
    }
}

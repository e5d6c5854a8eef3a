//! What is known not to work yet: `gaps.txt` has one line `runner case: reason` a gap, `any` for all runners. A gap that passes is
//! struck.

/// The gaps of all runners.
const GAPS: &str = include_str!("../gaps.txt");

/// Why a runner is known not to pass a case.
pub fn reason(runner: &str, case: &str) -> Option<&'static str> {
    find(GAPS, runner, case)
}

fn find<'a>(gaps: &'a str, runner: &str, case: &str) -> Option<&'a str> {
    gaps.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (place, reason) = line.split_once(": ")?;
        let (gap, gap_case) = place.split_once(' ')?;
        (gap_case == case && [runner, "any"].contains(&gap)).then_some(reason)
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_gap_is_found_by_runner_and_case() {
        let gaps = "# comment\nmlir dense: no reason\n";
        assert_eq!(find(gaps, "mlir", "dense"), Some("no reason"));
        assert_eq!(find(gaps, "mlir", "conv"), None);
        assert_eq!(find(gaps, "eager", "dense"), None);
    }
}

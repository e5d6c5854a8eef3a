//! Every layer in every policy of mixed precision: what it gives is what Keras gives in f32, but for roundings.

use kc_tests::golden::{Kind, cases, check_policy};

#[test]
fn layers_give_nearly_the_same_in_narrow_dtypes() {
    let cases = cases().expect("the manifest");
    let narrow = |name: &str| ["mixed_", "pure_", "int8_"].iter().any(|prefix| name.starts_with(prefix));
    let cases: Vec<_> = cases.into_iter().filter(|case| case.kind == Kind::Layer && !narrow(&case.name)).collect();
    assert!(cases.len() > 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (policy, rounding) in [("mixed_bfloat16", 2f64.powi(-8)), ("mixed_float16", 2f64.powi(-11))] {
        for case in &cases {
            if let Err(message) = check_policy(case, policy, 8.0 * rounding) {
                wrong.push(format!("{policy} {}: {message}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

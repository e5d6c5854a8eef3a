//! StableHLO texts with unknown extents.

use kc_abi::{Dim, Symbol};

/// The text for known extents: each `${dimension}` becomes its number. Texts of strings write `$` as `\24`, so every `${` is one.
///
/// # Errors
/// What is wrong with the text, or which extent is not known.
pub fn instantiate(text: &str, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        result.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or("an extent does not end")?;
        let dim: Dim = inner[..end].parse().map_err(|error| format!("`{}` is no extent: {error}", &inner[..end]))?;
        let value = dim.evaluate(value_of).ok_or_else(|| format!("the extent {dim} is not known, or too large"))?;
        result.push_str(&value.to_string());
        rest = &inner[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_become_numbers() {
        let value = |symbol: &Symbol| (&*symbol.0 == "B").then_some(8);
        let text = "tensor<${B}x10xf32> low = [${B*2 - 1}] loc(\"a\\24{B}\")";
        let expected = "tensor<8x10xf32> low = [15] loc(\"a\\24{B}\")";
        assert_eq!(instantiate(text, &value).as_deref(), Ok(expected));
        let error = instantiate("tensor<${T}xf32>", &value);
        assert_eq!(error, Err("the extent T is not known, or too large".into()));
        assert_eq!(instantiate("tensor<${B", &value), Err("an extent does not end".into()));
    }
}

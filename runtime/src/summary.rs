use kc_abi::manifest::{ModelInfo, StateRole, StateTensor};
use std::fmt::Write;

/// The layers as Keras' `summary()` lists them: name and class, output shape, parameters, and for a model that is no chain what each
/// layer is connected to; then the numbers of parameters.
pub fn summary_text(model: &ModelInfo, state: &[StateTensor]) -> String {
    let layers = &model.layers;
    let chain = layers.iter().enumerate().all(|(i, layer)| match i.checked_sub(1) {
        None => layer.inbound.is_empty(),
        Some(before) => layer.inbound.is_empty() || layer.inbound == [layers[before].name.clone()],
    });
    let mut rows = vec![vec!["Layer (type)".to_owned(), "Output Shape".to_owned(), "Param #".to_owned()]];
    for layer in layers {
        rows.push(vec![
            format!("{} ({})", layer.name, layer.class),
            layer.output_shape.clone(),
            grouped(layer.parameters),
        ]);
    }
    if !chain {
        rows[0].push("Connected to".to_owned());
        for (row, layer) in rows[1..].iter_mut().zip(layers) {
            row.push(if layer.inbound.is_empty() { "-".to_owned() } else { layer.inbound.join(", ") });
        }
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 2)
        .collect();
    let mut text = format!("Model: \"{}\"\n", model.name);
    let rule = |left, middle, right, line: &str| {
        let parts: Vec<String> = widths.iter().map(|width| line.repeat(*width)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    text += &rule("┏", "┳", "┓", "━");
    for (i, row) in rows.iter().enumerate() {
        let bar = if i == 0 { "┃" } else { "│" };
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Numbers are aligned to the right.
            let gap = " ".repeat(width - 2 - cell.chars().count());
            let (left, right) = if column == 2 && i > 0 { (gap, String::new()) } else { (String::new(), gap) };
            let _ = write!(text, "{bar} {left}{cell}{right} ");
        }
        text += &format!("{bar}\n");
        text += &match i {
            0 => rule("┡", "╇", "┩", "━"),
            last if last + 1 == rows.len() => rule("└", "┴", "┘", "─"),
            _ => rule("├", "┼", "┤", "─"),
        };
    }
    text + &totals(state)
}

fn totals(state: &[StateTensor]) -> String {
    let count = |of: &[StateRole]| -> (u64, u64) {
        state.iter().filter(|tensor| of.contains(&tensor.role)).fold((0, 0), |(elements, bytes), tensor| {
            let count: u64 =
                tensor.ty.constant_shape().unwrap_or_default().iter().map(|extent| *extent as u64).product();
            (elements + count, bytes + count * tensor.ty.dtype.bits() as u64 / 8)
        })
    };
    let trainable = count(&[StateRole::Trainable]);
    let fixed = count(&[StateRole::NonTrainable]);
    let optimizer = count(&[StateRole::Optimizer, StateRole::LearningRate, StateRole::Iterations]);
    let total = (trainable.0 + fixed.0 + optimizer.0, trainable.1 + fixed.1 + optimizer.1);
    let line = |name: &str, (elements, bytes): (u64, u64)| {
        format!(" {name} params: {} ({})\n", grouped(elements), size(bytes))
    };
    let mut text = line("Total", total) + &line("Trainable", trainable) + &line("Non-trainable", fixed);
    if optimizer.0 > 0 {
        text += &line("Optimizer", optimizer);
    }
    text
}

/// `101,770`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `397.54 KB`, as Keras writes it.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1024.0 {
            return format!("{value:.2} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2} TB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_abi::DType;
    use kc_abi::manifest::{LayerInfo, TensorType};

    fn layer(name: &str, class: &str, output_shape: &str, parameters: u64, inbound: &[&str]) -> LayerInfo {
        let inbound = inbound.iter().map(|name| name.to_string()).collect();
        LayerInfo {
            name: name.into(),
            class: class.into(),
            output_shape: output_shape.into(),
            parameters,
            inbound,
            parts: Default::default(),
        }
    }

    #[test]
    fn a_branching_model_says_what_is_connected() {
        let model = ModelInfo {
            name: "functional".into(),
            layers: vec![
                layer("input_layer", "InputLayer", "(None, 4)", 0, &[]),
                layer("dense", "Dense", "(None, 300)", 1500, &["input_layer"]),
                layer("add", "Add", "(None, 300)", 0, &["dense", "input_layer"]),
            ],
            ..Default::default()
        };
        let state = |name: &str, role, shape: &[i64]| StateTensor {
            name: name.into(),
            role,
            ty: TensorType::new(DType::F32, shape.iter().copied()),
        };
        let state = [
            state("dense/kernel", StateRole::Trainable, &[4, 300]),
            state("dense/bias", StateRole::Trainable, &[300]),
            state("sgd/learning_rate", StateRole::LearningRate, &[]),
            state("loss/total", StateRole::Metric, &[]),
        ];
        let expected = "\
Model: \"functional\"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)             ┃ Output Shape ┃ Param # ┃ Connected to       ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩
│ input_layer (InputLayer) │ (None, 4)    │       0 │ -                  │
├──────────────────────────┼──────────────┼─────────┼────────────────────┤
│ dense (Dense)            │ (None, 300)  │   1,500 │ input_layer        │
├──────────────────────────┼──────────────┼─────────┼────────────────────┤
│ add (Add)                │ (None, 300)  │       0 │ dense, input_layer │
└──────────────────────────┴──────────────┴─────────┴────────────────────┘
 Total params: 1,501 (5.86 KB)
 Trainable params: 1,500 (5.86 KB)
 Non-trainable params: 0 (0.00 B)
 Optimizer params: 1 (4.00 B)
";
        assert_eq!(summary_text(&model, &state), expected);
    }
}

use crate::cli::Summary;
use crate::compile::is_package;
use crate::failure::{Failure, Outcome};
use crate::model;
use kc_abi::manifest::{ModelInfo, StateRole, StateTensor};
use kc_runtime::Package;
use std::fmt::Write;

/// `kc summary`: the layers as Keras' `summary()` lists them.
pub fn summary(arguments: &Summary) -> Outcome {
    if is_package(&arguments.model) {
        let manifest = Package::read_manifest(&arguments.model).map_err(Failure::new)?;
        print!("{}", table(&manifest.model, &manifest.state));
    } else {
        let module = model::trace(&arguments.model)?.module;
        print!("{}", table(&module.model, &module.state));
    }
    Ok(())
}

/// The table: layer (type), output shape, parameters, and for a model that is no chain what each layer is connected to.
fn table(model: &ModelInfo, state: &[StateTensor]) -> String {
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

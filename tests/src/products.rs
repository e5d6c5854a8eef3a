//! Matrix products of half-precision floats, with a bias and an activation, in all layouts: one entry point for each.

use kc_ir::DType;
use kc_ir::tensor::Module;
use kc_ir::tensor::text::parse_module;

/// The layouts: the summed axes of both operands.
pub const LAYOUTS: [[usize; 2]; 4] = [[1, 0], [0, 0], [1, 1], [0, 1]];

/// The entry point of a layout.
pub fn entry(layout: [usize; 2]) -> String {
    format!("product_{}_{}", layout[0], layout[1])
}

/// A module whose entry points compute `relu(x*w + b)` with so many rows, summed values and columns.
pub fn module(dtype: DType, [rows, depth, columns]: [i64; 3]) -> Module {
    let mut text = String::from("module {\"name\":\"\",\"layers\":[],\"fields\":{}}\n");
    for layout in LAYOUTS {
        let [left, right] = layout;
        let (mut x, mut w) = ([rows, depth], [depth, columns]);
        if left == 0 {
            x.reverse();
        }
        if right == 1 {
            w.reverse();
        }
        let shape = |[a, b]: [i64; 2]| format!("{{\"dtype\":\"{dtype}\",\"shape\":[{a},{b}]}}");
        let fields = |[a, b]: [i64; 2]| format!("\"role\":\"feature\",\"dtype\":\"{dtype}\",\"shape\":[{a},{b}]");
        let ([x0, x1], [w0, w1]) = (x, w);
        text += &format!(
            r#"
function "{name}" {{
  input {{"name":"x",{x_fields}}}
  input {{"name":"w",{w_fields}}}
  input {{"name":"b","role":"feature","dtype":"{dtype}","shape":[{columns}]}}
  output {{"name":"y","dtype":"{dtype}","shape":[{rows},{columns}]}}
  arguments input 0, input 1, input 2
  %0: {dtype}[{x0}, {x1}] = parameter {{"index":0,"name":"x","ty":{x_type}}}
  %1: {dtype}[{w0}, {w1}] = parameter {{"index":1,"name":"w","ty":{w_type}}}
  %2: {dtype}[{columns}] = parameter {{"index":2,"name":"b","ty":{{"dtype":"{dtype}","shape":[{columns}]}}}}
  %3: {dtype}[{rows}, {columns}] = dot_general %0, %1 {{"lhs_batch":[],"rhs_batch":[],"lhs_contract":[{left}],"rhs_contract":[{right}]}}
  %4: {dtype}[{rows}, {columns}] = broadcast %2 {{"shape":[{rows},{columns}],"axes":[1]}}
  %5: {dtype}[{rows}, {columns}] = add %3, %4
  %6: {dtype}[] = constant {{"value":{{"type":"{dtype}","shape":[],"data":[0.0]}}}}
  %7: {dtype}[{rows}, {columns}] = broadcast %6 {{"shape":[{rows},{columns}],"axes":[]}}
  %8: {dtype}[{rows}, {columns}] = maximum %5, %7
  return %8 as output 0
}}
"#,
            name = entry(layout),
            x_fields = fields(x),
            w_fields = fields(w),
            x_type = shape(x),
            w_type = shape(w),
        );
    }
    parse_module(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

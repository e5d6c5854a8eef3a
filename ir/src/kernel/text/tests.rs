use crate::kernel::*;

/// Every construct of the language, in its printed form.
const EVERYTHING: &str = r#"kernel everything(x: f32 read, w: bf16 read, "two words": i64 readwrite part, y: f32 write; scratch panel: f32[512], scratch order: u64[64]; dims 2) task t0 {
  unused %13: u8x4, %14: bool
  %0: f32x16 = constant -0.5
  %1: f32x16 = constant inf
  %2: i64 = position t0*4 - d0 step -2
  %3: bool = less %2, %2
  (%4: f32x16, %5: f32) = for i1 in max(t0 - 1, 0)..min(d0, (i1 + 3)//4%7) step 4 carry (%6 = %0, %7 = %8) {
    %9: f32x16 = load x[i1*784 + %2*(d1 + 1) - i1*2*d0] count d0 - i1
    %10: f32x16 = multiply_add %9, %1, %6
    %11: f32 = reduce_max %10
    store panel[0], %10
    (%12: f32) = if %3 {
      yield %7
    } else {
      store @2[-3], %2
      yield %11
    }
    yield %10, %12
  }
  %8: f32 = math atan2(%5, %5)
  %15: f32x16 = interleave_low %0, %1
  %16: f32x16 = interleave_high %1, %15
  prefetch y[t0*16 + 1048576]
  for i2 in 0..4 independent {
    if %3 {
    }
  }
  gemm y[t0*64 strides d0, 1] += x[0 strides 1, d1] * panel[0 strides %2, 1] size 4 by d0%%2 by d1
  library argsort(x[t0*8 strides d0, 1] size 1 by d1) to (order[0 strides 0, 1] size 1 by d1) with 1
  library argtop(x[0 strides 0, -1] size 1 by 9) to (order[0 strides 0, 1] size 1 by 3)
  copy panel[t0*8 stride 40] = x[d1 line t0*4 stride d0 + 1, 28 stride 30, d1 stride 1] size 16 by 32 of d0 - t0 by 7
  commit_copies
  await_copies 1
  %17: f32x256 = load_left_tiles panel[t0*8 rows 24] warps 1 steps 0, 0
  %18: f32x256 = load_right_tiles panel[0 columns 24] warps 2 steps -16, 384
  %19: f32x256 = multiply_tiles %17, %18, %17
  store_tiles panel[8 rows 24] warps 1 steps 0, 0, %19
  %20: f32x8 = load_spaced panel[t0 + 3 steps 1, 0, -2]
  store_spaced panel[t0*32 steps 1, 8, 2], %20
  store y[t0*16], %4 count d0 - 9223372036854775807 + -9223372036854775808
}
"#;

#[test]
fn every_construct_round_trips() {
    let kernel = parse_kernel(EVERYTHING).unwrap();
    assert_eq!(print_kernel(&kernel), EVERYTHING);
    assert_eq!(parse_kernel(&print_kernel(&kernel)).unwrap(), kernel);
}

#[test]
fn index_operators_keep_their_structure() {
    let (d, i) = (|| Index::Dim(0), || Index::Axis(Axis(1)));
    let sum = Index::Add(Box::new(d()), Box::new(Index::Add(Box::new(i()), Box::new(Index::Constant(2)))));
    let product = Index::Multiply(Box::new(i()), Box::new(Index::FloorDiv(Box::new(sum.clone()), Box::new(d()))));
    let difference = Index::Add(Box::new(product), Box::new(Index::Multiply(Box::new(sum), Box::new((-1).into()))));
    assert_eq!(print_index(&difference, Axis(0)), "i1*((d0 + (i1 + 2))//d0) - (d0 + (i1 + 2))");
    let mut builder = KernelBuilder::new("k");
    let x = builder.parameter("x", DType::F32, Access::Write);
    let value = builder.constant(DType::F32, 1, 1.0);
    builder.store(x, difference, value, None);
    let kernel = builder.finish(1);
    assert_eq!(parse_kernel(&print_kernel(&kernel)).unwrap(), kernel);
}

#[test]
fn a_program_round_trips() {
    let text = r#"program predict(B) {
  buffer 0: f32[B, 4] input 0
  buffer 1: f32[4] constant [1.0, -0.0, nan, 1e-45]
  buffer 2: bf16[1] constant "81ff"
  buffer 3: u64[2] constant [18446744073709551615, 0]
  buffer 4: f32[B, 4] temporary
  buffer 5: f32[B, 4] output 0
  buffer 6: f32[] state 3
  step {
    launch copy(0, 4; B*4, B) tasks (B + 15)//16 work B*64
    launch @1(4, 5) tasks 1
  }
  step {
  }
}

kernel copy(x: f32 read, y: f32 write; dims 2) task t0 {
}

kernel "a b"(x: f32 read, y: f32 write; dims 0) task t0 {
}
"#;
    let program = parse_program(text).unwrap();
    assert_eq!(print_program(&program), text.replace("1e-45", "1.401298464324817e-45"));
    assert_eq!(parse_program(&print_program(&program)).unwrap(), program);
}

#[test]
fn errors_name_the_line_and_what_was_expected() {
    let message = |text: &str| parse_kernel(text).unwrap_err().to_string();
    let body = |line: &str| message(&format!("kernel k(x: f32 read; dims 0) task t0 {{\n  {line}\n}}"));
    assert_eq!(message(""), "line 1: expected `kernel`, found the end of the text");
    assert_eq!(message("kernel k(x: f32 reads)"), "line 1: expected `read`, `write` or `readwrite`, found `reads`");
    assert_eq!(message("kernel k(x: q32 read)"), "line 1: expected a dtype such as `f32`, found `q32`");
    assert_eq!(body("%0: f33 = constant 1"), "line 2: expected a type such as `f32` or `f32x16`, found `f33`");
    assert_eq!(body("%0: f32 = ad %1, %2"), "line 2: expected an instruction such as `add`, found `ad`");
    assert_eq!(body("%0: f32 = add %1"), "line 3: expected `,`, found `}`");
    assert_eq!(body("%0: f32 = load y[0]"), "line 2: there is no memory `y`; expected one of: x");
    assert_eq!(body("%1: f32 = constant 1"), "line 3: %1 is defined but %0 is not; expected an `unused` line");
    assert_eq!(body("%0: f32 = constant 1\n%0: f32 = constant 1"), "line 3: %0 is defined twice");
    assert_eq!(
        body("%0: f32 = load x[+]"),
        "line 2: expected an index: a number, `d0`, an axis, a register, `min(`, `max(` or `(`, found `+`"
    );
    assert_eq!(
        body("for i1 in 0..4 carry (%0 = %1) {\n}"),
        "line 2: the loop carries 1 values but has 0 results; expected as many"
    );
    assert_eq!(body("§"), "line 2: unexpected character '§'");
    assert_eq!(
        parse_program("program p() {\n step {\n launch k() tasks 1\n }\n}").unwrap_err().to_string(),
        "line 3: there is no kernel `k`"
    );
}

#[test]
fn hostile_text_is_an_error() {
    let nested = |open: &str, count: usize| format!("kernel k(dims 0) task t0 {{\n{}", open.repeat(count));
    assert_eq!(parse_kernel(&nested("if %0 {\n", 100_000)).unwrap_err().message, "more than 64 nested blocks");
    let deep = "an index of more than 256 operations";
    assert_eq!(
        parse_kernel(&nested("for i1 in ", 1).replace("in ", &format!("in {}", "(".repeat(100_000))))
            .unwrap_err()
            .message,
        deep
    );
    let long = format!("for i1 in 0{}", "+1".repeat(100_000));
    assert_eq!(parse_kernel(&nested(&long, 1)).unwrap_err().message, deep);
    let program = format!("program p(B) {{ buffer 0: f32[B{}] temporary }}", "//C".repeat(100_000));
    assert_eq!(parse_program(&program).unwrap_err().message, "a dimension of more than 1000 bytes");
    assert!(parse_program("program p() { buffer 0: f32[9223372036854775807, 9] constant [] }").is_err());
}

/// Every prefix, and every text with one token's worth of bytes taken out, parses or is an error.
#[test]
fn damaged_text_never_panics() {
    for (at, _) in EVERYTHING.char_indices() {
        let _ = parse_kernel(&EVERYTHING[..at]);
        for length in [1, 3] {
            let rest = EVERYTHING.get(at + length..).unwrap_or_default();
            if let Ok(kernel) = parse_kernel(&format!("{}{rest}", &EVERYTHING[..at])) {
                let printed = print_kernel(&kernel);
                assert_eq!(print_kernel(&parse_kernel(&printed).unwrap()), printed);
            }
        }
    }
}

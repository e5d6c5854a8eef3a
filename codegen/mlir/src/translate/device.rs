//! Scalar functions in f64 for machines that the runtime's table does not reach.

use super::{Result, Translator};
use kc_abi::call::MathFunction;

/// `2*log2(e)/(2*k + 1)`, `k` from 0: with `s = (m - 1)/(m + 1)`, `log2(m)` is the sum of their products with `s^(2*k + 1)`. For `m` between
/// `sqrt(1/2)` and `sqrt(2)` the terms left out are below 1e-17 of it.
const LOG_TERMS: i32 = 11;

/// `ln(2)^k/k!`, `k` from 0: `2^f` is the sum of their products with `f^k`. For `f` between -1/2 and 1/2 the terms left out are below 1e-17.
const EXP_TERMS: i32 = 14;

impl Translator<'_> {
    /// A function of the table in f64, without the table. Where the result is a normal number, its relative error is below
    /// `1e-15 * (1 + |y*log2(x)|)`.
    pub(super) fn device_math(&mut self, function: MathFunction, operands: &[String]) -> Result<String> {
        match (function, operands) {
            (MathFunction::Pow, [x, y]) => Ok(self.device_power(x, y)),
            _ => self.error(format!("the function {function:?}, which has no code for a GPU yet")),
        }
    }

    fn f64(&mut self, value: f64) -> String {
        self.constant_text(format!("0x{:016X} : f64", value.to_bits()))
    }

    fn float(&mut self, operation: &str, operands: &[&str]) -> String {
        self.op(&format!("{operation} {} : f64", operands.join(", ")))
    }

    fn float_is(&mut self, predicate: &str, a: &str, b: &str) -> String {
        self.op(&format!("arith.cmpf {predicate}, {a}, {b} : f64"))
    }

    fn select_float(&mut self, condition: &str, a: &str, b: &str) -> String {
        self.op(&format!("arith.select {condition}, {a}, {b} : f64"))
    }

    /// The polynomial with these coefficients, the constant one first.
    fn polynomial(&mut self, x: &str, coefficients: &[f64]) -> String {
        let mut sum = self.f64(0.0);
        for &coefficient in coefficients.iter().rev() {
            let coefficient = self.f64(coefficient);
            sum = self.float("math.fma", &[&sum, x, &coefficient]);
        }
        sum
    }

    /// `log2(a)` of a positive number.
    fn log2(&mut self, a: &str) -> String {
        // subnormal numbers are made normal ones
        let (least, scale) = (self.f64(f64::MIN_POSITIVE), self.f64(2f64.powi(54)));
        let small = self.float_is("olt", a, &least);
        let scaled = self.float("arith.mulf", &[a, &scale]);
        let a = self.select_float(&small, &scaled, a);
        let (zero, minus_54) = (self.f64(0.0), self.f64(-54.0));
        let shift = self.select_float(&small, &minus_54, &zero);
        // a = m * 2^e with m between sqrt(1/2) and sqrt(2): the exponent is taken from the bits moved by those of sqrt(1/2)
        let half_root = std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64;
        let [half_root, places, fraction] = [half_root, 52, (1 << 52) - 1].map(|value| self.i64(value));
        let bits = self.op(&format!("arith.bitcast {a} : f64 to i64"));
        let moved = self.op(&format!("arith.subi {bits}, {half_root} : i64"));
        let exponent = self.op(&format!("arith.shrsi {moved}, {places} : i64"));
        let rest = self.op(&format!("arith.andi {moved}, {fraction} : i64"));
        let rest = self.op(&format!("arith.addi {rest}, {half_root} : i64"));
        let m = self.op(&format!("arith.bitcast {rest} : i64 to f64"));
        let exponent = self.op(&format!("arith.sitofp {exponent} : i64 to f64"));
        let exponent = self.float("arith.addf", &[&exponent, &shift]);
        let one = self.f64(1.0);
        let (below, above) = (self.float("arith.subf", &[&m, &one]), self.float("arith.addf", &[&m, &one]));
        let s = self.float("arith.divf", &[&below, &above]);
        let square = self.float("arith.mulf", &[&s, &s]);
        let terms: Vec<f64> = (0..LOG_TERMS).map(|k| 2.0 * std::f64::consts::LOG2_E / f64::from(2 * k + 1)).collect();
        let sum = self.polynomial(&square, &terms);
        self.float("math.fma", &[&s, &sum, &exponent])
    }

    /// `2^t`; `t` is no NaN.
    fn exp2(&mut self, t: &str) -> String {
        // farther out the result is 0 or infinity
        let (low, high) = (self.f64(-1100.0), self.f64(1100.0));
        let t = self.float("arith.maxnumf", &[t, &low]);
        let t = self.float("arith.minnumf", &[&t, &high]);
        let whole = self.float("math.roundeven", &[&t]);
        let rest = self.float("arith.subf", &[&t, &whole]);
        let mut factorial = 1.0;
        let terms: Vec<f64> = (0..EXP_TERMS)
            .map(|k| {
                factorial *= f64::from(k.max(1));
                std::f64::consts::LN_2.powi(k) / factorial
            })
            .collect();
        let mut result = self.polynomial(&rest, &terms);
        // in two steps, since the result may be subnormal
        let exponent = self.op(&format!("arith.fptosi {whole} : f64 to i64"));
        let [one, places, bias] = [1, 52, 1023].map(|value| self.i64(value));
        let first = self.op(&format!("arith.shrsi {exponent}, {one} : i64"));
        let second = self.op(&format!("arith.subi {exponent}, {first} : i64"));
        for part in [first, second] {
            let biased = self.op(&format!("arith.addi {part}, {bias} : i64"));
            let bits = self.op(&format!("arith.shli {biased}, {places} : i64"));
            let factor = self.op(&format!("arith.bitcast {bits} : i64 to f64"));
            result = self.float("arith.mulf", &[&result, &factor]);
        }
        result
    }

    /// IEEE 754's `pow`: `2^(y*log2|x|)` with the sign of odd powers; the cases that this does not give are chosen last.
    fn device_power(&mut self, x: &str, y: &str) -> String {
        let [zero, one, half, infinity, nan] = [0.0, 1.0, 0.5, f64::INFINITY, f64::NAN].map(|value| self.f64(value));
        let a = self.float("math.absf", &[x]);
        let log = self.log2(&a);
        let t = self.float("arith.mulf", &[&log, y]);
        let power = self.exp2(&t);
        // of 0 and infinity the logarithm is infinite
        let (is_zero, is_infinite) = (self.float_is("oeq", &a, &zero), self.float_is("oeq", &a, &infinity));
        let rises = self.float_is("ogt", y, &zero);
        let of_infinity = self.select_float(&rises, &infinity, &zero);
        let of_zero = self.select_float(&rises, &zero, &infinity);
        let power = self.select_float(&is_infinite, &of_infinity, &power);
        let power = self.select_float(&is_zero, &of_zero, &power);
        // 1^y and x^0 are 1, whatever the other is; so is (-1)^infinity
        let y_magnitude = self.float("math.absf", &[y]);
        let (a_is_one, y_is_infinite) = (self.float_is("oeq", &a, &one), self.float_is("oeq", &y_magnitude, &infinity));
        let both = self.op(&format!("arith.andi {a_is_one}, {y_is_infinite} : i1"));
        let power = self.select_float(&both, &one, &power);
        // the sign of odd powers of what has a sign, 0 included; no number for powers of negative numbers that are not whole
        let floor = self.float("math.floor", &[y]);
        let halved = self.float("arith.mulf", &[y, &half]);
        let floor_halved = self.float("math.floor", &[&halved]);
        let is_whole = self.float_is("oeq", &floor, y);
        let bits = self.op(&format!("arith.bitcast {x} : f64 to i64"));
        let none = self.i64(0);
        let has_sign = self.op(&format!("arith.cmpi slt, {bits}, {none} : i64"));
        let negated = self.float("arith.negf", &[&power]);
        let not_even = self.float_is("one", &floor_halved, &halved);
        let is_odd = self.op(&format!("arith.andi {is_whole}, {not_even} : i1"));
        let turns = self.op(&format!("arith.andi {is_odd}, {has_sign} : i1"));
        let signed = self.select_float(&turns, &negated, &power);
        let is_negative = self.float_is("olt", x, &zero);
        let is_finite = self.float_is("one", &a, &infinity);
        let no_number = self.select_float(&is_whole, &signed, &nan);
        let applies = self.op(&format!("arith.andi {is_negative}, {is_finite} : i1"));
        let result = self.select_float(&applies, &no_number, &signed);
        let unordered = self.float_is("uno", x, y);
        let result = self.select_float(&unordered, &nan, &result);
        let (x_is_one, y_is_zero) = (self.float_is("oeq", x, &one), self.float_is("oeq", y, &zero));
        let is_one = self.op(&format!("arith.ori {x_is_one}, {y_is_zero} : i1"));
        self.select_float(&is_one, &one, &result)
    }
}

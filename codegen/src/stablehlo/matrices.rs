//! Factors of matrices, which StableHLO lacks, by loops whose rounds work on whole matrices: eliminations, reflections, rotations. The last
//! two axes are the matrix, those before them a batch. Signs and orders are those of `kc_ir::library`.

use kc_ir::tensor::ops::{ArgReduce, CustomFunction, Direction, Extremum, Factors, GatherMode, Iota, Reduction, Slice};
use kc_ir::tensor::{Builder, Literal, ScanOptions, Tensor, TypeError, Value, express};
use kc_ir::{DType, Dim, TensorType};

/// The results of a library function of a matrix, where it is one of those.
pub(super) fn factors(
    b: &mut Builder,
    function: CustomFunction,
    operands: &[Value],
) -> Result<Option<Vec<Value>>, TypeError> {
    let &[a] = operands else { return Ok(None) };
    let (m, n) = if function.inner_rank() == 2 { extents(b, a) } else { return Ok(None) };
    Ok(Some(match function {
        CustomFunction::Lu => lu(b, a)?,
        CustomFunction::Qr { factors } => {
            let inner = if factors == Factors::Full { m } else { least(function, &m, &n)? };
            qr(b, a, &inner)?
        }
        CustomFunction::Eigh => eigh(b, a)?,
        CustomFunction::Svd { factors } => {
            let k = least(function, &m, &n)?;
            let (u_columns, v_columns) = if factors == Factors::Full { (m, n) } else { (k.clone(), k) };
            let [u, s, v] = svd(b, a, &u_columns, &v_columns)?;
            vec![u, s, transposed(b, v)?]
        }
        CustomFunction::SingularValues => {
            let a = if least(function, &m, &n)? == n { a } else { transposed(b, a)? };
            let [w, _, scale] = orthogonal_columns(b, a)?;
            let norms = norms_of_columns(b, w, scale)?;
            let last = b.tensor_type(norms).rank() - 1;
            vec![b.sort(norms, last, Direction::Descending)?]
        }
        CustomFunction::Fft
        | CustomFunction::InverseFft
        | CustomFunction::Cholesky
        | CustomFunction::TriangularSolve { .. }
        | CustomFunction::Eig => return Ok(None),
    }))
}

/// Rows and columns.
fn extents(b: &Builder, a: Value) -> (Dim, Dim) {
    let shape = &b.tensor_type(a).shape;
    (shape[shape.len() - 2].clone(), shape[shape.len() - 1].clone())
}

/// The smaller of two extents.
fn least(function: CustomFunction, m: &Dim, n: &Dim) -> Result<Dim, TypeError> {
    match (m.as_constant(), n.as_constant()) {
        _ if m == n => Ok(m.clone()),
        (Some(a), Some(b)) => Ok(Dim::constant(a.min(b))),
        _ => Err(TypeError::new(function.name(), format!("it is not known which of {m} and {n} is less"))),
    }
}

fn transposed(b: &mut Builder, a: Value) -> Result<Value, TypeError> {
    let rank = b.tensor_type(a).rank();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    b.transpose(a, &order)
}

/// Matrices with that many columns and ones on the diagonal, in the batch of `like` and with its rows.
fn identity(b: &mut Builder, like: Value, columns: &Dim) -> Result<Value, TypeError> {
    let TensorType { dtype, mut shape } = b.tensor_type(like).clone();
    let rank = shape.len();
    shape[rank - 1] = columns.clone();
    express(b, |scope| {
        let number = |axis| scope.op(Iota { ty: TensorType { dtype: DType::I32, shape: shape.clone() }, axis }, &[]);
        number(rank - 2).equal(number(rank - 1)).convert(dtype).value()
    })
}

/// A matrix in a formula.
struct Matrix<'s, 'b> {
    x: Tensor<'s, 'b>,
    shape: Vec<Dim>,
    /// The axis along which rows are numbered.
    rows: usize,
    /// The axis along which columns are numbered.
    columns: usize,
    /// For each element the number of its row.
    row: Tensor<'s, 'b>,
    /// For each element the number of its column.
    column: Tensor<'s, 'b>,
}

impl<'s, 'b> Matrix<'s, 'b> {
    fn of(x: Tensor<'s, 'b>) -> Self {
        let shape = x.shape();
        let (rows, columns) = (shape.len() - 2, shape.len() - 1);
        Matrix { x, rows, columns, row: numbers(x, rows), column: numbers(x, columns), shape }
    }

    /// A vector with an element a row, repeated along the columns.
    fn by_row(&self, vector: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        vector.broadcast_along(&self.shape, &[self.columns])
    }

    /// A vector with an element a column, repeated along the rows.
    fn by_column(&self, vector: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        vector.broadcast_along(&self.shape, &[self.rows])
    }

    /// The only element of each row where a condition holds; 0 where it holds nowhere.
    fn in_rows(&self, condition: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        condition.select(self.x, 0.0).sum(&[self.columns])
    }

    /// The only element of each column where a condition holds; 0 where it holds nowhere.
    fn in_columns(&self, condition: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        condition.select(self.x, 0.0).sum(&[self.rows])
    }

    /// Whether all elements are finite: a bool for each element.
    fn is_finite(&self) -> Tensor<'s, 'b> {
        let axes = [self.rows, self.columns];
        self.x.is_finite().reduce(Reduction::Min, &axes).broadcast_along(&self.shape, &axes)
    }
}

/// For each element its number along an axis.
fn numbers<'s, 'b>(like: Tensor<'s, 'b>, axis: usize) -> Tensor<'s, 'b> {
    like.scope().op(Iota { ty: TensorType { dtype: DType::I32, shape: like.shape() }, axis }, &[])
}

/// The distance from 1 to the next number.
fn epsilon(x: Tensor<'_, '_>) -> f64 {
    if x.ty().dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() }
}

/// Gaussian elimination with partial pivoting, a column a round.
fn lu(b: &mut Builder, a: Value) -> Result<Vec<Value>, TypeError> {
    let (m, n) = extents(b, a);
    let shape = b.tensor_type(a).shape.clone();
    let rounds = least(CustomFunction::Lu, &m, &n)?;
    let (batch, rank) = (shape.len() - 2, shape.len());
    let ty = TensorType { dtype: DType::I32, shape: shape[..rank - 1].to_vec() };
    let order = b.add(Iota { ty, axis: batch }, &[])?;
    let positions = b.add(Iota { ty: TensorType { dtype: DType::I32, shape: vec![rounds.clone()] }, axis: 0 }, &[])?;
    if rounds == Dim::default() {
        let none = b.splat(DType::I32, 0i64, &[&shape[..batch], &[rounds]].concat())?;
        return Ok(vec![a, none, order]);
    }
    let scanned = b.scan(&[a, order], &[positions], &ScanOptions::default(), |b, carried, round| {
        let [next, order, pivot] = express(b, |scope| {
            let (matrix, order) = (Matrix::of(scope.tensor(carried[0])), scope.tensor(carried[1]));
            let k = scope.tensor(round[0]);
            let column = matrix.in_rows(matrix.column.equal(k));
            let is_done = numbers(column, matrix.rows).less(k);
            let size = is_done.select(column.number(-1.0), column.abs());
            let pivot = size.with_op(ArgReduce { kind: Extremum::Max, axis: matrix.rows, dtype: DType::I32 });
            let own = numbers(order, matrix.rows);
            let at_pivot = own.equal(pivot.broadcast_along(&order.shape(), &[matrix.rows]));
            let entry = [own.equal(k), at_pivot].map(|here| here.select(order, 0i64).sum_keep(&[matrix.rows]));
            let order = own.equal(k).select(entry[1], at_pivot.select(entry[0], order));
            // the rows change places
            let is_k = matrix.row.equal(k);
            let is_pivot = matrix.row.equal(pivot.broadcast_along(&matrix.shape, &[matrix.rows, matrix.columns]));
            let row_k = matrix.by_column(matrix.in_columns(is_k));
            let row_pivot = matrix.by_column(matrix.in_columns(is_pivot));
            let matrix = Matrix::of(is_k.select(row_pivot, is_pivot.select(row_k, matrix.x)));
            // what stands below the diagonal becomes factors, the rows below lose that many times the row
            let is_column = matrix.column.equal(k);
            let both = [matrix.rows, matrix.columns];
            let diagonal = is_k.and(is_column).select(matrix.x, 0.0).sum(&both).broadcast_along(&matrix.shape, &both);
            let factor = matrix.by_row(matrix.in_rows(is_column)) / diagonal;
            let rest = matrix.column.greater(k).select(matrix.x - factor * row_pivot, matrix.x);
            let below = matrix.row.greater(k).and(diagonal.not_equal(0.0));
            let next = below.select(is_column.select(factor, rest), matrix.x);
            [next, order, pivot].map(|tensor| tensor.value())
        })?;
        Ok::<_, TypeError>((vec![next, order], vec![pivot]))
    })?;
    // the rounds last
    let back: Vec<usize> = (1..=batch).chain([0]).collect();
    let pivots = b.transpose(scanned.outputs[0], &back)?;
    Ok(vec![scanned.carried[0], pivots, scanned.carried[1]])
}

/// Householder's reflections, a column a round: `Q` with `inner` columns and `R` with as many rows.
fn qr(b: &mut Builder, a: Value, inner: &Dim) -> Result<Vec<Value>, TypeError> {
    let (m, n) = extents(b, a);
    let rounds = least(CustomFunction::Qr { factors: Factors::Reduced }, &m, &n)?;
    let q = identity(b, a, &m)?;
    let carried = b.fori_loop((0, DType::I32), rounds, &[a, q], |b, k, carried| {
        let [r, q] = express(b, |scope| {
            let (r, q) = (Matrix::of(scope.tensor(carried[0])), Matrix::of(scope.tensor(carried[1])));
            let k = scope.tensor(k);
            let column = r.in_rows(r.column.equal(k));
            let number = numbers(column, r.rows);
            // the direction does not depend on the scale, squares may be too large or small without it
            let column = number.less(k).select(column.number(0.0), column);
            let largest = column.abs().max_keep(&[r.rows]);
            let column = column / largest.equal(0.0).select(largest.number(1.0), largest);
            let rest = number.equal(k).select(column.number(0.0), column).square().sum_keep(&[r.rows]);
            let norm = column.square().sum_keep(&[r.rows]).sqrt();
            let towards = column.less(0.0).select(-norm, norm);
            let v = number.equal(k).select(column + towards, column);
            let scale = rest.equal(0.0).select(rest.number(0.0), 2.0 / v.square().sum_keep(&[r.rows]));
            // R becomes (1 - scale v v^T) R, Q becomes Q (1 - scale v v^T)
            let scaled = scale * v;
            let products = r.by_column((r.by_row(v) * r.x).sum(&[r.rows]));
            let reflected = r.x - r.by_row(scaled) * products;
            let is_cleared = r.row.greater(k).and(r.column.equal(k)).and(r.by_row(rest.not_equal(0.0)));
            let products = q.by_row((q.x * q.by_column(v)).sum(&[q.columns]));
            [is_cleared.select(reflected.number(0.0), reflected), q.x - products * q.by_column(scaled)]
                .map(|tensor| tensor.value())
        })?;
        Ok::<_, TypeError>(vec![r, q])
    })?;
    let rank = b.tensor_type(a).rank();
    let r = leading_part(b, carried[0], rank - 2, inner)?;
    Ok(vec![leading_part(b, carried[1], rank - 1, inner)?, r])
}

/// The first so many elements along an axis.
fn leading_part(b: &mut Builder, x: Value, axis: usize, extent: &Dim) -> Result<Value, TypeError> {
    let mut limit = b.tensor_type(x).shape.clone();
    if limit[axis] == *extent {
        return Ok(x);
    }
    limit[axis] = extent.clone();
    let rank = limit.len();
    b.add(Slice { start: vec![Dim::default(); rank], limit, stride: vec![1; rank] }, &[x])
}

/// After so many rounds over all pairs rotations end: many times what any matrix takes.
const SWEEPS: i64 = 40;

/// Jacobi's rotations of `n` axes or columns: calls `rotate` with what is carried and a number, in each sweep with each of the numbers below
/// `n` once, until a sweep has rotated nothing. In the round of a number those pairs are rotated whose sum it is modulo `n`: each axis is in
/// one at most, and each pair has its round. `rotate` also gives how many it has rotated.
fn sweeps(
    b: &mut Builder,
    initial: &[Value],
    n: &Dim,
    rotate: impl Fn(&mut Builder, &[Value], Value) -> Result<(Vec<Value>, Value), TypeError>,
) -> Result<Vec<Value>, TypeError> {
    let count = initial.len();
    let [zero, one, most] = [0, 1, SWEEPS].map(|value| Literal::scalar(DType::I32, value));
    let (done, rotated) = (b.constant(zero.clone())?, b.constant(one.clone())?);
    let initial = [initial, &[done, rotated]].concat();
    let goes_on = |b: &mut Builder, values: &[Value]| {
        let (zero, most) = (b.constant(zero.clone())?, b.constant(most)?);
        let (done, rotated) = (values[count], values[count + 1]);
        express(b, |scope| {
            let [done, rotated, zero, most] = [done, rotated, zero, most].map(|value| scope.tensor(value));
            done.less(most).and(rotated.greater(zero)).value()
        })
    };
    let sweep = |b: &mut Builder, values: &[Value]| {
        let (own, counts) = values.split_at(count);
        let none = b.constant(zero.clone())?;
        let mut next = b.fori_loop((0, DType::I32), n.clone(), &[own, &[none]].concat(), |b, round, all| {
            let (mut next, rotated) = rotate(b, &all[..count], round)?;
            next.push(express(b, |scope| (scope.tensor(all[count]) + scope.tensor(rotated)).value())?);
            Ok::<_, TypeError>(next)
        })?;
        let one = b.constant(one.clone())?;
        next.insert(count, express(b, |scope| (scope.tensor(counts[0]) + scope.tensor(one)).value())?);
        Ok(next)
    };
    let mut last = b.while_loop::<TypeError>(&initial, goes_on, sweep)?;
    last.truncate(count);
    Ok(last)
}

/// The other of each pair in a round: `(round - i) mod n`.
fn partners(b: &mut Builder, n: &Dim, round: Value) -> Result<Value, TypeError> {
    let all = b.dimension(n.clone(), DType::I32)?;
    express(b, |scope| {
        let ty = TensorType { dtype: DType::I32, shape: vec![n.clone()] };
        let other = scope.tensor(round) - scope.op(Iota { ty, axis: 0 }, &[]);
        other.less(0i64).select(other + scope.tensor(all), other).value()
    })
}

/// `x[.., positions[i], ..]`
fn take<'s, 'b>(x: Tensor<'s, 'b>, positions: Value, axis: usize) -> Result<Tensor<'s, 'b>, TypeError> {
    let scope = x.scope();
    let taken = scope.with_builder(|b| b.take(x.value(), positions, axis, GatherMode::Clip))?;
    Ok(scope.tensor(taken))
}

/// Cosine and sine of the rotation that each axis takes part in, so that `beside` of the pair becomes 0: vectors of the last axis. The two of a
/// pair turn against each other.
fn rotation<'s, 'b>(
    own: Tensor<'s, 'b>,
    other: Tensor<'s, 'b>,
    beside: Tensor<'s, 'b>,
    partner: Tensor<'s, 'b>,
    rotates: Tensor<'s, 'b>,
) -> [Tensor<'s, 'b>; 2] {
    let theta = (other - own) / (beside * 2.0);
    let first = numbers(own, own.shape().len() - 1).less(partner);
    let one = theta.number(1.0).broadcast_to(&theta.shape());
    let sign = theta.equal(0.0).select(first.select(one, -one), theta.less(0.0).select(-one, one));
    let tangent = rotates.select(sign / (theta.abs() + (theta.square() + 1.0).sqrt()), 0.0);
    let cosine = 1.0 / (tangent.square() + 1.0).sqrt();
    [cosine, tangent * cosine]
}

/// Rotates rows or columns with their partners.
fn turn<'s, 'b>(
    x: Tensor<'s, 'b>,
    partners: Value,
    axis: usize,
    [cosine, sine]: [Tensor<'s, 'b>; 2],
) -> Result<Tensor<'s, 'b>, TypeError> {
    let shape = x.shape();
    let others = if axis + 1 == shape.len() { shape.len() - 2 } else { shape.len() - 1 };
    let along = |vector: Tensor<'s, 'b>| vector.broadcast_along(&shape, &[others]);
    Ok(x * along(cosine) - take(x, partners, axis)? * along(sine))
}

/// The eigenvalues and eigenvectors of the symmetric matrix whose lower triangle is given, by Jacobi's rotations of both sides.
fn eigh(b: &mut Builder, a: Value) -> Result<Vec<Value>, TypeError> {
    let TensorType { dtype, shape } = b.tensor_type(a).clone();
    let (n, rank) = (shape[shape.len() - 1].clone(), shape.len());
    if n == Dim::default() {
        return Ok(vec![b.splat(dtype, 0.0, &shape[..rank - 1])?, a]);
    }
    let mirrored = transposed(b, a)?;
    let [symmetric, finite] = express(b, |scope| {
        let lower = Matrix::of(scope.tensor(a));
        let all = Matrix::of(lower.row.less(lower.column).select(scope.tensor(mirrored), lower.x));
        [all.x, all.is_finite()].map(|tensor| tensor.value())
    })?;
    let vectors = identity(b, a, &n)?;
    let rotate = |b: &mut Builder, carried: &[Value], round: Value| {
        let other_of = partners(b, &n, round)?;
        let [a, v, rotated] = express(b, |scope| {
            let (a, v) = (Matrix::of(scope.tensor(carried[0])), scope.tensor(carried[1]));
            let own = a.in_rows(a.row.equal(a.column));
            let last = a.rows;
            let partner = scope.tensor(other_of).broadcast(&own.shape(), &[last]);
            let is_beside = a.column.equal(a.by_row(partner));
            let beside = a.in_rows(is_beside);
            // the same for both of a pair
            let beside = (beside + take(beside, other_of, last)?) * 0.5;
            let other = take(own, other_of, last)?;
            let counts = beside.abs().greater((own.abs() + other.abs()) * (0.1 * epsilon(own)));
            let rotates = counts.and(partner.not_equal(numbers(own, last)));
            let angles = rotation(own, other, beside, partner, rotates);
            let turned = turn(turn(a.x, other_of, a.columns, angles)?, other_of, a.rows, angles)?;
            let cleared = is_beside.and(a.by_row(rotates)).select(turned.number(0.0), turned);
            let v = turn(v, other_of, a.columns, angles)?;
            Ok::<_, TypeError>([cleared, v, rotates.convert(DType::I32).sum_all()].map(|tensor| tensor.value()))
        })??;
        Ok((vec![a, v], rotated))
    };
    let diagonal = sweeps(b, &[symmetric, vectors], &n, rotate)?;
    let values = express(b, |scope| {
        let a = Matrix::of(scope.tensor(diagonal[0]));
        a.in_rows(a.row.equal(a.column)).value()
    })?;
    let (values, vectors) = sorted(b, values, &[diagonal[1]], Direction::Ascending)?;
    let sign = signs(b, vectors[0])?;
    let results = express(b, |scope| {
        let (vectors, finite) = (Matrix::of(scope.tensor(vectors[0])), scope.tensor(finite));
        let (values, nan) = (scope.tensor(values), vectors.x.number(f64::NAN));
        let directed = vectors.x * vectors.by_column(scope.tensor(sign));
        let of_values = finite.reduce(Reduction::Min, &[vectors.rows]);
        vec![of_values.select(values, nan).value(), finite.select(directed, nan).value()]
    })?;
    Ok(results)
}

/// Values in order, and the columns of matrices in the same.
fn sorted(
    b: &mut Builder,
    values: Value,
    matrices: &[Value],
    direction: Direction,
) -> Result<(Value, Vec<Value>), TypeError> {
    let shape = b.tensor_type(values).shape.clone();
    let last = shape.len() - 1;
    let order = b.argsort(values, last, direction, DType::I32)?;
    let row = [&shape[..last], &[Dim::constant(1), shape[last].clone()]].concat();
    let columns = b.reshape(order, &row)?;
    let take = |matrix: &Value| b.take_along_axis(*matrix, columns, last + 1, GatherMode::Clip);
    let matrices = matrices.iter().map(take).collect::<Result<_, _>>()?;
    Ok((b.sort(values, last, direction)?, matrices))
}

/// For each column the sign of its first element that is about the largest.
fn signs(b: &mut Builder, matrix: Value) -> Result<Value, TypeError> {
    express(b, |scope| {
        let matrix = Matrix::of(scope.tensor(matrix));
        let size = matrix.x.abs();
        let is_large = size.greater_equal(size.max_keep(&[matrix.rows]) * 0.999).convert(DType::I32);
        let first = is_large.with_op(ArgReduce { kind: Extremum::Max, axis: matrix.rows, dtype: DType::I32 });
        let leading = matrix.in_columns(matrix.row.equal(matrix.by_column(first)));
        sign(leading).value()
    })
}

/// -1 where an element is negative, else 1.
fn sign<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let one = x.number(1.0).broadcast_to(&x.shape());
    x.less(0.0).select(-one, one)
}

/// `W` and `V` with `A = scale W V^T`, where the columns of `W` are orthogonal to each other, and the scale: a number a matrix. Of a matrix
/// that is not finite, the scale is NaN.
fn orthogonal_columns(b: &mut Builder, a: Value) -> Result<[Value; 3], TypeError> {
    let (m, n) = extents(b, a);
    let [w, scale] = express(b, |scope| {
        let a = Matrix::of(scope.tensor(a));
        let axes = [a.rows, a.columns];
        let largest = a.x.abs().max_keep(&axes);
        let scale = largest.greater(0.0).select(largest, 1.0);
        let finite = a.is_finite();
        // reductions of equal numbers
        let of_matrix = finite.select(scale, f64::NAN).reduce(Reduction::Max, &axes);
        [finite.select(a.x / scale, 0.0), of_matrix].map(|tensor| tensor.value())
    })?;
    let v = {
        let square = b.tensor_type(a).shape.len() - 2;
        let mut shape = b.tensor_type(a).clone();
        shape.shape[square] = n.clone();
        let like = b.splat(shape.dtype, 0.0, &shape.shape)?;
        identity(b, like, &n)?
    };
    if n == Dim::default() {
        return Ok([w, v, scale]);
    }
    let rows = m.as_constant().unwrap_or(i64::from(u16::MAX)) as f64;
    let rotate = |b: &mut Builder, carried: &[Value], round: Value| {
        let other_of = partners(b, &n, round)?;
        let [w, v, rotated] = express(b, |scope| {
            let (w, v) = (Matrix::of(scope.tensor(carried[0])), scope.tensor(carried[1]));
            let own = w.x.square().sum(&[w.rows]);
            let last = w.rows;
            let beside = (w.x * take(w.x, other_of, w.columns)?).sum(&[w.rows]);
            let other = take(own, other_of, last)?;
            let partner = scope.tensor(other_of).broadcast(&own.shape(), &[last]);
            // what the rounding of the sums leaves
            let bound = (own * other).sqrt() * (rows.sqrt() * epsilon(own));
            let rotates = beside.abs().greater(bound).and(partner.not_equal(numbers(own, last)));
            let angles = rotation(own, other, beside, partner, rotates);
            let (w, v) = (turn(w.x, other_of, w.columns, angles)?, turn(v, other_of, w.columns, angles)?);
            Ok::<_, TypeError>([w, v, rotates.convert(DType::I32).sum_all()].map(|tensor| tensor.value()))
        })??;
        Ok((vec![w, v], rotated))
    };
    let last = sweeps(b, &[w, v], &n, rotate)?;
    Ok([last[0], last[1], scale])
}

fn norms_of_columns(b: &mut Builder, w: Value, scale: Value) -> Result<Value, TypeError> {
    express(b, |scope| {
        let w = Matrix::of(scope.tensor(w));
        let norms = w.x.square().sum(&[w.rows]).sqrt();
        let scale = scope.tensor(scale).broadcast_along(&norms.shape(), &[w.rows]);
        (norms * scale).value()
    })
}

/// `U` with that many columns, the singular values, and `V` with that many columns, by Jacobi's rotations of the columns. `U` is the orthogonal
/// factor of what they become: so it is complete where a singular value is 0.
fn svd(b: &mut Builder, a: Value, u_columns: &Dim, v_columns: &Dim) -> Result<[Value; 3], TypeError> {
    let (m, n) = extents(b, a);
    if least(CustomFunction::SingularValues, &m, &n)? != n {
        let other = transposed(b, a)?;
        let [v, s, u] = svd(b, other, v_columns, u_columns)?;
        return Ok([u, s, v]);
    }
    let [w, v, scale] = orthogonal_columns(b, a)?;
    let norms = norms_of_columns(b, w, scale)?;
    if n == Dim::default() {
        return Ok([qr(b, a, u_columns)?[0], norms, v]);
    }
    let (values, columns) = sorted(b, norms, &[w, v], Direction::Descending)?;
    let factors = qr(b, columns[0], u_columns)?;
    let last = b.tensor_type(values).rank() - 1;
    let directed = express(b, |scope| {
        let (q, r) = (Matrix::of(scope.tensor(factors[0])), Matrix::of(scope.tensor(factors[1])));
        (q.x * q.by_column(sign(r.in_rows(r.row.equal(r.column))))).value()
    })?;
    let signs_of_u = signs(b, directed)?;
    let signs_of_v = leading_part(b, signs_of_u, last, &n)?;
    express(b, |scope| {
        let scale = scope.tensor(scale);
        let of = |matrix: Value, signs: Value| {
            let matrix = Matrix::of(scope.tensor(matrix));
            let finite = scale.is_finite().broadcast_along(&matrix.shape, &[matrix.rows, matrix.columns]);
            finite.select(matrix.x * matrix.by_column(scope.tensor(signs)), f64::NAN).value()
        };
        [of(directed, signs_of_u), values, of(columns[1], signs_of_v)]
    })
}

#[cfg(test)]
mod tests {
    use super::super::expand::expand;
    use kc_ir::tensor::ops::{CustomFunction, Factors};
    use kc_ir::tensor::{Builder, Literal, Scalar, interpret};
    use kc_ir::{DType, TensorType};

    /// Compares the results for two matrices of each kind with those of the library.
    fn check(function: CustomFunction, dtype: DType, [m, n]: [usize; 2], tolerance: f64) {
        let (mut state, mut values) = (m * 31 + n + 1, Vec::new());
        for matrix in 0..2 {
            for i in 0..m {
                for j in 0..n {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let number = (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0;
                    // the second has zeros, its first element among them
                    values.push(match (matrix, i, j) {
                        (1, 2.., 1) | (1, 1, 2..) | (1, 0, 0) => 0.0,
                        _ => number,
                    });
                }
            }
        }
        let literal = Literal::from_scalars(dtype, vec![2, m, n], values.into_iter().map(Scalar::Float));
        let mut b = Builder::new();
        let a = b.parameter("a", TensorType::new(dtype, [2, m as i64, n as i64])).expect("a matrix");
        let results = b.custom_call(function, &[a]).expect("a function of it");
        let graph = b.finish(results);
        let expected = interpret(&graph, std::slice::from_ref(&literal)).expect("the library has it");
        let ours = interpret(&expand(&graph).expect("it is expanded"), &[literal]).expect("ops of StableHLO");
        assert_eq!(ours.len(), expected.len());
        for (number, (ours, right)) in ours.iter().zip(&expected).enumerate() {
            assert_eq!(ours.ty(), right.ty());
            let pairs = ours.to_f64_vec().into_iter().zip(right.to_f64_vec());
            let wrong = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let name = function.name();
            assert!(
                wrong <= tolerance,
                "{name} of {dtype} {m} x {n}, result {number} is {wrong:e} off: {ours:?} {right:?}"
            );
        }
    }

    #[test]
    fn factors_are_those_of_the_library() {
        let sizes = [[4, 4], [5, 3], [1, 1], [3, 5], [0, 3], [3, 0]];
        for (dtype, unit, sizes) in [(DType::F32, 1e-5, &sizes[..2]), (DType::F64, 1e-12, &sizes)] {
            for &size in sizes {
                check(CustomFunction::Lu, dtype, size, unit);
                for factors in [Factors::Reduced, Factors::Full] {
                    check(CustomFunction::Qr { factors }, dtype, size, unit);
                }
                check(CustomFunction::SingularValues, dtype, size, unit);
                check(CustomFunction::Svd { factors: Factors::Reduced }, dtype, size, 10.0 * unit);
                if size[0] == size[1] {
                    check(CustomFunction::Eigh, dtype, size, 10.0 * unit);
                }
            }
        }
    }
}

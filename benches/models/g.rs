//! Workload g: `gelu(layer_norm(x*a + b)) + r` of rows of 1024 numbers.

use kc::prelude::*;

/// `x*a + b` with trained `a` and `b`.
#[derive(Clone, Debug)]
struct Scaled {
    base: Base,
}

impl Layer for Scaled {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
    fn build(&self, scope: &mut Scope, _inputs: &[TensorType]) -> kc::Result<()> {
        scope.add_weight("a", &[1024], &"uniform".into())?;
        scope.add_weight("b", &[1024], &"uniform".into())
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        let (a, b) = (scope.weight("a")?, scope.weight("b")?);
        let product = scope.binary(Binary::Multiply, inputs[0], a)?;
        Ok(vec![scope.binary(Binary::Add, product, b)?])
    }
}

#[kc::model]
fn elementwise() -> kc::Result<Model> {
    let (x, r) = (Input::new([1024]).tensor()?, Input::new([1024]).tensor()?);
    let y = Scaled { base: Base::new("Scaled") }.call(&x)?;
    let y = Activation::new("gelu").call(&LayerNormalization::new().call(&y)?)?;
    let y = Add::new().call([&y, &r])?;
    let mut model = Model::new([&x, &r], &y)?;
    model.compile(SGD::new(), "mean_squared_error", ())?;
    Ok(model)
}

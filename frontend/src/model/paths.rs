//! The paths by which Keras knows what a model has.

use super::Model;
use crate::Result;

impl Model {
    /// The paths of the weights, in the order of [`Model::get_weights`]: Keras' `[variable.path for variable in model.weights]`, by which a
    /// [`LayoutMap`](crate::distribution::LayoutMap) finds them.
    pub fn weight_paths(&self) -> Result<Vec<String>> {
        let state = self.module()?.state;
        Ok(super::engine::weights(&state).into_iter().map(|index| self.keras_path(&state[index].name)).collect())
    }

    /// What Keras puts before the names of the layers. A sequential model makes their variables, under its own name; the layers of a functional
    /// model have theirs before there is a model. Neither knows of a model that it is part of.
    fn prefix(&self) -> String {
        match self.base.class() {
            "Sequential" => format!("{}/", self.base.name()),
            _ => String::new(),
        }
    }

    fn inner(&self, layer: &str) -> Option<&Model> {
        let layers = &self.network().ok()?.layers;
        layers.iter().find(|own| own.base().name() == layer).and_then(|layer| layer.as_model())
    }

    /// Keras' path of the variable of that name in this model: `inner/dense/kernel` is `dense/kernel` where `inner` is functional.
    pub(crate) fn keras_path(&self, name: &str) -> String {
        let inner = name.split_once('/').and_then(|(layer, rest)| Some((self.inner(layer)?, rest)));
        match inner {
            Some((inner, rest)) => inner.keras_path(rest),
            None => format!("{}{name}", self.prefix()),
        }
    }

    /// Keras' paths of what the layers give: `sequential/dense/output`.
    pub(crate) fn output_paths(&self) -> Vec<String> {
        let layers = self.network().map_or(&[][..], |network| &network.layers);
        let paths = layers.iter().flat_map(|layer| match layer.as_model() {
            Some(inner) => [vec![format!("{}/output", inner.base.name())], inner.output_paths()].concat(),
            None => vec![format!("{}{}/output", self.prefix(), layer.base().name())],
        });
        paths.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// The expected paths are those of Keras 3.15.
    #[test]
    fn variables_have_the_paths_that_keras_gives_them() {
        let inner = || Sequential::new().add(Input::new([4])).add(Dense::new(3).name("a"));
        let named = |model: Sequential, name: &str| model.name(name);
        let outer = named(Sequential::new(), "outer").add(Input::new([4])).add(named(inner(), "inner"));
        let outer = outer.add(Dense::new(1).name("b"));
        assert_eq!(
            outer.weight_paths().expect("it is traced"),
            ["inner/a/kernel", "inner/a/bias", "outer/b/kernel", "outer/b/bias"]
        );
        let x = Input::new([4]).tensor().expect("a tensor");
        let y = Dense::new(2).name("c").call(&x).expect("a tensor");
        let functional = Model::new(&x, &y).expect("a model").name("functional");
        assert_eq!(functional.weight_paths().expect("it is traced"), ["c/kernel", "c/bias"]);
        let outer = named(Sequential::new(), "outer").add(Input::new([4])).add(functional);
        let outer = outer.add(Dense::new(1).name("b"));
        assert_eq!(
            outer.weight_paths().expect("it is traced"),
            ["c/kernel", "c/bias", "outer/b/kernel", "outer/b/bias"]
        );
    }
}

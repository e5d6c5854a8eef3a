use kc::prelude::*;
fn main() {
    let cnn = std::env::args().nth(1).as_deref() == Some("cnn");
    let mut model = if cnn {
        Sequential::new()
            .add(Input::new([28, 28]).dtype("uint8"))
            .add(Rescaling::new(1.0 / 255.0))
            .add(Reshape::new([28, 28, 1]))
            .add(Conv2D::new(32, [3, 3]).activation("relu"))
            .add(MaxPooling2D::new([2, 2]))
            .add(Conv2D::new(64, [3, 3]).activation("relu"))
            .add(MaxPooling2D::new([2, 2]))
            .add(Flatten::new())
            .add(Dropout::new(0.5))
            .add(Dense::new(10).activation("softmax"))
    } else {
        Sequential::new()
            .add(Input::new([28, 28]).dtype("uint8"))
            .add(Rescaling::new(1.0 / 255.0))
            .add(Flatten::new())
            .add(Dense::new(128).activation("relu"))
            .add(Dropout::new(0.2))
            .add(Dense::new(10).activation("softmax"))
    };
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"]).unwrap();
    print!("{}", kc_ir::tensor::text::print_module(&model.module().unwrap()));
}

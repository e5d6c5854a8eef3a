module @kc_batch attributes {mhlo.num_partitions = 4 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<8x3xf32> {mhlo.sharding = "{devices=[4,1]<=[4]}"}) -> (tensor<f32> {mhlo.sharding = "{replicated}"}, tensor<8x3xf32> {mhlo.sharding = "{replicated}"}) {
    %1 = stablehlo.reshape %0 : (tensor<8x3xf32>) -> tensor<24xf32> loc("layer/reshape"("model.rs":7:0))
    %2 = stablehlo.constant dense<24> : tensor<i64> loc("layer/dimension"("model.rs":7:0))
    %3 = stablehlo.convert %2 : (tensor<i64>) -> tensor<f32> loc("layer/dimension"("model.rs":7:0))
    %4 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/reduce"("model.rs":7:0))
    %5 = stablehlo.reduce(%1 init: %4) applies stablehlo.add across dimensions = [0] : (tensor<24xf32>, tensor<f32>) -> tensor<f32> loc("layer/reduce"("model.rs":7:0))
    %6 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/cumulative"("model.rs":7:0))
    %7 = "stablehlo.reduce_window"(%0, %6) <{base_dilations = array<i64: 1, 1>, padding = dense<[[7, 0], [0, 0]]> : tensor<2x2xi64>, window_dilations = array<i64: 1, 1>, window_dimensions = array<i64: 8, 1>, window_strides = array<i64: 1, 1>}> ({
    ^bb0(%8: tensor<f32>, %9: tensor<f32>):
      %10 = stablehlo.add %8, %9 : tensor<f32> loc("layer/cumulative"("model.rs":7:0))
      stablehlo.return %10 : tensor<f32>
    }) : (tensor<8x3xf32>, tensor<f32>) -> (tensor<8x3xf32>) loc("layer/cumulative"("model.rs":7:0))
    %11 = stablehlo.divide %5, %3 : tensor<f32> loc("layer/divide"("model.rs":7:0))
    return %11, %7 : tensor<f32>, tensor<8x3xf32>
  }
}

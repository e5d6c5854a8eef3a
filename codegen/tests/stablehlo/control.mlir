module @kc_control attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<3xf32>, %1: tensor<4x3xf32>, %2: tensor<i8>) -> (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<4x3xf32>) {
    %3 = stablehlo.constant dense<0> : tensor<i8> loc("layer/cond"("model.rs":7:0))
    %4 = stablehlo.constant dense<1> : tensor<i8> loc("layer/cond"("model.rs":7:0))
    %5 = stablehlo.maximum %2, %3 : tensor<i8> loc("layer/cond"("model.rs":7:0))
    %6 = stablehlo.minimum %5, %4 : tensor<i8> loc("layer/cond"("model.rs":7:0))
    %7 = stablehlo.convert %6 : (tensor<i8>) -> tensor<i32> loc("layer/cond"("model.rs":7:0))
    %8 = "stablehlo.case"(%7) ({
      %9 = stablehlo.add %0, %0 : tensor<3xf32> loc("layer/add"("model.rs":7:0))
      stablehlo.return %9 : tensor<3xf32>
    }, {
      %10 = stablehlo.multiply %0, %0 : tensor<3xf32> loc("layer/multiply"("model.rs":7:0))
      stablehlo.return %10 : tensor<3xf32>
    }) : (tensor<i32>) -> (tensor<3xf32>) loc("layer/cond"("model.rs":7:0))
    %11:2 = "stablehlo.while"(%0, %0) ({
    ^bb0(%12: tensor<3xf32>, %13: tensor<3xf32>):
      %14 = stablehlo.constant dense<10.0> : tensor<f32> loc("layer/constant"("model.rs":7:0))
      %15 = stablehlo.add %12, %13 : tensor<3xf32> loc("layer/add"("model.rs":7:0))
      %16 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/reduce"("model.rs":7:0))
      %17 = stablehlo.reduce(%15 init: %16) applies stablehlo.add across dimensions = [0] : (tensor<3xf32>, tensor<f32>) -> tensor<f32> loc("layer/reduce"("model.rs":7:0))
      %18 = stablehlo.compare LT, %17, %14, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/less"("model.rs":7:0))
      stablehlo.return %18 : tensor<i1>
    }, {
    ^bb0(%19: tensor<3xf32>, %20: tensor<3xf32>):
      %21 = stablehlo.add %19, %20 : tensor<3xf32> loc("layer/add"("model.rs":7:0))
      stablehlo.return %21, %20 : tensor<3xf32>, tensor<3xf32>
    }) : (tensor<3xf32>, tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>) loc("layer/while"("model.rs":7:0))
    %22 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
    %23 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/scan"("model.rs":7:0))
    %24 = stablehlo.broadcast_in_dim %23, dims = [] : (tensor<f32>) -> tensor<4x3xf32> loc("layer/scan"("model.rs":7:0))
    %25:4 = "stablehlo.while"(%22, %0, %24, %1) ({
    ^bb0(%26: tensor<i32>, %27: tensor<3xf32>, %28: tensor<4x3xf32>, %29: tensor<4x3xf32>):
      %30 = stablehlo.constant dense<4> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %31 = stablehlo.compare LT, %26, %30, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1> loc("layer/scan"("model.rs":7:0))
      stablehlo.return %31 : tensor<i1>
    }, {
    ^bb0(%32: tensor<i32>, %33: tensor<3xf32>, %34: tensor<4x3xf32>, %35: tensor<4x3xf32>):
      %36 = stablehlo.constant dense<1> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %37 = stablehlo.constant dense<4> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %38 = stablehlo.subtract %37, %36 : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %39 = stablehlo.subtract %38, %32 : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %40 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %41 = stablehlo.dynamic_slice %35, %39, %40, sizes = [1, 3] : (tensor<4x3xf32>, tensor<i32>, tensor<i32>) -> tensor<1x3xf32> loc("layer/scan"("model.rs":7:0))
      %42 = stablehlo.reshape %41 : (tensor<1x3xf32>) -> tensor<3xf32> loc("layer/scan"("model.rs":7:0))
      %43 = stablehlo.add %33, %42 : tensor<3xf32> loc("layer/add"("model.rs":7:0))
      %44 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %45 = stablehlo.reshape %43 : (tensor<3xf32>) -> tensor<1x3xf32> loc("layer/scan"("model.rs":7:0))
      %46 = stablehlo.dynamic_update_slice %34, %45, %39, %44 : (tensor<4x3xf32>, tensor<1x3xf32>, tensor<i32>, tensor<i32>) -> tensor<4x3xf32> loc("layer/scan"("model.rs":7:0))
      %47 = stablehlo.add %32, %36 : tensor<i32> loc("layer/scan"("model.rs":7:0))
      stablehlo.return %47, %43, %46, %35 : tensor<i32>, tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>
    }) : (tensor<i32>, tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) -> (tensor<i32>, tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) loc("layer/scan"("model.rs":7:0))
    return %8, %11#0, %25#1, %25#2 : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<4x3xf32>
  }
}

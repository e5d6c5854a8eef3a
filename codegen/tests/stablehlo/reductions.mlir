module @kc_reductions attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<2x5xf32>, %1: tensor<5x4xbf16>) -> (tensor<2xf32>, tensor<4xbf16>, tensor<2xi64>, tensor<5xi8>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x4xf32>, tensor<4xbf16>) {
    %2 = stablehlo.convert %1 : (tensor<5x4xbf16>) -> tensor<5x4xf32> loc("layer/convert"("model.rs":7:0))
    %3 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/reduce"("model.rs":7:0))
    %4 = stablehlo.reduce(%0 init: %3) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32> loc("layer/reduce"("model.rs":7:0))
    %5 = stablehlo.convert %1 : (tensor<5x4xbf16>) -> tensor<5x4xf32> loc("layer/reduce"("model.rs":7:0))
    %6 = stablehlo.constant dense<1.0> : tensor<f32> loc("layer/reduce"("model.rs":7:0))
    %7 = stablehlo.reduce(%5 init: %6) applies stablehlo.multiply across dimensions = [0] : (tensor<5x4xf32>, tensor<f32>) -> tensor<4xf32> loc("layer/reduce"("model.rs":7:0))
    %8 = stablehlo.convert %7 : (tensor<4xf32>) -> tensor<4xbf16> loc("layer/reduce"("model.rs":7:0))
    %9 = stablehlo.iota dim = 1 : tensor<2x5xi64> loc("layer/arg_reduce"("model.rs":7:0))
    %10 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/arg_reduce"("model.rs":7:0))
    %11 = stablehlo.constant dense<0> : tensor<i64> loc("layer/arg_reduce"("model.rs":7:0))
    %12:2 = "stablehlo.reduce"(%0, %9, %10, %11) <{dimensions = array<i64: 1>}> ({
    ^bb0(%13: tensor<f32>, %14: tensor<i64>, %15: tensor<f32>, %16: tensor<i64>):
      %17 = stablehlo.compare GT, %13, %15, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %18 = stablehlo.compare NE, %13, %13, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %19 = stablehlo.compare EQ, %15, %15, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %20 = stablehlo.and %18, %19 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %21 = stablehlo.or %17, %20 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %22 = stablehlo.compare EQ, %13, %15, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %23 = stablehlo.compare NE, %13, %13, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %24 = stablehlo.compare NE, %15, %15, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %25 = stablehlo.and %23, %24 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %26 = stablehlo.or %22, %25 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %27 = stablehlo.compare LT, %14, %16, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %28 = stablehlo.and %26, %27 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %29 = stablehlo.or %21, %28 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %30 = stablehlo.select %29, %13, %15 : tensor<i1>, tensor<f32> loc("layer/arg_reduce"("model.rs":7:0))
      %31 = stablehlo.select %29, %14, %16 : tensor<i1>, tensor<i64> loc("layer/arg_reduce"("model.rs":7:0))
      stablehlo.return %30, %31 : tensor<f32>, tensor<i64>
    }) : (tensor<2x5xf32>, tensor<2x5xi64>, tensor<f32>, tensor<i64>) -> (tensor<2xf32>, tensor<2xi64>) loc("layer/arg_reduce"("model.rs":7:0))
    %32 = stablehlo.iota dim = 0 : tensor<2x5xi32> loc("layer/arg_reduce"("model.rs":7:0))
    %33 = stablehlo.constant dense<0x7F800000> : tensor<f32> loc("layer/arg_reduce"("model.rs":7:0))
    %34 = stablehlo.constant dense<0> : tensor<i32> loc("layer/arg_reduce"("model.rs":7:0))
    %35:2 = "stablehlo.reduce"(%0, %32, %33, %34) <{dimensions = array<i64: 0>}> ({
    ^bb0(%36: tensor<f32>, %37: tensor<i32>, %38: tensor<f32>, %39: tensor<i32>):
      %40 = stablehlo.compare LT, %36, %38, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %41 = stablehlo.compare NE, %36, %36, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %42 = stablehlo.compare EQ, %38, %38, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %43 = stablehlo.and %41, %42 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %44 = stablehlo.or %40, %43 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %45 = stablehlo.compare EQ, %36, %38, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %46 = stablehlo.compare NE, %36, %36, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %47 = stablehlo.compare NE, %38, %38, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %48 = stablehlo.and %46, %47 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %49 = stablehlo.or %45, %48 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %50 = stablehlo.compare LT, %37, %39, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %51 = stablehlo.and %49, %50 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %52 = stablehlo.or %44, %51 : tensor<i1> loc("layer/arg_reduce"("model.rs":7:0))
      %53 = stablehlo.select %52, %36, %38 : tensor<i1>, tensor<f32> loc("layer/arg_reduce"("model.rs":7:0))
      %54 = stablehlo.select %52, %37, %39 : tensor<i1>, tensor<i32> loc("layer/arg_reduce"("model.rs":7:0))
      stablehlo.return %53, %54 : tensor<f32>, tensor<i32>
    }) : (tensor<2x5xf32>, tensor<2x5xi32>, tensor<f32>, tensor<i32>) -> (tensor<5xf32>, tensor<5xi32>) loc("layer/arg_reduce"("model.rs":7:0))
    %55 = stablehlo.convert %35#1 : (tensor<5xi32>) -> tensor<5xi8> loc("layer/arg_reduce"("model.rs":7:0))
    %56 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/cumulative"("model.rs":7:0))
    %57 = "stablehlo.reduce_window"(%0, %56) <{base_dilations = array<i64: 1, 1>, padding = dense<[[0, 0], [0, 4]]> : tensor<2x2xi64>, window_dilations = array<i64: 1, 1>, window_dimensions = array<i64: 1, 5>, window_strides = array<i64: 1, 1>}> ({
    ^bb0(%58: tensor<f32>, %59: tensor<f32>):
      %60 = stablehlo.add %58, %59 : tensor<f32> loc("layer/cumulative"("model.rs":7:0))
      stablehlo.return %60 : tensor<f32>
    }) : (tensor<2x5xf32>, tensor<f32>) -> (tensor<2x5xf32>) loc("layer/cumulative"("model.rs":7:0))
    %61 = stablehlo.transpose %0, dims = [1, 0] : (tensor<2x5xf32>) -> tensor<5x2xf32> loc("layer/transpose"("model.rs":7:0))
    %62 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %63 = stablehlo.broadcast_in_dim %62, dims = [] : (tensor<f32>) -> tensor<2xf32> loc("layer/broadcast"("model.rs":7:0))
    %64 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
    %65 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/scan"("model.rs":7:0))
    %66 = stablehlo.broadcast_in_dim %65, dims = [] : (tensor<f32>) -> tensor<5x2xf32> loc("layer/scan"("model.rs":7:0))
    %67:4 = "stablehlo.while"(%64, %63, %66, %61) ({
    ^bb0(%68: tensor<i32>, %69: tensor<2xf32>, %70: tensor<5x2xf32>, %71: tensor<5x2xf32>):
      %72 = stablehlo.constant dense<5> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %73 = stablehlo.compare LT, %68, %72, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1> loc("layer/scan"("model.rs":7:0))
      stablehlo.return %73 : tensor<i1>
    }, {
    ^bb0(%74: tensor<i32>, %75: tensor<2xf32>, %76: tensor<5x2xf32>, %77: tensor<5x2xf32>):
      %78 = stablehlo.constant dense<1> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %79 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %80 = stablehlo.dynamic_slice %77, %74, %79, sizes = [1, 2] : (tensor<5x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32> loc("layer/scan"("model.rs":7:0))
      %81 = stablehlo.reshape %80 : (tensor<1x2xf32>) -> tensor<2xf32> loc("layer/scan"("model.rs":7:0))
      %82 = stablehlo.multiply %75, %81 : tensor<2xf32> loc("layer/multiply"("model.rs":7:0))
      %83 = stablehlo.add %81, %82 : tensor<2xf32> loc("layer/add"("model.rs":7:0))
      %84 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scan"("model.rs":7:0))
      %85 = stablehlo.reshape %83 : (tensor<2xf32>) -> tensor<1x2xf32> loc("layer/scan"("model.rs":7:0))
      %86 = stablehlo.dynamic_update_slice %76, %85, %74, %84 : (tensor<5x2xf32>, tensor<1x2xf32>, tensor<i32>, tensor<i32>) -> tensor<5x2xf32> loc("layer/scan"("model.rs":7:0))
      %87 = stablehlo.add %74, %78 : tensor<i32> loc("layer/scan"("model.rs":7:0))
      stablehlo.return %87, %83, %86, %77 : tensor<i32>, tensor<2xf32>, tensor<5x2xf32>, tensor<5x2xf32>
    }) : (tensor<i32>, tensor<2xf32>, tensor<5x2xf32>, tensor<5x2xf32>) -> (tensor<i32>, tensor<2xf32>, tensor<5x2xf32>, tensor<5x2xf32>) loc("layer/scan"("model.rs":7:0))
    %88 = stablehlo.transpose %67#2, dims = [1, 0] : (tensor<5x2xf32>) -> tensor<2x5xf32> loc("layer/transpose"("model.rs":7:0))
    %89 = stablehlo.dot_general %0, %2, contracting_dims = [1] x [0] : (tensor<2x5xf32>, tensor<5x4xf32>) -> tensor<2x4xf32> loc("layer/dot_general"("model.rs":7:0))
    %90 = stablehlo.dot_general %1, %1, batching_dims = [1] x [1], contracting_dims = [0] x [0] : (tensor<5x4xbf16>, tensor<5x4xbf16>) -> tensor<4xf32> loc("layer/dot_general"("model.rs":7:0))
    %91 = stablehlo.convert %90 : (tensor<4xf32>) -> tensor<4xbf16> loc("layer/dot_general"("model.rs":7:0))
    return %4, %8, %12#1, %55, %57, %88, %89, %91 : tensor<2xf32>, tensor<4xbf16>, tensor<2xi64>, tensor<5xi8>, tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x4xf32>, tensor<4xbf16>
  }
}

module @kc_windows attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<1x6x6x2xf32>, %1: tensor<3x3x1x4xf32>) -> (tensor<1x3x2x4xf32>, tensor<1x6x6x2xf32>, tensor<1x6x6x2xf32>) {
    %2 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/reduce_window"("model.rs":7:0))
    %3 = "stablehlo.reduce_window"(%0, %2) <{base_dilations = array<i64: 1, 1, 1, 1>, padding = dense<[[0, 0], [1, 1], [0, 0], [0, 0]]> : tensor<4x2xi64>, window_dilations = array<i64: 1, 1, 1, 1>, window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
    ^bb0(%4: tensor<f32>, %5: tensor<f32>):
      %6 = stablehlo.maximum %4, %5 : tensor<f32> loc("layer/reduce_window"("model.rs":7:0))
      stablehlo.return %6 : tensor<f32>
    }) : (tensor<1x6x6x2xf32>, tensor<f32>) -> (tensor<1x4x3x2xf32>) loc("layer/reduce_window"("model.rs":7:0))
    %7 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/reduce_window"("model.rs":7:0))
    %8 = "stablehlo.reduce_window"(%0, %7) <{base_dilations = array<i64: 1, 1, 1, 1>, padding = dense<[[0, 0], [1, 1], [0, 0], [0, 0]]> : tensor<4x2xi64>, window_dilations = array<i64: 1, 2, 1, 1>, window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
    ^bb0(%9: tensor<f32>, %10: tensor<f32>):
      %11 = stablehlo.maximum %9, %10 : tensor<f32> loc("layer/reduce_window"("model.rs":7:0))
      stablehlo.return %11 : tensor<f32>
    }) : (tensor<1x6x6x2xf32>, tensor<f32>) -> (tensor<1x3x3x2xf32>) loc("layer/reduce_window"("model.rs":7:0))
    %12 = stablehlo.convolution(%0, %1) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 1], pad = [[1, 1], [0, 0]], lhs_dilate = [1, 1], rhs_dilate = [1, 2], reverse = [false, false]} {batch_group_count = 1 : i64, feature_group_count = 2 : i64} : (tensor<1x6x6x2xf32>, tensor<3x3x1x4xf32>) -> tensor<1x3x2x4xf32> loc("layer/convolution"("model.rs":7:0))
    %13 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
    %14 = stablehlo.pad %0, %13, low = [0, 1, 0, 0], high = [0, 1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x6x6x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/select_and_scatter"("model.rs":7:0))
    %15 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
    %16 = "stablehlo.select_and_scatter"(%14, %3, %15) <{padding = dense<0> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
    ^bb0(%17: tensor<f32>, %18: tensor<f32>):
      %19 = stablehlo.compare GE, %17, %18, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      %20 = stablehlo.compare NE, %17, %17, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      %21 = stablehlo.or %19, %20 : tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      stablehlo.return %21 : tensor<i1>
    }, {
    ^bb0(%22: tensor<f32>, %23: tensor<f32>):
      %24 = stablehlo.add %22, %23 : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
      stablehlo.return %24 : tensor<f32>
    }) : (tensor<1x8x6x2xf32>, tensor<1x4x3x2xf32>, tensor<f32>) -> (tensor<1x8x6x2xf32>) loc("layer/select_and_scatter"("model.rs":7:0))
    %25 = stablehlo.pad %16, %15, low = [0, -1, 0, 0], high = [0, -1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x8x6x2xf32>, tensor<f32>) -> tensor<1x6x6x2xf32> loc("layer/select_and_scatter"("model.rs":7:0))
    %26 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %27 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %28 = stablehlo.pad %0, %26, low = [0, 1, 0, 0], high = [0, 1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x6x6x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %29 = stablehlo.slice %28 [0:1, 0:5:2, 0:5:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %30 = stablehlo.constant dense<0> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %31 = stablehlo.broadcast_in_dim %30, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %32 = stablehlo.slice %28 [0:1, 0:5:2, 1:6:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %33 = stablehlo.constant dense<1> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %34 = stablehlo.broadcast_in_dim %33, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %35 = stablehlo.compare LE, %32, %29, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %36 = stablehlo.compare EQ, %29, %29, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %37 = stablehlo.not %35 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %38 = stablehlo.and %36, %37 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %39 = stablehlo.select %38, %32, %29 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %40 = stablehlo.select %38, %34, %31 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %41 = stablehlo.slice %28 [0:1, 2:7:2, 0:5:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %42 = stablehlo.constant dense<2> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %43 = stablehlo.broadcast_in_dim %42, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %44 = stablehlo.compare LE, %41, %39, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %45 = stablehlo.compare EQ, %39, %39, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %46 = stablehlo.not %44 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %47 = stablehlo.and %45, %46 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %48 = stablehlo.select %47, %41, %39 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %49 = stablehlo.select %47, %43, %40 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %50 = stablehlo.slice %28 [0:1, 2:7:2, 1:6:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %51 = stablehlo.constant dense<3> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %52 = stablehlo.broadcast_in_dim %51, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %53 = stablehlo.compare LE, %50, %48, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %54 = stablehlo.compare EQ, %48, %48, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %55 = stablehlo.not %53 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %56 = stablehlo.and %54, %55 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %57 = stablehlo.select %56, %52, %49 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %58 = stablehlo.broadcast_in_dim %27, dims = [] : (tensor<f32>) -> tensor<1x3x3x2xf32> loc("layer/broadcast"("model.rs":7:0))
    %59 = stablehlo.compare EQ, %57, %31, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %60 = stablehlo.select %59, %8, %58 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %61 = stablehlo.pad %60, %27, low = [0, 0, 0, 0], high = [0, 3, 1, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %62 = stablehlo.compare EQ, %57, %34, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %63 = stablehlo.select %62, %8, %58 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %64 = stablehlo.pad %63, %27, low = [0, 0, 1, 0], high = [0, 3, 0, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %65 = stablehlo.add %61, %64 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %66 = stablehlo.compare EQ, %57, %43, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %67 = stablehlo.select %66, %8, %58 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %68 = stablehlo.pad %67, %27, low = [0, 2, 0, 0], high = [0, 1, 1, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %69 = stablehlo.add %65, %68 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %70 = stablehlo.compare EQ, %57, %52, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %71 = stablehlo.select %70, %8, %58 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %72 = stablehlo.pad %71, %27, low = [0, 2, 1, 0], high = [0, 1, 0, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %73 = stablehlo.add %69, %72 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %74 = stablehlo.pad %73, %27, low = [0, -1, 0, 0], high = [0, -1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x8x6x2xf32>, tensor<f32>) -> tensor<1x6x6x2xf32> loc("layer/pad"("model.rs":7:0))
    return %12, %25, %74 : tensor<1x3x2x4xf32>, tensor<1x6x6x2xf32>, tensor<1x6x6x2xf32>
  }
}

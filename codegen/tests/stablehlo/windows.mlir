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
    %13 = stablehlo.constant dense<-3.4028234663852886e38> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %14 = stablehlo.broadcast_in_dim %13, dims = [] : (tensor<f32>) -> tensor<1x6x6x2xf32> loc("layer/broadcast"("model.rs":7:0))
    %15 = stablehlo.maximum %0, %14 : tensor<1x6x6x2xf32> loc("layer/maximum"("model.rs":7:0))
    %16 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
    %17 = stablehlo.pad %15, %16, low = [0, 1, 0, 0], high = [0, 1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x6x6x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/select_and_scatter"("model.rs":7:0))
    %18 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
    %19 = "stablehlo.select_and_scatter"(%17, %3, %18) <{padding = dense<0> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 2, 2, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
    ^bb0(%20: tensor<f32>, %21: tensor<f32>):
      %22 = stablehlo.compare GE, %20, %21, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      %23 = stablehlo.compare NE, %20, %20, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      %24 = stablehlo.or %22, %23 : tensor<i1> loc("layer/select_and_scatter"("model.rs":7:0))
      stablehlo.return %24 : tensor<i1>
    }, {
    ^bb0(%25: tensor<f32>, %26: tensor<f32>):
      %27 = stablehlo.add %25, %26 : tensor<f32> loc("layer/select_and_scatter"("model.rs":7:0))
      stablehlo.return %27 : tensor<f32>
    }) : (tensor<1x8x6x2xf32>, tensor<1x4x3x2xf32>, tensor<f32>) -> (tensor<1x8x6x2xf32>) loc("layer/select_and_scatter"("model.rs":7:0))
    %28 = stablehlo.pad %19, %18, low = [0, -1, 0, 0], high = [0, -1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x8x6x2xf32>, tensor<f32>) -> tensor<1x6x6x2xf32> loc("layer/select_and_scatter"("model.rs":7:0))
    %29 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %30 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %31 = stablehlo.pad %15, %29, low = [0, 1, 0, 0], high = [0, 1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x6x6x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %32 = stablehlo.slice %31 [0:1, 0:5:2, 0:5:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %33 = stablehlo.constant dense<0> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %34 = stablehlo.broadcast_in_dim %33, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %35 = stablehlo.slice %31 [0:1, 0:5:2, 1:6:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %36 = stablehlo.constant dense<1> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %37 = stablehlo.broadcast_in_dim %36, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %38 = stablehlo.compare LE, %35, %32, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %39 = stablehlo.compare EQ, %32, %32, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %40 = stablehlo.not %38 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %41 = stablehlo.and %39, %40 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %42 = stablehlo.select %41, %35, %32 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %43 = stablehlo.select %41, %37, %34 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %44 = stablehlo.slice %31 [0:1, 2:7:2, 0:5:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %45 = stablehlo.constant dense<2> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %46 = stablehlo.broadcast_in_dim %45, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %47 = stablehlo.compare LE, %44, %42, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %48 = stablehlo.compare EQ, %42, %42, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %49 = stablehlo.not %47 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %50 = stablehlo.and %48, %49 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %51 = stablehlo.select %50, %44, %42 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %52 = stablehlo.select %50, %46, %43 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %53 = stablehlo.slice %31 [0:1, 2:7:2, 1:6:2, 0:2] : (tensor<1x8x6x2xf32>) -> tensor<1x3x3x2xf32> loc("layer/slice"("model.rs":7:0))
    %54 = stablehlo.constant dense<3> : tensor<i32> loc("layer/constant"("model.rs":7:0))
    %55 = stablehlo.broadcast_in_dim %54, dims = [] : (tensor<i32>) -> tensor<1x3x3x2xi32> loc("layer/broadcast"("model.rs":7:0))
    %56 = stablehlo.compare LE, %53, %51, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/less_equal"("model.rs":7:0))
    %57 = stablehlo.compare EQ, %51, %51, FLOAT : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %58 = stablehlo.not %56 : tensor<1x3x3x2xi1> loc("layer/not"("model.rs":7:0))
    %59 = stablehlo.and %57, %58 : tensor<1x3x3x2xi1> loc("layer/and"("model.rs":7:0))
    %60 = stablehlo.select %59, %55, %52 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xi32> loc("layer/select"("model.rs":7:0))
    %61 = stablehlo.broadcast_in_dim %30, dims = [] : (tensor<f32>) -> tensor<1x3x3x2xf32> loc("layer/broadcast"("model.rs":7:0))
    %62 = stablehlo.compare EQ, %60, %34, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %63 = stablehlo.select %62, %8, %61 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %64 = stablehlo.pad %63, %30, low = [0, 0, 0, 0], high = [0, 3, 1, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %65 = stablehlo.compare EQ, %60, %37, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %66 = stablehlo.select %65, %8, %61 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %67 = stablehlo.pad %66, %30, low = [0, 0, 1, 0], high = [0, 3, 0, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %68 = stablehlo.add %64, %67 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %69 = stablehlo.compare EQ, %60, %46, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %70 = stablehlo.select %69, %8, %61 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %71 = stablehlo.pad %70, %30, low = [0, 2, 0, 0], high = [0, 1, 1, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %72 = stablehlo.add %68, %71 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %73 = stablehlo.compare EQ, %60, %55, SIGNED : (tensor<1x3x3x2xi32>, tensor<1x3x3x2xi32>) -> tensor<1x3x3x2xi1> loc("layer/equal"("model.rs":7:0))
    %74 = stablehlo.select %73, %8, %61 : tensor<1x3x3x2xi1>, tensor<1x3x3x2xf32> loc("layer/select"("model.rs":7:0))
    %75 = stablehlo.pad %74, %30, low = [0, 2, 1, 0], high = [0, 1, 0, 0], interior = [0, 1, 1, 0] : (tensor<1x3x3x2xf32>, tensor<f32>) -> tensor<1x8x6x2xf32> loc("layer/pad"("model.rs":7:0))
    %76 = stablehlo.add %72, %75 : tensor<1x8x6x2xf32> loc("layer/add"("model.rs":7:0))
    %77 = stablehlo.pad %76, %30, low = [0, -1, 0, 0], high = [0, -1, 0, 0], interior = [0, 0, 0, 0] : (tensor<1x8x6x2xf32>, tensor<f32>) -> tensor<1x6x6x2xf32> loc("layer/pad"("model.rs":7:0))
    return %12, %28, %77 : tensor<1x3x2x4xf32>, tensor<1x6x6x2xf32>, tensor<1x6x6x2xf32>
  }
}

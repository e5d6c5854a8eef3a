module @kc_indexed attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<5x3xf32>, %1: tensor<4x1xui8>) -> (tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>) {
    %2 = stablehlo.convert %1 : (tensor<4x1xui8>) -> tensor<4x1xi32> loc("layer/gather"("model.rs":7:0))
    %3 = "stablehlo.gather"(%0, %2) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], operand_batching_dims = [], start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<5x3xf32>, tensor<4x1xi32>) -> tensor<4x3xf32> loc("layer/gather"("model.rs":7:0))
    %4 = stablehlo.convert %1 : (tensor<4x1xui8>) -> tensor<4x1xi32> loc("layer/gather"("model.rs":7:0))
    %5 = "stablehlo.gather"(%0, %4) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], operand_batching_dims = [], start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = array<i64: 1, 3>}> : (tensor<5x3xf32>, tensor<4x1xi32>) -> tensor<4x3xf32> loc("layer/gather"("model.rs":7:0))
    %6 = stablehlo.constant dense<4> : tensor<i32> loc("layer/gather"("model.rs":7:0))
    %7 = stablehlo.reshape %6 : (tensor<i32>) -> tensor<1xi32> loc("layer/gather"("model.rs":7:0))
    %8 = stablehlo.broadcast_in_dim %7, dims = [1] : (tensor<1xi32>) -> tensor<4x1xi32> loc("layer/gather"("model.rs":7:0))
    %9 = stablehlo.constant dense<0> : tensor<i32> loc("layer/gather"("model.rs":7:0))
    %10 = stablehlo.broadcast_in_dim %9, dims = [] : (tensor<i32>) -> tensor<4x1xi32> loc("layer/gather"("model.rs":7:0))
    %11 = stablehlo.compare GE, %4, %10, SIGNED : (tensor<4x1xi32>, tensor<4x1xi32>) -> tensor<4x1xi1> loc("layer/gather"("model.rs":7:0))
    %12 = stablehlo.compare LE, %4, %8, SIGNED : (tensor<4x1xi32>, tensor<4x1xi32>) -> tensor<4x1xi1> loc("layer/gather"("model.rs":7:0))
    %13 = stablehlo.and %11, %12 : tensor<4x1xi1> loc("layer/gather"("model.rs":7:0))
    %14 = stablehlo.constant dense<true> : tensor<i1> loc("layer/gather"("model.rs":7:0))
    %15 = stablehlo.reduce(%13 init: %14) applies stablehlo.and across dimensions = [1] : (tensor<4x1xi1>, tensor<i1>) -> tensor<4xi1> loc("layer/gather"("model.rs":7:0))
    %16 = stablehlo.broadcast_in_dim %15, dims = [0] : (tensor<4xi1>) -> tensor<4x3xi1> loc("layer/gather"("model.rs":7:0))
    %17 = stablehlo.constant dense<0x7FC00000> : tensor<f32> loc("layer/gather"("model.rs":7:0))
    %18 = stablehlo.broadcast_in_dim %17, dims = [] : (tensor<f32>) -> tensor<4x3xf32> loc("layer/gather"("model.rs":7:0))
    %19 = stablehlo.select %16, %5, %18 : tensor<4x3xi1>, tensor<4x3xf32> loc("layer/gather"("model.rs":7:0))
    %20 = stablehlo.convert %1 : (tensor<4x1xui8>) -> tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %21 = "stablehlo.scatter"(%0, %20, %19) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [], scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%22: tensor<f32>, %23: tensor<f32>):
      %24 = stablehlo.add %22, %23 : tensor<f32> loc("layer/scatter"("model.rs":7:0))
      stablehlo.return %24 : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> (tensor<5x3xf32>) loc("layer/scatter"("model.rs":7:0))
    %25 = stablehlo.convert %1 : (tensor<4x1xui8>) -> tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %26 = stablehlo.constant dense<4> : tensor<i32> loc("layer/scatter"("model.rs":7:0))
    %27 = stablehlo.reshape %26 : (tensor<i32>) -> tensor<1xi32> loc("layer/scatter"("model.rs":7:0))
    %28 = stablehlo.broadcast_in_dim %27, dims = [1] : (tensor<1xi32>) -> tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %29 = stablehlo.constant dense<0> : tensor<i32> loc("layer/scatter"("model.rs":7:0))
    %30 = stablehlo.broadcast_in_dim %29, dims = [] : (tensor<i32>) -> tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %31 = stablehlo.minimum %25, %28 : tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %32 = stablehlo.maximum %31, %30 : tensor<4x1xi32> loc("layer/scatter"("model.rs":7:0))
    %33 = "stablehlo.scatter"(%0, %32, %3) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], input_batching_dims = [], scatter_indices_batching_dims = [], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ({
    ^bb0(%34: tensor<f32>, %35: tensor<f32>):
      stablehlo.return %35 : tensor<f32>
    }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> (tensor<5x3xf32>) loc("layer/scatter"("model.rs":7:0))
    return %3, %21, %33 : tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>
  }
}

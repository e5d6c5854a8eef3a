module @kc_library attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<2x3x3xf32>, %1: tensor<2x3x1xf32>) -> (tensor<2x3x3xf32>, tensor<2x3x1xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>) {
    %2 = stablehlo.cholesky %0, lower = true : tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %3 = stablehlo.iota dim = 1 : tensor<2x3x3xi32> loc("layer/custom_call"("model.rs":7:0))
    %4 = stablehlo.iota dim = 2 : tensor<2x3x3xi32> loc("layer/custom_call"("model.rs":7:0))
    %5 = stablehlo.compare GE, %3, %4, SIGNED : (tensor<2x3x3xi32>, tensor<2x3x3xi32>) -> tensor<2x3x3xi1> loc("layer/custom_call"("model.rs":7:0))
    %6 = stablehlo.constant dense<0.0> : tensor<f32> loc("layer/custom_call"("model.rs":7:0))
    %7 = stablehlo.broadcast_in_dim %6, dims = [] : (tensor<f32>) -> tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %8 = stablehlo.select %5, %2, %7 : tensor<2x3x3xi1>, tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %9 = "stablehlo.triangular_solve"(%0, %1) <{left_side = true, lower = true, transpose_a = #stablehlo<transpose NO_TRANSPOSE>, unit_diagonal = true}> : (tensor<2x3x3xf32>, tensor<2x3x1xf32>) -> tensor<2x3x1xf32> loc("layer/custom_call"("model.rs":7:0))
    %10 = stablehlo.complex %0, %0 : tensor<2x3x3xcomplex<f32>> loc("layer/custom_call"("model.rs":7:0))
    %11 = stablehlo.fft %10, type = FFT, length = [3] : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xcomplex<f32>> loc("layer/custom_call"("model.rs":7:0))
    %12 = stablehlo.real %11 : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %13 = stablehlo.imag %11 : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %14 = stablehlo.complex %0, %0 : tensor<2x3x3xcomplex<f32>> loc("layer/custom_call"("model.rs":7:0))
    %15 = stablehlo.fft %14, type = IFFT, length = [3] : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xcomplex<f32>> loc("layer/custom_call"("model.rs":7:0))
    %16 = stablehlo.real %15 : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    %17 = stablehlo.imag %15 : (tensor<2x3x3xcomplex<f32>>) -> tensor<2x3x3xf32> loc("layer/custom_call"("model.rs":7:0))
    return %8, %9, %12, %13, %16, %17 : tensor<2x3x3xf32>, tensor<2x3x1xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>, tensor<2x3x3xf32>
  }
}

module @kc_movement attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%0: tensor<2x3xf32>) -> (tensor<3x6xf32>, tensor<2x1xf32>, tensor<2x3xf32>, tensor<2x6xf32>, tensor<3x2xf32>, tensor<6xf32>, tensor<4x2x3xf32>, tensor<2x3xui32>, tensor<2x2xbf16>, tensor<40xui16>) {
    %1 = stablehlo.constant dense<0xFF800000> : tensor<f32> loc("layer/constant"("model.rs":7:0))
    %2 = stablehlo.constant dense<[[0.0, 0.10009765625], [0.2001953125, 0.30078125]]> : tensor<2x2xbf16> loc("layer/constant"("model.rs":7:0))
    %3 = stablehlo.constant dense<"0x0000010004000900100019002400310040005100640079009000A900C400E10000012101440169019001B901E401110240027102A402D902100349038403C103000441048404C90410055905A405F105"> : tensor<40xui16> loc("layer/constant"("model.rs":7:0))
    %4 = stablehlo.pad %0, %1, low = [1, -1], high = [0, 2], interior = [0, 1] : (tensor<2x3xf32>, tensor<f32>) -> tensor<3x6xf32> loc("layer/pad"("model.rs":7:0))
    %5 = stablehlo.slice %0 [0:2, 1:3:2] : (tensor<2x3xf32>) -> tensor<2x1xf32> loc("layer/slice"("model.rs":7:0))
    %6 = stablehlo.reverse %0, dims = [0] : tensor<2x3xf32> loc("layer/reverse"("model.rs":7:0))
    %7 = stablehlo.concatenate %0, %0, dim = 1 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32> loc("layer/concatenate"("model.rs":7:0))
    %8 = stablehlo.transpose %0, dims = [1, 0] : (tensor<2x3xf32>) -> tensor<3x2xf32> loc("layer/transpose"("model.rs":7:0))
    %9 = stablehlo.reshape %0 : (tensor<2x3xf32>) -> tensor<6xf32> loc("layer/reshape"("model.rs":7:0))
    %10 = stablehlo.broadcast_in_dim %0, dims = [1, 2] : (tensor<2x3xf32>) -> tensor<4x2x3xf32> loc("layer/broadcast"("model.rs":7:0))
    %11 = stablehlo.bitcast_convert %0 : (tensor<2x3xf32>) -> tensor<2x3xui32> loc("layer/bitcast_convert"("model.rs":7:0))
    return %4, %5, %6, %7, %8, %9, %10, %11, %2, %3 : tensor<3x6xf32>, tensor<2x1xf32>, tensor<2x3xf32>, tensor<2x6xf32>, tensor<3x2xf32>, tensor<6xf32>, tensor<4x2x3xf32>, tensor<2x3xui32>, tensor<2x2xbf16>, tensor<40xui16>
  }
}

//! Workload d in bf16: weights in f32, products and activations in bf16.

#[path = "../../frontend/examples/resnet50.rs"]
#[allow(dead_code)]
mod resnet50;

#[kc::model]
fn resnet50_bf16() -> Result<kc::Model, Box<dyn std::error::Error>> {
    kc::config::set_dtype_policy("mixed_bfloat16")?;
    Ok(resnet50::kc_model()?)
}

// Naive gated feed-forward layer with relu: one invocation per hidden unit of a row, then one per output.

struct Params { rows: u32, inputs: u32, outputs: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w1: array<f32>;   // [outputs, inputs]
@group(0) @binding(3) var<storage, read> b1: array<f32>;
@group(0) @binding(4) var<storage, read> wg: array<f32>;
@group(0) @binding(5) var<storage, read> bg: array<f32>;
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn gate(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let unit = id.x;
  if (row >= params.rows || unit >= params.outputs) { return; }
  var up = b1[unit];
  var open = bg[unit];
  for (var i = 0u; i < params.inputs; i++) {
    let v = x[row * params.inputs + i];
    up += v * w1[unit * params.inputs + i];
    open += v * wg[unit * params.inputs + i];
  }
  hidden[row * params.outputs + unit] = up * max(open, 0.0);
}

@compute @workgroup_size(8, 8)
fn linear(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let unit = id.x;
  if (row >= params.rows || unit >= params.outputs) { return; }
  var sum = b1[unit];
  for (var i = 0u; i < params.inputs; i++) { sum += x[row * params.inputs + i] * w1[unit * params.inputs + i]; }
  y[row * params.outputs + unit] = sum;
}

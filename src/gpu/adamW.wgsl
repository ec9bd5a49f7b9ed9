// adamW: one step of AdamW or Adam, in one pass. Reads param, grad, m, v once and writes param, m, v once: 28 bytes per
// parameter.
//
// Everything is elementwise, so an element may be handled anywhere. A workgroup owns WORKGROUP_SIZE * PER neighbours and
// strides over them: the accesses of one step are adjacent. All but the last few elements go four at a time.
// Source: Kingma and Ba (2015); Loshchilov and Hutter (2019); eps and the corrections stand as in torch.optim.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 4u;              // vec4 per invocation

struct Params {
  count: u32,        // vec4 of this window, the last one perhaps partly unused
  hasFactor: u32,
  beta1: f32,
  gain1: f32,        // 1 - beta1
  beta2: f32,
  gain2: f32,        // 1 - beta2
  coupledDecay: f32, // Adam: weight decay inside of the gradient
  shrink: f32,       // AdamW: 1 - lr weightDecay
  stepSize: f32,     // lr / (1 - beta1^step)
  rootScale: f32,    // 1 / sqrt(1 - beta2^step)
  eps: f32,
}

// The root of zero need not be zero (it is 1 / inverseSqrt): below this the root is 1e-19, lost beside any usual eps.
const MIN_NORMAL = 1.17549435e-38;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> oldParam: array<vec4f>;
@group(0) @binding(2) var<storage, read> grad: array<vec4f>;
@group(0) @binding(3) var<storage, read> oldM: array<vec4f>;
@group(0) @binding(4) var<storage, read> oldV: array<vec4f>;
@group(0) @binding(5) var<storage, read> factor: array<f32>;
@group(0) @binding(6) var<storage, read_write> newParam: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> newM: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> newV: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn adamW(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
         @builtin(local_invocation_index) local: u32) {
  var scale = 1.0;
  if (params.hasFactor != 0u) { scale = factor[0]; }
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = first + step * WORKGROUP_SIZE;
    if (i >= params.count) { return; }
    let p = oldParam[i];
    let g = scale * grad[i] + params.coupledDecay * p;
    let m = params.beta1 * oldM[i] + params.gain1 * g;
    let v = params.beta2 * oldV[i] + params.gain2 * (g * g);
    let root = sqrt(max(v, vec4f(MIN_NORMAL))) * params.rootScale + params.eps;
    newParam[i] = params.shrink * p - params.stepSize * (m / root);
    newM[i] = m;
    newV[i] = v;
  }
}

// gradientClip: one L2 norm over many tensors, and every tensor scaled by min(1, maxNorm / (norm + 1e-6)).
//
// The sum of squares is a tree with a fixed shape: each invocation of `gradientSquares` sums a few squares of one tensor,
// `gradientSums` sums these sums until few are left, and the one invocation of `gradientFactor` ends it. No atomics: the
// same gradients give the same bits. An implementation may assume that NaN and infinity do not occur, so beside each sum
// goes the largest magnitude as bits, which tells for certain whether there was one.
// Source: torch.nn.utils.clip_grad_norm_
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 64u;             // quads (or sums) per invocation

struct Params {
  count: u32,      // elements, sums or tensors that there are
  first: u32,      // where in `sums` this dispatch writes
  maxNorm: f32,
}

const INFINITY_BITS = 0x7f800000u;
const NAN_BITS = 0x7fc00000u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grads: array<vec4u>;           // bits, in quads
@group(0) @binding(2) var<storage, read_write> sums: array<vec2u>;      // bits of a sum, largest magnitude as bits

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradientSquares(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let quads = (params.count + 3u) / 4u;
  if (id * WORKGROUP_SIZE * PER >= quads) { return; }
  var sum = vec4f();
  var largest = vec4u();
  for (var step = 0u; step < PER; step++) {
    let i = (id * PER + step) * WORKGROUP_SIZE + local;
    if (i >= quads) { break; }
    // What lies behind the last element counts as zero.
    let bits = select(vec4u(), grads[i], vec4u(0u, 1u, 2u, 3u) + 4u * i < vec4u(params.count));
    let g = bitcast<vec4f>(bits);
    sum += g * g;
    largest = max(largest, bits & vec4u(0x7fffffffu));
  }
  let half = max(largest.xy, largest.zw);
  sums[params.first + id * WORKGROUP_SIZE + local] =
      vec2u(bitcast<u32>((sum.x + sum.y) + (sum.z + sum.w)), max(half.x, half.y));
}

@group(0) @binding(1) var<storage, read> parts: array<vec2u>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradientSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id * WORKGROUP_SIZE * PER >= params.count) { return; }
  var sum = 0.0;
  var largest = 0u;
  for (var step = 0u; step < PER; step++) {
    let i = (id * PER + step) * WORKGROUP_SIZE + local;
    if (i >= params.count) { break; }
    sum += bitcast<f32>(parts[i].x);
    largest = max(largest, parts[i].y);
  }
  sums[id * WORKGROUP_SIZE + local] = vec2u(bitcast<u32>(sum), largest);
}

@group(0) @binding(2) var<storage, read_write> factor: array<u32>;      // bits
@group(0) @binding(3) var<storage, read_write> norm: array<u32>;

@compute @workgroup_size(1)
fn gradientFactor() {
  var sum = 0.0;
  var largest = 0u;
  for (var i = 0u; i < params.count; i++) {
    sum += bitcast<f32>(parts[i].x);
    largest = max(largest, parts[i].y);
  }
  if (largest > INFINITY_BITS) {
    norm[0] = NAN_BITS;
    factor[0] = NAN_BITS;
  } else if (largest == INFINITY_BITS || bitcast<u32>(sum) >= INFINITY_BITS) {
    norm[0] = INFINITY_BITS;
    factor[0] = 0u;
  } else {
    var root = 0.0;
    if (sum > 0.0) { root = sqrt(sum); }
    norm[0] = bitcast<u32>(root);
    factor[0] = bitcast<u32>(min(1.0, params.maxNorm / (root + 1e-6)));
  }
}

@group(0) @binding(2) var<storage, read> factorIn: array<u32>;
@group(0) @binding(3) var<storage, read_write> clipped: array<vec4u>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradientClip(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let bits = factorIn[0];
  let scale = bitcast<f32>(bits);
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = first + step * WORKGROUP_SIZE;
    if (i >= params.count) { return; }
    let g = grads[i];
    // Finite times a finite factor; all else is NaN: a NaN factor, NaN itself, and infinity times 0.
    let finite = (g & vec4u(INFINITY_BITS)) != vec4u(INFINITY_BITS);
    let product = bitcast<vec4u>(scale * bitcast<vec4f>(g));
    clipped[i] = select(vec4u(NAN_BITS), product, finite & vec4<bool>(bits < INFINITY_BITS));
  }
}

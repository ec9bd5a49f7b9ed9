// inclusionLoss: whether a target is among the k selected, and a loss for how far it is from it. The selection comes from topK;
// here each row compares its target with the k-th of the selected (or the next one, if the target is before it), by order keys and
// index. The mean over rows is that of crossEntropy.wgsl, in one fixed order.
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

const NLL = 0u;
const SOFT = 1u;
const HINGE = 2u;
const FORCED = 3u;
const NEGATIVE_INFINITY = 0xff800000u;
const LEAST = 1.1754943508222875e-38;        // 2^-126

// What a row's loss is, for the mean: as in crossEntropy.wgsl.
const FINE = 0u;
const BAD = 2u;
struct Row { loss: f32, count: u32, code: u32 }

struct Params {
  rows: u32,
  n: u32,
  k: u32,
  best: u32,             // how many topK gave per row: min(k + 1, n)
  form: u32,
  margin: f32,
  stopThreshold: u32,
  ignoreIndex: i32,
  hasPerturbed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<u32>;               // bits, [rows, n]
@group(0) @binding(2) var<storage, read> targets: array<i32>;              // [rows]

/// A target that takes part: a candidate whose score is not -infinity.
fn takesPart(row: u32) -> bool {
  let y = targets[row];
  return y != params.ignoreIndex && u32(y) < params.n && scores[row * params.n + u32(y)] != NEGATIVE_INFINITY;
}

/// -log(1 - exp(-exp(z))). Where exp(z) is small the logarithm of a difference would lose its digits, so its series; beyond 5
/// the result is 0 to all digits of f32.
fn minusLogSurvival(z: f32) -> f32 {
  let y = exp(min(z, 5.0));
  if (y < 1.0) { return -z + y * (0.5 - y * (0.041666667 - y * y * (3.4722222e-4 - y * y * 5.5114638e-6))); }
  let e = exp(-y);
  if (e < 1e-3) { return e * (1.0 + e * (0.5 + e * 0.33333333)); }
  return -log(1.0 - e);
}

/// w / (e^w - 1) for w = exp(z), minus the derivative of the above by z.
fn survivalSlope(z: f32) -> f32 {
  let w = exp(min(z, 5.0));
  if (w < 0.5) { return 1.0 - w * (0.5 - w * (0.083333333 - w * w * (0.0013888889 - w * w * 3.3068783e-5))); }
  let e = exp(-w);
  return w * e / (1.0 - e);
}

@group(0) @binding(3) var<storage, read> perturbed: array<u32>;            // bits, [rows, n]
@group(0) @binding(4) var<storage, read> bestValues: array<u32>;           // bits, [rows, best], from topK
@group(0) @binding(5) var<storage, read> bestIndices: array<i32>;
@group(0) @binding(6) var<storage, read_write> found: array<i32>;          // [rows, 3]: included, bits of the threshold, rival
@group(0) @binding(7) var<storage, read_write> rowLosses: array<Row>;

fn rankKey(bits: u32) -> u32 { return select(orderKey(bits), 0u, isNanBits(bits)); }   // NaN last

@compute @workgroup_size(WORKGROUP_SIZE)
fn inclusionRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let y = targets[row];
  var included = -1;
  var threshold = NEGATIVE_INFINITY;
  var rival = -1;
  var result = Row(0.0, 0u, FINE);
  if (takesPart(row)) {
    let bits = scores[row * params.n + u32(y)];
    let own = rankKey(perturbed[row * params.n + u32(y)]);
    included = 1;
    if (params.k <= params.n) {
      let last = row * params.best + params.k - 1u;
      let lastKey = rankKey(bestValues[last]);
      if (own < lastKey || (own == lastKey && y > bestIndices[last])) { included = 0; }
    }
    // Which of the best the target has to pass.
    let slot = select(params.k - 1u, params.k, included == 1 && params.form != HINGE);
    if ((params.form == NLL || params.form == HINGE) && slot < params.best) {
      let at = row * params.best + slot;
      if (bestValues[at] != NEGATIVE_INFINITY && !isNanBits(bestValues[at])) {
        threshold = bestValues[at];
        rival = bestIndices[at];
      }
    }
    result.count = 1u;
    let score = bitcast<f32>(bits);
    if (isNanBits(bits)) { result.code = BAD; }
    else if (params.form == SOFT) { result.loss = -log(max(score, LEAST)); }
    else if (rival >= 0 && params.form == HINGE) { result.loss = max(0.0, params.margin + bitcast<f32>(threshold) - score); }
    else if (rival >= 0) { result.loss = minusLogSurvival(score - bitcast<f32>(threshold)); }
  } else if (y != params.ignoreIndex && u32(y) >= params.n) {
    result = Row(0.0, 1u, BAD);
  }
  found[row * 3u] = included;
  found[row * 3u + 1u] = bitcast<i32>(threshold);
  found[row * 3u + 2u] = rival;
  rowLosses[row] = result;
}

@group(0) @binding(1) var<storage, read> three: array<u32>;                // found
@group(0) @binding(2) var<storage, read_write> includedOut: array<u32>;
@group(0) @binding(3) var<storage, read_write> thresholdOut: array<u32>;
@group(0) @binding(4) var<storage, read_write> rivalOut: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn inclusionSplit(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  includedOut[row] = three[row * 3u];
  thresholdOut[row] = three[row * 3u + 1u];
  rivalOut[row] = three[row * 3u + 2u];
}

@group(0) @binding(3) var<storage, read> count: array<i32>;
@group(0) @binding(4) var<storage, read> dLoss: array<f32>;
@group(0) @binding(5) var<storage, read> thresholds: array<u32>;           // bits
@group(0) @binding(6) var<storage, read> rivals: array<i32>;
@group(0) @binding(7) var<storage, read_write> dScores: array<f32>;        // zero at the start
@group(0) @binding(8) var<storage, read_write> dPerturbed: array<f32>;     // zero at the start

/// Minus the derivative of the row's loss by the target's score.
fn slopeOf(row: u32) -> f32 {
  let score = bitcast<f32>(scores[row * params.n + u32(targets[row])]);
  if (params.form == SOFT) {
    if (score > LEAST) { return 1.0 / score; }
    return 0.0;
  }
  if (rivals[row] < 0) { return 0.0; }
  let threshold = bitcast<f32>(thresholds[row]);
  if (params.form == HINGE) { return select(0.0, 1.0, params.margin + threshold - score > 0.0); }
  return survivalSlope(score - threshold);
}

/// Without perturbed scores both gradients are one; a target that is its own rival gets their sum.
@compute @workgroup_size(WORKGROUP_SIZE)
fn inclusionBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows || !takesPart(row) || params.form == FORCED) { return; }
  let g = slopeOf(row) * (dLoss[0] / f32(max(count[0], 1)));
  dScores[row * params.n + u32(targets[row])] = -g;
  if (rivals[row] < 0 || params.stopThreshold != 0u) { return; }
  let at = row * params.n + u32(rivals[row]);
  if (params.hasPerturbed != 0u) { dPerturbed[at] = g; } else { dScores[at] += g; }
}

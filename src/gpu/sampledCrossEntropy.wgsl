// sampledCrossEntropy: what turns the logits of a sub-vocabulary into those of a softmax over it and the target. Logits come in
// chunks of words, as in subVocabHead; the sums and gradients over them are the kernels of crossEntropy.wgsl, for which a token's
// target is a column: the target's place among the words if it is there (a hit), else one more column after them all, which
// `ownLogits` makes and in which hits have -infinity.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override SPAN: u32 = 512u;               // columns per workgroup of sampledCorrect

struct Params {
  rows: u32,        // sub-vocabularies
  tokens: u32,      // of each
  k: u32,
  first: u32,       // the first word of the chunk
  columns: u32,     // words of the chunk
  width: u32,
  words: u32,       // of the whole vocabulary
  ignoreIndex: i32,
  hasInclusion: u32,
  hasTargetInclusion: u32,
  hasGates: u32,
}

const NONE = 0xffffffffu;                    // -1: no word
const NEGATIVE_INFINITY = 0xff800000u;
const INFINITY_BITS = 0x7f800000u;
const IGNORED = -100;                        // goals of tokens that do not count
const BAD = -1;                              // goals of tokens whose target is no word

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> targets: array<i32>;              // [rows, tokens]
@group(0) @binding(2) var<storage, read> hits: array<i32>;                 // the target's place among the words, or -1
@group(0) @binding(3) var<storage, read_write> goals: array<i32>;          // the target's column
@group(0) @binding(4) var<storage, read_write> outside: array<i32>;        // the target itself if no column holds it, else -1

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampledGoals(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let token = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (token >= params.rows * params.tokens) { return; }
  let wanted = targets[token];
  var goal = hits[token];
  var own = -1;
  if (wanted == params.ignoreIndex) { goal = IGNORED; }
  else if (u32(wanted) >= params.words) { goal = BAD; }
  else if (goal < 0) {
    goal = i32(params.k);
    own = wanted;
  }
  goals[token] = goal;
  outside[token] = own;
}

@group(0) @binding(1) var<storage, read> words: array<u32>;                // [rows, columns]
@group(0) @binding(2) var<storage, read> goalsIn: array<i32>;
@group(0) @binding(3) var<storage, read> inclusion: array<f32>;            // [rows, k]
@group(0) @binding(4) var<storage, read> targetInclusion: array<f32>;      // [rows, tokens]
@group(0) @binding(5) var<storage, read> gates: array<f32>;                // [rows, k]
@group(0) @binding(6) var<storage, read_write> logits: array<u32>;         // bits, [rows, tokens, columns]

/// log of a gate; of 1 exactly 0, which WGSL does not promise.
fn logGate(gate: f32) -> f32 {
  if (gate == 1.0) { return 0.0; }
  return log(gate);
}

/// The corrected logits of a chunk, in place. What is NaN or infinite stays so; no arithmetic is done with it. A workgroup owns
/// SPAN columns of one token: the token's numbers are at uniform addresses, and no lane divides.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sampledCorrect(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let spans = (params.columns + SPAN - 1u) / SPAN;
  let span = linearGroup(group, groups);
  let token = span / spans;
  if (token >= params.rows * params.tokens) { return; }
  let row = token / params.tokens;
  let begin = (span % spans) * SPAN;
  let end = min(begin + SPAN, params.columns);
  for (var column = begin + local; column < end; column += WORKGROUP_SIZE) {
    let i = token * params.columns + column;
    let at = row * params.k + params.first + column;
    let bits = logits[i];
    if (words[row * params.columns + column] == NONE) {
      logits[i] = NEGATIVE_INFINITY;
      continue;
    }
    if ((bits & INFINITY_BITS) == INFINITY_BITS) { continue; }
    var s = bitcast<f32>(bits);
    if (params.hasGates != 0u) {
      if (gates[at] == 0.0) {
        logits[i] = NEGATIVE_INFINITY;
        continue;
      }
      s += logGate(gates[at]);
    }
    if (goalsIn[token] == i32(params.first + column)) {
      if (params.hasTargetInclusion != 0u) { s -= targetInclusion[token]; }
    } else if (params.hasInclusion != 0u) {
      s -= inclusion[at];
    }
    logits[i] = bitcast<u32>(s);
  }
}

@group(0) @binding(1) var<storage, read> x: array<f32>;                    // [rows, tokens, width]
@group(0) @binding(2) var<storage, read> rowsOf: array<f32>;               // the targets' rows of the table, like x
@group(0) @binding(3) var<storage, read> owner: array<i32>;                // outside
@group(0) @binding(4) var<storage, read> ownInclusion: array<f32>;
@group(0) @binding(5) var<storage, read_write> own: array<u32>;            // bits, [rows, tokens]

/// The last column: the logits of targets that are not among the words.
@compute @workgroup_size(WORKGROUP_SIZE)
fn ownLogits(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let token = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (token >= params.rows * params.tokens) { return; }
  if (owner[token] < 0) {
    own[token] = NEGATIVE_INFINITY;
    return;
  }
  var sum = 0.0;
  for (var d = token * params.width; d < (token + 1u) * params.width; d++) { sum += x[d] * rowsOf[d]; }
  if (params.hasTargetInclusion != 0u) { sum -= ownInclusion[token]; }
  own[token] = bitcast<u32>(sum);
}

@group(0) @binding(3) var<storage, read> dOwn: array<f32>;                 // [rows, tokens]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> dRows: array<f32>;          // the gradient of rowsOf

@compute @workgroup_size(WORKGROUP_SIZE)
fn ownGradients(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.rows * params.tokens * params.width) { return; }
  let g = dOwn[i / params.width];
  dx[i] += g * rowsOf[i];
  dRows[i] = g * x[i];
}

@group(0) @binding(1) var<storage, read> g: array<f32>;                    // [rows, tokens, columns]
@group(0) @binding(2) var<storage, read> gatesIn: array<f32>;
@group(0) @binding(3) var<storage, read_write> dGates: array<f32>;         // [rows, k]

@compute @workgroup_size(WORKGROUP_SIZE)
fn gateGradients(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.rows * params.columns) { return; }
  let row = i / params.columns;
  let column = i % params.columns;
  var sum = 0.0;
  for (var t = 0u; t < params.tokens; t++) { sum += g[(row * params.tokens + t) * params.columns + column]; }
  let at = row * params.k + params.first + column;
  let gate = gatesIn[at];
  if (gate > 0.0) { dGates[at] = sum / gate; } else { dGates[at] = 0.0; }
}

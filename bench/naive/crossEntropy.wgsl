// Naive cross entropy of given logits: one invocation per token, three walks over its row, then a single sum.

struct Params { rows: u32, words: u32, ignoreIndex: i32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<f32>;

@compute @workgroup_size(64)
fn rows(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.rows) { return; }
  let first = row * params.words;
  var top = logits[first];
  for (var j = 1u; j < params.words; j++) { top = max(top, logits[first + j]); }
  var sum = 0.0;
  for (var j = 0u; j < params.words; j++) { sum += exp(logits[first + j] - top); }
  lse[row] = top + log(sum);
  tokens[row] = 0.0;
  if (targets[row] != params.ignoreIndex) { tokens[row] = lse[row] - logits[first + u32(targets[row])]; }
}

@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> count: array<i32>;

@compute @workgroup_size(1)
fn mean() {
  var sum = 0.0;
  var kept = 0;
  for (var i = 0u; i < params.rows; i++) {
    sum += losses[i];
    if (targets[i] != params.ignoreIndex) { kept++; }
  }
  loss[0] = sum / f32(max(kept, 1));
  count[0] = kept;
}

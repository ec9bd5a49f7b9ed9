// Naive draw without limits: one invocation per row goes through all words, with logarithms in floating point and noise
// that is given.

struct Params { rows: u32, words: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> noise: array<f32>;
@group(0) @binding(3) var<storage, read_write> ids: array<i32>;
@group(0) @binding(4) var<storage, read_write> logProbs: array<f32>;

@compute @workgroup_size(64)
fn sampleLogits(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.rows) { return; }
  let first = row * params.words;
  var top = logits[first];
  var best = logits[first] + noise[first];
  var index = 0u;
  for (var j = 1u; j < params.words; j++) {
    top = max(top, logits[first + j]);
    if (logits[first + j] + noise[first + j] > best) {
      best = logits[first + j] + noise[first + j];
      index = j;
    }
  }
  var sum = 0.0;
  for (var j = 0u; j < params.words; j++) { sum += exp(logits[first + j] - top); }
  ids[row] = i32(index);
  logProbs[row] = logits[first + index] - top - log(sum);
}

// embedding: rows of a table by their ids, and the table's gradient.
//
// The gradient of a row is a sum over all tokens that name it. Float atomics would add in a different order every time,
// so the tokens of a row are first strung on a chain: `embeddingChain` gives every token the token before it with the same
// id, and every row its last token. Chains of different ids are independent, so the invocations share the ids out by
// remainder, and each walks all tokens in order and looks after its own. `embeddingBackward` then walks each row's chain,
// last token first: one fixed order, no atomics. Tokens are numbered from 1; 0 ends a chain.
// The forward copies bits, so that NaN and zeros survive as they are.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;          // elements per invocation of the forward
const NAN_BITS = 0x7fc00000u;

struct Params {
  tokens: u32,
  rows: u32,
  width: u32,
  padding: u32,   // the padding row, or 0xffffffff
  shares: u32,    // invocations of embeddingChain
}

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> tableBits: array<u32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

/// An id outside of the table (a negative one is a large u32) gives a row of NaN, which no comparison lets pass.
@compute @workgroup_size(WORKGROUP_SIZE)
fn embedding(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let size = params.tokens * params.width;
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < size) {
      let id = ids[i / params.width];
      if (id < params.rows) { y[i] = tableBits[id * params.width + i % params.width]; }
      else { y[i] = NAN_BITS; }
    }
  }
}

@group(0) @binding(1) var<storage, read> tokenIds: array<u32>;
@group(0) @binding(2) var<storage, read_write> before: array<u32>;   // [tokens]: the token before with the same id
@group(0) @binding(3) var<storage, read_write> last: array<u32>;     // [rows], zero at the start: the last token so far

@compute @workgroup_size(WORKGROUP_SIZE)
fn embeddingChain(@builtin(global_invocation_id) invocation: vec3u) {
  let share = invocation.x;
  if (share >= params.shares) { return; }
  for (var t = 0u; t < params.tokens; t++) {
    let id = tokenIds[t];   // the same address in all invocations: one load for all
    if (id < params.rows && id % params.shares == share) {
      before[t] = last[id];
      last[id] = t + 1u;
    }
  }
}

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> previous: array<u32>;
@group(0) @binding(3) var<storage, read> newest: array<u32>;
@group(0) @binding(4) var<storage, read_write> dTable: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn embeddingBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.rows * params.width) {
      let row = i / params.width;
      let column = i % params.width;
      var sum = 0.0;
      if (row != params.padding) {
        for (var t = newest[row]; t != 0u; t = previous[t - 1u]) { sum += dy[(t - 1u) * params.width + column]; }
      }
      dTable[i] = sum;
    }
  }
}

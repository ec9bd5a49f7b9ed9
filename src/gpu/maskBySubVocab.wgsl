// maskBySubVocab and its gradient: a bit per word and sub-vocabulary, then a copy of the bits of what is inside. Setting bits is
// the same in any order, so atomics give one result.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;          // elements per invocation of the copy

struct Params {
  rows: u32,
  tokens: u32,
  length: u32,    // N
  k: u32,
  outside: u32,   // bits of what stands for a word outside
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;                       // [rows, k]
@group(0) @binding(2) var<storage, read_write> flags: array<atomic<u32>>;         // [rows, ceil(N / 32)], zero at the start

fn flagWords() -> u32 { return (params.length + 31u) / 32u; }

@compute @workgroup_size(WORKGROUP_SIZE)
fn maskFlags(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.rows * params.k) { return; }
  let word = words[i];
  if (word < params.length) { atomicOr(&flags[i / params.k * flagWords() + word / 32u], 1u << (word % 32u)); }
}

@group(0) @binding(1) var<storage, read> given: array<u32>;                       // bits, [rows, tokens, N]
@group(0) @binding(2) var<storage, read> inside: array<u32>;
@group(0) @binding(3) var<storage, read_write> kept: array<u32>;

/// A workgroup owns WORKGROUP_SIZE * PER scores of one token.
@compute @workgroup_size(WORKGROUP_SIZE)
fn maskApply(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let across = (params.length + WORKGROUP_SIZE * PER - 1u) / (WORKGROUP_SIZE * PER);
  let id = linearGroup(group, groups);
  let token = id / across;
  if (token >= params.rows * params.tokens) { return; }
  let first = token / params.tokens * flagWords();
  for (var j = 0u; j < PER; j++) {
    let word = (id % across * PER + j) * WORKGROUP_SIZE + local;
    if (word >= params.length) { return; }
    let isInside = ((inside[first + word / 32u] >> (word % 32u)) & 1u) == 1u;
    kept[token * params.length + word] = select(params.outside, given[token * params.length + word], isInside);
  }
}

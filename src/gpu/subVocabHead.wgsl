// subVocabHead: between the logits of one chunk of words, which the products of matmul.wgsl make and use, and those of all words.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct Params {
  rows: u32,      // sub-vocabularies
  tokens: u32,    // of each
  k: u32,
  first: u32,     // the first word of the chunk
  columns: u32,
}

const NONE = 0xffffffffu;                    // -1: no word
const NEGATIVE_INFINITY = 0xff800000u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;               // [rows, columns]
@group(0) @binding(2) var<storage, read> chunk: array<u32>;               // bits, [rows, tokens, columns]
@group(0) @binding(3) var<storage, read_write> logits: array<u32>;        // bits, [rows, tokens, k]

@compute @workgroup_size(WORKGROUP_SIZE)
fn headPut(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.rows * params.tokens * params.columns) { return; }
  let token = i / params.columns;
  let column = i % params.columns;
  let word = words[token / params.tokens * params.columns + column];
  logits[token * params.k + params.first + column] = select(chunk[i], NEGATIVE_INFINITY, word == NONE);
}

@group(0) @binding(2) var<storage, read> dLogits: array<u32>;             // bits, [rows, tokens, k]
@group(0) @binding(3) var<storage, read_write> dChunk: array<u32>;        // bits, [rows, tokens, columns]

@compute @workgroup_size(WORKGROUP_SIZE)
fn headTake(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.rows * params.tokens * params.columns) { return; }
  let token = i / params.columns;
  let column = i % params.columns;
  let word = words[token / params.tokens * params.columns + column];
  dChunk[i] = select(dLogits[token * params.k + params.first + column], 0u, word == NONE);
}

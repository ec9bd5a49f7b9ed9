// Rows of vectors: padded to whole vec4, gathered, scaled, measured; and sums of floats in a fixed order.
// @uses lib/grid.wgsl

struct RowsParams {
  rows: u32,       // rows to make
  d: u32,          // elements per row
  width: u32,      // vec4 per padded row
  scaled: u32,     // nonzero: each row is multiplied by its weight
  origin: u32,     // the bound window holds the source rows origin ..< origin + count
  count: u32,
  at: u32,         // the bound window of the result starts at this row, or at this element of a sum
  chunk: u32,      // elements per sum
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> rowsParams: RowsParams;

@group(0) @binding(1) var<storage, read> plain: array<f32>;
@group(0) @binding(2) var<storage, read_write> padded: array<vec4f>;

/// [rows, d] to [rows, width] vec4, the rest of each row zero.
@compute @workgroup_size(WORKGROUP_SIZE)
fn padRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= rowsParams.rows * rowsParams.width) { return; }
  let first = id % rowsParams.width * 4u;
  let row = id / rowsParams.width * rowsParams.d;
  var v = vec4f();
  for (var e = 0u; e < min(4u, rowsParams.d - first); e++) { v[e] = plain[row + first + e]; }
  padded[id] = v;
}

@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> unpadded: array<f32>;

/// The inverse of padRows.
@compute @workgroup_size(WORKGROUP_SIZE)
fn unpadRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= rowsParams.rows * rowsParams.width) { return; }
  let first = id % rowsParams.width * 4u;
  let row = id / rowsParams.width * rowsParams.d;
  let v = source[id];
  for (var e = 0u; e < min(4u, rowsParams.d - first); e++) { unpadded[row + first + e] = v[e]; }
}

@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> gathered: array<vec4f>;

/// Row r of the result = row chosen[r] of the source, if that is in the bound window of the source.
@compute @workgroup_size(WORKGROUP_SIZE)
fn gatherRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= rowsParams.rows * rowsParams.width) { return; }
  let row = chosen[rowsParams.at + id / rowsParams.width];
  if (row < rowsParams.origin || row >= rowsParams.origin + rowsParams.count) { return; }
  var v = source[(row - rowsParams.origin) * rowsParams.width + id % rowsParams.width];
  if (rowsParams.scaled != 0u) { v *= weights[row]; }
  gathered[id] = v;
}

@group(0) @binding(2) var<storage, read_write> lengths: array<f32>;

/// 1 / |row|, 0 for a row of zeros, or shorter than 2^-50: squares of less may be flushed.
@compute @workgroup_size(WORKGROUP_SIZE)
fn inverseNorms(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= rowsParams.rows) { return; }
  var squares = 0.0;
  for (var j = 0u; j < rowsParams.width; j++) {
    let v = source[row * rowsParams.width + j];
    squares += dot(v, v);
  }
  var inverse = 0.0;
  if (squares >= 0x1p-100) { inverse = 1.0 / sqrt(squares); }
  lengths[rowsParams.at + row] = inverse;
}

@group(0) @binding(1) var<storage, read> terms: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

/// Sums of contiguous chunks, always in the same order. `rows` is the number of terms.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sumChunks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let begin = id * rowsParams.chunk;
  if (begin >= rowsParams.rows) { return; }
  var sum = 0.0;
  for (var i = begin; i < min(begin + rowsParams.chunk, rowsParams.rows); i++) { sum += terms[i]; }
  sums[rowsParams.at + id] = sum;
}

@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> draws: array<f32>;

/// The upper 24 bits as numbers: exact in f32.
@compute @workgroup_size(WORKGROUP_SIZE)
fn drawsOf(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < rowsParams.rows) { draws[i] = f32(words[i] >> 8u); }
}

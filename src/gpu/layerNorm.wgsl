// layerNorm: y = gamma (x - mean) rstd + beta per row of x [rows, width], and its gradient.
//
// The mean of a row is found in two steps: a first value, then the mean of what remains of x after taking it off. What
// remains is small, so its sum is nearly exact, and x - first - remainder has no error that grows with the mean:
// a row around 10,000 with deviation 1 keeps all its digits. The variance uses the same remainder.
//
// Two ways to own rows: one invocation a row (`layerNorm`, `layerNormBackward`; software drivers) and one workgroup a
// row (the *Tiles entry points; GPUs). Sums over rows, for gamma and beta, run in two levels: `layerNormColumns` sums a
// column of a chunk of rows per invocation, `layerNormSums` adds the chunks. Always in the same order.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override TILE: u32 = 128u;           // invocations per row of the *Tiles entry points: a power of two, 1..256

struct Params {
  rows: u32,
  width: u32,
  eps: f32,
  chunk: u32,        // rows per chunk of the column sums
  chunks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// --- Forward. ---

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> means: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstds: array<f32>;

/// 1 / sqrt(variance + eps) from the sums of x - first and of its squares.
fn inverseDeviation(sums: vec2f) -> f32 {
  let remainder = sums.x / f32(params.width);
  return inverseSqrt(max(sums.y / f32(params.width) - remainder * remainder, 0.0) + params.eps);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNorm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = row * params.width;
  var sum = 0.0;
  for (var j = 0u; j < params.width; j++) { sum += x[origin + j]; }
  let first = sum / f32(params.width);
  var sums = vec2f(0.0);
  for (var j = 0u; j < params.width; j++) {
    let c = x[origin + j] - first;
    sums += vec2f(c, c * c);
  }
  let remainder = sums.x / f32(params.width);
  let rstd = inverseDeviation(sums);
  for (var j = 0u; j < params.width; j++) {
    y[origin + j] = ((x[origin + j] - first) - remainder) * rstd * gamma[j] + beta[j];
  }
  means[row] = first + remainder;
  rstds[row] = rstd;
}

var<workgroup> tile: array<vec4f, TILE>;

/// The sum over the workgroup, the same in every invocation. Each step adds the upper half of what is left to the lower.
fn total(local: u32, mine: vec4f) -> vec4f {
  tile[local] = mine;
  workgroupBarrier();
  for (var half = TILE / 2u; half > 0u; half /= 2u) {
    if (local < half) { tile[local] += tile[local + half]; }
    workgroupBarrier();
  }
  let sum = tile[0];
  workgroupBarrier();   // the next total overwrites what was just read
  return sum;
}

@compute @workgroup_size(TILE)
fn layerNormTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let origin = row * params.width;
  var sum = 0.0;
  for (var j = local; j < params.width; j += TILE) { sum += x[origin + j]; }
  let first = total(local, vec4f(sum, 0.0, 0.0, 0.0)).x / f32(params.width);
  var sums = vec2f(0.0);
  for (var j = local; j < params.width; j += TILE) {
    let c = x[origin + j] - first;
    sums += vec2f(c, c * c);
  }
  sums = total(local, vec4f(sums, 0.0, 0.0)).xy;
  let remainder = sums.x / f32(params.width);
  let rstd = inverseDeviation(sums);
  for (var j = local; j < params.width; j += TILE) {
    y[origin + j] = ((x[origin + j] - first) - remainder) * rstd * gamma[j] + beta[j];
  }
  if (local == 0u) {
    means[row] = first + remainder;
    rstds[row] = rstd;
  }
}

// --- Backward. With c = x - mean and its mean, the remainder: u = (c - remainder) rstd, so that
// sum g u = rstd (sum g c - remainder sum g), and one pass over the row gives all sums. ---

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;           // x
@group(0) @binding(3) var<storage, read> scale: array<f32>;            // gamma
@group(0) @binding(4) var<storage, read> saved: array<f32>;            // mean
@group(0) @binding(5) var<storage, read> inverse: array<f32>;          // rstd
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> remainders: array<f32>; // [rows], for the column sums

/// Sums of g, g c and c over elements begin, begin + step, ... of a row.
fn rowSums(row: u32, begin: u32, step: u32) -> vec4f {
  let origin = row * params.width;
  var sums = vec4f(0.0);
  for (var j = begin; j < params.width; j += step) {
    let g = dy[origin + j] * scale[j];
    let c = values[origin + j] - saved[row];
    sums += vec4f(g, g * c, c, 0.0);
  }
  return sums;
}

fn writeRow(row: u32, sums: vec4f, begin: u32, step: u32) {
  let origin = row * params.width;
  let rstd = inverse[row];
  let n = f32(params.width);
  let remainder = sums.z / n;
  let meanG = sums.x / n;
  let meanGU = rstd * (sums.y / n - remainder * meanG);
  for (var j = begin; j < params.width; j += step) {
    let g = dy[origin + j] * scale[j];
    let u = ((values[origin + j] - saved[row]) - remainder) * rstd;
    dx[origin + j] = rstd * ((g - meanG) - u * meanGU);
  }
  if (begin == 0u) { remainders[row] = remainder; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  writeRow(row, rowSums(row, 0u, 1u), 0u, 1u);
}

@compute @workgroup_size(TILE)
fn layerNormBackwardTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                          @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }
  writeRow(row, total(local, rowSums(row, local, TILE)), local, TILE);
}

// --- Sums over rows. ---

@group(0) @binding(3) var<storage, read> center: array<f32>;           // mean
@group(0) @binding(4) var<storage, read> spread: array<f32>;           // rstd
@group(0) @binding(5) var<storage, read> shift: array<f32>;            // remainders
@group(0) @binding(6) var<storage, read_write> partials: array<vec2f>; // [chunks, width]: sums of dy u and of dy

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormColumns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.chunks * params.width) { return; }
  let column = id % params.width;
  let first = id / params.width * params.chunk;
  var sums = vec2f(0.0);
  for (var row = first; row < min(first + params.chunk, params.rows); row++) {
    let g = dy[row * params.width + column];
    let u = ((values[row * params.width + column] - center[row]) - shift[row]) * spread[row];
    sums += vec2f(g * u, g);
  }
  partials[id] = sums;
}

@group(0) @binding(1) var<storage, read> chunkSums: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> dGamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> dBeta: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let column = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (column >= params.width) { return; }
  var sums = vec2f(0.0);
  for (var chunk = 0u; chunk < params.chunks; chunk++) { sums += chunkSums[chunk * params.width + column]; }
  dGamma[column] = sums.x;
  dBeta[column] = sums.y;
}

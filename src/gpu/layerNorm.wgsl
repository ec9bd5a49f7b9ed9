// layerNorm: y = gamma (x - mean) rstd + beta per row of x [rows, width], and its gradient.
//
// The mean of a row is found in two steps: a first value from a few elements, then the mean of what remains of x after
// taking it off, the remainder. What remains is small, so its sum is nearly exact, and (x - first) - remainder has no error
// that grows with the mean: a row around 10,000 with deviation 1 keeps all its digits. The same pass sums the squares;
// their cancellation with the remainder costs at most a factor of two, because a first value that is further from the
// mean than one deviation is replaced and the pass done again. So a row is read twice: for the sums and for the result.
//
// Two ways to own rows: one invocation a row (software drivers; *Quads where rows are made of whole fours) and one
// workgroup a row (*Tiles; GPUs). Sums over rows, for gamma and beta, run in two levels: `layerNormColumns` sums a column
// of a chunk of rows per invocation, `layerNormSums` adds the chunks. Always in the same order.
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

/// The first value: the mean of eight elements, evenly spread.
fn firstMean(origin: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < 8u; i++) { sum += x[origin + i * params.width / 8u]; }
  return sum / 8.0;
}

/// Sums of x - first and of its squares over elements begin, begin + step, ... of a row.
fn deviations(origin: u32, first: f32, begin: u32, step: u32) -> vec2f {
  var sums = vec2f(0.0);
  for (var j = begin; j < params.width; j += step) {
    let c = x[origin + j] - first;
    sums += vec2f(c, c * c);
  }
  return sums;
}

/// The biased variance from those sums.
fn variance(sums: vec2f) -> f32 {
  let remainder = sums.x / f32(params.width);
  return max(sums.y / f32(params.width) - remainder * remainder, 0.0);
}

/// Whether the first value is further from the mean than one deviation.
fn isFar(sums: vec2f) -> bool {
  let remainder = sums.x / f32(params.width);
  return remainder * remainder > variance(sums);
}

fn normalize(origin: u32, first: f32, sums: vec2f, begin: u32, step: u32) {
  let remainder = sums.x / f32(params.width);
  let rstd = inverseSqrt(variance(sums) + params.eps);
  for (var j = begin; j < params.width; j += step) {
    y[origin + j] = ((x[origin + j] - first) - remainder) * rstd * gamma[j] + beta[j];
  }
}

fn saveRow(row: u32, first: f32, sums: vec2f) {
  means[row] = first + sums.x / f32(params.width);
  rstds[row] = inverseSqrt(variance(sums) + params.eps);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNorm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = row * params.width;
  var first = firstMean(origin);
  var sums = deviations(origin, first, 0u, 1u);
  if (isFar(sums)) {
    first += sums.x / f32(params.width);
    sums = deviations(origin, first, 0u, 1u);
  }
  normalize(origin, first, sums, 0u, 1u);
  saveRow(row, first, sums);
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
  return workgroupUniformLoad(&tile[0]);   // waits before and after, so that the next total may overwrite it
}

@compute @workgroup_size(TILE)
fn layerNormTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let origin = row * params.width;
  var first = firstMean(origin);
  var sums = total(local, vec4f(deviations(origin, first, local, TILE), 0.0, 0.0)).xy;
  if (isFar(sums)) {
    first += sums.x / f32(params.width);
    sums = total(local, vec4f(deviations(origin, first, local, TILE), 0.0, 0.0)).xy;
  }
  normalize(origin, first, sums, local, TILE);
  if (local == 0u) { saveRow(row, first, sums); }
}

@group(0) @binding(1) var<storage, read> x4: array<vec4f>;
@group(0) @binding(2) var<storage, read> gamma4: array<vec4f>;
@group(0) @binding(3) var<storage, read> beta4: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y4: array<vec4f>;

/// As `deviations`, for a whole row of fours.
fn deviations4(origin: u32, first: f32) -> vec2f {
  var sums = vec4f(0.0);
  var squares = vec4f(0.0);
  for (var j = 0u; j < params.width / 4u; j++) {
    let c = x4[origin + j] - first;
    sums += c;
    squares += c * c;
  }
  return vec2f(dot(sums, vec4f(1.0)), dot(squares, vec4f(1.0)));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = row * params.width / 4u;
  var first = dot(x4[origin] + x4[origin + params.width / 8u], vec4f(0.125));
  var sums = deviations4(origin, first);
  if (isFar(sums)) {
    first += sums.x / f32(params.width);
    sums = deviations4(origin, first);
  }
  let remainder = sums.x / f32(params.width);
  let rstd = inverseSqrt(variance(sums) + params.eps);
  for (var j = 0u; j < params.width / 4u; j++) {
    y4[origin + j] = ((x4[origin + j] - first) - remainder) * rstd * gamma4[j] + beta4[j];
  }
  saveRow(row, first, sums);
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

/// The remainder, mean(g) and mean(g u) from those sums.
fn rowMeans(row: u32, sums: vec4f) -> vec3f {
  let means = sums.xyz / f32(params.width);
  return vec3f(means.z, means.x, inverse[row] * (means.y - means.z * means.x));
}

fn writeRow(row: u32, sums: vec4f, begin: u32, step: u32) {
  let origin = row * params.width;
  let rstd = inverse[row];
  let means = rowMeans(row, sums);
  for (var j = begin; j < params.width; j += step) {
    let g = dy[origin + j] * scale[j];
    let u = ((values[origin + j] - saved[row]) - means.x) * rstd;
    dx[origin + j] = rstd * ((g - means.y) - u * means.z);
  }
  if (begin == 0u) { remainders[row] = means.x; }
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

@group(0) @binding(1) var<storage, read> dy4: array<vec4f>;
@group(0) @binding(2) var<storage, read> values4: array<vec4f>;
@group(0) @binding(3) var<storage, read> scale4: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> dx4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormBackwardQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                          @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let origin = row * params.width / 4u;
  let mean = saved[row];
  let rstd = inverse[row];
  var sumG = vec4f(0.0);
  var sumGC = vec4f(0.0);
  var sumC = vec4f(0.0);
  for (var j = 0u; j < params.width / 4u; j++) {
    let g = dy4[origin + j] * scale4[j];
    let c = values4[origin + j] - mean;
    sumG += g;
    sumGC += g * c;
    sumC += c;
  }
  let one = vec4f(1.0);
  let means = rowMeans(row, vec4f(dot(sumG, one), dot(sumGC, one), dot(sumC, one), 0.0));
  for (var j = 0u; j < params.width / 4u; j++) {
    let g = dy4[origin + j] * scale4[j];
    let u = ((values4[origin + j] - mean) - means.x) * rstd;
    dx4[origin + j] = rstd * ((g - means.y) - u * means.z);
  }
  remainders[row] = means.x;
}

// --- Sums over rows. ---

@group(0) @binding(3) var<storage, read> center: array<f32>;           // mean
@group(0) @binding(4) var<storage, read> spread: array<f32>;           // rstd
@group(0) @binding(5) var<storage, read> shift: array<f32>;            // remainders
@group(0) @binding(6) var<storage, read_write> partials: array<f32>;   // [2, chunks, width]: sums of dy u and of dy

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
  partials[id] = sums.x;
  partials[params.chunks * params.width + id] = sums.y;
}

@group(0) @binding(6) var<storage, read_write> partials4: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormColumnsQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                         @builtin(local_invocation_index) local: u32) {
  let width = params.width / 4u;
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.chunks * width) { return; }
  let column = id % width;
  let first = id / width * params.chunk;
  var sumGU = vec4f(0.0);
  var sumG = vec4f(0.0);
  for (var row = first; row < min(first + params.chunk, params.rows); row++) {
    let g = dy4[row * width + column];
    sumGU += g * (((values4[row * width + column] - center[row]) - shift[row]) * spread[row]);
    sumG += g;
  }
  partials4[id] = sumGU;
  partials4[params.chunks * width + id] = sumG;
}

@group(0) @binding(1) var<storage, read> chunkSums: array<f32>;
@group(0) @binding(2) var<storage, read_write> dGamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> dBeta: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn layerNormSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let column = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (column >= params.width) { return; }
  var sums = vec2f(0.0);
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = chunk * params.width + column;
    sums += vec2f(chunkSums[at], chunkSums[params.chunks * params.width + at]);
  }
  dGamma[column] = sums.x;
  dBeta[column] = sums.y;
}
